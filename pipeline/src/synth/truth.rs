//! What a right run must come to, written beside the inputs.

use std::collections::BTreeMap;

use shikaku_schemas::messages::{self, Severity};

use super::Out;
use crate::base::error::Result;

/// Finding codes of each record of a file, in record order; empty = 正常.
pub type Findings = Vec<Vec<&'static str>>;

/// Expected outcomes, gathered while inputs are written.
#[derive(Debug, Default)]
pub struct Truth {
    files: Vec<String>,
    records: Vec<String>,
    receipts: Vec<String>,
    serials: BTreeMap<String, (String, &'static str)>,
    checks: BTreeMap<(String, &'static str, String, String), u64>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Accepted,
    Rejected(&'static str),
    Quarantined(&'static str),
}

impl Truth {
    /// A file that is taken or refused as a whole, `read` records in it.
    pub fn file(&mut self, night: &str, path: &str, kind: &str, state: State, read: u64) {
        let (word, code, counts) = match state {
            State::Accepted => ("accepted", "", [read, read, 0, 0]),
            State::Rejected(code) => ("rejected", code, [read, 0, read, 0]),
            // What is quarantined is not read to its end: nothing of it counts.
            State::Quarantined(code) => ("quarantined", code, [0; 4]),
        };
        self.file_row(night, path, kind, word, code, counts);
        if !code.is_empty() {
            self.records.push(format!("{night},{path},,{code}"));
        }
    }

    /// A file that was read, with the findings of its records.
    pub fn records(&mut self, night: &str, path: &str, kind: &str, findings: &Findings) {
        let mut counts = [0u64; 4];
        for (number, codes) in (1u64..).zip(findings) {
            counts[0] += 1;
            let worst = codes.iter().map(|code| messages::of(code).severity).max().unwrap_or(Severity::Ok);
            let column = match worst {
                Severity::Error => 2,
                Severity::Duplicate => 3,
                Severity::Ok | Severity::Warning | Severity::Held => 1,
            };
            counts[column] += 1;
            let mut sorted = codes.clone();
            sorted.sort_unstable();
            self.records.extend(sorted.iter().map(|code| format!("{night},{path},{number},{code}")));
        }
        self.file_row(night, path, kind, "accepted", "", counts);
    }

    fn file_row(&mut self, night: &str, path: &str, kind: &str, state: &str, code: &str, counts: [u64; 4]) {
        let [read, accepted, rejected, duplicate] = counts;
        self.files.push(format!("{night},{path},{kind},{state},{code},{read},{accepted},{rejected},{duplicate}"));
    }

    /// One receipt: institution, payer, number, then outcome, reason, 保険者番号 it goes to, 枝番.
    pub fn receipt(&mut self, key: (&str, &str, u64), result: [&str; 4]) {
        let (institution, payer, number) = key;
        self.receipts.push(format!("{institution},{payer},{number},{}", result.join(",")));
    }

    pub fn serial(&mut self, serial: &str, link_no: &str, state: &'static str) {
        self.serials.insert(serial.to_owned(), (link_no.to_owned(), state));
    }

    /// Marks a serial as revoked; one that no link names stands without a person.
    pub fn revoked(&mut self, serial: &str) {
        self.serials.entry(serial.to_owned()).or_default().1 = "revoked";
    }

    pub fn check(&mut self, on_date: &str, insurer: &str, institution: &str, validity: &str) {
        let insurer = if insurer.is_empty() { "-" } else { insurer };
        for (axis, key) in [("insurer", insurer), ("institution", institution)] {
            let at = (on_date.to_owned(), axis, key.to_owned(), validity.to_owned());
            *self.checks.entry(at).or_default() += 1;
        }
    }

    /// Writes the files; `all` = more than what a streaming run can know.
    pub fn write(self, out: &mut Out, all: bool) -> Result<()> {
        let table = |header: &str, rows: Vec<String>| format!("{header}\n{}\n", rows.join("\n")).into_bytes();
        let header = "night,path,kind,state,code,read,accepted,rejected,duplicate";
        out.write("truth/files.csv", &table(header, self.files))?;
        if !all {
            return Ok(());
        }
        out.write("truth/records.csv", &table("night,path,record_no,code", self.records))?;
        let header = "institution_code,payer,receipt_no,outcome,reason,insurer_no,branch_no";
        out.write("truth/receipts.csv", &table(header, self.receipts))?;
        let rows = self.serials.iter().map(|(serial, (link, state))| format!("{serial},{link},{state}")).collect();
        out.write("truth/serials.csv", &table("serial,link_no,state", rows))?;
        let row = |((date, axis, key, validity), n): (&(String, &str, String, String), &u64)| {
            format!("{date},{axis},{key},{validity},{n}")
        };
        let rows = self.checks.iter().map(row).collect();
        out.write("truth/checks.csv", &table("on_date,axis,axis_key,validity,count", rows))
    }
}
