//! Slow, obvious oracle for certificate links (シリアル → 紐付番号), written from domain.md §4, answers.md ("Files in")
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
    waiting: BTreeSet<Waiting>,
    late_conflicts: usize,
}

impl World {
    pub fn new() -> World {
        World::default()
    }

    pub fn night(&mut self, recs: &[Rec]) -> Vec<Verdict> {
        let verdicts = recs.iter().map(|rec| self.record(*rec)).collect();
        while self.retry_one() {}
        // A 処理通番 is converted and not kept (domain.md §1), but all records of the night may still use it.
        for request in std::mem::take(&mut self.used) {
            self.requests.remove(&request);
        }
        verdicts
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
                Verdict::Done
            }
        }
    }

    fn maybe_wait(&mut self, rec: Waiting) -> Verdict {
        // AMBIGUOUS: this stands first, so a repeated record is Known even if what it waits for came earlier in this
        // night; the one that waits is resolved by the retries.
        if self.waiting.contains(&rec) {
            return Verdict::Known;
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
        self.waiting.insert(rec);
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
        self.serials.entry(new).or_insert(Holder { link: holder.link, superseded_by: None });
        self.serials.insert(old, Holder { superseded_by: Some(new), ..holder });
        Verdict::Done
    }

    /// Settles the first waiting record that no longer waits; false when all still do. Those before it wait for things
    /// that neither a conflict nor a Known brings, so beginning again after each of them is as good as going on.
    fn retry_one(&mut self) -> bool {
        for rec in self.waiting.clone() {
            let verdict = self.resolve(rec);
            if verdict == Verdict::Waits {
                continue;
            }
            self.waiting.remove(&rec);
            if !matches!(verdict, Verdict::Done | Verdict::Known) {
                self.late_conflicts += 1;
            }
            return true;
        }
        false
    }

    fn known_leads(&self, from: u32, to: u32) -> bool {
        leads(from, to, |serial| self.serials.get(&serial).and_then(|holder| holder.superseded_by))
    }

    /// Along waiting reissues alone. AMBIGUOUS: a ring of waiting and known ones shows at the retry, as late conflict.
    fn waiting_leads(&self, from: u32, to: u32) -> bool {
        leads(from, to, |serial| self.waiting_successor(serial))
    }

    fn waiting_successor(&self, serial: u32) -> Option<u32> {
        self.waiting.iter().find_map(|rec| match rec {
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
