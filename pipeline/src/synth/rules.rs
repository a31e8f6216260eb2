//! One small file per rule: a valid record with one thing changed.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use shikaku_schemas::codes;
use shikaku_schemas::layout::{self, Field, FieldType, Layout};
use shikaku_schemas::messages::{self, FieldRule, field_code};

use super::Out;
use super::delimited::{Body, Ending, Row};
use super::masters::ABOLISHED_ON;
use super::planted::{number_like_mine, other_digit};
use super::sample::evening;
use super::world::World;
use crate::base::error::{Error, Result};
use crate::text::cp932::Encoding;

/// Kinds whose records are made here; those of the others stand in their layouts.
const KINDS: [&str; 6] = ["SUB", "LNKP", "LNKU", "LNKR", "REQM", "CHK"];
/// Why the other codes have no file, by their first digits; the first match holds.
const NOT_ALONE: &[(&str, &str)] = &[
    ("000000", "the code of a record without findings"),
    ("16", "field rule of the insurer master: a master has no header and is refused whole (400302)"),
    ("17", "field rule of the institution master: a master has no header and is refused whole (400302)"),
    ("200003", "speaks of XML files"),
    ("30000", "needs files before it in the order of 受付番号"),
    ("3002", "needs links before it"),
    ("3005", "needs check logs before it"),
    ("3009", "speaks of UKE files"),
    ("400003", "needs more than 100,000 records or 50 MB"),
    ("400007", "control totals of a UKE file, which is not a delimited file"),
    ("4001", "speaks of CRLs"),
    ("4002", "speaks of UKE files"),
    ("4003", "speaks of master files"),
];

struct Rules<'a> {
    world: &'a World,
    out: &'a mut Out,
    written: BTreeSet<String>,
}

/// Writes the files and the list of codes without one.
pub fn write(world: &World, out: &mut Out) -> Result<()> {
    let mut rules = Rules { world, out, written: BTreeSet::new() };
    let exemplary = || layout::all().iter().filter(|layout| !layout.example.is_empty());
    for layout in KINDS.into_iter().map(layout::of).chain(exemplary()) {
        for (index, field) in layout.fields.iter().enumerate() {
            // A second record under the same number may need something before it that a record alone does not.
            let alone = |rule: &FieldRule| layout.example.is_empty() || *rule != FieldRule::Unique;
            for rule in FieldRule::ALL.into_iter().filter(|r| r.applies_to(field) && alone(r)) {
                rules.field_rule(layout, index, field, rule)?;
            }
        }
    }
    rules.between_fields()?;
    rules.against_what_is_known()?;
    rules.whole_files()?;
    let mut text = "Codes that no single small delimited file can show:\n".to_owned();
    for message in messages::all().filter(|m| !rules.written.contains(&m.code)) {
        let of_kind = exemplary().any(|layout| {
            let unique = (0..).zip(&layout.fields).find(|(_, field)| field.unique);
            layout.messages.iter().any(|own| own.code == message.code)
                || unique.is_some_and(|(at, _)| field_code(layout, at, FieldRule::Unique) == message.code)
        });
        let own = NOT_ALONE.iter().find(|(start, _)| message.code.starts_with(start)).map_or("", |(_, why)| why);
        let why = if of_kind { "needs more than one record: data-samples/kinds" } else { own };
        text += &format!("{} {}: {why}\n", message.code, message.name);
    }
    rules.out.write("rules/NOT_IN_ISOLATION.txt", text.as_bytes())
}

