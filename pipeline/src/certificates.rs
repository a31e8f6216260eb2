//! Certificates of co-payment limits (限度額適用認定証 and its kin, 特定疾病療養受療証): CRT files onto a table of their own.
//!
//! Of the kinds 01–03 a member has at most one in force on a day: one ends the day before the next one begins. That end is a
//! function of all its certificates (`in_force_to`), so it does not tell in which order they came.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use shikaku_schemas::code::Code;
use shikaku_schemas::layout;

use crate::base::config::Config;
use crate::base::error::Result;
use crate::base::time::{Day, Moment};
use crate::intake::delimited::{self, Checked};
use crate::intake::records::{self, Fit};
use crate::intake::{Days, Intake, nothing_more};
use crate::lake::history::night_rows;
use crate::lake::layer;
use crate::lake::lookup::rows_with;
use crate::lake::read::Reader;
use crate::lake::tables::certificate::Row;
use crate::lake::tables::{certificate, coverage};
use crate::masters::cover::end_of_cover;
use crate::masters::intake::admit;
use crate::masters::{MUNICIPAL, Masters};
use crate::read::envelope::DataLines;
use crate::rules::{Context, Finding, Value};
use crate::store::Stage;
use crate::store::input::Input;

/// The kind of input.
pub const INTAKE: Intake = Intake {
    name: "certificates",
    folder: "subscribers",
    kinds: &["CRT"],
    days: Days::Every,
    needs: &["masters", "subscribers"],
    reads: "CRT files",
    writes: "certificate",
    take_in,
    sent_again: nothing_more,
};

/// 特定疾病療養受療証: stands beside the others and beside its own kind.
const SPECIFIC_DISEASE: &str = "04";

/// First day, first day without cover.
type Cover = (NaiveDate, Option<NaiveDate>);

/// One member whose certificates the files name.
#[derive(Default)]
struct Member {
    covers: Vec<Cover>,
    /// What the lake holds, by 証通番.
    known: BTreeMap<i64, Vec<Row<'static>>>,
    /// What holds from tonight on.
    state: BTreeMap<i64, Row<'static>>,
}

/// By 保険者コード and 被保険者枝番.
type Members = BTreeMap<(String, String), Member>;

/// Takes in the night's certificates.
pub fn take_in(stage: &mut Stage<'_>, inputs: &[Input]) -> Result<()> {
    stage.store.check_business_date(stage.date)?;
    let reader = stage.store.reader()?;
    let masters = Masters::load(&reader)?;
    let files = admit(stage, &masters, inputs, INTAKE.kinds)?;
    if files.is_empty() {
        return Ok(());
    }
    let mut members = load(&reader, &masters, &stage.store.config, &files)?;
    for file in &files {
        let Some(header) = &file.header else { continue };
        let (source, scheme) = (file.input.source_file(), masters.scheme(&header.origin));
        let context = Context { scheme, ..Context::plain(layout::of("CRT"), file.encoding, header.created) };
        let outcome = records::each(file, context, Some(stage.dir()), &mut |fit, findings| {
            let record = Record::of(&fit, &header.origin, &source);
            let member = members.entry((header.origin.clone(), record.member_no.clone())).or_default();
            findings.extend(member.apply(record, scheme == MUNICIPAL).map(Finding::of));
            Ok(())
        })?;
        delimited::accept(stage, file, outcome)?;
    }
    let now = Moment::from(stage.recorded_at());
    stage.write_rows(layer(false), members.into_values().flat_map(|member| member.rows(now)))
}

/// What is known of the members that the files name. Fields are looked at as they stand.
fn load(reader: &Reader, masters: &Masters, config: &Config, files: &[Checked]) -> Result<Members> {
    let at = layout::of("CRT").at(certificate::MEMBER_NO.name) + 1;
    let mut members = Members::new();
    for file in files {
        let mut lines = DataLines::open(&file.input, layout::of("CRT"))?;
        while let Some(record) = lines.next_line()? {
            let member = String::from_utf8_lossy(record.field(at)).into_owned();
            members.entry((file.origin().unwrap_or_default().to_owned(), member)).or_default();
        }
    }
    let numbers: BTreeSet<String> = members.keys().map(|(_, member)| member.clone()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    for row in rows_with::<coverage::Row<'static>>(reader, coverage::MEMBER_NO.name, &numbers)? {
        let key = (row.insurer_code.into_owned(), row.member_no.into_owned());
        if let Some(member) = members.get_mut(&key).filter(|_| row.recorded_to.is_none()) {
            let (from, rule) = (row.acquired_on.date(), masters.loss_day(config, &key.0));
            member.covers.push((from, row.lost_on.map(|lost| end_of_cover(from, lost.date(), rule))));
        }
    }
    for row in rows_with::<Row<'static>>(reader, certificate::MEMBER_NO.name, &numbers)? {
        let key = (row.insurer_code.clone().into_owned(), row.member_no.clone().into_owned());
        let Some(member) = members.get_mut(&key) else { continue };
        if row.recorded_to.is_none() {
            member.state.insert(row.cert_seq, row.clone());
        }
        member.known.entry(row.cert_seq).or_default().push(row);
    }
    Ok(members)
}

