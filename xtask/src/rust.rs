//! Rust from declarations: the tables of the lake, the result codes.

use std::fmt::Write as _;

use shikaku_schemas::messages;
use shikaku_schemas::tables::{self, ColumnType, Layering};

/// One `table!` per declared table; `recorded!` for those with history.
pub fn tables() -> String {
    let mut text = String::from(
        "//! Every table of the lake as types. Made by `cargo xtask generate` from schemas/tables; do not edit.\n\n\
         use super::typed::{recorded, table};\n",
    );
    for table in tables::all() {
        let _ = write!(text, "\ntable! {{\n    /// {}\n    {} {{\n", table.ja, table.name);
        for column in &table.columns {
            let kind = match column.kind() {
                ColumnType::String => "Text",
                ColumnType::Binary => "Bytes",
                ColumnType::Int64 => "Int",
                ColumnType::Date => "Date",
                ColumnType::Timestamp => "Timestamp",
                ColumnType::ListInt32 => "List",
            };
            let kind = if column.nullable() { format!("Option<{kind}>") } else { kind.to_owned() };
            let (name, token) = (column.name(), column.name().to_uppercase());
            let _ = write!(text, "        /// {}\n        {name} {token}: {kind},\n", column.ja());
        }
        text.push_str("    }\n}\n");
        if table.layering == Layering::History {
            let _ = writeln!(text, "recorded!({});", table.name);
        }
    }
    text
}

/// `schemas/src/code_list.rs` from the catalogue and what the layouts add to it.
pub fn codes() -> String {
    let mut text = String::from(
        "//! Every code that the program raises by name. Made by `cargo xtask generate` from schemas/messages and\n\
         //! schemas/layouts; do not edit.\n\nuse crate::code::codes;\n\ncodes! {\n",
    );
    for message in messages::fixed() {
        let name: String = message.name.split('_').map(capitalised).collect();
        let (severity, scope) = (message.severity, message.scope);
        let _ = write!(text, "    /// {}\n    {name} = {:?}, {severity:?}, {scope:?};\n", message.ja, message.code);
    }
    text.push_str("}\n");
    text
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
