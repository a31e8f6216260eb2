//! Slow, obvious oracle for certificate links (シリアル → 紐付番号), written from domain.md §4, rules.md ("Files in")
//! and formats.md §3 alone, without sight of the implementation.
//! Where the documents leave a choice there is an `// AMBIGUOUS:`.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rec {
    Person { serial: u32, link: i64 },       // LNKP
    Request { request: u32, link: i64 },     // REQM
    ByRequest { serial: u32, request: u32 }, // LNKR
    Reissue { new: u32, old: u32 },          // LNKU
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Waits,
    Known,
    SerialOfAnother,
    RequestOfAnother,
    TwoSuccessors,
    Cycle,
    ToItself,
}

/// The derived order is the order of retries: by kind as listed, then serial or new, then request or old, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    ByRequest { serial: u32, request: u32 },
    Reissue { new: u32, old: u32 },
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    link: i64,
    superseded_by: Option<u32>,
}

#[derive(Debug, Clone, Default)]
pub struct World {
    serials: BTreeMap<u32, Holder>, // old ones stay: they remain resolvable to the person (domain.md §4)
    requests: BTreeMap<u32, i64>,
    used: BTreeSet<u32>, // requests used in this night
    waiting: BTreeMap<Waiting, usize>,
    late_conflicts: usize,
    early: Vec<Verdict>, // conflicts of waiting records that a later record brought to light
    mark: usize,         // whatever the caller calls the record at hand
    request_marks: BTreeMap<u32, usize>,
    linked: Vec<(u32, usize)>,  // serials that got their person, and by which record
    changed: Vec<(u32, usize)>, // serials whose state changed, and by which record
}

impl World {
    pub fn new() -> World {
        World::default()
    }

    pub fn night(&mut self, recs: &[Rec]) -> Vec<Verdict> {
        let verdicts = recs.iter().map(|rec| self.record(*rec)).collect();
        self.end();
        verdicts
    }

    /// What comes after all records: the retries, and the forgetting. The conflicts that only showed now.
    pub fn end(&mut self) -> Vec<Verdict> {
        let mut late = std::mem::take(&mut self.early);
        self.late_conflicts += late.len();
        while let Some(verdict) = self.retry_one() {
            if !matches!(verdict, Verdict::Done | Verdict::Known) {
                self.late_conflicts += 1;
                late.push(verdict);
            }
        }
        // A 処理通番 is converted and not kept (domain.md §1), but all records of the night may still use it.
        for request in std::mem::take(&mut self.used) {
            self.requests.remove(&request);
        }
        late
    }

    pub fn late_conflicts(&self) -> usize {
        self.late_conflicts
    }

    pub fn links(&self) -> Vec<(u32, i64, Option<u32>)> {
        self.serials.iter().map(|(serial, holder)| (*serial, holder.link, holder.superseded_by)).collect()
    }

    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    fn record(&mut self, rec: Rec) -> Verdict {
        match rec {
            Rec::Person { serial, link } => self.person(serial, link),
            Rec::Request { request, link } => self.request(request, link),
            Rec::ByRequest { serial, request } => self.maybe_wait(Waiting::ByRequest { serial, request }),
            Rec::Reissue { new, old } if new == old => Verdict::ToItself,
            Rec::Reissue { new, old } => self.maybe_wait(Waiting::Reissue { new, old }),
        }
    }

    fn person(&mut self, serial: u32, link: i64) -> Verdict {
        match self.serials.get(&serial) {
            Some(holder) if holder.link == link => Verdict::Known,
            Some(_) => Verdict::SerialOfAnother,
            None => {
                self.serials.insert(serial, Holder { link, superseded_by: None });
                self.linked.push((serial, self.mark));
                self.changed.push((serial, self.mark));
                Verdict::Done
            }
        }
    }

    fn request(&mut self, request: u32, link: i64) -> Verdict {
        match self.requests.get(&request) {
            Some(known) if *known == link => Verdict::Known,
            Some(_) => Verdict::RequestOfAnother,
            None => {
                self.requests.insert(request, link);
                self.request_marks.insert(request, self.mark);
                Verdict::Done
            }
        }
    }

