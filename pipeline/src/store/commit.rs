//! stage → ledger transaction → publish. What a job produces is staged under a run-named folder and becomes true in one
//! ledger transaction; [`super::publish`] then makes it visible, in the run and in recovery alike.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use shikaku_schemas::code::Code;
use shikaku_schemas::messages::{self, Severity};
use shikaku_schemas::tables::{self, Layering, Table};

use super::staged::{Landed, Lander, sync_files, sync_tree};
use super::{Store, publish, run_id};
use crate::base::error::{At, Error, Result};
use crate::base::stamp::Reopen as _;
use crate::base::time::BusinessDate;
use crate::lake::columns::batch_of;
use crate::lake::generation_dir;
use crate::lake::sort::Sorter;
use crate::lake::typed::Record;
use crate::lake::write::{Finished, TableWriter};
use crate::lake::{order, tables as rows};
use crate::ledger::event::{Committed, GenerationRow};
use crate::ledger::facts::{BUSINESS_DATE, Fact, HISTORY_DATE, Value};
use crate::ledger::place;
use crate::ledger::{Event, InputRow, InputState, Move, OutputRow, RejectionRow, RunOutcome, RunRow};
use crate::store::input::{Input, quarantine_place};

/// Version of the program that stands in the ledger.
pub const CODE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A job with its parameters: enough to run it again.
#[derive(Debug, Clone)]
pub struct RunSpec {
    pub job: &'static str,
    pub business_date: BusinessDate,
    /// Sorted by name.
    pub parameters: BTreeMap<&'static str, String>,
    /// SHA-256 of every input.
    pub inputs: Vec<String>,
}

/// What a run prints and returns; empty lists are left out of its JSON.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct RunReport {
    pub run_id: String,
    pub job: String,
    /// A record or file was rejected, quarantined, held or refused: exit 3.
    pub rejections: bool,
    /// The run had been done before, or there was nothing to do.
    pub unchanged: bool,
    pub rows_read: i64,
    pub rows_accepted: i64,
    pub rows_rejected: i64,
    pub rows_duplicate: i64,
    /// Code → count, errors and held files only.
    pub codes: BTreeMap<String, i64>,
    /// Files written to the outbox.
    pub outbox: Vec<String>,
    /// Inbox files and folders that could not be read, and why; they stay for the next run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// What an operator must know of the run besides, in the operator's language.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Links and other things in the inbox that are no files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// One open stage. Dropped without commit it leaves only a folder that recovery removes.
pub struct Stage<'s> {
    pub store: &'s Store,
    pub run: RunRow,
    pub date: BusinessDate,
    pub set_id: i64,
    pub(super) dir: PathBuf,
    pub inputs: Vec<InputRow>,
    /// Findings by input and code.
    pub rejections: BTreeMap<(String, String), i64>,
    pub(super) outputs: Vec<OutputRow>,
    generations: Vec<GenerationRow>,
    pub facts: Vec<(String, String, String)>,
    moves: Vec<Move>,
    removals: Vec<String>,
    /// Inputs that were landed or set aside, to see at the end that none changed meanwhile.
    read: Vec<Input>,
    /// Staged files that are not yet flushed to disk.
    pub(super) unflushed: Vec<PathBuf>,
}

impl RunReport {
    fn outcome(&self) -> RunOutcome {
        if self.rejections { RunOutcome::DoneWithRejections } else { RunOutcome::Done }
    }
}

/// What became of an input.
pub struct Closed {
    pub kind: String,
    pub origin: Option<String>,
    pub receipt_no: Option<i64>,
    pub state: InputState,
    /// Code of a whole file.
    pub code: Option<Code>,
    pub read: i64,
    pub rejected: i64,
    pub duplicate: i64,
    /// Place below the lake; none if it did not land.
    pub landing: Option<String>,
}

impl Closed {
    /// Of that kind; nothing is known of it yet but its state.
    pub fn of(kind: &str, state: InputState) -> Self {
        let kind = kind.to_owned();
        let (read, rejected, duplicate) = (0, 0, 0);
        Self { kind, origin: None, receipt_no: None, state, code: None, read, rejected, duplicate, landing: None }
    }
}

/// Whether a run is to be done.
pub enum Begin<'s> {
    New(Box<Stage<'s>>),
    /// Done before under the same id.
    Done(RunReport),
}

