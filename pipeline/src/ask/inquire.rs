//! What the online side would be told of one person's eligibility on a day (資格照会), now or as known at a past moment.
//!
//! The states are those of 000 図「照会結果の表示パターン」 (sources/originals/000 L411–422). A look-up by card (記号・番号) speaks of
//! that card's coverage alone: that a new one exists is said, whose it is never.

pub mod certificate;

use std::borrow::Cow;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};
use shikaku_schemas::tables;

use crate::base::config::Config;
use crate::base::digest;
use crate::base::error::{Error, Result};
use crate::base::time::{Day, Moment};
use crate::crl::set;
use crate::lake::history::{Span, known_before};
use crate::lake::lookup;
use crate::lake::read::{self, Reader};
use crate::lake::tables::{coverage, member, serial_link};
use crate::lake::typed::Recorded as _;
use crate::masters::Masters;
use crate::masters::cover::end_of_cover;
use crate::store::Store;
use crate::subscribers::image::Whole;
use crate::subscribers::known::{self, Wanted, WantedMembers};
use crate::text::normal;
use certificate::{Certificate, Validity};

/// What is asked: exactly one of card, person and certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// 保険者番号, with 記号, 番号 and, if known, 枝番 and 生年月日.
    pub insurer_no: Option<String>,
    pub symbol: Option<String>,
    pub number: Option<String>,
    pub branch_no: Option<String>,
    pub birth_date: Option<NaiveDate>,
    /// 紐付番号.
    pub link_no: Option<i64>,
    /// シリアル番号 of a certificate.
    pub serial: Option<String>,
    /// 資格確認日.
    pub valid_on: Option<NaiveDate>,
    /// As known just before this moment, or at the end of this date; now if absent.
    #[serde(deserialize_with = "moment")]
    pub known_at: Option<NaiveDateTime>,
    /// State of the certificate just before this moment or at the end of this date, and with it of its person; only with
    /// `serial`.
    #[serde(deserialize_with = "moment")]
    pub at: Option<NaiveDateTime>,
}

/// State of the eligibility asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// 資格が有効
    Valid,
    /// 資格が喪失し、新しい資格が登録されていない
    Lost,
    /// 資格が喪失し、新しい資格が登録されている (look-up by card only)
    LostWithSuccessor,
    /// 資格取得日前
    NotYet,
    /// 該当する資格がない
    NotFound,
    /// 該当する者が複数
    Ambiguous,
    /// 電子証明書が失効
    CertificateRevoked,
    /// 電子証明書が一時停止
    CertificateSuspended,
    /// 失効情報がなく、電子証明書を検証できない
    CertificateUnverifiable,
}

/// A coverage as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub insurer_no: String,
    pub symbol: Option<String>,
    pub number: String,
    pub branch_no: Option<String>,
    pub name: Option<String>,
    pub kana: Option<String>,
    pub birth_date: Option<NaiveDate>,
    pub acquired_on: NaiveDate,
    pub lost_on: Option<NaiveDate>,
    pub card_kind: Option<String>,
    /// 証の有効終了年月日 and 給付終了年月日: inclusive last days.
    pub card_to: Option<NaiveDate>,
    pub benefit_to: Option<NaiveDate>,
    pub card_copay: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub state: State,
    /// 照会結果 in words.
    pub message: String,
    /// The coverage, or those of a person that cover the day, newest 資格取得日 first; when lost, the latest one.
    pub coverages: Vec<Shown>,
    /// What the coverage alone does not say: a card or a benefit that has ended by the day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Facts about the certificate, when its state was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// A coverage with what decides.
struct Held {
    insurer_code: String,
    member_no: String,
    link_no: i64,
    end: Option<NaiveDate>,
    recorded_from: Moment,
    keys: (String, String),
    shown: Shown,
}

impl Held {
    fn covers(&self, day: NaiveDate) -> bool {
        self.shown.acquired_on <= day && self.end.is_none_or(|end| day < end)
    }
}

