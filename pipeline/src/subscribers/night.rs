//! Subscriber files of a night: inspected, put in order, checked record by record, applied per insurer, written as one delta.
//!
//! Insurers are independent and run in parallel; within one, files go by 受付番号 and lines in file order. Only the last
//! state of the night becomes a row (domain.md §3).

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::{self, Layout};
use shikaku_schemas::tables;

use super::apply::{Applied, Operation, apply};
use super::image::{Body, Frame, State, Target, Whole};
use super::intake::{File, Intake};
use super::known::{self, KnownInsurer, KnownRow, MemberNo, Wanted, WantedMembers};
use crate::base::error::{Error, Result};
use crate::base::time::Moment;
use crate::intake::answers;
use crate::intake::delimited::{self, Checked};
use crate::lake::history::{NightWrite, Span, night_writes};
use crate::lake::layer;
use crate::lake::write::TableWriter;
use crate::ledger::facts::Facts;
use crate::masters::Masters;
use crate::masters::intake::admit;
use crate::read::envelope::DataLines;
use crate::store::Stage;
use crate::store::input::Input;
use crate::store::staged::{Landed, Lander};

/// Stretches of a landed file that were blanked, by its digest.
const BLANKED: Facts<i64> = Facts::new("blanked");
/// Bytes of input worked on at once, in whole insurers; bounds memory, not results.
const BYTES_AT_ONCE: i64 = 64 << 20;

/// Takes in the night's subscriber files.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    stage.store.check_business_date(stage.date)?;
    let reader = stage.store.reader()?;
    let masters = Masters::load(&reader)?;
    let files = admit(stage, &masters, inputs, &["SUB"])?;
    if files.is_empty() {
        return Ok(());
    }
    let now = Moment::from(stage.recorded_at());
    let wanted = wanted(&files, &masters)?;
    let mut known = known::known(&reader, &wanted, now)?;

    let (members, coverages) = (tables::of("member"), tables::of("coverage"));
    let mut member_writer = stage.table(members, layer(false))?;
    let mut coverage_writer = stage.table(coverages, layer(false))?;
    let mut insurers: BTreeMap<String, Vec<Checked>> = BTreeMap::new();
    for file in files {
        insurers.entry(file.origin().unwrap_or_default().to_owned()).or_default().push(file);
    }
    // One group of insurers is checked while the rows of the one before are encoded.
    let mut groups = groups(insurers).into_iter();
    let mut ready: Vec<Night> = Vec::new();
    loop {
        let work: Option<Vec<Work>> = groups.next().map(|group| {
            let mut work = |(origin, files): (String, Vec<Checked>)| {
                let known = known.remove(&origin).unwrap_or_default();
                Work { origin, files, known }
            };
            group.into_iter().map(&mut work).collect()
        });
        let last = work.is_none();
        let lander = stage.lander();
        let (written, next) = rayon::join(
            || {
                let (a, b) = rayon::join(
                    || ready.iter().try_for_each(|n| write(n, Target::Member, &n.members, &mut member_writer, now)),
                    || {
                        ready
                            .iter()
                            .try_for_each(|n| write(n, Target::Coverage, &n.coverages, &mut coverage_writer, now))
                    },
                );
                a.and(b)
            },
            || -> Result<Vec<Night>> {
                let work = work.unwrap_or_default().into_par_iter();
                work.map(|work| night(&masters, lander, work, now)).collect()
            },
        );
        written?;
        for night in std::mem::replace(&mut ready, next?) {
            answer(stage, night)?;
        }
        if last {
            break;
        }
    }
    // The last row groups are encoded here: both tables at once.
    let (a, b) = rayon::join(|| member_writer.finish(), || coverage_writer.finish());
    stage.finished_table(members, layer(false), a?)?;
    stage.finished_table(coverages, layer(false), b?)
}

/// Result files, landings and counts of one insurer whose rows are written.
fn answer(stage: &mut Stage<'_>, night: Night) -> Result<()> {
    stage.outbox(&answers::link_status_path(&night.origin, stage.date), &night.link_status)?;
    for (file, landed) in night.files.into_iter().zip(night.landed) {
        let checked = file.checked;
        if !file.blank.is_empty() {
            // The landing is not what was received, and the ledger says so.
            stage.set(
                &BLANKED.at(checked.input.sha256.as_str()),
                &i64::try_from(file.blank.len()).unwrap_or(i64::MAX),
            )?;
        }
        if let Some(report) = file.gaiji.csv(checked.answer)? {
            stage.outbox(&answers::gaiji_path(checked.origin(), &checked.input), &report)?;
        }
        delimited::accept_landed(stage, &checked, file.outcome, landed)?;
    }
    Ok(())
}