    fn maybe_wait(&mut self, rec: Waiting) -> Verdict {
        // AMBIGUOUS: this stands first, so a repeated record is Known even if what it waits for came earlier in this
        // night; the one that waits is resolved by the retries.
        if self.waiting.contains_key(&rec) {
            return Verdict::Known;
        }
        // What was accepted first holds (fault C5): a reissue that waits for a serial known by now goes before another one.
        if let Waiting::Reissue { old, .. } = rec
            && self.serials.contains_key(&old)
            && let Some(first) = self.waiting_successor(old)
        {
            let (first, mark) = (Waiting::Reissue { new: first, old }, self.mark);
            self.mark = self.waiting.remove(&first).unwrap();
            let verdict = self.resolve(first);
            self.mark = mark;
            if !matches!(verdict, Verdict::Done | Verdict::Known) {
                self.early.push(verdict);
            }
        }
        let verdict = self.resolve(rec);
        if verdict != Verdict::Waits {
            return verdict;
        }
        if let Waiting::Reissue { new, old } = rec {
            if self.waiting_leads(new, old) {
                return Verdict::Cycle;
            }
            // Equal ones are Known above, so any other with this old has a different new.
            if self.waiting_successor(old).is_some() {
                return Verdict::TwoSuccessors;
            }
        }
        self.waiting.insert(rec, self.mark);
        Verdict::Waits
    }

    /// One record against what is known; Waits if its request or its old serial is not known yet.
    fn resolve(&mut self, rec: Waiting) -> Verdict {
        match rec {
            Waiting::ByRequest { serial, request } => self.by_request(serial, request),
            Waiting::Reissue { new, old } => self.reissue(new, old),
        }
    }

    fn by_request(&mut self, serial: u32, request: u32) -> Verdict {
        let Some(link) = self.requests.get(&request).copied() else { return Verdict::Waits };
        let verdict = self.person(serial, link);
        // AMBIGUOUS: a serial that already had this very person has used the request too (it is converted, nothing more
        // is to come); a conflict has not, for a conflict changes nothing (domain.md §4).
        if matches!(verdict, Verdict::Done | Verdict::Known) {
            self.used.insert(request);
        }
        verdict
    }

    fn reissue(&mut self, new: u32, old: u32) -> Verdict {
        let Some(holder) = self.serials.get(&old).copied() else { return Verdict::Waits };
        match holder.superseded_by {
            Some(successor) if successor == new => return Verdict::Known,
            Some(_) => return Verdict::TwoSuccessors,
            None => {}
        }
        if self.serials.get(&new).is_some_and(|other| other.link != holder.link) {
            return Verdict::SerialOfAnother;
        }
        if self.known_leads(new, old) {
            return Verdict::Cycle;
        }
        // The person follows the old serial (domain.md §4).
        self.person(new, holder.link);
        self.changed.push((old, self.mark));
        self.serials.insert(old, Holder { superseded_by: Some(new), ..holder });
        Verdict::Done
    }

    /// Settles the first waiting record that no longer waits; none when all still do. Those before it wait for things
    /// that neither a conflict nor a Known brings, so beginning again after each of them is as good as going on.
    fn retry_one(&mut self) -> Option<Verdict> {
        for (rec, mark) in self.waiting.clone() {
            self.mark = mark;
            let verdict = self.resolve(rec);
            if verdict != Verdict::Waits {
                self.waiting.remove(&rec);
                // Nothing will ask for its 処理通番 any more (fault C6), conflict or not.
                if let Waiting::ByRequest { request, .. } = rec {
                    self.used.insert(request);
                }
                return Some(verdict);
            }
        }
        None
    }

    fn known_leads(&self, from: u32, to: u32) -> bool {
        leads(from, to, |serial| self.serials.get(&serial).and_then(|holder| holder.superseded_by))
    }