impl Rules<'_> {
    fn created() -> NaiveDateTime {
        evening(0)
    }

    fn insurer(&self, scheme: &str) -> Result<usize> {
        let found = self.world.insurers.iter().position(|i| i.scheme == scheme);
        found.ok_or_else(|| Error::failed("synth: no insurer of that scheme"))
    }

    fn body(&self, kind: &str, insurer: usize) -> Body {
        let layout = layout::of(kind);
        let (origin, encoding) = match layout.origin_value.as_deref() {
            Some(origin) if layout.encoding.as_deref() == Some("utf-8") => (origin, Encoding::Utf8),
            Some(origin) => (origin, Encoding::Cp932),
            None => (self.world.insurers[insurer].code.as_str(), self.world.insurers[insurer].encoding),
        };
        Body::new(kind, origin, 1, Self::created(), encoding)
    }

    /// A record that breaks no rule; SUB ones have every field that the insurer may set.
    fn valid(&self, kind: &str, insurer: usize) -> Result<Row> {
        let world = self.world;
        if kind == "CHK" {
            let row = Row::new(kind, Encoding::Utf8);
            let of = &world.insurers[0];
            return row.with(&[
                ("inquiry_no", "Q20261030-000001"),
                ("checked_at", "20261030093000"),
                ("institution_code", &world.institutions[0].code),
                ("access_kind", "1"),
                ("purpose", "01"),
                ("verifier_kind", "1"),
                ("verifier_id", "V00001"),
                ("serial", &world.serial(0, 0)),
                ("validity", "1"),
                ("link_no", "100000000"),
                ("insurer_code", &of.code),
                ("insurer_no", &of.numbers[0].0),
                ("eligibility", "1"),
            ]);
        }
        let row = Row::new(kind, Encoding::Cp932);
        let (serial, other) = (world.serial(0, 0), world.serial(1, 0));
        let keys: &[(&str, &str)] = match kind {
            "LNKP" => &[("serial", &serial), ("link_no", "100000000")],
            "LNKU" => &[("new_serial", &serial), ("old_serial", &other)],
            "LNKR" => &[("serial", &serial), ("request_no", "700000000")],
            "REQM" => &[("request_no", "700000000"), ("link_no", "100000000")],
            "SUB" => return self.valid_subscriber(insurer),
            _ => {
                let example = layout::of(kind).example.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                return row.with(&example.collect::<Vec<_>>());
            }
        };
        row.with(keys)?.with(&[("record_no", "1")])
    }

    fn valid_subscriber(&self, insurer: usize) -> Result<Row> {
        let (world, of) = (self.world, &self.world.insurers[insurer]);
        let person = world.person_at(world.persons + 3, insurer);
        let coverage = world.coverage(&person, insurer, super::world::day("20260401"), 1);
        let row = super::subscribers::image(of, &person, Some(&coverage), false, super::NIGHTS[0])?.with(&[
            ("record_no", "1"),
            ("updated_at", "20261030150000"),
            ("dependent", "2"),
            ("insured_name", "資格　太郎"),
            ("householder", "1"),
            ("householder_name", "資格　太郎"),
            ("symbol", "21000001"),
            ("lost_on", "20261001"),
            ("loss_reason", "01"),
            ("card_returned_on", "20261001"),
            ("benefit_from", "20260401"),
            ("benefit_to", "20270331"),
            ("card_to", "20270731"),
            ("card_copay", "30"),
            ("elderly_from", "20260801"),
            ("elderly_to", "20270731"),
            ("elderly_copay", "20"),
        ])?;
        match of.scheme {
            "06" => row.with(&[("retiree_switched_on", "20260501")]),
            "01" | "02" => row.with(&[("workplace", "架空商事株式会社")]),
            _ => Ok(row),
        }
    }

    fn field_rule(&mut self, layout: &'static Layout, index: usize, field: &Field, rule: FieldRule) -> Result<()> {
        let (kind, name) = (layout.kind.as_str(), field.name.as_str());
        // A field of certain 制度 only is sent by one of them, unless that is the rule to break.
        let scheme = match (rule, field.schemes.first()) {
            (FieldRule::Scheme, Some(own)) if own == "06" => "01",
            (FieldRule::Scheme, _) => "06",
            (_, Some(own)) => own.as_str(),
            (_, None) => "01",
        };
        let insurer = self.insurer(scheme)?;
        let mut row = self.valid(kind, insurer)?;
        if let Some((condition, barring)) = field.blank_if.split_first() {
            if rule == FieldRule::MustBeBlank {
                row.set(condition, barring.first().map_or("", String::as_str))?;
                row.set_if_blank(name, something(field))?;
            } else if must_be_blank(field, &row) {
                let of = &layout.fields[layout.at(condition)];
                let mut values = of.codes.as_deref().into_iter().flat_map(|list| codes::list(list).values());
                let other = values.find(|code| !barring.iter().any(|value| value == code.value));
                row.set(condition, other.map_or("", |code| code.value))?;
            }
            for other in layout.fields.iter().filter(|other| other.name != field.name) {
                if must_be_blank(other, &row) {
                    row.set(&other.name, "")?;
                }
            }
        }
        match broken(field, rule, row.encoding()) {
            Some(bytes) => row.set_bytes(name, bytes)?,
            None if rule == FieldRule::CheckDigit => row.set(name, &self.wrong_digit(insurer, name))?,
            None => {}
        }
        let mut body = self.body(kind, insurer);
        body.push(&row);
        if rule == FieldRule::Unique {
            body.push(&self.second(kind, insurer)?);
        }
        self.put(&field_code(layout, index, rule), &body.bytes(Ending::Right))
    }

    /// Another valid record under the same number.
    fn second(&self, kind: &str, insurer: usize) -> Result<Row> {
        let row = self.valid(kind, insurer)?;
        let (serial, other) = (self.world.serial(2, 0), self.world.serial(3, 0));
        match kind {
            "SUB" => {
                let person = self.world.person_at(self.world.persons + 4, insurer);
                let member_no = self.world.base_coverage(&person, insurer).member_no;
                row.with(&[("member_no", &member_no), ("link_no", &person.link_no)])
            }
            "LNKP" => row.with(&[("serial", &serial), ("link_no", "100000007")]),
            "LNKU" => row.with(&[("new_serial", &serial), ("old_serial", &other)]),
            "LNKR" => row.with(&[("serial", &serial), ("request_no", "700000001")]),
            _ => row.with(&[("request_no", "700000001"), ("link_no", "100000007")]),
        }
    }

    fn wrong_digit(&self, insurer: usize, name: &str) -> String {
        let person = self.world.person_at(self.world.persons + 3, insurer);
        let coverage = self.world.base_coverage(&person, insurer);
        other_digit(if name == "member_no" { &coverage.member_no } else { &coverage.insurer_no })
    }

    fn one(&mut self, code: &str, insurer: usize, row: &Row, kind: &str) -> Result<()> {
        let mut body = self.body(kind, insurer);
        body.push(row);
        self.put(code, &body.bytes(Ending::Right))
    }

    fn between_fields(&mut self) -> Result<()> {
        let (first, municipal) = (self.insurer("01")?, self.insurer("06")?);
        let valid = self.valid("SUB", first)?;
        let changes: [(&str, &[(&str, &str)]); 11] = [
            ("200101", &[("coverage_seq", "")]),
            ("200110", &[("insurer_no", "")]),
            ("200111", &[("number", "")]),
            ("200112", &[("acquired_on", "")]),
            ("200113", &[("card_kind", "")]),
            ("200103", &[("lost_on", "20260331")]),
            ("200104", &[("loss_reason", "")]),
            ("200105", &[("lost_on", "")]),
            ("200106", &[("benefit_to", "20260331")]),
            ("200107", &[("card_to", "20260331")]),
            ("200108", &[("elderly_to", "20260731")]),
        ];
        for (code, changes) in changes {
            self.one(code, first, &valid.clone().with(changes)?, "SUB")?;
        }
        self.one("200001", first, &valid.clone().with_extra_field(), "SUB")?;
        let mut body = self.body("SUB", first);
        body.push_line(&valid.clone().with(&[("address", "\"東京都\"架空区")])?.unquoted_line());
        self.put("200002", &body.bytes(Ending::Right))?;
        let world = self.world;
        let person = world.person_at(world.persons + 3, first);
        let member_no = world.base_coverage(&person, first).member_no;
        let alone = super::subscribers::image(&world.insurers[first], &person, None, false, super::NIGHTS[0])?;
        let alone = alone.with(&[("record_no", "1"), ("member_no", &member_no), ("coverage_seq", "1")])?;
        self.one("200102", first, &alone, "SUB")?;
        let delete = self.valid("SUB", municipal)?.with(&[("operation", "3"), ("link_no", "")])?;
        self.one("200109", municipal, &delete, "SUB")?;
        let serial = world.serial(0, 0);
        let same = self.valid("LNKU", first)?.with(&[("old_serial", &serial)])?;
        self.one("200401", first, &same, "LNKU")?;
        let without = self.valid("CHK", first)?.with(&[("serial", "")])?;
        self.one("200501", first, &without, "CHK")?;
        let number = number_like_mine();
        self.one("900001", first, &valid.clone().with(&[("address", &format!("東京都架空区{number}"))])?, "SUB")?;
        self.one("900002", first, &valid.with(&[("number", &number)])?, "SUB")
    }

    /// Against masters and what the same file registered before.
    fn against_what_is_known(&mut self) -> Result<()> {
        let (first, municipal) = (self.insurer("01")?, self.insurer("06")?);
        let valid = self.valid("SUB", first)?;
        let foreign = self.world.insurers[municipal].numbers[0].0.clone();
        self.one("300101", first, &valid.clone().with(&[("insurer_no", &foreign)])?, "SUB")?;
        let again = valid.clone().with(&[("record_no", "2")])?;
        for (code, second) in [("300106", again.clone()), ("300103", again.with(&[("address", "東京都架空区一丁目")])?)]
        {
            let mut body = self.body("SUB", first);
            body.push(&valid);
            body.push(&second);
            self.put(code, &body.bytes(Ending::Right))?;
        }
        self.one("300104", first, &valid.clone().with(&[("operation", "2")])?, "SUB")?;
        self.one("300105", first, &valid.with(&[("operation", "4")])?, "SUB")?;
        // The 健保組合 has a second number, which is abolished.
        let union = self.insurer("02")?;
        let (Some((number, _)), day) = (self.world.insurers[union].numbers.get(1).cloned(), ABOLISHED_ON) else {
            return Ok(());
        };
        let of_abolished = self.valid("SUB", union)?.with(&[("insurer_no", &number)])?;
        let late = of_abolished.clone().with(&[("acquired_on", day)])?;
        self.one("300102", union, &late, "SUB")?;
        let open = of_abolished.with(&[("acquired_on", "20200401"), ("lost_on", ""), ("loss_reason", "")])?;
        self.one("300107", union, &open, "SUB")
    }

    fn whole_files(&mut self) -> Result<()> {
        let first = self.insurer("01")?;
        let mut body = self.body("SUB", first);
        body.push(&self.valid("SUB", first)?);
        let bytes = body.bytes(Ending::Right);
        let text = format!("H,SUB,01,{}", body.origin);
        let head = |with: &str| [with.as_bytes(), bytes.get(text.len()..).unwrap_or_default()].concat();
        self.put("400001", &head(&text.replace("H,SUB", "X,SUB")))?;
        self.put("400002", &body.bytes(Ending::Missing))?;
        self.put("400004", &head(&text.replace("SUB,01", "SUB,99")))?;
        self.put("400005", &head("H,SUB,01,NOBODY00"))?;
        self.put("400006", &[b"\xef\xbb\xbf", bytes.as_slice()].concat())
    }

    fn put(&mut self, code: &str, bytes: &[u8]) -> Result<()> {
        self.written.insert(code.to_owned());
        self.out.write(&format!("rules/{code}.csv"), bytes)
    }
}

