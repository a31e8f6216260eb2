//! Slow, obvious model of subscriber files (SUB): whole files, runs and nights in; results and recorded history out.
//! Written from domain.md §1–3, formats.md §1–2, rules.md §1, "Files in", "Runs") and rules.md §5–4
//! alone, without sight of the implementation. Dates and times are the digits of the file (`YYYYMMDD[hhmmss]`), so that
//! text order is time order. Where the documents leave a choice there is an `// AMBIGUOUS:` with the choice made.

use std::collections::{BTreeMap, BTreeSet};

/// The non-blank fields of one line by their names in formats.md §1.
pub type Fields = BTreeMap<String, String>;

/// Fields 5–13 and 34: the basic data of a member, latest only.
pub const MEMBER: [&str; 10] = [
    "name",
    "kana",
    "sex",
    "birth_date",
    "address",
    "dependent",
    "insured_name",
    "householder",
    "householder_name",
    "updated_at",
];

/// Fields 15–33: one period of coverage.
pub const COVERAGE: [&str; 19] = [
    "insurer_no",
    "symbol",
    "number",
    "branch_no",
    "acquired_on",
    "lost_on",
    "loss_reason",
    "card_returned_on",
    "retiree_switched_on",
    "benefit_from",
    "benefit_to",
    "workplace",
    "card_kind",
    "card_from",
    "card_to",
    "card_copay",
    "elderly_from",
    "elderly_to",
    "elderly_copay",
];

/// What may be wrong with a file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    None,
    /// The last line is missing: `400002`.
    Truncated,
    /// A likely 個人番号 stands in an address: `900001`.
    MyNumber,
}

/// One file. Files with equal contents have the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// 保険者コード.
    pub origin: String,
    /// 受付番号.
    pub receipt: u32,
    pub lines: Vec<Fields>,
    pub damage: Damage,
}

/// What happens to one line. `Rejected` names the classes (first digit) that its codes may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Duplicate,
    Rejected(BTreeSet<char>),
}

/// What happens to one file in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Read: record_no and verdict of each line, in file order.
    Read(Vec<(String, Verdict)>),
    /// Rejected or quarantined whole, with the classes its one code may have.
    Refused(BTreeSet<char>),
    /// An earlier 受付番号 is missing: unread, no counts, stays in the inbox.
    Held,
    /// These bytes were judged before: nothing changes, nothing is said.
    Known,
}

/// One version in recorded time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<K> {
    pub key: K,
    pub link_no: String,
    /// The fields of [`MEMBER`] or [`COVERAGE`] that are not blank.
    pub fields: Fields,
    pub from: String,
    /// Exclusive; none = still so.
    pub to: Option<String>,
}

/// 保険者コード, 被保険者枝番.
pub type MemberKey = (String, String);
/// 保険者コード, 被保険者枝番, 資格通番.
pub type CoverageKey = (String, String, u32);

/// What the masters say of one 保険者コード.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insurer {
    /// 制度.
    pub scheme: String,
    pub numbers: Vec<String>,
}

/// What is so at one moment. A coverage has no person of its own: the 紐付番号 is the member's (domain.md §3, operation 4:
/// "the member's 紐付番号 changes").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// 被保険者枝番 → 紐付番号, basic data.
    members: BTreeMap<String, (String, Fields)>,
    /// 被保険者枝番, 資格通番 → coverage.
    coverages: BTreeMap<(String, u32), Fields>,
}

/// Everything about one 保険者コード; insurers know nothing of each other.
#[derive(Debug, Clone)]
struct Origin {
    insurer: Insurer,
    now: State,
    /// Recorded time → the last state of that night.
    nights: BTreeMap<String, State>,
    /// The 受付番号 that comes next; none before the first file.
    next: Option<u32>,
    /// 受付番号 that the operator let go.
    released: BTreeSet<u32>,
    /// In the inbox, unread.
    waiting: Vec<File>,
    /// Contents that were judged.
    judged: BTreeSet<File>,
}

#[derive(Debug, Clone)]
pub struct World {
    origins: BTreeMap<String, Origin>,
}

impl World {
    pub fn new(insurers: &BTreeMap<String, Insurer>) -> World {
        let mut origins = BTreeMap::new();
        for (code, insurer) in insurers {
            let origin = Origin {
                insurer: insurer.clone(),
                now: State::default(),
                nights: BTreeMap::new(),
                next: None,
                released: BTreeSet::new(),
                waiting: Vec::new(),
                judged: BTreeSet::new(),
            };
            origins.insert(code.clone(), origin);
        }
        World { origins }
    }

    /// The operator lets a held file go.
    pub fn release(&mut self, origin: &str, receipt: u32) {
        self.origins.get_mut(origin).unwrap().released.insert(receipt);
    }

