//! One subscriber operation onto the state of one member (rules.md §2).

use super::image::{Mover, State};

/// Current state of one member: its own and its coverages' by 資格通番, ascending.
#[derive(Clone, Default, PartialEq)]
pub struct MemberState {
    pub member: Option<State>,
    pub coverages: Vec<(i64, State)>,
}

impl MemberState {
    fn coverage(&self, seq: i64) -> Option<&State> {
        self.coverages.binary_search_by_key(&seq, |(own, _)| *own).ok().map(|i| &self.coverages[i].1)
    }

    /// Sets a coverage; `None` takes it away.
    pub fn set_coverage(&mut self, seq: i64, state: Option<State>) {
        match (self.coverages.binary_search_by_key(&seq, |(own, _)| *own), state) {
            (Ok(at), Some(state)) => self.coverages[at].1 = state,
            (Ok(at), None) => drop(self.coverages.remove(at)),
            (Err(at), Some(state)) => self.coverages.insert(at, (seq, state)),
            (Err(_), None) => {}
        }
    }
}

/// What a record wants (処理種別).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Register,
    Update,
    Delete,
    Relink,
}

impl Operation {
    pub fn of(code: &str) -> Option<Self> {
        match code {
            "1" => Some(Self::Register),
            "2" => Some(Self::Update),
            "3" => Some(Self::Delete),
            "4" => Some(Self::Relink),
            _ => None,
        }
    }

    /// Whether it must see the whole rows of a member: it repeats them with an end or with another person.
    pub fn repeats_rows(self) -> bool {
        matches!(self, Self::Delete | Self::Relink)
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Accepted,
    /// 300106
    SameImage,
    /// 300103
    AlreadyRegistered,
    /// 300104
    NotRegistered,
    /// 300105
    NothingToChange,
}

/// A checked record, ready to apply.
#[derive(Clone)]
pub struct Change {
    pub operation: Operation,
    pub link_no: i64,
    /// The record itself, as the one that moves what it moves.
    pub by: Mover,
    /// Image of the member; none for a deletion.
    pub member: Option<State>,
    /// 資格通番, and the coverage's image unless it is to be deleted.
    pub coverage: Option<(i64, Option<State>)>,
    /// 市町村国保: an update of something unknown registers it.
    pub upsert: bool,
}

/// Applies one change. A change that is not accepted leaves the state as it was.
pub fn apply(state: &mut MemberState, change: Change) -> Applied {
    let seq = change.coverage.as_ref().map(|(seq, _)| *seq);
    let known = state.member.is_some() && seq.is_none_or(|seq| state.coverage(seq).is_some());
    match change.operation {
        Operation::Register => match same_image(state, &change) {
            Some(true) => Applied::SameImage,
            Some(false) => Applied::AlreadyRegistered,
            None => put(state, change),
        },
        Operation::Update if known || change.upsert => put(state, change),
        Operation::Update => Applied::NotRegistered,
        Operation::Delete if !known => Applied::NothingToChange,
        Operation::Delete => {
            match seq {
                Some(seq) => state.set_coverage(seq, None),
                None => *state = MemberState::default(),
            }
            Applied::Accepted
        }
        Operation::Relink if !known => Applied::NothingToChange,
        Operation::Relink => {
            relink(state, change.link_no, change.by);
            Applied::Accepted
        }
    }
}

/// Whether what is to be registered stands there with the same contents; `None` = it does not stand there.
fn same_image(state: &MemberState, change: &Change) -> Option<bool> {
    let same = |own: Option<&State>, new: Option<&State>| own.zip(new).is_some_and(|(own, new)| own.same(new));
    let same_member = same(state.member.as_ref(), change.member.as_ref());
    match &change.coverage {
        Some((seq, new)) => state.coverage(*seq).map(|own| same_member && same(Some(own), new.as_ref())),
        None => state.member.as_ref().map(|_| same_member),
    }
}

/// Sets the full image; the person behind the member is the same for all its coverages.
fn put(state: &mut MemberState, change: Change) -> Applied {
    if change.member.is_some() {
        state.member = change.member;
    }
    if let Some((seq, Some(coverage))) = change.coverage {
        state.set_coverage(seq, Some(coverage));
    }
    relink(state, change.link_no, change.by);
    Applied::Accepted
}

fn relink(state: &mut MemberState, link_no: i64, by: Mover) {
    let coverages = state.coverages.iter_mut().map(|(_, coverage)| coverage);
    for own in state.member.iter_mut().chain(coverages).filter(|own| own.link_no != link_no) {
        own.link_no = link_no;
        own.moved = Some(Box::new(by));
    }
}