/// Whether a field may not be set, by another one of the record.
fn must_be_blank(field: &Field, row: &Row) -> bool {
    field.blank_if.split_first().is_some_and(|(condition, values)| values.iter().any(|v| row.is(condition, v)))
}

/// A value that a field may have.
fn something(field: &Field) -> &'static str {
    match field.kind {
        FieldType::Date => "20261001",
        FieldType::Code => {
            field.codes.as_deref().and_then(|list| codes::list(list).values().next()).map_or("", |c| c.value)
        }
        _ => "1",
    }
}

/// A field's bytes that break a rule; `None` where the field itself stays as it is.
fn broken(field: &Field, rule: FieldRule, encoding: Encoding) -> Option<Vec<u8>> {
    let limit = field.max.or(field.max_bytes).or(field.len).unwrap_or(1);
    let text = |text: &str| encoding.encode(text);
    match rule {
        FieldRule::Required => Some(Vec::new()),
        FieldRule::TooLong => Some(match field.kind {
            FieldType::Digits => b"1".repeat(limit + 1),
            FieldType::Serial => b"f".repeat(41),
            _ if field.ascii || field.max_bytes.is_some() => b"A".repeat(limit + 1),
            _ => text(&format!("　{}", "見".repeat(limit)))?,
        }),
        FieldRule::Characters => Some(match field.kind {
            FieldType::Text => b"Q 1".to_vec(),
            FieldType::Code if !field.codes.as_deref().is_some_and(|list| codes::list(list).is_digits()) => {
                b"*".to_vec()
            }
            _ => b"x".to_vec(),
        }),
        FieldRule::Date if field.kind == FieldType::Timestamp => Some(b"20260230000000".to_vec()),
        FieldRule::Date => Some(b"20260230".to_vec()),
        FieldRule::Code => {
            let list = codes::list(field.codes.as_deref()?);
            ["9", "77", "0"].into_iter().find(|value| !list.contains(value)).map(|v| v.as_bytes().to_vec())
        }
        FieldRule::Undecodable => Some(vec![0xff]),
        FieldRule::Control => Some(vec![0x07]),
        FieldRule::Future if field.kind == FieldType::Timestamp => Some(b"20261031000000".to_vec()),
        FieldRule::Future => Some(b"20261031".to_vec()),
        FieldRule::Scheme if field.kind == FieldType::Date => Some(b"20260501".to_vec()),
        FieldRule::Scheme => text("架空商事株式会社"),
        FieldRule::Spacing => text("資格太郎"),
        // With a full-width space, so that a name breaks no other rule.
        FieldRule::Unusable => Some(b"-".to_vec()),
        FieldRule::Gaiji => Some(vec![0xf0, 0x40, 0x81, 0x40, 0xf0, 0x41]),
        FieldRule::MustBeBlank | FieldRule::CheckDigit | FieldRule::Unique => None,
    }
}