    /// 受付番号 of the files that are in the inbox, unread.
    pub fn held(&self, origin: &str) -> BTreeSet<u32> {
        self.origins[origin].waiting.iter().map(|f| f.receipt).collect()
    }

    /// The 受付番号 that comes next.
    pub fn next(&self, origin: &str) -> Option<u32> {
        self.origins[origin].next
    }

    /// One run of the night of `date`: everything in the inbox, what waits there and what is new. "Recorded time of
    /// everything a night accepts = D 21:00:00" (rules.md).
    pub fn run(&mut self, date: &str, files: &[File]) -> BTreeMap<File, Outcome> {
        let mut outcomes = BTreeMap::new();
        for (code, origin) in &mut self.origins {
            let new: Vec<File> = files.iter().filter(|f| f.origin == *code).cloned().collect();
            outcomes.extend(origin.run(new));
            origin.nights.insert(format!("{date}210000"), origin.now.clone());
        }
        outcomes
    }

    pub fn members(&self) -> Vec<Version<MemberKey>> {
        let mut all = Vec::new();
        for (code, origin) in &self.origins {
            let mut nights = BTreeMap::new();
            for (at, state) in &origin.nights {
                let mut rows = BTreeMap::new();
                for (member, (link, fields)) in &state.members {
                    rows.insert((code.clone(), member.clone()), (link.clone(), fields.clone()));
                }
                nights.insert(at.clone(), rows);
            }
            all.extend(versions(&nights));
        }
        all
    }

    pub fn coverages(&self) -> Vec<Version<CoverageKey>> {
        let mut all = Vec::new();
        for (code, origin) in &self.origins {
            let mut nights = BTreeMap::new();
            for (at, state) in &origin.nights {
                let mut rows = BTreeMap::new();
                for ((member, seq), fields) in &state.coverages {
                    let link = state.members[member].0.clone();
                    rows.insert((code.clone(), member.clone(), *seq), (link, fields.clone()));
                }
                nights.insert(at.clone(), rows);
            }
            all.extend(versions(&nights));
        }
        all
    }
}

impl Origin {
    /// "Files of one insurer are applied in order of 受付番号; a later file never overtakes an earlier one" (domain.md §3).
    fn run(&mut self, new: Vec<File>) -> BTreeMap<File, Outcome> {
        let mut outcomes = BTreeMap::new();
        let mut inbox: BTreeSet<File> = self.waiting.drain(..).collect();
        for file in new {
            if self.judged.contains(&file) {
                outcomes.insert(file, Outcome::Known);
            } else {
                inbox.insert(file);
            }
        }
        let mut inbox: Vec<File> = inbox.into_iter().collect();
        // A damaged file and its correction have one number; whichever comes first, the sound one is applied.
        inbox.sort_by_key(|f| (f.receipt, f.damage == Damage::None));
        for file in inbox {
            // "The first seen sets the start."
            let next = *self.next.get_or_insert(file.receipt);
            // AMBIGUOUS: held files are "unread", yet 900001 is the first of the file checks. Here a damaged file behind a
            // gap is refused at once; either way nothing is applied and the number stays unused.
            // A release lets go what waits before the file named too, since "a later file never overtakes an earlier one".
            let released = self.released.iter().any(|n| *n >= file.receipt);
            let gap = file.receipt > next && !released;
            if gap && file.damage == Damage::None {
                self.waiting.push(file.clone());
                outcomes.insert(file, Outcome::Held);
                continue;
            }
            let outcome = self.judge(&file, next);
            self.judged.insert(file.clone());
            outcomes.insert(file, outcome);
        }
        outcomes
    }

    fn judge(&mut self, file: &File, next: u32) -> Outcome {
        let damage = match file.damage {
            Damage::None => None,
            Damage::Truncated => Some('4'),
            Damage::MyNumber => Some('9'),
        };
        // "A used or lower number with other bytes: 300xxx, whole." "A file rejected whole leaves its number unused."
        // AMBIGUOUS: which code a used number in a damaged file gets.
        let used = (file.receipt < next).then_some('3');
        if used.is_some() || damage.is_some() {
            return Outcome::Refused(used.into_iter().chain(damage).collect());
        }
        // "A read file with record errors consumes it."
        self.next = Some(file.receipt + 1);
        let mut seen = BTreeSet::new();
        let mut results = Vec::new();
        for line in &file.lines {
            let mut classes = self.check(line);
            if !seen.insert(get(line, "record_no").to_owned()) {
                classes.insert('1'); // unique in the file
            }
            // "Lines apply in file order; a record in error is skipped alone."
            let verdict = if classes.is_empty() {
                self.apply(line)
            } else {
                classes.insert('3'); // it may also disagree with what is known
                Verdict::Rejected(classes)
            };
            results.push((get(line, "record_no").to_owned(), verdict));
        }
        Outcome::Read(results)
    }