impl Store {
    /// Starts a run, or finds that it was done.
    pub fn begin(&self, spec: &RunSpec) -> Result<Begin<'_>> {
        let parameters = serde_json::to_string(&spec.parameters)?;
        // The business date is a parameter of every job, since it decides recorded time.
        let full = format!("{} {parameters}", spec.business_date);
        let id = run_id(spec.job, &full, &spec.inputs, &self.config.digest);
        if self.ledger.is_published(&id)? {
            self.note(Event::RunRepeated { run_id: id.clone(), at: self.now() })?;
            return Ok(Begin::Done(RunReport {
                run_id: id,
                job: spec.job.to_owned(),
                unchanged: true,
                ..RunReport::default()
            }));
        }
        let run = RunRow {
            run_id: id.clone(),
            job: spec.job.to_owned(),
            business_date: spec.business_date.to_string(),
            parameters,
            code_version: CODE_VERSION.to_owned(),
            config_digest: self.config.digest.clone(),
        };
        self.append(&[Event::RunStarted { run: run.clone(), at: self.now() }])?;
        let dir = publish::staging(&self.config.lake).join(&id);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).at(&dir)?;
        }
        std::fs::create_dir_all(&dir).at(&dir)?;
        (self.outside.step)("started")?;
        let set_id = self.ledger.last_set()? + 1;
        Ok(Begin::New(Box::new(Stage {
            store: self,
            run,
            date: spec.business_date,
            set_id,
            dir,
            inputs: Vec::new(),
            rejections: BTreeMap::new(),
            outputs: Vec::new(),
            generations: Vec::new(),
            facts: Vec::new(),
            moves: Vec::new(),
            removals: Vec::new(),
            read: Vec::new(),
            unflushed: Vec::new(),
        })))
    }

    /// Notes that a run failed; nothing of it is visible.
    pub fn fail(&self, run: &RunRow, error: &Error) -> Result<()> {
        self.note(Event::RunFailed { run_id: run.run_id.clone(), error: error.to_string(), at: self.now() })
    }
}

impl<'s> Stage<'s> {
    /// Recorded time of everything this run accepts.
    pub fn recorded_at(&self) -> chrono::NaiveDateTime {
        self.date.recorded_at()
    }

    /// A writer for one new generation of a table; hand it to [`Self::finish_table`].
    pub fn table(&self, table: &'static Table, partition: &str) -> Result<TableWriter<'s>> {
        let dir = self.dir.join("lake").join(generation_dir(table, partition, self.set_id));
        TableWriter::create(table, dir, self.store.sealing())
    }

    /// Ends a table's new generation.
    pub fn finish_table(&mut self, table: &'static Table, partition: &str, writer: TableWriter<'s>) -> Result<()> {
        let finished = writer.finish()?;
        self.finished_table(table, partition, finished)
    }

    /// The same for a writer that was finished apart.
    pub fn finished_table(&mut self, table: &'static Table, partition: &str, finished: Finished) -> Result<()> {
        let Finished { parts, rows, content_digest } = finished;
        let dir = generation_dir(table, partition, self.set_id);
        for part in parts {
            let name = part.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.outputs.push(OutputRow {
                path: format!("lake/{dir}/{name}"),
                sha256: part.sha256,
                bytes: part.bytes,
                rows: Some(part.rows),
                content_digest: Some(content_digest.clone()),
                table_name: Some(table.name.clone()),
                partition: Some(partition.to_owned()),
                footer: part.footer,
            });
        }
        let (table, partition) = (table.name.clone(), partition.to_owned());
        self.generations.push(GenerationRow { table, partition, dir, rows, content_digest });
        Ok(())
    }

    /// Sorts and writes one generation whole.
    pub fn write_rows<R: Record>(&mut self, partition: &str, rows: impl IntoIterator<Item = R>) -> Result<()> {
        self.write_batch(tables::of(R::TABLE), partition, &batch_of(rows)?)
    }

    /// The same for rows that were gathered as columns.
    pub fn write_batch(&mut self, table: &'static Table, partition: &str, batch: &RecordBatch) -> Result<()> {
        self.write_sorted(table, partition, &order::sorted(table, batch)?)
    }

    /// The same for rows that are in order.
    pub fn write_sorted(&mut self, table: &'static Table, partition: &str, sorted: &RecordBatch) -> Result<()> {
        let mut writer = self.table(table, partition)?;
        writer.write(sorted.clone())?;
        self.finish_table(table, partition, writer)
    }

    /// Sorts what the run works with; its runs lie in the stage and go with it.
    pub fn sorter(&self, budget: usize) -> Sorter<'s> {
        Sorter::new(&self.dir, self.store.sealing(), budget)
    }

