//! Subscriber operations against the plain model: random nights, in one run or two, give the same versions.

use proptest::prelude::*;
use shikaku_pipeline::history::apply::{Applied, Change, MemberState, Operation, Target, apply};
use shikaku_pipeline::lake::history::{Columns, night_rows};
use shikaku_pipeline::lake::row::{Cell, Row};
use std::collections::BTreeMap;

use crate::history_oracle as oracle;

/// The implementation on plain maps: what `subscribers` does with files, without files.
struct Own {
    members: Target,
    coverages: Target,
    municipal: bool,
    member_rows: BTreeMap<u32, Vec<Row>>,
    coverage_rows: BTreeMap<(u32, i64), Vec<Row>>,
}

fn at(night: i64) -> chrono::NaiveDateTime {
    shikaku_pipeline::time::from_millis(night * 86_400_000)
}

impl Own {
    fn new(municipal: bool) -> Self {
        let (members, coverages) = (Target::of("member"), Target::of("coverage"));
        Self { members, coverages, municipal, member_rows: BTreeMap::new(), coverage_rows: BTreeMap::new() }
    }

    fn blank(target: &Target) -> Row {
        let mut row = vec![Cell::Null; target.table.columns.len()];
        row[target.table.at("recorded_from")] = Cell::Timestamp(0);
        row
    }

    fn change(&self, line: &oracle::Line) -> Change {
        let mut member = Self::blank(&self.members);
        let set = |target: &Target, row: &mut Row, name: &str, cell: Cell| row[target.table.at(name)] = cell;
        set(&self.members, &mut member, "link_no", Cell::Int(line.link));
        set(&self.members, &mut member, "name", Cell::text(&line.image.name));
        set(&self.members, &mut member, "sex", Cell::text(line.image.sex.to_string()));
        let coverage = line.cover.as_ref().map(|(seq, cover)| {
            let mut row = Self::blank(&self.coverages);
            set(&self.coverages, &mut row, "link_no", Cell::Int(line.link));
            set(&self.coverages, &mut row, "number", Cell::text(&cover.number));
            set(&self.coverages, &mut row, "acquired_on", Cell::Date(cover.acquired));
            set(&self.coverages, &mut row, "lost_on", cover.lost.map_or(Cell::Null, Cell::Date));
            (i64::from(*seq), row)
        });
        let operation = match line.op {
            oracle::Op::Register => Operation::Register,
            oracle::Op::Update => Operation::Update,
            oracle::Op::Delete => Operation::Delete,
            oracle::Op::Relink => Operation::Relink,
        };
        Change { operation, member, coverage, upsert: self.municipal }
    }

    fn night(&mut self, night: &oracle::Night) -> Vec<oracle::Verdict> {
        let (mc, cc) = (Columns::of(self.members.table), Columns::of(self.coverages.table));
        let open = |c: &Columns, rows: &[Row]| rows.iter().find(|r| c.is_open(r)).cloned();
        let mut states: BTreeMap<u32, MemberState> = BTreeMap::new();
        for (member, rows) in &self.member_rows {
            states.entry(*member).or_default().member = open(&mc, rows);
        }
        for ((member, seq), rows) in &self.coverage_rows {
            if let Some(row) = open(&cc, rows) {
                states.entry(*member).or_default().coverages.insert(*seq, row);
            }
        }
        let verdicts = night
            .lines
            .iter()
            .map(|line| {
                let change = self.change(line);
                match apply(states.entry(line.member).or_default(), change, &self.members, &self.coverages) {
                    Applied::Accepted => oracle::Verdict::Accepted,
                    Applied::SameImage => oracle::Verdict::Duplicate,
                    Applied::AlreadyRegistered => oracle::Verdict::AlreadyRegistered,
                    Applied::NotRegistered => oracle::Verdict::NotRegistered,
                }
            })
            .collect();
        let seqs: Vec<(u32, i64)> = self.coverage_rows.keys().copied().collect();
        for (member, mut state) in states {
            let rows = self.member_rows.entry(member).or_default();
            let same = |a: &[Cell], b: &[Cell]| self.members.same(a, b);
            let delta = night_rows(&mc, rows, state.member.take(), at(night.at), &same);
            merge(&mc, rows, delta);
            let own: std::collections::BTreeSet<i64> = seqs
                .iter()
                .filter(|(m, _)| *m == member)
                .map(|(_, s)| *s)
                .chain(state.coverages.keys().copied())
                .collect();
            for seq in own {
                let rows = self.coverage_rows.entry((member, seq)).or_default();
                let same = |a: &[Cell], b: &[Cell]| self.coverages.same(a, b);
                let delta = night_rows(&cc, rows, state.coverages.remove(&seq), at(night.at), &same);
                if !delta.is_empty() {
                    merge(&cc, rows, delta);
                }
            }
        }
        verdicts
    }

