//! Table schemas of the lake: columns, keys and what is personal.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::files;

/// Type of a column. Codes with leading zeros are strings; there is no unsigned 64-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    String,
    Binary,
    Int64,
    /// Days; no time zone.
    Date,
    /// Milliseconds, JST, no zone in the file.
    Timestamp,
    /// A list of 32-bit integers, ascending.
    ListInt32,
}

/// How the files of a table add up to its current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layering {
    /// A base and deltas; of rows with equal key and `recorded_from` the newest generation holds.
    History,
    /// Each generation replaces the one before.
    Generation,
    /// Generations add up.
    Append,
    /// Per month, the newest version holds; older ones stay.
    Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nullable {
    Required,
    Null,
}

/// One column: name, type, whether it may be null, 和名.
#[derive(Debug, Deserialize)]
pub struct Column(pub String, pub ColumnType, pub Nullable, pub String);

impl Column {
    pub fn name(&self) -> &str {
        &self.0
    }
    pub fn kind(&self) -> ColumnType {
        self.1
    }
    pub fn nullable(&self) -> bool {
        self.2 == Nullable::Null
    }
    pub fn ja(&self) -> &str {
        &self.3
    }
}

/// One table of the lake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub name: String,
    pub ja: String,
    /// Holds personal data: encrypted when keys are configured.
    pub restricted: bool,
    /// A master (保険者、医療機関 …): what other jobs' checks go by.
    #[serde(default)]
    pub master: bool,
    pub layering: Layering,
    /// Columns that name a row; rows of a part are sorted by them.
    pub key: Vec<String>,
    /// Columns that are looked up by value: they get Bloom filters, unless the order of the rows tells as much.
    #[serde(default)]
    pub lookup: Vec<String>,
    /// Columns whose values differ from row to row: a dictionary of them would be begun and thrown away.
    #[serde(default)]
    pub no_dictionary: Vec<String>,
    pub source: String,
    pub columns: Vec<Column>,
}

impl Table {
    pub fn index(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name() == column)
    }

    /// Position of a column that the program names.
    pub fn at(&self, column: &str) -> usize {
        match self.index(column) {
            Some(index) => index,
            None => panic!("table {} has no column {column}", self.name),
        }
    }
}

static TABLES: LazyLock<Vec<Table>> =
    LazyLock::new(|| files::TABLES.iter().map(|(stem, text)| crate::parse(stem, text)).collect());

/// All tables in name order.
pub fn all() -> &'static [Table] {
    &TABLES
}

/// The table of that name, which the program names.
pub fn of(name: &str) -> &'static Table {
    match TABLES.iter().find(|t| t.name == name) {
        Some(table) => table,
        None => panic!("no table {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_columns_and_file_stems_are_table_names() {
        for (table, (stem, _)) in all().iter().zip(files::TABLES) {
            assert_eq!(&table.name, stem);
            for key in table.key.iter().chain(&table.lookup) {
                table.at(key);
            }
        }
    }

    #[test]
    fn history_tables_have_both_recorded_times() {
        for table in all().iter().filter(|t| t.layering == Layering::History) {
            assert!(!table.columns[table.at("recorded_from")].nullable());
            assert!(table.columns[table.at("recorded_to")].nullable());
        }
    }

    #[test]
    fn open_tables_hold_no_personal_field() {
        // link_no, serial and names may stand in restricted tables only (rules.md §6).
        let personal: Vec<&str> = crate::layout::all()
            .iter()
            .flat_map(|l| &l.fields)
            .filter(|f| f.personal)
            .map(|f| f.name.as_str())
            .collect();
        for table in all().iter().filter(|t| !t.restricted) {
            for column in &table.columns {
                assert!(!personal.contains(&column.name()), "{}.{}", table.name, column.name());
            }
        }
    }

    /// Every field of a layout is stored somewhere or named here; every column comes from a field or is named here.
    #[test]
    fn layouts_and_tables_agree_in_both_directions() {
        const RECORDED: [&str; 4] = ["recorded_from", "recorded_to", "source_file", "source_record"];
        type Case = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
        let cases: [Case; 5] = [
            // Layout, tables, fields that are not stored, columns that are derived.
            (
                "SUB",
                &["member", "coverage"],
                &["record_no", "operation"],
                &["insurer_code", "symbol_key", "number_key", "symbol_raw", "number_raw", "image"],
            ),
            ("CHK", &["check_log"], &[], &[]),
            ("LNKP", &["serial_link"], &["record_no"], &["issuer_key_id", "superseded_by"]),
            ("INSURERS", &["insurer"], &["address"], &["office_address"]),
            ("INSTITUTIONS", &["institution"], &["name"], &["institution_name"]),
        ];
        let mut differences = Vec::new();
        for (kind, tables, not_stored, derived) in cases {
            let layout = crate::layout::of(kind);
            let columns: Vec<&str> = tables.iter().flat_map(|t| of(t).columns.iter().map(Column::name)).collect();
            for field in layout.fields.iter().map(|f| f.name.as_str()) {
                if columns.contains(&field) == not_stored.contains(&field) {
                    differences.push(format!("{kind}.{field}: stored or not?"));
                }
            }
            for column in columns {
                let known = derived.contains(&column) || RECORDED.contains(&column);
                if layout.index(column).is_some() == known {
                    differences.push(format!("{tables:?}.{column}: where does it come from?"));
                }
            }
        }
        assert!(differences.is_empty(), "{differences:#?}");
    }
}