impl Request {
    /// Refuses a request that asks for nothing, or for several things at once.
    pub fn check(&self) -> Result<()> {
        let card = [&self.insurer_no, &self.symbol, &self.number, &self.branch_no];
        let by_card = card.iter().any(|f| f.is_some()) || self.birth_date.is_some();
        let asked = [by_card, self.link_no.is_some(), self.serial.is_some()];
        if asked.iter().filter(|a| **a).count() != 1 {
            return Err(Error::usage("ask for one of: insurer_no with number (and symbol), link_no, serial"));
        }
        if by_card && (self.insurer_no.is_none() || self.number.is_none()) {
            return Err(Error::usage("a look-up by card needs insurer_no and number"));
        }
        if self.serial.as_deref().is_some_and(|serial| normal::serial(serial).is_none()) {
            return Err(Error::usage("serial must be the certificate's serial number in hex, of at most 20 octets"));
        }
        if self.at.is_some() && (self.serial.is_none() || self.known_at.is_some()) {
            return Err(Error::usage("at goes with serial, and instead of known_at"));
        }
        if self.valid_on.is_none() && self.at.is_none() {
            return Err(Error::usage("valid_on (資格確認日) is missing"));
        }
        Ok(())
    }

    /// 資格確認日: that of the moment asked about, if no other is given.
    fn day(&self) -> NaiveDate {
        let moment = self.at.map(|at| (at - TimeDelta::milliseconds(1)).date());
        self.valid_on.or(moment).unwrap_or_default()
    }
}

/// Keyed hash of a request, for its access record; without keys a plain one.
pub fn fingerprint(store: &Store, request: &Request) -> Result<String> {
    let text = serde_json::to_string(request)?;
    Ok(match &store.keys {
        Some(keys) => keys.mac(&text),
        None => digest::sha256(text.as_bytes()),
    })
}

/// Answers a request from the newest published set.
pub fn answer(store: &Store, request: &Request) -> Result<Answer> {
    request.check()?;
    let reader = store.reader()?;
    // The loss-day rule of that moment too, so that an answer for the past stays what it was.
    let known_at = request.at.or(request.known_at);
    let masters = match known_at {
        Some(at) => Masters::known_before(store, at)?,
        None => Masters::load(&reader)?,
    };
    let asked = Asked { reader: &reader, masters: &masters, config: &store.config, known_at };
    let day = request.day();
    match (request.link_no, &request.serial, request.at) {
        (Some(link_no), ..) => asked.by_person(link_no, day),
        (None, Some(serial), Some(at)) => asked
            .by_certificate(certificate::state(&reader, &store.ledger, &set::trust_anchors(store)?, serial, at)?, day),
        (None, Some(serial), None) => match asked.person_of(serial)? {
            Some(link_no) => asked.by_person(link_no, day),
            None => Ok(told(State::NotFound, Vec::new())),
        },
        (None, None, _) => asked.by_card(request, day),
    }
}

fn told(state: State, coverages: Vec<Shown>) -> Answer {
    let message = match state {
        State::Valid => "資格は有効です。",
        State::Lost => "資格を喪失しています。",
        State::LostWithSuccessor => "資格を喪失しており、新しい資格情報があります。",
        State::NotYet => "資格取得日前です。",
        State::NotFound => "該当する資格情報がありません。",
        State::Ambiguous => "該当する者が複数います。枝番または生年月日を指定してください。",
        State::CertificateRevoked => "電子証明書が失効しています。",
        State::CertificateSuspended => "電子証明書が一時停止されています。",
        State::CertificateUnverifiable => "失効情報がないため、電子証明書の有効性を確認できません。",
    };
    Answer { state, message: message.to_owned(), coverages, notices: Vec::new(), certificate: None }
}

struct Asked<'a> {
    reader: &'a Reader,
    masters: &'a Masters,
    config: &'a Config,
    known_at: Option<NaiveDateTime>,
}