    /// Along waiting reissues alone. AMBIGUOUS: a ring of waiting and known ones shows at the retry, as late conflict.
    fn waiting_leads(&self, from: u32, to: u32) -> bool {
        leads(from, to, |serial| self.waiting_successor(serial))
    }

    fn waiting_successor(&self, serial: u32) -> Option<u32> {
        self.waiting.keys().find_map(|rec| match rec {
            Waiting::Reissue { new, old } if *old == serial => Some(*new),
            _ => None,
        })
    }
}

/// Does the chain of successors reach `to`? Rings are refused when they would arise; `seen` ends the walk all the same.
fn leads(from: u32, to: u32, successor: impl Fn(u32) -> Option<u32>) -> bool {
    let mut seen = BTreeSet::new();
    let mut at = from;
    while at != to {
        if !seen.insert(at) {
            return false;
        }
        match successor(at) {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

// ---- Files over nights ---------------------------------------------------------------------------------------------

/// Each file of a run in this order of kinds, then by receipt number. AMBIGUOUS: rules.md has answers in file order and
/// tables that do not depend on the order of arrival, so there must be an order; it names none.
pub const KINDS: [&str; 4] = ["LNKP", "REQM", "LNKR", "LNKU"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub kind: &'static str,
    pub receipt: u32,
    pub created: String,         // YYYYMMDDhhmmss
    pub lines: Vec<Vec<String>>, // fields after the D
    pub truncated: bool,
}

impl File {
    pub fn origin(&self) -> &'static str {
        if self.kind == "LNKR" { "JLIS" } else { "CHUKAN" }
    }

    pub fn text(&self) -> String {
        let (origin, count) = (self.origin(), self.lines.len());
        let mut text = format!("H,{},01,{origin},{},{},{count}\r\n", self.kind, self.receipt, self.created);
        for line in &self.lines {
            text += &format!("D,{}\r\n", line.join(","));
        }
        if self.truncated { text } else { text + &format!("E,{count}\r\n") }
    }

    pub fn sha256(&self) -> String {
        shikaku_pipeline::base::digest::sha256(self.text().as_bytes())
    }
}

/// What is said of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Said(Verdict),
    Wrong(BTreeSet<String>),
}

impl Verdict {
    /// Its code in the message catalogue.
    pub fn code(self) -> &'static str {
        match self {
            Verdict::Done => "000000",
            Verdict::Waits => "300201",
            Verdict::Known => "300205",
            Verdict::SerialOfAnother => "300202",
            Verdict::RequestOfAnother => "300206",
            Verdict::TwoSuccessors => "300203",
            Verdict::Cycle => "300204",
            Verdict::ToItself => "200401",
        }
    }
}

impl Answer {
    /// 処理結果区分 and the codes of the result file, and whether it counts as accepted, rejected or duplicate. AMBIGUOUS:
    /// which 区分 a duplicate has; here 1, since a duplicate is no complaint (rules.md §3).
    pub fn told(&self) -> (&'static str, BTreeSet<String>, usize) {
        match self {
            Answer::Wrong(codes) => ("2", codes.clone(), 1),
            Answer::Said(verdict) => {
                let (kind, count) = match verdict {
                    Verdict::Done => ("1", 0),
                    Verdict::Waits => ("3", 0),
                    Verdict::Known => ("1", 2),
                    _ => ("2", 1),
                };
                (kind, BTreeSet::from([verdict.code().to_owned()]), count)
            }
        }
    }
}

pub const TABLES: [&str; 4] = ["serial_link", "pending_link", "request_map", "acquisition"];

/// A row as text, by column.
pub type Row = BTreeMap<&'static str, String>;

/// Whole tables by name.
pub type Tables = BTreeMap<&'static str, Vec<Row>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Read(Vec<Answer>),
    Refused(&'static str),
}

/// A coverage period as the link job needs it: `[acquired, lost)`, blank = open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub link: i64,
    pub insurer_code: String,
    pub insurer_no: String,
    pub acquired: String,
    pub lost: String,
}