/// What a record wants (処理種別).
enum Operation {
    Register,
    Update,
    Delete,
}

/// A checked record.
struct Record {
    operation: Operation,
    member_no: String,
    cert_seq: i64,
    /// The certificate; none of a deletion.
    row: Option<Row<'static>>,
}

impl Record {
    fn of(fit: &Fit<'_, '_>, origin: &str, source: &str) -> Self {
        let layout = layout::of("CRT");
        let value = |name: &str| -> &Value<'_> { &fit.values[layout.at(name)] };
        let text = |name: &str| Cow::Owned(value(name).text().to_owned());
        let maybe = |name: &str| (!value(name).is_blank()).then(|| text(name));
        let day = |name: &str| value(name).date().map(Day::from);
        let operation = match value("operation").text() {
            "1" => Operation::Register,
            "2" => Operation::Update,
            _ => Operation::Delete,
        };
        let cert_seq = value("cert_seq").number().unwrap_or_default();
        let cert_kind: Cow<'static, str> = text("cert_kind");
        let needs = if cert_kind == SPECIFIC_DISEASE { "card_and_consent" } else { "none" };
        let row = day("valid_from").filter(|_| !matches!(operation, Operation::Delete)).map(|valid_from| Row {
            insurer_code: Cow::Owned(origin.to_owned()),
            member_no: text("member_no"),
            cert_seq,
            cert_kind,
            needs: needs.into(),
            limit_class: maybe("limit_class"),
            issued_on: day("issued_on"),
            valid_from,
            valid_to: day("valid_to"),
            in_force_to: day("valid_to"),
            long_stay_on: day("long_stay_on"),
            disease: maybe("disease"),
            self_pay: value("self_pay").number(),
            updated_at: value("updated_at").timestamp().unwrap_or_default().into(),
            // The night's, once it is known what holds.
            recorded_from: Moment(0),
            recorded_to: None,
            source_file: Cow::Owned(source.to_owned()),
            source_record: fit.line,
        });
        Self { operation, member_no: value("member_no").text().to_owned(), cert_seq, row }
    }
}

impl Member {
    /// Applies a record; the code of what is to be told of it. One with an error changes nothing.
    fn apply(&mut self, record: Record, upsert: bool) -> Option<Code> {
        let own = self.state.get(&record.cert_seq);
        let Some(row) = record.row else {
            return self.state.remove(&record.cert_seq).is_none().then_some(Code::CertificateNotRegistered);
        };
        match (record.operation, own) {
            (Operation::Register, Some(own)) if same(own, &row) => return Some(Code::SameImage),
            (Operation::Register, Some(_)) => return Some(Code::CertificateRegistered),
            (Operation::Update, None) if !upsert => return Some(Code::CertificateNotRegistered),
            _ => {}
        }
        if !self.covers.iter().any(|cover| touches(&row, *cover)) {
            return Some(Code::CertificateWithoutCover);
        }
        let cuts = self.state.values().any(|other| other.cert_seq != row.cert_seq && overlap(other, &row));
        self.state.insert(row.cert_seq, row);
        cuts.then_some(Code::CertificateCut)
    }

    /// Rows to write for the night.
    fn rows(mut self, now: Moment) -> Vec<Row<'static>> {
        end_before_next(self.state.values_mut());
        let numbers: BTreeSet<i64> = self.known.keys().chain(self.state.keys()).copied().collect();
        let mut rows = Vec::new();
        for number in numbers {
            let known = self.known.remove(&number).unwrap_or_default();
            let last = self.state.remove(&number);
            // A record of this run replaces what an earlier run of the night wrote, down to its source.
            let unchanged = |a: &Row<'static>, b: &Row<'static>| {
                let source = (&a.source_file, a.source_record) == (&b.source_file, b.source_record);
                same(a, b) && a.in_force_to == b.in_force_to && (a.recorded_from < now || source)
            };
            rows.extend(night_rows(&known, last, now, &unchanged));
        }
        rows
    }
}

/// Whether two certificates say the same, whenever and by whatever record.
fn same(a: &Row<'_>, b: &Row<'_>) -> bool {
    let contents = |row: &Row<'_>| {
        let dates = (row.issued_on, row.valid_from, row.valid_to, row.long_stay_on);
        (
            row.cert_kind.to_string(),
            row.limit_class.clone().map(Cow::into_owned),
            dates,
            row.disease.clone().map(Cow::into_owned),
            row.self_pay,
        )
    };
    contents(a) == contents(b)
}