    /// The rules of formats.md §1 that the driver breaks; 1 one field, 2 fields together, 3 masters.
    fn check(&self, line: &Fields) -> BTreeSet<char> {
        let mut classes = BTreeSet::new();
        let operation = get(line, "operation");
        if !["1", "2", "3", "4"].contains(&operation) || !["1", "2", "3"].contains(&get(line, "sex")) {
            classes.insert('1');
        }
        if get(line, "member_no").len() != 16 || !check_digit(get(line, "member_no")) {
            classes.insert('1');
        }
        let link = get(line, "link_no");
        if (operation == "3") != link.is_empty() || link.len() > 18 || !link.chars().all(|c| c.is_ascii_digit()) {
            classes.insert('1');
        }
        if ["1", "2"].contains(&operation) && get(line, "name").is_empty() || get(line, "name").chars().count() > 100 {
            classes.insert('1');
        }
        for (name, value) in line {
            if (name.ends_with("_on") || name == "birth_date") && !is_date(value) {
                classes.insert('1');
            }
        }
        // "市町村国保 only", "協会けんぽ・健保組合 only", "市町村国保 send no 3 and no 4" (domain.md §3).
        let municipal = self.insurer.scheme == "06";
        let employees = ["01", "02"].contains(&self.insurer.scheme.as_str());
        if !municipal && line.contains_key("retiree_switched_on")
            || !employees && line.contains_key("workplace")
            || municipal && ["3", "4"].contains(&operation)
        {
            // AMBIGUOUS: the class.
            classes.extend(['1', '2', '3']);
        }
        // Field 14: "present iff any of 15–33 is; then 15, 17, 19, 27 are required".
        let any = COVERAGE.iter().any(|name| line.contains_key(*name));
        let all = ["insurer_no", "number", "acquired_on", "card_kind"].iter().all(|name| line.contains_key(*name));
        // AMBIGUOUS: 削除 "with it [removes] that coverage" (rules.md) needs no more than the 資格通番.
        let named = operation == "3" && !any;
        if any != line.contains_key("coverage_seq") && !named || any && !all {
            classes.insert('2');
        }
        let lost = get(line, "lost_on");
        if line.contains_key("lost_on") != line.contains_key("loss_reason")
            || !lost.is_empty() && lost < get(line, "acquired_on")
        {
            classes.insert('2');
        }
        // In 記号 and 番号 twelve digits with a valid check digit reject the record (domain.md §1).
        if my_number(get(line, "symbol")) || my_number(get(line, "number")) {
            classes.insert('9');
        }
        let number = get(line, "insurer_no");
        if !number.is_empty() && !check_digit(number) {
            classes.insert('1');
        } else if !number.is_empty()
            && !self.insurer.numbers.iter().any(|n| n == number)
            // What is taken back or moved is not judged by the master (fault W2).
            && !["3", "4"].contains(&operation)
        {
            classes.insert('3');
        }
        classes
    }

    fn apply(&mut self, line: &Fields) -> Verdict {
        let member = get(line, "member_no").to_owned();
        let seq = line.get("coverage_seq").map(|seq| seq.parse::<u32>().unwrap());
        let link = get(line, "link_no").to_owned();
        let basic = only(line, &MEMBER);
        let coverage = only(line, &COVERAGE);
        // Without 資格通番 a line speaks of the member alone, with it of the coverage.
        let exists = match seq {
            None => self.now.members.contains_key(&member),
            Some(seq) => self.now.coverages.contains_key(&(member.clone(), seq)),
        };
        let unknown = Verdict::Rejected(BTreeSet::from(['3']));
        match get(line, "operation") {
            // "登録 of an existing (member, coverage_seq): same image = duplicate, else error."
            // A new 資格通番 of a known member is accepted; being a full image, it replaces the basic data and the link.
            "1" if exists => {
                let known = self.now.members.get(&member);
                let same_member = known.is_some_and(|(l, b)| *l == link && same_image(b, &basic));
                let same_coverage =
                    seq.is_none_or(|seq| self.now.coverages.get(&(member, seq)).is_some_and(|c| *c == coverage));
                if same_member && same_coverage { Verdict::Duplicate } else { unknown }
            }
            // "更新 of an unknown one: error; for 市町村国保 an upsert."
            // AMBIGUOUS: an 更新 that changes nothing is accepted, since "duplicate" is said of 登録 only.
            "2" if !exists && self.insurer.scheme != "06" => unknown,
            // "A line is a full image, blank clears." AMBIGUOUS: that is of the fields of the member and of the coverage
            // named; other coverages stay.
            "1" | "2" => {
                self.now.members.insert(member.clone(), (link, basic));
                if let Some(seq) = seq {
                    self.now.coverages.insert((member, seq), coverage);
                }
                Verdict::Accepted
            }
            // "削除 without coverage_seq removes the member with all coverages, with it that coverage."
            // AMBIGUOUS: of an unknown one it is an error, as 更新 is.
            "3" if !exists => unknown,
            "3" => {
                match seq {
                    Some(seq) => {
                        self.now.coverages.remove(&(member, seq));
                    }
                    None => {
                        self.now.members.remove(&member);
                        self.now.coverages.retain(|(of, _), _| *of != member);
                    }
                }
                Verdict::Accepted
            }
            // "紐付訂正 changes link_no only." It speaks of the member, but a 資格通番 that it names must be there (fault W3).
            _ if !exists => unknown,
            _ => match self.now.members.get_mut(&member) {
                None => unknown,
                Some(known) => {
                    // The row that begins names the record that moved it (fault W1).
                    if known.0 != link {
                        known.1.insert("updated_at".to_owned(), get(line, "updated_at").to_owned());
                    }
                    known.0 = link;
                    Verdict::Accepted
                }
            },
        }
    }
}

