//! An empty folder with the real program in it, and the few files that most tests need.

pub mod crl;
pub mod ledger;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use shikaku_pipeline::base::config::Config;
use shikaku_pipeline::lake::history::HistoryScan;
use shikaku_pipeline::lake::{RecordBatch, show};
use shikaku_pipeline::seal::keys::Entropy;
use shikaku_pipeline::store::{Clock, Outside, Store};
use shikaku_pipeline::text::digits::luhn_digit;
use shikaku_schemas::tables::{self, Column, ColumnType, Table};
use tempfile::TempDir;

/// A lake of one test.
pub struct Lake {
    pub dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Asserts the exit code, showing what was printed.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data-samples")
}

/// A 保険者番号 with its check digit.
pub fn insurer_no(body: &str) -> String {
    format!("{body}{}", luhn_digit(body))
}

/// A 被保険者枝番 with its check digit.
pub fn member_no(n: u32) -> String {
    let body = format!("{n:015}");
    format!("{body}{}", luhn_digit(&body))
}

impl Lake {
    /// A folder without a lake.
    pub fn empty() -> Self {
        Self { dir: temp_dir() }
    }

    /// An empty lake without keys.
    pub fn new() -> Self {
        let lake = Self::empty();
        lake.run(&["init", "--no-keys"]).exits(0);
        lake
    }

    /// An empty lake with keys.
    pub fn with_keys() -> Self {
        let lake = Self::empty();
        lake.run(&["init"]).exits(0);
        lake
    }

    /// A lake with the sample masters and the sample CA.
    pub fn with_masters() -> Self {
        Self::new().load_masters()
    }

    /// Whether the ledger is on PostgreSQL.
    pub fn on_postgres(&self) -> bool {
        !self.ledger_url().starts_with("sqlite")
    }

    /// Where the ledger is.
    pub fn ledger_url(&self) -> String {
        let config = Config::load(&self.path("shikaku.toml"), None).unwrap();
        match config.ledger_url.is_empty() {
            true => format!("sqlite://{}", self.path("lake/ledger.sqlite").display()),
            false => config.ledger_url,
        }
    }

    /// A copy of the lake as it is, for tests that begin with it many times; nothing in a lake names its own place.
    pub fn copy(&self) -> Self {
        assert!(!self.on_postgres(), "a ledger on a server is not copied");
        let copy = Self::empty();
        copy_all(self.dir.path(), copy.dir.path());
        copy
    }

