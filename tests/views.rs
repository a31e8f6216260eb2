//! The script of `views`, run by DuckDB, shows what the program reads itself. `SHIKAKU_TEST_DUCKDB` names a Python that has
//! DuckDB (`.ci/run` makes one); without it the test says that it is skipped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use shikaku_schemas::tables;

use crate::common::{Lake, Sub, sub_file};
use crate::nightly::{run_all, sample_lake};

/// Runs the script on stdin and prints, per table, its columns in order as text: one JSON object a row.
const SHOW: &str = r#"
import duckdb, json, sys
script, tables = sys.stdin.read().split("\n===\n")
lake = duckdb.connect()
lake.execute(script)
def text(value):
    if value is None: return ""
    if isinstance(value, (bytes, bytearray)): return value.hex()
    if isinstance(value, list): return " ".join(str(v) for v in value)
    return str(value)
for line in tables.strip().split("\n"):
    name, columns = line.split(":")
    quoted = ", ".join('"%s"' % c for c in columns.split(","))
    for row in lake.execute("SELECT %s FROM %s" % (quoted, name)).fetchall():
        print(json.dumps([name] + [text(v) for v in row], ensure_ascii=False))
"#;

fn same(lake: &Lake, python: &str) {
    let script = lake.run(&["views"]).exits(0).stdout;
    let columns = |t: &tables::Table| t.columns.iter().map(|c| c.name().to_owned()).collect::<Vec<_>>().join(",");
    let list: Vec<String> = tables::all().iter().map(|t| format!("{}:{}", t.name, columns(t))).collect();
    let mut duckdb =
        Command::new(python).args(["-c", SHOW]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = format!("{script}\n===\n{}\n", list.join("\n"));
    duckdb.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = duckdb.wait_with_output().unwrap();
    assert!(output.status.success(), "DuckDB refuses the script");
    let mut shown: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut row: Vec<String> = serde_json::from_str(line).unwrap();
        shown.entry(row.remove(0)).or_default().push(row);
    }
    for table in tables::all() {
        let values = |row: &crate::common::Row| table.columns.iter().map(|c| row[c.name()].clone()).collect();
        let mut own: Vec<Vec<String>> = lake.rows(&table.name).iter().map(values).collect();
        let mut shown = shown.remove(&table.name).unwrap_or_default();
        own.sort();
        shown.sort();
        assert!(own == shown, "{}: {} rows read, {} shown, or they differ", table.name, own.len(), shown.len());
    }
}

#[test]
fn views_show_every_table_and_history_as_the_program_reads_them() {
    let Ok(python) = std::env::var("SHIKAKU_TEST_DUCKDB") else {
        eprintln!("skipped: SHIKAKU_TEST_DUCKDB is not set");
        return;
    };
    same(&Lake::new(), &python);
    let lake = sample_lake(Lake::new());
    run_all(&lake);
    same(&lake, &python);
    // Rows taken back in their own night, ended ones, ones of another person; then a base under them, and more deltas.
    let lake = Lake::with_masters();
    let ingest = |file: u32, records: &[Sub], date: &str| {
        lake.ingest("subscribers", &format!("{file}.csv"), &sub_file(file, records), date).exits(0);
    };
    let first: Vec<Sub> = (1..=9).map(|n| Sub::new(n, n)).collect();
    ingest(1, &first, "2026-10-30");
    let changed = |record: u32, n: u32| {
        Sub::new(record, n)
            .with("operation", "2")
            .with("name", "見本　改")
            .with("lost_on", "20261001")
            .with("loss_reason", "01")
    };
    ingest(
        2,
        &[changed(1, 1), Sub::new(2, 2).with("operation", "4").with("link_no", "555"), changed(3, 3)],
        "2026-10-31",
    );
    ingest(3, &[Sub::new(1, 3).with("operation", "2"), Sub::new(2, 10)], "2026-10-31");
    same(&lake, &python);
    lake.run(&["compact"]).exits(0);
    ingest(4, &[changed(1, 4), Sub::new(2, 1).with("operation", "2")], "2026-11-01");
    same(&lake, &python);
    assert!(lake.rows("member").len() > 10);
}