/// One insurer's files of a night and what is known of the members they name.
struct Work {
    origin: String,
    files: Vec<Checked>,
    known: KnownInsurer,
}

/// Insurers in order, together as many as [`BYTES_AT_ONCE`] allows, one at least.
fn groups(insurers: BTreeMap<String, Vec<Checked>>) -> Vec<Vec<(String, Vec<Checked>)>> {
    let mut groups: Vec<Vec<(String, Vec<Checked>)>> = Vec::new();
    let mut room = 0;
    for (origin, files) in insurers {
        let bytes: i64 = files.iter().map(|f| f.input.bytes).sum();
        match groups.last_mut() {
            Some(group) if bytes <= room => group.push((origin, files)),
            _ => {
                groups.push(vec![(origin, files)]);
                room = BYTES_AT_ONCE;
            }
        }
        room -= bytes;
    }
    groups
}

fn layout_of(file: &Checked) -> &'static Layout {
    let version = file.header.as_ref().map_or("", |h| h.version.as_str());
    layout::find("SUB", version).unwrap_or_else(|| layout::of("SUB"))
}

/// Members that the files name. Fields are looked at as they stand; what is no number names nobody.
fn wanted(files: &[Checked], masters: &Masters) -> Result<WantedMembers> {
    let read: Vec<(String, BTreeMap<MemberNo, Wanted>)> = files
        .par_iter()
        .map(|file| -> Result<_> {
            let layout = layout_of(file);
            // Field 0 of a line is its letter.
            let at = |name: &str| layout.at(name) + 1;
            let (member, link, operation) = (at("member_no"), at("link_no"), at("operation"));
            let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|t| t.parse::<u64>().ok());
            // A code map may turn any value into an operation that repeats rows.
            let mapped = file.origin().is_some_and(|o| masters.definition(o).code_maps.contains_key("operation"));
            let mut own = BTreeMap::new();
            let mut lines = DataLines::open(&file.input, layout)?;
            while let Some(record) = lines.next_line()? {
                let Some(member) = number(record.field(member)) else { continue };
                let text = String::from_utf8_lossy(record.field(operation));
                let own_operation = Operation::of(&text);
                let whole = mapped || own_operation.is_none_or(Operation::repeats_rows);
                let link_no = number(record.field(link)).and_then(|n| i64::try_from(n).ok());
                merge(&mut own, member, Wanted { link_no, whole });
            }
            Ok((file.origin().unwrap_or_default().to_owned(), own))
        })
        .collect::<Result<_>>()?;
    let mut wanted = WantedMembers::new();
    for (origin, members) in read {
        let own = wanted.entry(origin).or_default();
        members.into_iter().for_each(|(member, one)| merge(own, member, one));
    }
    Ok(wanted)
}

fn merge(wanted: &mut BTreeMap<MemberNo, Wanted>, member: MemberNo, one: Wanted) {
    let own = wanted.entry(member).or_insert(one);
    own.whole |= one.whole;
    if own.link_no != one.link_no {
        own.link_no = None;
    }
}

/// What one insurer's files of a night come to.
struct Night {
    origin: String,
    files: Vec<File>,
    /// Of each file.
    landed: Vec<Landed>,
    /// 連携状況, as it goes out.
    link_status: Vec<u8>,
    members: Vec<Write>,
    coverages: Vec<Write>,
}

/// A row to write.
struct Write {
    member: MemberNo,
    seq: i64,
    row: NewRow,
}

enum NewRow {
    State(State),
    Whole(Box<Whole>),
}