    pub fn load_masters(self) -> Self {
        self.set(
            "ca_files = []",
            &format!("ca_files = [{:?}]", samples().join("ca/sample-ca.pem").display().to_string()),
        );
        let masters = samples().join("nights/2026-10-30/masters");
        self.run(&["ingest", "masters", masters.to_str().unwrap(), "--date", "2026-10-29"]).exits(0);
        self
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Replaces a line of the configuration.
    pub fn set(&self, from: &str, to: &str) {
        let file = self.path("shikaku.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is not in the configuration");
        std::fs::write(&file, text.replace(from, to)).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        if arguments.first() == Some(&"init") && !self.path("shikaku.toml").exists() {
            ledger::prepare(self, arguments.contains(&"--no-keys"));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_shikaku"));
        command.current_dir(self.dir.path()).args(arguments);
        command.env_remove("SHIKAKU_DIE_AT").env_remove("SHIKAKU_DO_AT");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Writes a file and takes it in.
    pub fn ingest(&self, kind: &str, name: &str, bytes: &[u8], date: &str) -> Done {
        let path = self.write(&format!("given/{name}"), bytes);
        self.run(&["ingest", kind, path.to_str().unwrap(), "--date", date])
    }

    pub fn write(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Opens the lake through the library, for reading.
    pub fn store(&self) -> Store {
        let config = Config::load(&self.path("shikaku.toml"), None).unwrap();
        Store::open(config, outside()).unwrap()
    }

    /// Rows of a table as it stands; of a history table all resolved rows.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let table = tables::of(table);
        let reader = self.store().reader().unwrap();
        if table.layering == tables::Layering::History {
            let scan = HistoryScan::new(&reader, table, None).unwrap();
            return scan.flat_map(|batch| texts(table, &batch.unwrap())).collect();
        }
        reader.current(table).unwrap().iter().flat_map(|batch| texts(table, batch)).collect()
    }

    /// Column of a table's rows as text.
    pub fn column(&self, table: &str, column: &str) -> Vec<String> {
        self.rows(table).iter().map(|row| row[column].clone()).collect()
    }

    /// Contents of every table but the ledger's own, resolved: what must be equal when nothing may differ.
    pub fn contents(&self) -> BTreeMap<String, Vec<Row>> {
        tables::all()
            .iter()
            .filter(|t| !matches!(t.name.as_str(), "run" | "run_input" | "run_output" | "rejection"))
            .map(|t| (t.name.clone(), self.rows(&t.name)))
            .collect()
    }

    /// Bytes of every published file: tables but the ledger's own, landing, outbox.
    pub fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for root in ["lake", "outbox"] {
            read_all(&self.path(root), self.dir.path(), &mut files);
        }
        files.retain(|path, _| {
            let table = path.split('/').nth(1).unwrap_or("");
            let own = ["chain.head", ".lock", ".chain.lock", ".id"].map(|name| format!("lake/{name}"));
            let ledger = path.contains("ledger.sqlite") || own.contains(path);
            !ledger
                && !path.contains("/_manifest/")
                && !matches!(table, "run" | "run_input" | "run_output" | "rejection")
        });
        files
    }

    /// The one file of the outbox whose path contains the text; 外字 reports only when they are asked for.
    pub fn outbox(&self, part: &str) -> Vec<u8> {
        let mut files = BTreeMap::new();
        read_all(&self.path("outbox"), self.dir.path(), &mut files);
        let mut found: Vec<_> = files.into_iter().filter(|(path, _)| path.contains(part)).collect();
        if !part.contains("gaiji") {
            found.retain(|(path, _)| !path.ends_with(".gaiji.csv"));
        }
        assert_eq!(found.len(), 1, "{part}: {:?}", found.iter().map(|f| &f.0).collect::<Vec<_>>());
        found.pop().unwrap().1
    }
}

/// A folder of its own, in memory where there is such a place: flushing costs nothing there.
pub fn temp_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn read_all(dir: &Path, base: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, base, files);
        } else {
            let name = path.strip_prefix(base).unwrap().to_string_lossy().replace('\\', "/");
            // SQLite may fold its log away between the two steps.
            if let Ok(bytes) = std::fs::read(&path) {
                files.insert(name, bytes);
            }
        }
    }
}

/// A row as text, by column; null is empty.
pub type Row = BTreeMap<&'static str, String>;

/// All rows of a batch, times as `YYYY-MM-DD hh:mm:ss`.
pub fn texts(table: &'static Table, batch: &RecordBatch) -> Vec<Row> {
    let text = |(column, text): (&'static Column, String)| match column.kind() {
        ColumnType::Timestamp => (column.name(), text.replace('T', " ")),
        _ => (column.name(), text),
    };
    let row = |row: usize| table.columns.iter().zip(show::row(batch, row).unwrap()).map(text).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// The same with dates and times as digits alone.
pub fn plain_texts(table: &'static Table, batch: &RecordBatch) -> Vec<Row> {
    let is_time = |name: &str| matches!(table.columns[table.at(name)].kind(), ColumnType::Date | ColumnType::Timestamp);
    let plain = |(name, text): (&'static str, String)| match is_time(name) {
        true => (name, text.replace(['-', ':', ' '], "")),
        false => (name, text),
    };
    texts(table, batch).into_iter().map(|row| row.into_iter().map(plain).collect()).collect()
}

/// A clock that stands still, and bytes that anybody knows.
pub struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> chrono::NaiveDateTime {
        chrono::NaiveDateTime::default()
    }
}

impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) -> shikaku_pipeline::Result<()> {
        buffer.fill(7);
        Ok(())
    }
}

fn outside() -> Outside {
    Outside { clock: Box::new(Fixed), entropy: Box::new(Fixed), step: Box::new(|_| Ok(())) }
}

/// One SUB record by field name; everything else is what a plain registration has.
#[derive(Clone)]
pub struct Sub(pub BTreeMap<String, String>);

impl Sub {
    /// A registration of member `n` with one open coverage.
    pub fn new(record: u32, n: u32) -> Self {
        let mut fields = BTreeMap::new();
        for (name, value) in [
            ("record_no", record.to_string()),
            ("operation", "1".into()),
            ("member_no", member_no(n)),
            ("link_no", (1000 + n).to_string()),
            ("name", "資格　太郎".into()),
            ("kana", "シカク　タロウ".into()),
            ("sex", "1".into()),
            ("birth_date", "19800101".into()),
            ("coverage_seq", "1".into()),
            ("insurer_no", kempo_no()),
            ("symbol", "記号１".into()),
            ("number", n.to_string()),
            ("branch_no", "01".into()),
            ("acquired_on", "20200401".into()),
            ("card_kind", "01".into()),
            ("updated_at", "20261001120000".into()),
        ] {
            fields.insert(name.to_owned(), value);
        }
        Self(fields)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn line(&self) -> String {
        let layout = shikaku_schemas::layout::of("SUB");
        let fields: Vec<&str> = layout.fields.iter().map(|f| self.0.get(&f.name).map_or("", String::as_str)).collect();
        format!("D,{}", fields.join(","))
    }
}

/// The 健保組合 of the sample masters: (insurer_code, insurer_no), UTF-8 by its definition.
pub fn kempo() -> (String, String) {
    let masters = std::fs::read_to_string(samples().join("nights/2026-10-30/masters/insurers.csv")).unwrap();
    let row =
        masters.lines().skip(1).map(|l| l.split(',').collect::<Vec<_>>()).find(|f| f[2] == "02" && f[8].is_empty());
    let row = row.unwrap();
    (row[0].to_owned(), row[3].to_owned())
}

fn kempo_no() -> String {
    kempo().1
}

/// A file with header and trailer around lines.
pub fn envelope(kind: &str, origin: &str, receipt: u32, lines: &[String]) -> Vec<u8> {
    let count = lines.len();
    let mut text = format!("H,{kind},01,{origin},{receipt},20261101120000,{count}\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str(&format!("E,{count}\r\n"));
    text.into_bytes()
}

/// A SUB file of the sample's 健保組合.
pub fn sub_file(receipt: u32, records: &[Sub]) -> Vec<u8> {
    envelope("SUB", &kempo().0, receipt, &records.iter().map(Sub::line).collect::<Vec<_>>())
}

/// The same in XML, in UTF-8 or Shift_JIS.
pub fn sub_xml(receipt: u32, records: &[Sub], encoding: &str) -> Vec<u8> {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<SubscriberFile kind=\"SUB\" version=\"01\" origin=\"{}\" \
         receiptNo=\"{receipt}\" created=\"20261101120000\" count=\"{}\">\n",
        kempo().0,
        records.len()
    );
    for record in records {
        let fields: String = record.0.iter().map(|(n, v)| format!("<{n}>{}</{n}>", escape(v))).collect();
        text += &format!("  <Subscriber>{fields}</Subscriber>\n");
    }
    text += "</SubscriberFile>\n";
    match encoding {
        "UTF-8" => text.into_bytes(),
        _ => shikaku_pipeline::text::cp932::Encoding::Cp932.encode(&text).unwrap(),
    }
}
