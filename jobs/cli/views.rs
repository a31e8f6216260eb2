//! `views`: a DuckDB script with one view per table at a set. Restricted tables only while no key is configured; the
//! script never holds a key.

use std::path::Path;

use shikaku_pipeline::lake::{Generation, Snapshot};
use shikaku_pipeline::store::Store;
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::tables::{self, ColumnType, Layering, Table};

use super::show;

/// Prints the script.
pub fn views(store: &Store, set: Option<i64>, json: bool) -> Result<u8> {
    let newest = store.snapshot()?;
    let snapshot = match set {
        None => newest,
        Some(set) if set <= newest.set_id => Snapshot::new(store.config.lake.clone(), set, store.ledger.generations()?),
        Some(set) => return Err(Error::usage(format!("set {set} does not exist; the newest is {}", newest.set_id))),
    };
    let mut script =
        format!("-- Views of set {}. Made by `shikaku views`; make it again after each night.\n", snapshot.set_id);
    for table in tables::all() {
        if table.restricted && store.keys.is_some() {
            script.push_str(&format!(
                "-- {}: encrypted, read it with `shikaku inquire` and `shikaku export`.\n",
                table.name
            ));
            continue;
        }
        script.push_str(&view(&snapshot, table, &store.config.lake)?);
    }
    if json {
        show::document(&serde_json::json!({ "set_id": snapshot.set_id, "script": script }))?;
    } else {
        say!("{}", script.trim_end());
    }
    Ok(0)
}

fn view(snapshot: &Snapshot, table: &Table, lake: &Path) -> Result<String> {
    let name = &table.name;
    let current = snapshot.current(table);
    let columns: Vec<String> = table.columns.iter().map(|c| format!("\"{}\"", c.name())).collect();
    let columns = columns.join(", ");
    let mut script = format!("\n-- {} {}\n", name, table.ja);
    if current.is_empty() {
        script.push_str(&empty(table));
        return Ok(script);
    }
    if current.iter().any(|g| g.removed) {
        return Ok(script + "-- as of this set it is kept no longer.\n");
    }
    let source = source(snapshot, &current, lake)?;
    script.push_str(&match table.layering {
        Layering::Generation => format!("CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {source};\n"),
        Layering::Append => {
            let partition = partition_column(&current);
            format!("CREATE OR REPLACE VIEW {name} AS SELECT {partition}, {columns} FROM {source};\n")
        }
        Layering::Version => {
            let all = self::source(snapshot, &snapshot.all(table), lake)?;
            format!(
                "CREATE OR REPLACE VIEW {name} AS SELECT month, version, {columns} FROM {source};\n\
                 CREATE OR REPLACE VIEW {name}_versions AS SELECT month, version, {columns} FROM {all};\n"
            )
        }
        Layering::History => {
            let key: Vec<String> = table.key.iter().map(|k| format!("\"{k}\"")).collect();
            let key = key.join(", ");
            // Of equal key and recorded_from the newest generation holds; equal recorded times were taken back; a row ends
            // where the next one of its key begins.
            format!(
                "CREATE OR REPLACE VIEW {name} AS SELECT * EXCLUDE (next_from)\n  \
                 REPLACE (least(recorded_to, next_from) AS recorded_to) FROM (\n  \
                 SELECT *, lead(recorded_from) OVER (PARTITION BY {key} ORDER BY recorded_from) AS next_from FROM (\n    \
                 SELECT {columns} FROM (SELECT * FROM {source}\n    \
                 QUALIFY row_number() OVER (PARTITION BY {key}, recorded_from ORDER BY gen DESC) = 1)\n    \
                 WHERE recorded_to IS NULL OR recorded_to <> recorded_from));\n\
                 CREATE OR REPLACE VIEW {name}_current AS SELECT * FROM {name} WHERE recorded_to IS NULL;\n"
            )
        }
    });
    Ok(script)
}

/// `month` or `on_date`, whichever the table is partitioned by.
fn partition_column(generations: &[&Generation]) -> String {
    generations.first().and_then(|g| g.partition.split('=').next()).unwrap_or("month").to_owned()
}

fn source(snapshot: &Snapshot, generations: &[&Generation], lake: &Path) -> Result<String> {
    let lake = std::path::absolute(lake).map_err(|e| Error::failed(e.to_string()))?;
    let mut files = Vec::new();
    for generation in generations {
        for part in snapshot.parts(generation)? {
            let path = lake.join(&part.path).display().to_string();
            files.push(format!("'{}'", path.replace('\'', "''")));
        }
    }
    Ok(format!("read_parquet([{}], hive_partitioning = true)", files.join(", ")))
}

/// A table that has no rows yet still has its columns.
fn empty(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let kind = match column.kind() {
                ColumnType::String => "VARCHAR",
                ColumnType::Binary => "BLOB",
                ColumnType::Int64 => "BIGINT",
                ColumnType::Date => "DATE",
                ColumnType::Timestamp => "TIMESTAMP",
                ColumnType::ListInt32 => "INTEGER[]",
            };
            format!("NULL::{kind} AS \"{}\"", column.name())
        })
        .collect();
    let (name, columns) = (&table.name, columns.join(", "));
    // Under every name that it will have once there are rows.
    let also: &[&str] = match table.layering {
        Layering::History => &["_current"],
        Layering::Version => &["_versions"],
        Layering::Generation | Layering::Append => &[],
    };
    let partition = match table.layering {
        Layering::Version => "NULL::VARCHAR AS month, NULL::BIGINT AS version, ",
        _ => "",
    };
    let view =
        |suffix: &str| format!("CREATE OR REPLACE VIEW {name}{suffix} AS SELECT {partition}{columns} WHERE false;\n");
    [""].iter().chain(also).map(|suffix| view(suffix)).collect()
}