impl Asked<'_> {
    fn is_known(&self, span: Span) -> bool {
        match self.known_at {
            Some(at) => known_before(span, at.into()),
            None => span.1.is_none(),
        }
    }

    /// 紐付番号 behind a certificate; old serials lead to it too (002 L25299).
    fn person_of(&self, serial: &str) -> Result<Option<i64>> {
        let Some(serial) = normal::serial(serial) else { return Ok(None) };
        let rows: Vec<serial_link::Row<'_>> = lookup::rows_with(self.reader, serial_link::SERIAL.name, &[&serial])?;
        Ok(rows.iter().find(|row| self.is_known(row.span())).map(|row| row.link_no))
    }

    /// Coverages, known at the moment, of all members that ever had the value in a column of `coverage`.
    fn coverages(&self, column: &str, value: read::Wanted<'_>) -> Result<Vec<Held>> {
        let table = tables::of("coverage");
        let mut wanted = WantedMembers::new();
        for (code, member) in self.reader.keys_with(table, column, value)? {
            let one = Wanted { link_no: None, whole: true };
            wanted.entry(code).or_default().insert(member.parse().map_err(|_| broken())?, one);
        }
        let mut held = Vec::new();
        for (code, members) in known::known(self.reader, &wanted, Moment(i64::MIN))? {
            for rows in members.into_values() {
                let (mut member, mut coverages) = (None, Vec::new());
                for (_, row) in rows {
                    match row.into_whole().filter(|row| self.is_known(row.span())) {
                        Some(Whole::Member(row)) => member = Some(row),
                        Some(Whole::Coverage(row)) => coverages.push(row),
                        None => {}
                    }
                }
                held.extend(coverages.into_iter().map(|row| self.held(&code, row, member.as_ref())));
            }
        }
        // Newest 資格取得日, then newest recorded.
        held.sort_by(|a, b| {
            let key = |h: &Held| (h.shown.acquired_on, h.recorded_from);
            key(b).cmp(&key(a)).then_with(|| (&a.insurer_code, &a.member_no).cmp(&(&b.insurer_code, &b.member_no)))
        });
        Ok(held)
    }

    fn held(&self, code: &str, row: coverage::Row<'_>, member: Option<&member::Row<'_>>) -> Held {
        let text = |value: Option<Cow<'_, str>>| value.map(Cow::into_owned);
        let of_member = |value: fn(&member::Row<'_>) -> Option<String>| member.and_then(value);
        let (acquired_on, lost_on) = (row.acquired_on.date(), row.lost_on.map(Day::date));
        Held {
            insurer_code: code.to_owned(),
            member_no: row.member_no.into_owned(),
            link_no: row.link_no,
            end: lost_on.map(|lost| end_of_cover(acquired_on, lost, self.masters.loss_day(self.config, code))),
            recorded_from: row.recorded_from,
            keys: (row.symbol_key.into_owned(), row.number_key.into_owned()),
            shown: Shown {
                insurer_no: row.insurer_no.into_owned(),
                symbol: text(row.symbol),
                number: row.number.into_owned(),
                branch_no: text(row.branch_no),
                name: of_member(|m| m.name.as_deref().map(str::to_owned)),
                kana: of_member(|m| m.kana.as_deref().map(str::to_owned)),
                birth_date: member.and_then(|m| m.birth_date).map(Day::date),
                acquired_on,
                lost_on,
                card_kind: text(row.card_kind),
                card_to: row.card_to.map(Day::date),
                benefit_to: row.benefit_to.map(Day::date),
                card_copay: text(row.card_copay),
            },
        }
    }

    /// By certificate: what the online side would have said. It goes on to the person only with a valid one.
    fn by_certificate(&self, certificate: Certificate, day: NaiveDate) -> Result<Answer> {
        let answer = match (certificate.validity, &certificate.link) {
            (Validity::Revoked, _) => told(State::CertificateRevoked, Vec::new()),
            (Validity::Suspended, _) => told(State::CertificateSuspended, Vec::new()),
            (Validity::Unverifiable, _) => told(State::CertificateUnverifiable, Vec::new()),
            (Validity::Valid, Some(link)) => self.by_person(link.link_no, day)?,
            (Validity::Valid, None) => told(State::NotFound, Vec::new()),
        };
        Ok(Answer { certificate: Some(certificate), ..answer })
    }

    /// By マイナンバーカード: what covers the day, else the latest that was lost.
    fn by_person(&self, link_no: i64, day: NaiveDate) -> Result<Answer> {
        let mut held = self.coverages(coverage::LINK_NO.name, read::Wanted::Int(link_no))?;
        held.retain(|h| h.link_no == link_no);
        Ok(state_on(held, day))
    }

    /// By 記号・番号: that card's coverage, and whether the person has another one since.
    fn by_card(&self, request: &Request, day: NaiveDate) -> Result<Answer> {
        let key = |text: &Option<String>| normal::number_key(text.as_deref().unwrap_or_default());
        let keys = (key(&request.symbol), key(&request.number));
        let insurer_no = format!("{:0>8}", request.insurer_no.as_deref().unwrap_or_default());
        let mut held = self.coverages(coverage::NUMBER_KEY.name, read::Wanted::Text(&keys.1))?;
        held.retain(|h| {
            let branch = request.branch_no.as_ref().zip(h.shown.branch_no.as_ref()).is_none_or(|(a, b)| a == b);
            let born = request.birth_date.is_none_or(|date| h.shown.birth_date == Some(date));
            h.shown.insurer_no == insurer_no && h.keys == keys && branch && born
        });
        // A number given to somebody else later: whoever is covered on the day is meant.
        if held.iter().any(|h| h.covers(day)) {
            let covered: Vec<(String, String)> =
                held.iter().filter(|h| h.covers(day)).map(|h| (h.insurer_code.clone(), h.member_no.clone())).collect();
            held.retain(|h| covered.iter().any(|(code, member)| (code, member) == (&h.insurer_code, &h.member_no)));
        }
        let mut members: Vec<(&str, &str)> = held.iter().map(|h| (&*h.insurer_code, &*h.member_no)).collect();
        members.sort_unstable();
        members.dedup();
        if members.len() > 1 {
            return Ok(told(State::Ambiguous, Vec::new()));
        }
        let Some(link_no) = held.first().map(|h| h.link_no) else { return Ok(told(State::NotFound, Vec::new())) };
        let answer = state_on(held, day);
        let succeeded = answer.state == State::Lost && self.by_person(link_no, day)?.state == State::Valid;
        Ok(if succeeded { told(State::LostWithSuccessor, answer.coverages) } else { answer })
    }
}

