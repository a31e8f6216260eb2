//! Receipts in レセプト電算 form; positions come from the layout declarations.

use shikaku_schemas::uke::{self, Edition};

use super::world::{Institution, Person, age, compact, day};
use crate::base::error::{Error, Result};
use crate::text::cp932::Encoding;

/// 請求年月 of every file.
pub const BILLED: &str = "202611";

/// The card as printed on a receipt.
#[derive(Debug, Clone)]
pub struct Card {
    pub insurer_no: String,
    pub symbol: String,
    pub number: String,
    /// Blank = the receipt does not say.
    pub branch: String,
}

/// One receipt to be written.
#[derive(Debug, Clone)]
pub struct Bill {
    pub person: Person,
    /// `None` = 公費単独.
    pub card: Option<Card>,
    pub late_elderly: bool,
    pub service_month: &'static str,
    /// Visits, ascending.
    pub days: Vec<u32>,
    /// JD of payer 1: day and code; `None` = no JD record.
    pub jd: Option<Vec<(u32, u8)>>,
    /// Days counted in the detail records (医科 only).
    pub counted: Vec<u32>,
    pub mf: bool,
    pub kohi: bool,
    /// Points above every limit of domain.md §5.6.
    pub large: bool,
    pub kana: bool,
    pub inpatient: bool,
    /// 記号・番号 in full width.
    pub wide: bool,
}

/// What GO sums over.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    count: u64,
    points: u64,
}

/// A UKE file while receipts are added.
pub struct File {
    edition: &'static Edition,
    text: String,
    totals: Totals,
    pub receipts: u64,
}

/// One record as its fields; position 1 is the record id.
struct Record<'a> {
    edition: &'a Edition,
    fields: Vec<String>,
}

impl<'a> Record<'a> {
    fn new(edition: &'a Edition, id: &str) -> Result<Self> {
        let declared = edition.record(id).ok_or_else(|| Error::failed(format!("synth: no UKE record {id}")))?;
        let mut fields = vec![String::new(); declared.fields];
        fields[0] = id.to_owned();
        Ok(Self { edition, fields })
    }

    fn set(mut self, name: &str, value: impl ToString) -> Result<Self> {
        let position = self.edition.record(&self.fields[0]).and_then(|r| r.position(name));
        let position = position.ok_or_else(|| Error::failed(format!("synth: no UKE field {name}")))?;
        self.fields[position - 1] = value.to_string();
        Ok(self)
    }

    /// Sets day columns; `first` names the column of day 1.
    fn days(mut self, first: &str, days: impl IntoIterator<Item = (u32, u8)>) -> Result<Self> {
        let position = self.edition.record(&self.fields[0]).and_then(|r| r.position(first));
        let position = position.ok_or_else(|| Error::failed(format!("synth: no UKE field {first}")))?;
        for (day, value) in days {
            let day = usize::try_from(day).map_err(|_| Error::failed("synth: no such day"))?;
            self.fields[position + day - 2] = value.to_string();
        }
        Ok(self)
    }

    fn line(self) -> String {
        self.fields.join(",") + "\r\n"
    }
}

/// ASCII in full width, as 記号 and 番号 often stand on receipts.
fn wide(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
            _ => c,
        })
        .collect()
}

impl Bill {
    /// レセプト種別.
    fn kind(&self, institution: &Institution) -> String {
        let first = if institution.fee_table == "dpc" { "1" } else { institution.fee_table };
        let second = match &self.card {
            None => 2,
            Some(_) if self.late_elderly => 3,
            Some(_) => 1,
        };
        let third = if self.kohi && self.card.is_some() { 2 } else { 1 };
        let years = age(self.person.birth, day("20261001"));
        let inpatient = match (years, self.person.place) {
            _ if self.late_elderly || years >= 70 => 7,
            (..6, _) => 3,
            (_, 0) => 1,
            _ => 5,
        };
        let fourth = if self.inpatient { inpatient } else { inpatient + 1 };
        format!("{first}{second}{third}{fourth}")
    }

    /// 医科 units: (detail lines, points of them).
    fn details(&self, edition: &Edition) -> Result<(String, u64)> {
        let burden = match (&self.card, self.kohi) {
            (None, _) => "5",
            (_, true) => "2",
            _ => "1",
        };
        let record = |id: &str, class: &str, code: &str, points: &str, days: &[(u32, u8)]| {
            let times: u32 = days.iter().map(|(_, n)| u32::from(*n)).sum();
            let record =
                Record::new(edition, id)?.set("service_class", class)?.set("burden", burden)?.set("code", code)?;
            let times = if times == 0 { 1 } else { times };
            record.set("points", points)?.set("count", times)?.days("day_first", days.iter().copied()).map(Record::line)
        };
        let comment = |class: &str, text: &str| {
            let record = Record::new(edition, "CO")?.set("service_class", class)?.set("burden", burden)?;
            record.set("code", "810000001")?.set("text", text).map(Record::line)
        };
        let mut lines = String::new();
        let once: Vec<(u32, u8)> = self.counted.iter().map(|d| (*d, 1)).collect();
        let (first, later) = once.split_at(1.min(once.len()));
        lines += &record("SI", "11", "111000110", "288", first)?;
        let mut points = 288;
        if !later.is_empty() {
            lines += &record("SI", "12", "112007410", "73", later)?;
            points += 73 * super::dice::count(later.len());
        }
        // A unit of two drugs for a week: points stand on its last record only.
        let week: Vec<(u32, u8)> = first.iter().map(|(d, _)| (*d, 7)).collect();
        let times: u64 = if week.is_empty() { 1 } else { 7 };
        lines += &comment("21", "毎食後")?;
        lines += &record("IY", "21", "620004422", "", &week)?;
        lines += &record("IY", "", "620098801", "12", &week)?;
        points += 12 * times;
        if self.large {
            lines += &record("SI", "50", "150253010", "19000", first)?;
            points += 19_000;
        }
        lines += &comment("99", "見本のレセプト")?;
        Ok((lines, points))
    }
}

