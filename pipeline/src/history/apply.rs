//! One subscriber operation onto the state of one member (answers.md, Files in: SUB).

use std::collections::BTreeMap;

use shikaku_schemas::layout::Layout;
use shikaku_schemas::tables::{ColumnType, Table};

use crate::check::Value;
use crate::lake::row::{Cell, Row};

/// Columns that say how a row came, not what it says: two images that differ in them only are the same.
const NOT_IMAGE: [&str; 5] = ["recorded_from", "recorded_to", "source_file", "source_record", "updated_at"];

/// A table of the subscriber path with what applying needs of it.
pub struct Target {
    pub table: &'static Table,
    image: Vec<usize>,
    link: usize,
}

impl Target {
    pub fn of(name: &str) -> Self {
        let table = shikaku_schemas::tables::of(name);
        let image = (0..table.columns.len()).filter(|i| !NOT_IMAGE.contains(&table.columns[*i].name())).collect();
        Self { table, image, link: table.at("link_no") }
    }

    /// Whether two rows say the same.
    pub fn same(&self, a: &[Cell], b: &[Cell]) -> bool {
        self.image.iter().all(|i| a[*i] == b[*i])
    }

    /// A row from a checked record: every column that the layout has a field for, plus `extra` by name.
    pub fn row(&self, layout: &Layout, values: &[Value], extra: &dyn Fn(&str) -> Option<Cell>) -> Row {
        self.table
            .columns
            .iter()
            .map(|column| {
                if let Some(cell) = extra(column.name()) {
                    return cell;
                }
                let Some(value) = layout.index(column.name()).map(|i| &values[i]) else { return Cell::Null };
                match (column.kind(), value) {
                    (_, Value::Blank) => Cell::Null,
                    (_, Value::Date(date)) => Cell::date(*date),
                    (_, Value::Timestamp(at)) => Cell::timestamp(*at),
                    (ColumnType::Int64, Value::Text(text)) => text.parse().map_or(Cell::Null, Cell::Int),
                    (_, Value::Text(text)) => Cell::text(text),
                }
            })
            .collect()
    }
}

/// Current state of one member: its own row and its coverages by 資格通番.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberState {
    pub member: Option<Row>,
    pub coverages: BTreeMap<i64, Row>,
}

/// What a record wants.
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
}

/// A checked record, ready to apply.
pub struct Change {
    pub operation: Operation,
    pub member: Row,
    /// With 資格通番 (for a deletion the row is not looked at).
    pub coverage: Option<(i64, Row)>,
    /// 市町村国保: an update of something unknown registers it.
    pub upsert: bool,
}

/// Applies one change. A change that is not accepted leaves the state as it was.
pub fn apply(state: &mut MemberState, change: Change, members: &Target, coverages: &Target) -> Applied {
    let Change { operation, member, coverage, upsert } = change;
    match operation {
        Operation::Register => register(state, member, coverage, members, coverages),
        Operation::Update => {
            let known = match &coverage {
                Some((seq, _)) => state.member.is_some() && state.coverages.contains_key(seq),
                None => state.member.is_some(),
            };
            if !known && !upsert {
                return Applied::NotRegistered;
            }
            put(state, member, coverage, members, coverages)
        }
        Operation::Delete => delete(state, coverage.map(|(seq, _)| seq)),
        Operation::Relink => {
            if state.member.is_none() {
                return Applied::NotRegistered;
            }
            relink(state, &member[members.link], members, coverages);
            Applied::Accepted
        }
    }
}

fn register(
    state: &mut MemberState,
    member: Row,
    coverage: Option<(i64, Row)>,
    members: &Target,
    coverages: &Target,
) -> Applied {
    let same_member = state.member.as_ref().map(|own| members.same(own, &member));
    match &coverage {
        Some((seq, row)) => match state.coverages.get(seq) {
            Some(own) if coverages.same(own, row) && same_member == Some(true) => return Applied::SameImage,
            Some(_) => return Applied::AlreadyRegistered,
            None => {}
        },
        None => match same_member {
            Some(true) => return Applied::SameImage,
            Some(false) => return Applied::AlreadyRegistered,
            None => {}
        },
    }
    put(state, member, coverage, members, coverages)
}

/// Sets the full image; the person behind the member is the same for all its coverages.
fn put(
    state: &mut MemberState,
    member: Row,
    coverage: Option<(i64, Row)>,
    members: &Target,
    coverages: &Target,
) -> Applied {
    let link = member[members.link].clone();
    state.member = Some(member);
    if let Some((seq, row)) = coverage {
        state.coverages.insert(seq, row);
    }
    relink(state, &link, members, coverages);
    Applied::Accepted
}

fn relink(state: &mut MemberState, link: &Cell, members: &Target, coverages: &Target) {
    if let Some(member) = &mut state.member {
        member[members.link] = link.clone();
    }
    for coverage in state.coverages.values_mut() {
        coverage[coverages.link] = link.clone();
    }
}

fn delete(state: &mut MemberState, seq: Option<i64>) -> Applied {
    if state.member.is_none() {
        return Applied::NotRegistered;
    }
    match seq {
        Some(seq) => match state.coverages.remove(&seq) {
            Some(_) => Applied::Accepted,
            None => Applied::NotRegistered,
        },
        None => {
            *state = MemberState::default();
            Applied::Accepted
        }
    }
}