/// Whether the period of a certificate, as sent, has a day in a cover.
fn touches(row: &Row<'_>, (from, end): Cover) -> bool {
    let begins_before_end = end.is_none_or(|end| row.valid_from.date() < end && from < end);
    begins_before_end && row.valid_to.is_none_or(|to| from <= to.date())
}

/// Whether two certificates, as sent, could not both be in force.
fn overlap(a: &Row<'_>, b: &Row<'_>) -> bool {
    let alone = |row: &Row<'_>| row.cert_kind == SPECIFIC_DISEASE;
    let before = |a: &Row<'_>, b: &Row<'_>| a.valid_to.is_some_and(|to| to.0 < b.valid_from.0);
    !alone(a) && !alone(b) && !before(a, b) && !before(b, a)
}

/// Ends each certificate of the kinds 01–03 the day before the next one of the member begins. Of two that begin on one day the
/// one issued later holds, else that of the higher number; the other is never in force.
fn end_before_next<'r>(rows: impl Iterator<Item = &'r mut Row<'static>>) {
    let mut rows: Vec<&mut Row<'static>> = rows.collect();
    rows.iter_mut().for_each(|row| row.in_force_to = row.valid_to);
    rows.retain(|row| row.cert_kind != SPECIFIC_DISEASE);
    rows.sort_by_key(|row| (row.valid_from, row.issued_on, row.cert_seq));
    for at in 1..rows.len() {
        let last = Day(rows[at].valid_from.0 - 1);
        let before = &mut rows[at - 1];
        before.in_force_to = Some(before.valid_to.map_or(last, |to| to.min(last)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 証通番, kind, first day, last day, day of issue; days of a small calendar.
    type Sent = (i64, u8, i32, Option<i32>, Option<i32>);

    fn row(&(cert_seq, kind, from, length, issued): &Sent) -> Row<'static> {
        Row {
            insurer_code: "06139901".into(),
            member_no: "0000000000000018".into(),
            cert_seq,
            cert_kind: format!("0{kind}").into(),
            needs: "none".into(),
            limit_class: None,
            issued_on: issued.map(Day),
            valid_from: Day(from),
            valid_to: length.map(|days| Day(from + days)),
            in_force_to: None,
            long_stay_on: None,
            disease: None,
            self_pay: None,
            updated_at: Moment(0),
            recorded_from: Moment(0),
            recorded_to: None,
            source_file: "".into(),
            source_record: 0,
        }
    }

    fn ended(sent: &[Sent]) -> BTreeMap<i64, Row<'static>> {
        let mut rows: Vec<Row<'static>> = sent.iter().map(row).collect();
        end_before_next(rows.iter_mut());
        rows.into_iter().map(|row| (row.cert_seq, row)).collect()
    }

    fn in_force(row: &Row<'_>, day: i32) -> bool {
        row.valid_from.0 <= day && row.in_force_to.is_none_or(|to| day <= to.0)
    }

    fn sent() -> impl Strategy<Value = Vec<Sent>> {
        let one = (1..5u8, 0..20i32, prop::option::of(0..15i32), prop::option::of(0..3i32));
        let numbered = |all: Vec<(u8, i32, Option<i32>, Option<i32>)>| {
            (1i64..).zip(all).map(|(n, (kind, from, length, issued))| (n, kind, from, length, issued)).collect()
        };
        prop::collection::vec(one, 0..7).prop_map(numbered)
    }

    proptest! {
        /// Day by day and by pairs: of 01–03 the one that began last is in force, if its own period has not ended; others never.
        #[test]
        fn of_the_first_three_kinds_the_one_that_began_last_is_in_force(sent in sent()) {
            let rows = ended(&sent);
            for day in -1..45 {
                for own in rows.values() {
                    let as_sent = own.valid_from.0 <= day && own.valid_to.is_none_or(|to| day <= to.0);
                    let began_later = |other: &Row<'_>| {
                        other.cert_kind != "04"
                            && other.valid_from.0 <= day
                            && (other.valid_from, other.issued_on, other.cert_seq) > (own.valid_from, own.issued_on, own.cert_seq)
                    };
                    let expected = as_sent && (own.cert_kind == "04" || !rows.values().any(began_later));
                    prop_assert_eq!(in_force(own, day), expected, "day {} of {:?}", day, own.cert_seq);
                }
            }
        }

        #[test]
        fn the_order_in_which_they_came_does_not_show(sent in sent()) {
            let turned: Vec<Sent> = sent.iter().rev().copied().collect();
            let ends = |sent: &[Sent]| -> Vec<_> { ended(sent).into_values().map(|row| row.in_force_to).collect() };
            prop_assert_eq!(ends(&sent), ends(&turned));
        }
    }
}
