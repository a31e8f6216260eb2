//! Does the ledger still say what it said? The chain is walked, and every projection is recomputed and compared.

use std::collections::BTreeSet;

use super::event::{Event, KINDS};
use super::rows::{self, Projection};
use super::{GENESIS, Ledger};
use crate::base::error::{Error, Result};
use crate::ledger::place;

impl Ledger {
    /// Every broken place found, in order; empty = intact. `signed_to` is the number of an event up to which `chain.head`
    /// vouches for the chain. Reads only.
    pub fn verify(&self, signed_to: i64) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        let fresh = Self::in_memory()?;
        let mut prev = GENESIS.to_owned();
        let mut events = Vec::new();
        // Events of a program that did not sign yet: the first signature after them vouches for them.
        let mut unsigned = Vec::new();
        let mut seen_signed = false;
        for (expected, stored) in (1i64..).zip(self.events()?) {
            let name = format!("ledger event {} ({})", stored.seq, stored.kind);
            if stored.seq != expected {
                findings.push(format!("{name}: an event before it is missing"));
                return Ok(findings);
            }
            if !stored.is_chained_to(&prev) {
                findings.push(format!("{name}: changed, or its predecessor was"));
                return Ok(findings);
            }
            if !stored.is_signed(self.keys()) {
                if seen_signed || stored.mac.is_some() {
                    findings.push(format!("{name}: not signed by the keys of this lake"));
                } else {
                    unsigned.push((stored.seq, name.clone()));
                }
            } else if self.keys().is_some() {
                seen_signed = true;
                unsigned.clear();
            }
            if !KINDS.contains(&stored.kind.as_str()) {
                return Err(Error::usage(format!("{name} was written by a newer program; use that one")));
            }
            match serde_json::from_str::<Event>(&stored.body) {
                Ok(event) if event.kind() == stored.kind => {
                    look_at(&event, &name, self.keys().is_some(), &mut findings);
                    events.push(event);
                }
                _ => findings.push(format!("{name}: unreadable")),
            }
            prev = stored.hash;
        }
        let unsigned = unsigned.into_iter().filter(|(seq, _)| *seq > signed_to);
        findings.extend(unsigned.map(|(_, name)| format!("{name}: not signed by the keys of this lake")));
        fresh.append(&events)?;
        for projection in rows::projections() {
            self.compare(&fresh, &projection, &mut findings)?;
        }
        self.look_at_schema(&fresh, &mut findings)?;
        Ok(findings)
    }

    /// Triggers and rules, of which the ledger has none of its own.
    pub fn foreign_triggers(&self) -> Result<Vec<String>> {
        let sql = match self.sqlite {
            true => "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
            false => {
                "SELECT CAST(tgname AS TEXT) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid \
                 WHERE NOT tgisinternal AND relnamespace = CAST(current_schema() AS regnamespace) UNION ALL \
                 SELECT CAST(rulename AS TEXT) FROM pg_rules WHERE schemaname = current_schema() ORDER BY 1"
            }
        };
        Ok(self.rows::<(String,)>(sql, &[])?.into_iter().map(|row| row.0).collect())
    }

    /// Nothing may act on the tables but the program: no trigger, no rule, no table or index of another hand.
    fn look_at_schema(&self, fresh: &Self, findings: &mut Vec<String>) -> Result<()> {
        if !self.sqlite {
            let names = self.foreign_triggers()?;
            findings.extend(names.iter().map(|name| format!("ledger: {name} acts on its tables")));
            return Ok(());
        }
        let objects = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name";
        let (own, expected) = (self.text_rows(objects.to_owned())?, fresh.text_rows(objects.to_owned())?);
        for row in own.iter().filter(|row| !expected.contains(row)) {
            findings.push(format!("ledger: {} {} is not of its schema", shown(row.first()), shown(row.get(1))));
        }
        for object in expected.iter().filter(|e| !own.iter().any(|o| o.iter().take(2).eq(e.iter().take(2)))) {
            findings.push(format!("ledger: {} {} is missing", shown(object.first()), shown(object.get(1))));
        }
        Ok(())
    }

    fn compare(&self, fresh: &Self, projection: &Projection, out: &mut Vec<String>) -> Result<()> {
        let Projection { table, columns, key } = projection;
        let list: Vec<String> = columns.iter().map(|c| format!("CAST({c} AS TEXT)")).collect();
        let sql = format!("SELECT {} FROM {table}", list.join(", "));
        let mut own = self.text_rows(sql.clone())?;
        let mut expected = fresh.text_rows(sql)?;
        own.sort();
        expected.sort();
        let key_of = |row: &'_ Vec<Option<String>>| row.iter().take(*key).cloned().collect::<Vec<_>>();
        let name = |row: &Vec<Option<String>>| {
            let parts: Vec<String> = key_of(row).into_iter().map(Option::unwrap_or_default).collect();
            format!("ledger table {table}, row {}", parts.join(" "))
        };
        for row in own.iter().filter(|r| expected.binary_search(r).is_err()) {
            out.push(format!("{}: differs from the chain", name(row)));
        }
        let keys: BTreeSet<_> = own.iter().map(key_of).collect();
        for row in expected.iter().filter(|r| own.binary_search(r).is_err() && !keys.contains(&key_of(r))) {
            out.push(format!("{}: missing", name(row)));
        }
        Ok(())
    }
}

fn shown(cell: Option<&Option<String>>) -> &str {
    cell.and_then(|cell| cell.as_deref()).unwrap_or("?")
}

/// What an event asks for must lie where events of its kind may reach.
fn look_at(event: &Event, name: &str, keyed: bool, findings: &mut Vec<String>) {
    match event {
        Event::RunCommitted(committed) => {
            if let Err(error) = place::contained(committed) {
                findings.push(format!("{name}: {error}"));
            }
        }
        Event::KeysRotated { files, .. } => {
            let other = files.iter().filter(|f| !keyed || !place::may_be_sealed(&f.path));
            findings.extend(other.map(|f| format!("{name}: {} is no sealed file of the lake", f.path)));
        }
        _ => {}
    }
}