impl File {
    /// Starts a file with its IR record.
    pub fn new(institution: &Institution, payer: &str) -> Result<Self> {
        let table = institution.fee_table;
        let edition = uke::edition(table, BILLED).ok_or_else(|| Error::failed("synth: no UKE edition"))?;
        let code = &institution.code;
        let ir = Record::new(edition, "IR")?
            .set("payer", payer)?
            .set("prefecture", &code[..2])?
            .set("fee_table", &code[2..3])?
            .set("institution", &code[3..])?
            .set("name", &institution.name)?
            .set("billing_month", BILLED)?
            .set("volume", "00")?
            .set("phone", "0300000000")?;
        Ok(Self { edition, text: ir.line(), totals: Totals::default(), receipts: 0 })
    }

    /// Adds a receipt and returns its レセプト番号.
    pub fn push(&mut self, institution: &Institution, bill: &Bill) -> Result<u64> {
        let edition = self.edition;
        self.receipts += 1;
        let (number, person) = (self.receipts, &bill.person);
        let mut re = Record::new(edition, "RE")?
            .set("receipt_no", number)?
            .set("kind", bill.kind(institution))?
            .set("service_month", bill.service_month)?
            .set("name", person.name())?
            .set("sex", person.sex)?
            .set("birth_date", compact(person.birth))?;
        if bill.inpatient {
            re = re.set("admitted_on", format!("{}01", bill.service_month))?;
        }
        if bill.kana {
            re = re.set("kana", person.kana().replace('　', ""))?;
        }
        let mut body = re.line();
        let (details, points) = match institution.fee_table {
            "1" => bill.details(edition)?,
            _ if bill.large => (String::new(), 20_000),
            _ => (String::new(), 480 + 70 * super::dice::count(bill.days.len())),
        };
        let visits = bill.days.len().max(1);
        if let Some(card) = &bill.card {
            let form = |text: &str| if bill.wide { wide(text) } else { text.to_owned() };
            // 国保: six digits, spaces before.
            let printed = card.insurer_no.strip_prefix("00").map_or(card.insurer_no.clone(), |n| format!("  {n}"));
            let ho = Record::new(edition, "HO")?
                .set("insurer_no", printed)?
                .set("symbol", form(&card.symbol))?
                .set("number", form(&card.number))?
                .set("days", visits)?;
            body += &ho.set("points", points)?.line();
            self.totals.count += 1;
            self.totals.points += points;
        } else {
            self.totals.points += points;
        }
        let kohi = bill.kohi || bill.card.is_none();
        if kohi {
            let ko = Record::new(edition, "KO")?.set("bearer_no", "54139900")?.set("recipient_no", "0000018")?;
            body += &ko.set("days", visits)?.set("points", points)?.line();
            self.totals.count += 1;
        }
        body += &bill.confirmation(edition)?;
        if institution.fee_table == "dpc" {
            body += "BU,040080x099x0xx,20261001,20261031,1,,,\r\n";
        }
        body += "SY,8848176,20261001,1,,見本の傷病,01,\r\n";
        body += &details;
        self.text += &body;
        Ok(number)
    }

    /// The whole file with its control totals, as bytes; some senders end it with 0x1A.
    pub fn bytes(&self, end_mark: bool) -> Result<Vec<u8>> {
        let go = Record::new(self.edition, "GO")?.set("count", self.totals.count)?.set("points", self.totals.points)?;
        let text = format!("{}{}", self.text, go.set("volume", "99")?.line());
        let bytes = Encoding::Cp932.encode(&text);
        let mut bytes = bytes.ok_or_else(|| Error::failed("synth: a receipt has no code in CP932"))?;
        if end_mark {
            bytes.push(0x1a);
        }
        Ok(bytes)
    }
}

impl Bill {
    /// SN, JD and MF.
    fn confirmation(&self, edition: &Edition) -> Result<String> {
        let mut lines = String::new();
        let kohi_alone = self.card.is_none();
        if let Some(card) = self.card.as_ref().filter(|c| !c.branch.is_empty()) {
            let sn = Record::new(edition, "SN")?.set("bearer", "1")?.set("outcome", "01")?;
            lines += &sn.set("branch_no", &card.branch)?.line();
        }
        if self.kohi && !kohi_alone {
            let sn = Record::new(edition, "SN")?.set("bearer", "2")?.set("outcome", "01")?;
            lines += &sn.set("recipient_no", "0000018")?.line();
        }
        if let Some(jd) = &self.jd {
            let bearers: &[&str] = match (kohi_alone, self.kohi) {
                (true, _) => &["2"],
                (false, true) => &["1", "2"],
                (false, false) => &["1"],
            };
            for bearer in bearers {
                let record = Record::new(edition, "JD")?.set("bearer", bearer)?;
                lines += &record.days("day_first", jd.iter().copied())?.line();
            }
        }
        if self.mf {
            lines += &Record::new(edition, "MF")?.set("copay_class", "00")?.line();
        }
        Ok(lines)
    }
}