    /// What stages landings without the stage itself: for many inputs at once.
    pub fn lander(&self) -> Lander<'_> {
        Lander { dir: &self.dir, lake: &self.store.config.lake, sealing: self.store.sealing() }
    }

    /// Lands an input: its bytes are kept, and an inbox file will be removed once the run is published.
    pub fn land(&mut self, input: &Input) -> Result<String> {
        let landed = self.lander().stage(input)?;
        Ok(self.landed(input, landed))
    }

    /// Registers what a [`Lander`] staged; the place of the input below the lake.
    pub fn landed(&mut self, input: &Input, landed: Landed) -> String {
        if let Some(output) = landed.output
            && !self.outputs.iter().any(|o| o.path == output.path)
        {
            self.unflushed.push(self.dir.join(&output.path));
            self.outputs.push(output);
        }
        self.release(input);
        landed.place
    }

    /// The inbox file goes when the run is published; a file outside the inbox stays where it is.
    pub fn release(&mut self, input: &Input) {
        self.read.push(input.clone());
        if let Some(from) = &input.inbox_path {
            self.moves.push(Move { from: from.clone(), sha256: input.sha256.clone(), to: None });
        }
    }

    /// The file goes to quarantine, outside the lake; nothing of it lands.
    pub fn quarantine(&mut self, input: &Input) -> Result<()> {
        self.read.push(input.clone());
        let to = quarantine_place(input);
        match &input.inbox_path {
            Some(from) => {
                let from = from.clone();
                self.moves.push(Move { from, sha256: input.sha256.clone(), to: Some(to) });
            }
            None => {
                let target = place::below(&self.store.config.inbox, &to)?;
                let parent = target.parent().unwrap_or(&target);
                std::fs::create_dir_all(parent).at(parent)?;
                let _ = std::fs::remove_file(&target);
                let mut copy = super::new_private(&target)?;
                std::io::copy(&mut input.reopen()?, &mut copy).at(&target)?;
            }
        }
        Ok(())
    }

    /// Puts an input where its code says: to quarantine with a likely 個人番号, else it lands. What became of it, and its place.
    pub fn put_away(&mut self, input: &Input, code: Option<Code>) -> Result<(InputState, Option<String>)> {
        if code == Some(Code::MyNumber) {
            self.quarantine(input)?;
            return Ok((InputState::Quarantined, None));
        }
        let state = if code.is_some() { InputState::Rejected } else { InputState::Accepted };
        Ok((state, Some(self.land(input)?)))
    }

    /// Once the run is published, of a table that is replaced whole only the newest `keep` generations stay, with this run's.
    pub fn keep_newest(&mut self, table: &'static Table, keep: usize) -> Result<()> {
        let snapshot = self.store.snapshot()?;
        let mut own: Vec<_> = snapshot.all(table).into_iter().filter(|g| !g.removed).collect();
        own.sort_by_key(|g| std::cmp::Reverse(g.set_id));
        let tonight = self.generations.iter().filter(|g| g.table == table.name).count();
        let gone = own.into_iter().skip(keep.saturating_sub(tonight)).map(|g| g.dir.clone());
        self.removals.extend(gone);
        Ok(())
    }

    /// Once the run is published, the landed bytes at this place below the lake go.
    pub fn drop_landing(&mut self, place: String) {
        self.removals.push(place);
    }

    /// Counts findings of an input; how grave they are stands in the catalogue.
    pub fn reject(&mut self, sha256: &str, code: impl Into<&'static str>, count: i64) {
        *self.rejections.entry((sha256.to_owned(), code.into().to_owned())).or_default() += count;
    }

    /// Ends an input: what it was, and what became of it.
    pub fn close_input(&mut self, input: &Input, closed: Closed) {
        let Closed { kind, origin, receipt_no, state, code, read, rejected, duplicate, landing } = closed;
        self.inputs.push(InputRow {
            sha256: input.sha256.clone(),
            name: input.name.clone(),
            kind,
            origin,
            receipt_no,
            bytes: input.bytes,
            state,
            code: code.map(|code| code.text().to_owned()),
            rows_read: read,
            rows_accepted: read - rejected - duplicate,
            rows_rejected: rejected,
            rows_duplicate: duplicate,
            landing,
            landed_at: self.recorded_at().to_string(),
        });
    }

    /// A fact that holds once the run is published.
    pub fn set<T: Value>(&mut self, fact: &Fact<T>, value: &T) -> Result<()> {
        self.facts.push(fact.row(Some(value))?);
        Ok(())
    }

    /// A fact that has no value any more.
    pub fn clear<T: Value>(&mut self, fact: &Fact<T>) -> Result<()> {
        self.facts.push(fact.row(None)?);
        Ok(())
    }

    /// Commits and publishes. After this call the run is done; a kill anywhere in it leaves the old or the new state.
    pub fn commit(mut self) -> Result<RunReport> {
        let report = self.report()?;
        if !self.generations.is_empty() {
            self.ledger_tables(&report)?;
        }
        // A run that only works on what is there (`compact`) is of an earlier date.
        if self.store.ledger.fact(&BUSINESS_DATE)?.is_none_or(|newest| newest <= self.date) {
            self.set(&BUSINESS_DATE, &self.date.clone())?;
        }
        if self.generations.iter().any(|g| tables::of(&g.table).layering == Layering::History) {
            self.set(&HISTORY_DATE, &self.date.clone())?;
        }
        sync_files(&self.unflushed)?;
        sync_tree(&self.dir)?;
        let store = self.store;
        (store.outside.step)("staged")?;
        let committed = Committed {
            run_id: self.run.run_id.clone(),
            set_id: (!self.generations.is_empty()).then_some(self.set_id),
            outcome: report.outcome(),
            inputs: self.inputs,
            rejections: self
                .rejections
                .into_iter()
                .map(|((sha256, code), count)| {
                    let severity = messages::of(&code).severity.word().to_owned();
                    RejectionRow { sha256, code, severity, count }
                })
                .collect(),
            outputs: self.outputs,
            generations: self.generations,
            facts: self.facts,
            moves: self.moves,
            removals: self.removals,
        };
        // From the next event on the run cannot go back, so what would stop it is looked for here.
        self.read.iter().try_for_each(Input::check_unchanged)?;
        place::contained(&committed)?;
        super::outside::check_ways(store, committed.outputs.iter().map(|o| o.path.as_str()))?;
        let head = store.append(&[Event::RunCommitted(committed.clone())])?;
        (store.outside.step)("committed")?;
        publish::publish(store, &committed, &head)?;
        Ok(report)
    }

    fn report(&self) -> Result<RunReport> {
        let mut report =
            RunReport { run_id: self.run.run_id.clone(), job: self.run.job.clone(), ..RunReport::default() };
        for input in &self.inputs {
            if input.rows_read != input.rows_accepted + input.rows_rejected + input.rows_duplicate {
                // Guarantee 2: a run that lost a row must not become true.
                return Err(Error::internal(format!("counts of input {} do not balance", &input.sha256[..12])));
            }
            report.rows_read += input.rows_read;
            report.rows_accepted += input.rows_accepted;
            report.rows_rejected += input.rows_rejected;
            report.rows_duplicate += input.rows_duplicate;
            let clean = matches!(input.state, InputState::Accepted | InputState::PassedOver);
            report.rejections |= !clean || input.rows_rejected > 0;
        }
        for ((_, code), count) in &self.rejections {
            if matches!(messages::of(code).severity, Severity::Error | Severity::Held) {
                *report.codes.entry(code.clone()).or_default() += count;
                report.rejections = true;
            }
        }
        report.outbox = self.outputs.iter().filter_map(|o| o.path.strip_prefix("outbox/")).map(str::to_owned).collect();
        Ok(report)
    }

    /// The ledger's own rows of this run as open tables, for analysts.
    fn ledger_tables(&mut self, report: &RunReport) -> Result<()> {
        let partition = format!("month={}", self.date.month());
        let id = || Cow::Borrowed(self.run.run_id.as_str());
        let run = batch_of([rows::run::Row {
            run_id: id(),
            job: self.run.job.as_str().into(),
            business_date: self.date.0.into(),
            parameters: self.run.parameters.as_str().into(),
            code_version: self.run.code_version.as_str().into(),
            config_digest: self.run.config_digest.as_str().into(),
            set_id: self.set_id,
            outcome: report.outcome().word().into(),
        }])?;
        let inputs = batch_of(self.inputs.iter().map(|i| rows::run_input::Row {
            run_id: id(),
            sha256: i.sha256.as_str().into(),
            kind: i.kind.as_str().into(),
            origin: i.origin.as_deref().map(Cow::Borrowed),
            receipt_no: i.receipt_no,
            bytes: i.bytes,
            state: i.state.word().into(),
            rows_read: i.rows_read,
            rows_accepted: i.rows_accepted,
            rows_rejected: i.rows_rejected,
            rows_duplicate: i.rows_duplicate,
        }))?;
        let outputs = batch_of(self.outputs.iter().map(|o| rows::run_output::Row {
            run_id: id(),
            path: o.path.as_str().into(),
            sha256: o.sha256.as_str().into(),
            rows: o.rows,
            bytes: o.bytes,
            content_digest: o.content_digest.as_deref().map(Cow::Borrowed),
        }))?;
        let rejections = batch_of(self.rejections.iter().map(|((sha256, code), count)| rows::rejection::Row {
            run_id: id(),
            sha256: sha256.as_str().into(),
            code: code.as_str().into(),
            severity: messages::of(code).severity.word().into(),
            count: *count,
        }))?;
        let tables = [("run", run), ("run_input", inputs), ("run_output", outputs), ("rejection", rejections)];
        for (name, rows) in tables.iter().filter(|(_, rows)| rows.num_rows() > 0) {
            self.write_batch(tables::of(name), &partition, rows)?;
        }
        Ok(())
    }
}
