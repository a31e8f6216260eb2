//! Receipt numbers (受付番号): strictly +1 per origin and kind (rules.md §2).

use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::ledger::Ledger;
use crate::ledger::facts::{Facts, RELEASED};
use crate::store::Stage;

/// Last number used, by `<kind>/<origin>`.
const LAST: Facts<i64> = Facts::new("receipt_no");

/// What a file's number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Next,
    /// Used, or lower than one used: `300001`.
    Used,
    /// One before it is missing: a SUB file waits.
    Gap,
}

/// Last used numbers, as facts of the ledger; changed while a night's files are looked at in order.
pub struct Sequences<'l> {
    ledger: &'l Ledger,
    last: BTreeMap<String, Option<i64>>,
    changed: BTreeMap<String, i64>,
}

/// Key of a release. Each kind has numbers of its own, so one kind's release says nothing of another's; SUB was the first.
pub fn release_key(kind: &str, origin: &str, receipt_no: i64) -> String {
    match kind {
        "SUB" => format!("{origin}/{receipt_no}"),
        kind => format!("{kind}/{origin}/{receipt_no}"),
    }
}

fn key(kind: &str, origin: &str) -> String {
    format!("{kind}/{origin}")
}

impl<'l> Sequences<'l> {
    pub fn new(ledger: &'l Ledger) -> Self {
        Self { ledger, last: BTreeMap::new(), changed: BTreeMap::new() }
    }

    fn last(&mut self, key: &str) -> Result<Option<i64>> {
        if let Some(last) = self.last.get(key) {
            return Ok(*last);
        }
        let last = self.ledger.fact(&LAST.at(key))?;
        self.last.insert(key.to_owned(), last);
        Ok(last)
    }

    /// Judges a number; the first one seen of an origin and kind sets the start.
    pub fn judge(&mut self, kind: &str, origin: &str, receipt_no: i64) -> Result<Verdict> {
        let key = key(kind, origin);
        let Some(last) = self.last(&key)? else { return Ok(Verdict::Next) };
        if receipt_no <= last {
            return Ok(Verdict::Used);
        }
        if receipt_no == last + 1 || kind != "SUB" {
            return Ok(Verdict::Next);
        }
        // A released file takes with it what waits before it: a later file never overtakes an earlier one.
        let released = self.ledger.facts(&RELEASED)?;
        let goes =
            released.iter().filter_map(|(key, _)| key.strip_prefix(origin)?.strip_prefix('/')?.parse::<i64>().ok());
        Ok(if goes.max() >= Some(receipt_no) { Verdict::Next } else { Verdict::Gap })
    }

    /// A file rejected whole leaves its number unused; as the first one seen it still sets the start.
    pub fn see(&mut self, kind: &str, origin: &str, receipt_no: i64) -> Result<()> {
        if self.last(&key(kind, origin))?.is_none() {
            self.consume(kind, origin, receipt_no - 1);
        }
        Ok(())
    }

    /// A read file consumes its number, record errors or not.
    pub fn consume(&mut self, kind: &str, origin: &str, receipt_no: i64) {
        let key = key(kind, origin);
        self.last.insert(key.clone(), Some(receipt_no));
        self.changed.insert(key, receipt_no);
    }

    /// The numbers used hold once the run is published.
    pub fn commit(self, stage: &mut Stage<'_>) -> Result<()> {
        self.changed.into_iter().try_for_each(|(key, n)| stage.set(&LAST.at(key), &n))
    }
}