/// "Only the last state of a night becomes a row": for each key the longest runs of nights that ended with an equal value.
/// A key that is gone at the end of a night ends its version there, and may begin another later.
fn versions<K: Ord + Clone>(nights: &BTreeMap<String, BTreeMap<K, (String, Fields)>>) -> Vec<Version<K>> {
    let mut done: Vec<Version<K>> = Vec::new();
    let mut open: BTreeMap<K, Version<K>> = BTreeMap::new();
    for (at, rows) in nights {
        let keys: Vec<K> = open.keys().cloned().collect();
        for key in keys {
            let stays = rows.get(&key).is_some_and(|(link, fields)| {
                let version = &open[&key];
                *link == version.link_no && same_image(fields, &version.fields)
            });
            if !stays {
                let version = open.remove(&key).unwrap();
                done.push(Version { to: Some(at.clone()), ..version });
            }
        }
        for (key, (link, fields)) in rows {
            if !open.contains_key(key) {
                let version = Version {
                    key: key.clone(),
                    link_no: link.clone(),
                    fields: fields.clone(),
                    from: at.clone(),
                    to: None,
                };
                open.insert(key.clone(), version);
            }
        }
    }
    done.extend(open.into_values());
    done.sort_by(|a, b| (&a.key, &a.from).cmp(&(&b.key, &b.from)));
    done
}

/// What was answered at a moment.
pub fn known_at<K: Clone>(versions: &[Version<K>], at: &str) -> Vec<(K, String, Fields)> {
    versions
        .iter()
        .filter(|v| v.from.as_str() <= at && v.to.as_ref().is_none_or(|to| to.as_str() > at))
        .map(|v| (v.key.clone(), v.link_no.clone(), v.fields.clone()))
        .collect()
}

pub fn get<'f>(line: &'f Fields, name: &str) -> &'f str {
    line.get(name).map_or("", String::as_str)
}

/// AMBIGUOUS: whether 更新日時 belongs to the image ("a line is a full image"). Here it does not, as little as record_no: a
/// version keeps the one of the night that began it.
fn same_image(a: &Fields, b: &Fields) -> bool {
    let without = |fields: &Fields| {
        let mut fields = fields.clone();
        fields.remove("updated_at");
        fields
    };
    without(a) == without(b)
}

fn only(line: &Fields, names: &[&str]) -> Fields {
    line.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// Weights 1, 2, 1, 2 … from the right, digit sums, mod 10 (domain.md §1: 被保険者枝番 and 保険者番号 alike).
fn check_digit(text: &str) -> bool {
    let mut sum = 0;
    for (i, c) in text.chars().rev().enumerate() {
        let Some(digit) = c.to_digit(10) else { return false };
        let weighted = if i % 2 == 0 { digit } else { digit * 2 };
        sum += weighted / 10 + weighted % 10;
    }
    sum % 10 == 0
}

/// Exactly twelve digits with the check digit of 個人番号.
fn my_number(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    if digits.len() != 12 || text.chars().count() != 12 {
        return false;
    }
    let mut sum = 0;
    for n in 1..=11 {
        let weight = if n <= 6 { n + 1 } else { n - 5 };
        let index: usize = 11 - n;
        sum += digits[index] * u32::try_from(weight).unwrap();
    }
    let expected = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
    digits[11] == expected
}

fn is_date(text: &str) -> bool {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|t| t.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(4, 6), number(6, 8)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    text.len() == 8 && (1..=days).contains(&day)
}
