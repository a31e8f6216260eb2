//! What the lake knows of the members that a night's files name.
//!
//! The whole tables are gone through by five or six narrow columns, row group by row group in parallel, so that a night's
//! cost follows its records and hardly the population. Whole rows are read only of members whose rows must be repeated.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Int64Array;
use rayon::prelude::*;

use super::apply::MemberState;
use super::image::{Body, State, Target, Whole};
use crate::base::error::{Error, Result};
use crate::base::time::Moment;
use crate::lake::history::{Span, Spans, Stored, resolve};
use crate::lake::read::{Group, Prune, Reader};
use crate::lake::tables::{coverage, member};

/// Number of a member of one insurer: the 16 digits of its 被保険者枝番.
pub type MemberNo = u64;

/// A member that the files name, and what they want of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// 紐付番号 of its records, if they all have the same.
    pub link_no: Option<i64>,
    /// Its rows may have to be repeated, so they must be read whole.
    pub whole: bool,
}

/// By 保険者コード, then member.
pub type WantedMembers = BTreeMap<String, BTreeMap<MemberNo, Wanted>>;

/// A resolved row of the lake.
#[derive(Clone)]
pub struct KnownRow {
    pub span: Span,
    pub state: State,
}

impl KnownRow {
    /// The whole row, if it was read, with the end that it resolved to.
    pub fn into_whole(self) -> Option<Whole> {
        let Body::Stored(mut row) = self.state.body else { return None };
        row.set_span(self.span);
        Some(*row)
    }
}

/// Resolved rows of one member: its own (under 0) and its coverages', by 資格通番, each in the order of recorded time.
pub type KnownMember = Vec<(i64, KnownRow)>;

/// What is known of one insurer's wanted members.
pub type KnownInsurer = BTreeMap<MemberNo, KnownMember>;

/// Where a row lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    group: usize,
    row: usize,
    rank: usize,
}

struct Found {
    insurer: usize,
    member: MemberNo,
    seq: i64,
    from: Moment,
    to: Option<Moment>,
    link_no: i64,
    image: i64,
    place: Place,
}

/// Reads what is known of the wanted members as of a night whose recorded time is `now`.
pub fn known(reader: &Reader, wanted: &WantedMembers, now: Moment) -> Result<BTreeMap<String, KnownInsurer>> {
    let codes: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let prune = Prune { column: member::INSURER_CODE.name, wanted: &codes };
    let insurers: Vec<(&String, Vec<(MemberNo, Wanted)>)> =
        wanted.iter().map(|(code, own)| (code, own.iter().map(|(m, w)| (*m, *w)).collect())).collect();
    let mut found: [Vec<Found>; 2] = [Vec::new(), Vec::new()];
    let mut groups: [Vec<Group>; 2] = [Vec::new(), Vec::new()];
    for (index, target) in Target::BOTH.iter().enumerate() {
        groups[index] = reader.groups(target.table(), Some(&prune))?;
        let scanned: Vec<Vec<Found>> = groups[index]
            .par_iter()
            .enumerate()
            .map(|(at, group)| scan(group, at, *target, &insurers))
            .collect::<Result<_>>()?;
        found[index] = resolved(scanned.into_iter().flatten().collect());
    }
    let whole = whole_members(&found, &insurers, now);
    let mut known: BTreeMap<String, KnownInsurer> = BTreeMap::new();
    for ((target, groups), found) in Target::BOTH.iter().zip(&groups).zip(found) {
        let mut rows = whole_rows(*target, groups, &found, &whole)?;
        for (index, row) in found.into_iter().enumerate() {
            let state = match rows.remove(&index) {
                // A row that ended where the next began stands open in the lake: its end is the resolved one.
                Some(stored) => stored.into_state(),
                None => State {
                    link_no: row.link_no,
                    image: row.image,
                    updated_at: None,
                    source_record: 0,
                    moved: None,
                    body: Body::Unread,
                },
            };
            let insurer = known.entry(insurers[row.insurer].0.clone()).or_default();
            let rows = insurer.entry(row.member).or_default();
            rows.push((row.seq, KnownRow { span: (row.from, row.to), state }));
        }
    }
    Ok(known)
}

/// The state of a member before the night's files.
pub fn state_of(member: &KnownMember) -> MemberState {
    let mut state = MemberState::default();
    for (seq, row) in member.iter().filter(|(_, row)| row.span.1.is_none()) {
        match seq {
            0 => state.member = Some(row.state.clone()),
            seq => state.set_coverage(*seq, Some(row.state.clone())),
        }
    }
    state
}

/// Rows of one key of a member.
pub fn rows_of(member: &[(i64, KnownRow)], seq: i64) -> &[(i64, KnownRow)] {
    let start = member.partition_point(|(own, _)| *own < seq);
    let end = member.partition_point(|(own, _)| *own <= seq);
    &member[start..end]
}