    fn members(&self) -> Vec<(u32, Row)> {
        self.member_rows.iter().flat_map(|(m, rows)| rows.iter().map(|r| (*m, r.clone()))).collect()
    }

    fn coverages(&self) -> Vec<((u32, i64), Row)> {
        self.coverage_rows.iter().flat_map(|(k, rows)| rows.iter().map(|r| (*k, r.clone()))).collect()
    }
}

/// What the lake's merge of base and deltas does: rows of equal `recorded_from` are replaced, void ones dropped.
fn merge(columns: &Columns, rows: &mut Vec<Row>, delta: Vec<Row>) {
    for row in delta {
        rows.retain(|r| r[columns.from] != row[columns.from]);
        rows.push(row);
    }
    rows.retain(|r| r[columns.from] != r[columns.to]);
    rows.sort_by(|a, b| a[columns.from].cmp(&b[columns.from]));
}

fn line(municipal: bool) -> impl Strategy<Value = oracle::Line> {
    let op = if municipal {
        prop_oneof![Just(2u8), Just(1)].boxed()
    } else {
        prop_oneof![3 => Just(1u8), 3 => Just(2), 1 => Just(3), 1 => Just(4)].boxed()
    };
    let cover = proptest::option::of((1u32..3, 0u8..2, 0i32..3, proptest::option::of(3i32..5)));
    (op, 0u32..3, 0i64..2, 0u8..2, cover).prop_map(|(op, member, link, name, cover)| oracle::Line {
        op: match op {
            1 => oracle::Op::Register,
            2 => oracle::Op::Update,
            3 => oracle::Op::Delete,
            _ => oracle::Op::Relink,
        },
        member,
        link,
        image: oracle::Image { name: format!("n{name}"), sex: 1 },
        cover: cover
            .map(|(seq, number, acquired, lost)| (seq, oracle::Cover { number: format!("c{number}"), acquired, lost })),
    })
}

fn compare(own: &Own, model: &oracle::World) -> Result<(), TestCaseError> {
    let time = |cell: &Cell| cell.as_timestamp().map(|t| shikaku_pipeline::time::to_millis(t) / 86_400_000);
    let members: Vec<_> = own
        .members()
        .iter()
        .map(|(m, r)| {
            let t = own.members.table;
            let text = |n: &str| r[t.at(n)].as_text().unwrap_or_default().to_owned();
            (
                *m,
                r[t.at("link_no")].as_int().unwrap(),
                text("name"),
                time(&r[t.at("recorded_from")]),
                time(&r[t.at("recorded_to")]),
            )
        })
        .collect();
    let expected: Vec<_> =
        model.members().into_iter().map(|(m, v)| (m, v.value.0, v.value.1.name, Some(v.from), v.to)).collect();
    prop_assert_eq!(members, expected);
    let coverages: Vec<_> = own
        .coverages()
        .iter()
        .map(|((m, s), r)| {
            let t = own.coverages.table;
            let text = |n: &str| r[t.at(n)].as_text().unwrap_or_default().to_owned();
            (
                (*m, u32::try_from(*s).unwrap()),
                r[t.at("link_no")].as_int().unwrap(),
                text("number"),
                r[t.at("acquired_on")].clone(),
                r[t.at("lost_on")].clone(),
                time(&r[t.at("recorded_from")]),
                time(&r[t.at("recorded_to")]),
            )
        })
        .collect();
    let expected: Vec<_> = model
        .coverages()
        .into_iter()
        .map(|(k, v)| {
            (
                k,
                v.value.0,
                v.value.1.number,
                Cell::Date(v.value.1.acquired),
                v.value.1.lost.map_or(Cell::Null, Cell::Date),
                Some(v.from),
                v.to,
            )
        })
        .collect();
    prop_assert_eq!(coverages, expected);
    Ok(())
}

fn run(municipal: bool, nights: Vec<Vec<oracle::Line>>, cut: usize) -> Result<(), TestCaseError> {
    let (mut own, mut model) = (Own::new(municipal), oracle::World::new(municipal));
    for (n, lines) in (1i64..).zip(nights) {
        // A night in one run or in two must not differ: the model is told the same.
        let cut = cut.min(lines.len());
        let (first, second) = lines.split_at(cut);
        for part in [first, second] {
            let night = oracle::Night { at: n, lines: part.to_vec() };
            prop_assert_eq!(own.night(&night), model.night(&night));
        }
        compare(&own, &model)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn agrees_with_the_model(nights in proptest::collection::vec(proptest::collection::vec(line(false), 0..8), 1..4), cut in 0usize..8) {
        run(false, nights, cut)?;
    }

    #[test]
    fn agrees_with_the_model_for_municipal_insurers(nights in proptest::collection::vec(proptest::collection::vec(line(true), 0..8), 1..4), cut in 0usize..8) {
        run(true, nights, cut)?;
    }
}