/// Where a record came from.
#[derive(Debug, Clone)]
struct Origin {
    kind: &'static str,
    created: String,
    date: String,
    source: String,
    record_no: String,
}

/// Everything that is kept, as rows of text.
#[derive(Debug, Default)]
pub struct Book {
    world: World,
    names: BTreeMap<u32, String>,
    last_receipt: BTreeMap<&'static str, u32>,
    origins: Vec<Origin>,
    /// serial → (link_no, superseded_by, recorded_from as YYYYMMDD, record), oldest first.
    history: BTreeMap<u32, Vec<(i64, Option<u32>, String, usize)>>,
    acquisitions: BTreeMap<(String, i64), Vec<String>>,
    /// Coverages by member, as known at the moment.
    pub covers: BTreeMap<String, Cover>,
    /// `coverage.loss_day = "last_day_with_cover"`.
    pub lost_day_covers: bool,
}

impl Book {
    /// One run of the night of `date`; `files` with the digest that stands for them. What is said of each file, and how
    /// often the run has each error code: "a later conflict is a `rejection` row of the run that found it" (rules.md).
    pub fn run(&mut self, date: &str, files: &[(File, String)]) -> (Vec<(File, Outcome)>, BTreeMap<String, i64>) {
        let mut files = files.to_vec();
        files.sort_by_key(|(f, _)| (KINDS.iter().position(|k| *k == f.kind), f.receipt));
        let mut outcomes = Vec::new();
        for (file, source) in files {
            let outcome = self.file(date, &file, &source);
            outcomes.push((file, outcome));
        }
        let late = self.world.end();
        self.write_history(date);
        self.write_acquisitions(date);
        let mut errors: BTreeMap<String, i64> = BTreeMap::new();
        for (_, outcome) in &outcomes {
            match outcome {
                Outcome::Refused(code) => drop(errors.insert((*code).to_owned(), 1)),
                Outcome::Read(answers) => {
                    let rejected = answers.iter().map(Answer::told).filter(|(_, _, count)| *count == 1);
                    rejected.flat_map(|told| told.1).for_each(|code| *errors.entry(code).or_default() += 1);
                }
            }
        }
        late.into_iter().for_each(|verdict| *errors.entry(verdict.code().to_owned()).or_default() += 1);
        (outcomes, errors)
    }

    fn file(&mut self, date: &str, file: &File, source: &str) -> Outcome {
        if file.truncated {
            // "The first seen sets the start. A file rejected whole leaves its number unused."
            self.last_receipt.entry(file.kind).or_insert(file.receipt - 1);
            return Outcome::Refused("400002");
        }
        if self.last_receipt.get(file.kind).is_some_and(|last| file.receipt <= *last) {
            return Outcome::Refused("300001");
        }
        self.last_receipt.insert(file.kind, file.receipt); // "A gap holds SUB files only."
        let mut record_nos = BTreeSet::new();
        let mut answers = Vec::new();
        for line in &file.lines {
            let answer = match self.parse(file.kind, line, &mut record_nos) {
                Err(codes) => Answer::Wrong(codes),
                Ok(rec) => {
                    self.world.mark = self.origins.len();
                    self.origins.push(Origin {
                        kind: file.kind,
                        created: file.created.clone(),
                        date: date.to_owned(),
                        source: source.to_owned(),
                        record_no: line[0].clone(),
                    });
                    Answer::Said(self.world.record(rec))
                }
            };
            answers.push(answer);
        }
        Outcome::Read(answers)
    }