/// Rows of one row group that belong to wanted members.
fn scan(
    group: &Group,
    at: usize,
    target: Target,
    insurers: &[(&String, Vec<(MemberNo, Wanted)>)],
) -> Result<Vec<Found>> {
    // The other columns have the same names and types in both tables.
    let mut columns = vec![
        member::INSURER_CODE.name,
        member::MEMBER_NO.name,
        member::LINK_NO.name,
        member::IMAGE.name,
        member::RECORDED_FROM.name,
        member::RECORDED_TO.name,
    ];
    columns.extend((target == Target::Coverage).then_some(coverage::COVERAGE_SEQ.name));
    let mut found = Vec::new();
    let mut offset = 0;
    // The rows are sorted, and so are the members: both are gone through once.
    let mut insurer: Option<(usize, usize)> = None;
    let mut last_code = String::new();
    for batch in group.read(Some(&columns), None)? {
        let batch = batch?;
        let (codes, members) = (member::INSURER_CODE.of(&batch)?, member::MEMBER_NO.of(&batch)?);
        let (links, images) = (member::LINK_NO.of(&batch)?, member::IMAGE.of(&batch)?);
        let spans = Spans::of(&batch)?;
        let seqs: Option<&Int64Array> = match target {
            Target::Member => None,
            Target::Coverage => Some(coverage::COVERAGE_SEQ.of(&batch)?),
        };
        for row in 0..batch.num_rows() {
            let code = codes.value(row);
            if code != last_code {
                code.clone_into(&mut last_code);
                insurer = insurers.binary_search_by(|(own, _)| own.as_str().cmp(code)).ok().map(|i| (i, 0));
            }
            let Some((index, next)) = &mut insurer else { continue };
            let own = &insurers[*index].1;
            let member = parse_member(members.value(row))?;
            while own.get(*next).is_some_and(|(m, _)| *m < member) {
                *next += 1;
            }
            if own.get(*next).is_none_or(|(m, _)| *m != member) {
                continue;
            }
            let (from, to) = spans.at(row);
            found.push(Found {
                insurer: *index,
                member,
                seq: seqs.map_or(0, |s| s.value(row)),
                from,
                to,
                link_no: links.value(row),
                image: images.value(row),
                place: Place { group: at, row: offset + row, rank: group.rank },
            });
        }
        offset += batch.num_rows();
    }
    Ok(found)
}

fn parse_member(text: &str) -> Result<MemberNo> {
    text.parse().map_err(|_| Error::integrity("a stored 被保険者枝番 is no number"))
}

impl Stored for Found {
    fn same_key(&self, other: &Self) -> bool {
        (self.insurer, self.member, self.seq) == (other.insurer, other.member, other.seq)
    }

    fn from(&self) -> Moment {
        self.from
    }

    fn to(&mut self) -> &mut Option<Moment> {
        &mut self.to
    }
}

/// Rows that count, in (insurer, member, seq, recorded_from) order.
fn resolved(mut found: Vec<Found>) -> Vec<Found> {
    found.par_sort_unstable_by_key(|f| (f.insurer, f.member, f.seq, f.from, std::cmp::Reverse(f.place.rank)));
    resolve(&mut found);
    found
}

/// Members whose rows may have to be written again: asked for by their records, of another person than known, or touched
/// earlier in the same night.
fn whole_members(
    found: &[Vec<Found>; 2],
    insurers: &[(&String, Vec<(MemberNo, Wanted)>)],
    now: Moment,
) -> BTreeSet<(usize, MemberNo)> {
    let mut whole = BTreeSet::new();
    for row in found.iter().flatten() {
        let own = &insurers[row.insurer].1;
        let Ok(at) = own.binary_search_by_key(&row.member, |(m, _)| *m) else { continue };
        let wanted = own[at].1;
        let moved = row.to.is_none() && wanted.link_no != Some(row.link_no);
        if wanted.whole || moved || row.from >= now || row.to.is_some_and(|to| to >= now) {
            whole.insert((row.insurer, row.member));
        }
    }
    whole
}

/// Whole rows of those members, by their place in `found`.
fn whole_rows(
    target: Target,
    groups: &[Group],
    found: &[Found],
    whole: &BTreeSet<(usize, MemberNo)>,
) -> Result<BTreeMap<usize, Whole>> {
    let mut by_group: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, row) in found.iter().enumerate().filter(|(_, f)| whole.contains(&(f.insurer, f.member))) {
        by_group.entry(row.place.group).or_default().push((row.place.row, index));
    }
    let read: Vec<Vec<(usize, Whole)>> = by_group
        .into_par_iter()
        .map(|(group, mut wanted)| -> Result<Vec<(usize, Whole)>> {
            wanted.sort_unstable();
            let places: Vec<usize> = wanted.iter().map(|(row, _)| *row).collect();
            let mut rows = Vec::with_capacity(places.len());
            for batch in groups[group].read(None, Some(&places))? {
                rows.append(&mut target.read(&batch?)?);
            }
            Ok(wanted.into_iter().map(|(_, index)| index).zip(rows).collect())
        })
        .collect::<Result<_>>()?;
    Ok(read.into_iter().flatten().collect())
}