/// `held` newest first. An empty coverage (同日得喪) covers nothing, but its loss is known.
fn state_on(held: Vec<Held>, day: NaiveDate) -> Answer {
    let shown = |held: &[Held], wanted: &dyn Fn(&Held) -> bool| -> Vec<Shown> {
        held.iter().filter(|h| wanted(h)).map(|h| h.shown.clone()).collect()
    };
    let covering = shown(&held, &|h| h.covers(day));
    if !covering.is_empty() {
        let notices = covering.iter().flat_map(|shown| notices(shown, day)).collect();
        return Answer { notices, ..told(State::Valid, covering) };
    }
    let mut lost: Vec<&Held> = held.iter().filter(|h| h.end.is_some_and(|end| end <= day)).collect();
    lost.sort_by_key(|h| std::cmp::Reverse(h.end));
    match lost.first() {
        Some(latest) => told(State::Lost, vec![latest.shown.clone()]),
        None if held.is_empty() => told(State::NotFound, Vec::new()),
        None => told(State::NotYet, Vec::new()),
    }
}

/// What has ended although the eligibility has not.
fn notices(shown: &Shown, day: NaiveDate) -> Vec<String> {
    let no = &shown.insurer_no;
    let card = shown.card_to.filter(|end| *end < day).map(|end| {
        let card = if shown.card_kind.as_deref() == Some("08") { "資格確認書" } else { "証" };
        format!("保険者番号{no}の{card}は{end}で有効期間が終わっています。")
    });
    let benefit = shown.benefit_to.filter(|end| *end < day);
    card.into_iter().chain(benefit.map(|end| format!("保険者番号{no}の給付は{end}で終わっています。"))).collect()
}

/// A moment, or a date for its end.
fn moment<'de, D: serde::Deserializer<'de>>(source: D) -> std::result::Result<Option<NaiveDateTime>, D::Error> {
    let Some(text) = Option::<String>::deserialize(source)? else { return Ok(None) };
    let day_end = |date: NaiveDate| date.succ_opt().map(|next| next.and_time(chrono::NaiveTime::MIN));
    let read = text.parse::<NaiveDate>().ok().and_then(day_end).or_else(|| text.parse().ok());
    read.map(Some).ok_or_else(|| serde::de::Error::custom("neither a date nor a moment"))
}

fn broken() -> Error {
    Error::integrity("a stored 被保険者枝番 is no number")
}