    /// The line by its layout (formats.md §3), or the codes of docs/codes.md: 1, kind, field, rule.
    fn parse(&mut self, kind: &str, line: &[String], seen: &mut BTreeSet<String>) -> Result<Rec, BTreeSet<String>> {
        if line.len() != 3 {
            return Err(BTreeSet::from(["200001".to_owned()]));
        }
        let digit = match kind {
            "LNKR" => 1,
            "REQM" => 2,
            "LNKP" => 3,
            _ => 4,
        };
        let mut codes = BTreeSet::new();
        let mut wrong = |field: usize, rule: &str| _ = codes.insert(format!("1{digit}{field:02}{rule}"));
        let digits = |text: &str, max: usize| -> Result<(), &'static str> {
            match text {
                "" => Err("01"),
                _ if !text.bytes().all(|b| b.is_ascii_digit()) => Err("04"),
                _ if text.len() > max => Err("03"),
                _ => Ok(()),
            }
        };
        if let Err(rule) = digits(&line[0], 8) {
            wrong(1, rule);
        } else if !seen.insert(line[0].clone()) {
            wrong(1, "09");
        }
        let mut numbers = Vec::new();
        for (at, text) in line.iter().enumerate().skip(1) {
            let serial = matches!((kind, at), ("LNKR" | "LNKP", 1) | ("LNKU", _));
            let read = if serial {
                self.serial(text).map(i64::from)
            } else {
                let max = if matches!((kind, at), ("LNKR", 2) | ("REQM", 1)) { 20 } else { 18 };
                digits(text, max).map(|()| text.parse().unwrap())
            };
            match read {
                Ok(number) => numbers.push(number),
                Err(rule) => wrong(at + 1, rule),
            }
        }
        if !codes.is_empty() {
            return Err(codes);
        }
        let small = |n: i64| u32::try_from(n).unwrap();
        Ok(match kind {
            "LNKR" => Rec::ByRequest { serial: small(numbers[0]), request: small(numbers[1]) },
            "REQM" => Rec::Request { request: small(numbers[0]), link: numbers[1] },
            "LNKP" => Rec::Person { serial: small(numbers[0]), link: numbers[1] },
            _ => Rec::Reissue { new: small(numbers[0]), old: small(numbers[1]) },
        })
    }

    /// "Hex of the integer without leading zero nibbles, input normalised; negative or > 20 octets: 1xxxxx" (rules.md).
    /// Stands in the model as its first eight digits, which are different for all serials of the tests.
    fn serial(&mut self, text: &str) -> Result<u32, &'static str> {
        if text.is_empty() {
            return Err("01");
        }
        let hex = text.trim_start_matches('0').to_lowercase();
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("04");
        }
        if hex.len() > 40 {
            return Err("03");
        }
        let number = u32::from_str_radix(&hex[..hex.len().min(8)], 16).unwrap();
        assert_eq!(self.names.entry(number).or_insert(hex.clone()), &hex);
        Ok(number)
    }

    /// "Recorded time = D 21:00:00. Only the last state of a night becomes a row" (rules.md).
    fn write_history(&mut self, date: &str) {
        for (serial, mark) in std::mem::take(&mut self.world.changed) {
            let holder = self.world.serials[&serial];
            let rows = self.history.entry(serial).or_default();
            if rows.last().is_some_and(|(.., from, _)| from == date) {
                rows.pop();
            }
            rows.push((holder.link, holder.superseded_by, date.to_owned(), mark));
        }
    }

    /// "`acquired_at` = `created` of the file with the serial, date partition = night of acceptance, one per (serial,
    /// link_no), REQM makes none. Insurer = the newest acquired_on valid at acquired_at (ties: smallest insurer_no); none →
    /// `99999999`" (rules.md).
    fn write_acquisitions(&mut self, date: &str) {
        for (serial, mark) in std::mem::take(&mut self.world.linked) {
            let (origin, link) = (&self.origins[mark], self.world.serials[&serial].link);
            let day = &origin.created[..8];
            let mut valid: Vec<&Cover> = self.covers.values().collect();
            valid.retain(|c| {
                let ends = c.lost.as_str();
                let before_end = ends.is_empty() || day < ends || (self.lost_day_covers && day == ends);
                // 同日得喪 covers nothing under either setting (domain.md §2).
                c.link == link && c.acquired.as_str() <= day && before_end && c.lost != c.acquired
            });
            valid.sort_by_key(|c| (std::cmp::Reverse(&c.acquired), &c.insurer_no));
            let (code, number) = match valid.first() {
                Some(cover) => (cover.insurer_code.clone(), cover.insurer_no.clone()),
                None => ("99999999".to_owned(), String::new()),
            };
            let name = self.names[&serial].clone();
            let row = vec![
                date.to_owned(),
                origin.created.clone(),
                origin.kind.to_owned(),
                name.clone(),
                link.to_string(),
                code,
                number,
                origin.source.clone(),
                origin.record_no.clone(),
            ];
            assert!(self.acquisitions.insert((name, link), row).is_none());
        }
    }

    /// What must stand in the tables, against what does.
    pub fn compare(&self, tables: &Tables) -> Result<(), String> {
        let state = &["serial", "link_no", "superseded_by", "recorded_from", "recorded_to"][..];
        let waits = &["kind", "serial", "old_serial", "request_no", "first_seen", "created"][..];
        let taken = &["night", "acquired_at", "kind", "serial", "link_no", "insurer_code", "insurer_no"][..];
        let columns = [state, waits, &["request_no", "link_no", "first_seen"][..], taken];
        let acquisition = self.acquisitions.values().cloned().collect();
        let model = [self.serial_link(), self.pending_link(), self.request_map(), acquisition];
        for ((table, columns), model) in TABLES.into_iter().zip(columns).zip(model) {
            let read = |row: &Row| -> Vec<String> {
                let sourced = row.get("superseded_by").is_none_or(String::is_empty);
                let source = ["source_file", "source_record"].iter().filter(|_| sourced);
                columns.iter().chain(source).map(|c| row[c].clone()).collect()
            };
            let mut own: Vec<Vec<String>> = tables[table].iter().map(read).collect();
            let mut model: Vec<Vec<String>> = model;
            own.sort();
            model.sort();
            if own != model {
                return Err(format!("{table}\n  model    {model:?}\n  pipeline {own:?}"));
            }
        }
        Ok(())
    }

    /// With source_file and source_record of those without a successor. AMBIGUOUS: of the others it could be the record
    /// that linked them or the reissue.
    fn serial_link(&self) -> Vec<Vec<String>> {
        let at = |date: &str| format!("{date}210000");
        let mut all = Vec::new();
        for (serial, rows) in &self.history {
            for (n, (link, superseded, from, mark)) in rows.iter().enumerate() {
                let next = superseded.map_or(String::new(), |s| self.names[&s].clone());
                let to = rows.get(n + 1).map_or(String::new(), |(.., to, _)| at(to));
                let mut row = vec![self.names[serial].clone(), link.to_string(), next, at(from), to];
                if superseded.is_none() {
                    row.extend([self.origins[*mark].source.clone(), self.origins[*mark].record_no.clone()]);
                }
                all.push(row);
            }
        }
        all
    }

    fn pending_link(&self) -> Vec<Vec<String>> {
        let row = |(rec, mark): (&Waiting, &usize)| {
            let name = |serial: &u32| self.names[serial].clone();
            let [kind, serial, old, request] = match rec {
                Waiting::ByRequest { serial, request } => ["LNKR".into(), name(serial), "".into(), request.to_string()],
                Waiting::Reissue { new, old } => ["LNKU".into(), name(new), name(old), "".into()],
            };
            let Origin { created, date, source, record_no, .. } = self.origins[*mark].clone();
            vec![kind, serial, old, request, date, created, source, record_no]
        };
        self.world.waiting.iter().map(row).collect()
    }

    fn request_map(&self) -> Vec<Vec<String>> {
        let row = |(request, link): (&u32, &i64)| {
            let Origin { date, source, record_no, .. } = self.origins[self.world.request_marks[request]].clone();
            vec![request.to_string(), link.to_string(), date, source, record_no]
        };
        self.world.requests.iter().map(row).collect()
    }

    pub fn nothing_waits(&self) -> bool {
        self.world.waiting.is_empty()
    }
}