fn night(masters: &Masters, lander: Lander<'_>, work: Work, now: Moment) -> Result<Night> {
    let Work { origin, files, mut known } = work;
    let mut states: BTreeMap<MemberNo, super::apply::MemberState> =
        known.iter().map(|(member, rows)| (*member, known::state_of(rows))).collect();
    let intake = Intake::new(&origin, masters);
    let mut read = Vec::with_capacity(files.len());
    for (index, checked) in files.into_iter().enumerate() {
        let layout = layout_of(&checked);
        let file = intake.read(checked, layout, index, &mut |member, change| {
            let state = states.entry(member).or_default();
            match apply(state, change) {
                Applied::Accepted => None,
                Applied::SameImage => Some(Code::SameImage),
                Applied::AlreadyRegistered => Some(Code::AlreadyRegistered),
                Applied::NotRegistered => Some(Code::NotRegistered),
                Applied::NothingToChange => Some(Code::NothingToChange),
            }
        })?;
        read.push(file);
    }
    let land = |file: &File| lander.stage_blanked(&file.checked.input, &file.blank, file.checked.encoding);
    let landed = read.iter().map(land).collect::<Result<Vec<Landed>>>()?;
    let mut status: BTreeMap<MemberNo, bool> = BTreeMap::new();
    for (member, accepted) in read.iter_mut().flat_map(|file| std::mem::take(&mut file.members)) {
        let known = states.get(&member).is_some_and(|state| state.member.is_some());
        *status.entry(member).or_default() |= accepted || known;
    }
    let encoding = masters.definition(&origin).encoding;
    let link_status = answers::link_status(encoding, &origin, &status, now.at())?;
    let mut night = Night { origin, files: read, landed, link_status, members: Vec::new(), coverages: Vec::new() };
    for (member, state) in states {
        let rows = known.remove(&member).unwrap_or_default();
        let own = known::rows_of(&rows, 0);
        emit(&mut night.members, (member, 0), own, state.member, (&night.files, now))?;
        let mut coverages: BTreeMap<i64, State> = state.coverages.into_iter().collect();
        let seqs: BTreeSet<i64> = rows.iter().map(|(seq, _)| *seq).chain(coverages.keys().copied()).collect();
        for seq in seqs.into_iter().filter(|seq| *seq != 0) {
            let own = known::rows_of(&rows, seq);
            let last = coverages.remove(&seq);
            emit(&mut night.coverages, (member, seq), own, last, (&night.files, now))?;
        }
    }
    Ok(night)
}

/// Rows to write for one key.
fn emit(
    out: &mut Vec<Write>,
    (member, seq): (MemberNo, i64),
    rows: &[(i64, KnownRow)],
    last: Option<State>,
    (files, now): (&[File], Moment),
) -> Result<()> {
    let source_of = |state: &State| {
        let file = state.moved.as_ref().and_then(|mover| files.get(mover.file));
        file.map_or("", |file| file.source.as_str())
    };
    let spans: Vec<Span> = rows.iter().map(|(_, row)| row.span).collect();
    // A record of this run replaces what an earlier run of the same night wrote, down to its source: the night's rows must
    // not tell how many runs it had.
    let is_last = |index: usize| {
        let of_this_run = |last: &State| {
            let by_record = matches!(last.body, Body::Packed { .. }) || last.moved.is_some();
            rows[index].1.span.0 == now && by_record
        };
        last.as_ref().is_some_and(|last| rows[index].1.state.same(last) && !of_this_run(last))
    };
    let unread = || Error::internal("a row that must be written again was not read");
    for write in night_writes(&spans, last.as_ref().map(|_| &is_last), now) {
        let row = match (write, &last) {
            (NightWrite::Again(index, to), _) => {
                let Body::Stored(row) = &rows[index].1.state.body else { return Err(unread()) };
                let mut row = row.clone();
                row.set_span((spans[index].0, to));
                NewRow::Whole(row)
            }
            (NightWrite::New, Some(State { body: Body::Unread, .. })) => return Err(unread()),
            (NightWrite::New, Some(state)) => match &state.body {
                Body::Stored(row) => NewRow::Whole(Box::new(row.of_person(state, now, source_of(state)))),
                _ => NewRow::State(state.clone()),
            },
            (NightWrite::New, None) => continue,
        };
        out.push(Write { member, seq, row });
    }
    Ok(())
}

fn write(night: &Night, target: Target, rows: &[Write], writer: &mut TableWriter<'_>, now: Moment) -> Result<()> {
    let mut member_no = String::new();
    for write in rows {
        match &write.row {
            NewRow::Whole(row) => row.write(writer)?,
            NewRow::State(state) => {
                let Body::Packed { file, start, end } = state.body else { continue };
                let packed = &night.files[file].arena[start..end];
                // A row begins with the record that moved it, if that came after its contents.
                let (source, source_record, updated_at) = match &state.moved {
                    Some(mover) => (mover.file, mover.record, mover.updated_at),
                    None => (file, state.source_record, state.updated_at),
                };
                member_no.clear();
                std::fmt::Write::write_fmt(&mut member_no, format_args!("{:016}", write.member)).ok();
                let frame = Frame {
                    insurer_code: &night.origin,
                    member_no: &member_no,
                    coverage_seq: write.seq,
                    link_no: state.link_no,
                    image: state.image,
                    updated_at,
                    recorded_from: now,
                    source_file: &night.files[source].source,
                    source_record,
                };
                target.write(packed, frame, writer)?;
            }
        }
    }
    Ok(())
}
