//! Plans of subscriber files over nights: random lists of operations with planted faults, and what must not show in the tables.

use std::collections::{BTreeMap, BTreeSet};

use shikaku_pipeline::text::digits::my_number_digit;

use super::Dice;
use super::lake::{INSURERS, insurer};
use crate::common::{insurer_no, member_no};
use crate::subscribers_oracle::{COVERAGE, Damage, Fields, File, Insurer, MEMBER, get};

/// Everything that happens, night by night.
#[derive(Clone)]
pub struct Plan {
    pub insurers: BTreeMap<String, Insurer>,
    pub nights: Vec<Night>,
}

#[derive(Clone)]
pub struct Night {
    /// `YYYYMMDD`.
    pub date: String,
    pub runs: Vec<Run>,
}

/// One run: held files that the operator lets go before it, and what has come to the inbox. A file may be there twice.
#[derive(Clone, Default)]
pub struct Run {
    pub releases: Vec<(String, u32)>,
    /// Not only of the first held file.
    pub any_release: bool,
    pub files: Vec<File>,
}

/// How the plan is carried out; nothing here may change a table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Treatment {
    /// Each insurer's files in runs of their own, in any order.
    pub separate: bool,
    /// Every file in two, under consecutive receipt numbers.
    pub split: bool,
    /// All bytes twice, in the same run and in a later one.
    pub twice: bool,
    /// Threads of the pool.
    pub threads: usize,
    /// Runs are cut off and repeated.
    pub crash: bool,
    pub seed: u64,
}

pub fn my_number() -> String {
    let body = [3u32, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
    let digits: String = body.iter().map(ToString::to_string).collect();
    format!("{digits}{}", my_number_digit(&body))
}

/// A line without record_no. Few values, so that much repeats.
pub fn random_line(dice: &mut Dice, insurer: &Insurer, earlier: &[Fields]) -> Fields {
    let municipal = insurer.scheme == "06";
    let operation = match (municipal, dice.below(100)) {
        (false, n) => ["1", "2", "3", "4"][usize::from(n >= 40) + usize::from(n >= 75) + usize::from(n >= 87)],
        (true, n) => ["2", "1", "3", "4"][usize::from(n >= 70) + usize::from(n >= 96) + usize::from(n >= 98)],
    };
    let mut line = Fields::new();
    if !earlier.is_empty() && dice.percent(40) {
        // As sent before: the same again, or with another operation, or with one thing changed.
        line = earlier[dice.below(earlier.len())].clone();
        if dice.percent(40) {
            if dice.percent(30) {
                line.insert("updated_at".to_owned(), dice.of(&["20261001120000", "20261002090000"]).to_owned());
            }
            return line;
        }
        if dice.percent(50) {
            let changed = random_line(dice, insurer, &[]);
            let name = dice.of(&["link_no", "name", "address", "symbol", "acquired_on", "card_kind", "coverage_seq"]);
            // Only within what is there, lest the line become a wrong one.
            if let (true, Some(value)) = (line.contains_key(name), changed.get(name)) {
                line.insert(name.to_owned(), value.clone());
            }
            if get(&line, "lost_on") < get(&line, "acquired_on") {
                line.remove("lost_on");
                line.remove("loss_reason");
            }
        }
    } else {
        let member = 1 + dice.below(4);
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                line.insert(name.to_owned(), value.to_owned());
            }
        };
        set("member_no", &member_no(u32::try_from(member).unwrap()));
        let person = if dice.percent(80) { member } else { 1 + dice.below(6) };
        set("link_no", &(1000 + person).to_string());
        set("name", dice.of(&["資格　太郎", "髙橋　花子", "名前だけ"]));
        set("kana", dice.of(&["", "シカク　タロウ"]));
        set("sex", dice.of(&["1", "2", "3"]));
        set("birth_date", dice.of(&["", "19800101", "20240229"]));
        set("address", dice.of(&["", "東京都架空区1-1", "東京都,\"架空\"区"]));
        set("dependent", dice.of(&["", "1"]));
        set("updated_at", if dice.percent(5) { "20261002090000" } else { "20261001120000" });
        if dice.percent(75) {
            set("coverage_seq", dice.of(&["1", "1", "2", "3"]));
            set("insurer_no", &insurer.numbers[dice.below(2)]);
            set("symbol", dice.of(&["", "記号①", "ｷｺﾞｳ-1"]));
            set("number", dice.of(&["1", "１"]));
            set("branch_no", dice.of(&["", "01"]));
            // Overlaps and retroactive periods come by themselves.
            let acquired = dice.of(&["20200401", "20240401", "20260901", "20261030"]);
            set("acquired_on", acquired);
            match dice.below(10) {
                0..2 => set("lost_on", acquired), // 同日得喪
                2..5 => set("lost_on", dice.of(&["20261030", "20270401"])),
                _ => {}
            }
            set("card_kind", dice.of(&["01", "08"]));
            set("card_copay", dice.of(&["", "", "30"]));
            set("card_returned_on", dice.of(&["", "", "", "20261015"]));
            if municipal {
                set("retiree_switched_on", dice.of(&["", "", "", "20260401"]));
            }
            if ["01", "02"].contains(&insurer.scheme.as_str()) {
                set("workplace", dice.of(&["", "", "", "見本株式会社"]));
            }
            if line.contains_key("lost_on") {
                line.insert("loss_reason".to_owned(), dice.of(&["01", "02"]).to_owned());
            }
        }
    }
    line.insert("operation".to_owned(), operation.to_owned());
    if operation == "3" {
        line.remove("link_no");
        if dice.percent(50) {
            MEMBER.iter().filter(|n| !["sex", "updated_at"].contains(n)).for_each(|n| drop(line.remove(*n)));
        }
    } else if !line.contains_key("link_no") {
        line.insert("link_no".to_owned(), "1001".to_owned());
    }
    if ["1", "2"].contains(&operation) && !line.contains_key("name") {
        line.insert("name".to_owned(), "資格　太郎".to_owned());
    }
    // 削除 and 紐付訂正 mostly speak of the member as a whole, 削除 also of a 資格通番 alone.
    if ["3", "4"].contains(&operation) && dice.percent(60) {
        if operation == "4" || dice.percent(70) {
            line.remove("coverage_seq");
        }
        COVERAGE.iter().for_each(|n| drop(line.remove(*n)));
    }
    line
}

/// Breaks a line in one way; the model finds out by itself what is wrong with it.
pub fn plant(dice: &mut Dice, insurer: &Insurer, line: &mut Fields) {
    let with_coverage = line.contains_key("insurer_no");
    let set = |line: &mut Fields, name: &str, value: &str| drop(line.insert(name.to_owned(), value.to_owned()));
    match dice.below(if with_coverage { 13 } else { 4 }) {
        0 => set(line, "sex", "9"),
        1 => {
            let mut number = get(line, "member_no").to_owned();
            let last = number.pop().unwrap().to_digit(10).unwrap();
            number.push(char::from_digit((last + 1) % 10, 10).unwrap());
            set(line, "member_no", &number);
        }
        2 => set(line, "birth_date", "20260231"),
        3 => match get(line, "operation") {
            "3" => set(line, "link_no", "1001"),
            _ => drop(line.remove("link_no")),
        },
        4 => set(line, "acquired_on", "20261301"),
        5 => {
            set(line, "lost_on", "20000101");
            set(line, "loss_reason", "01");
        }
        6 => drop(line.remove("number")),
        7 => {
            set(line, "lost_on", "20270401");
            line.remove("loss_reason");
        }
        8 => set(line, "insurer_no", "06139998"),
        9 => set(line, "insurer_no", &insurer_no("0699999")),
        10 => set(line, "symbol", &my_number()),
        11 => drop(line.remove("coverage_seq")),
        _ if insurer.scheme == "06" => set(line, "workplace", "見本株式会社"),
        _ => set(line, "retiree_switched_on", "20260401"),
    }
}

/// Lines that differ in 更新日時 alone, in two runs of one night, have a test of their own below.
pub fn same_updated_at(line: &mut Fields) {
    line.insert("updated_at".to_owned(), "20261001120000".to_owned());
}

pub fn number_lines(lines: &mut [Fields]) {
    for (n, line) in lines.iter_mut().enumerate() {
        line.insert("record_no".to_owned(), (n + 1).to_string());
    }
}

pub fn dates(dice: &mut Dice, count: usize) -> Vec<String> {
    // Ascending, over the turn of a month, not always on end.
    let all = ["20261029", "20261030", "20261031", "20261101", "20261102", "20261105"];
    let start = dice.below(all.len() - count + 1);
    all[start..start + count].iter().map(|d| (*d).to_owned()).collect()
}

pub fn random_plan(dice: &mut Dice, insurers: usize) -> Plan {
    let night_count = 1 + dice.below(4);
    let mut nights: Vec<Night> = dates(dice, night_count)
        .into_iter()
        .map(|date| {
            let runs = if dice.percent(25) { 2 + dice.below(2) } else { 1 };
            Night { date, runs: vec![Run::default(); runs] }
        })
        .collect();
    let first = dice.below(INSURERS);
    let chosen: BTreeMap<String, Insurer> = (0..insurers).map(|i| insurer((first + i) % INSURERS)).collect();
    let several_runs = nights.iter().any(|n| n.runs.len() > 1);
    let mut slots: Vec<&mut Run> = nights.iter_mut().flat_map(|n| n.runs.iter_mut()).collect();
    for (code, insurer) in &chosen {
        one_list(dice, code, insurer, &mut slots, several_runs);
    }
    Plan { insurers: chosen, nights }
}

/// The files of one insurer over all runs, with gaps, late ones, damaged ones, used numbers and releases.
pub fn one_list(dice: &mut Dice, code: &str, insurer: &Insurer, slots: &mut [&mut Run], one_updated_at: bool) {
    let start = if dice.percent(70) { 1 } else { 7 };
    let mut earlier: Vec<Fields> = Vec::new();
    let count = 1 + dice.below(5);
    let mut places: Vec<usize> = (0..count).map(|_| dice.below(slots.len())).collect();
    places.sort_unstable();
    for (receipt, place) in (start..).zip(places) {
        let mut lines = Vec::new();
        for _ in 0..dice.below(8) {
            let mut line = random_line(dice, insurer, &earlier);
            if one_updated_at {
                same_updated_at(&mut line);
            }
            earlier.push(line.clone());
            if dice.percent(6) {
                plant(dice, insurer, &mut line);
            }
            lines.push(line);
        }
        number_lines(&mut lines);
        if lines.len() > 1 && dice.percent(5) {
            lines[1].insert("record_no".to_owned(), "1".to_owned());
        }
        let file = File { origin: code.to_owned(), receipt, lines, damage: Damage::None };
        let slot_count = slots.len();
        let later = |dice: &mut Dice, from: usize| from + dice.below(slot_count - from);
        let mut place = place;
        if dice.percent(8) {
            // Damaged first, then whole under the same number.
            let damage = if dice.percent(50) && !file.lines.is_empty() { Damage::MyNumber } else { Damage::Truncated };
            slots[place].files.push(File { damage, ..file.clone() });
            place = later(dice, place);
        } else if receipt == start && dice.percent(10) && place + 1 < slots.len() {
            // Afterwards the same number with other bytes, or a lower one.
            let mut lines = vec![random_line(dice, insurer, &earlier)];
            same_updated_at(&mut lines[0]);
            number_lines(&mut lines);
            let receipt = if start > 1 && dice.percent(50) { start - 1 } else { start };
            let other = File { lines, receipt, ..file.clone() };
            let at = later(dice, place + 1);
            if other != file {
                slots[at].files.push(other);
            }
        } else if dice.percent(20) {
            // Late, or never: a gap.
            place = later(dice, place);
            if dice.percent(50) {
                continue;
            }
        }
        slots[place].files.push(file);
    }
    for slot in slots.iter_mut() {
        if dice.percent(40) {
            // Whichever is the first held one then.
            let last = start + u32::try_from(count).unwrap();
            slot.releases.extend((start..last).map(|receipt| (code.to_owned(), receipt)));
        }
    }
    // A damaged first file has a test of its own below.
    let own = |run: &Run| {
        run.files
            .iter()
            .enumerate()
            .filter(|(_, f)| f.origin == code)
            .min_by_key(|(_, f)| f.receipt)
            .map(|(n, f)| (n, f.damage))
    };
    for slot in slots.iter_mut() {
        while let Some((n, damage)) = own(slot)
            && damage != Damage::None
        {
            slot.files.remove(n);
        }
        if own(slot).is_some() {
            break;
        }
    }
    for slot in slots.iter_mut() {
        dice.shuffle(&mut slot.files);
    }
}

// ---- Transformations that must not show in the tables ----------------------------------------------------------------

impl Plan {
    pub fn treated(&self, treatment: Treatment) -> Plan {
        let mut dice = Dice(treatment.seed);
        let mut plan = self.clone();
        if treatment.split {
            plan.split(&mut dice);
        }
        if treatment.twice {
            plan.twice(&mut dice);
        }
        if treatment.separate {
            plan.separate(&mut dice);
        }
        plan
    }

    /// File n becomes 2n−1 and 2n. A damaged file stays whole; its correction is split. What uses a number again stays
    /// whole too.
    pub fn split(&mut self, dice: &mut Dice) {
        let mut taken = BTreeSet::new();
        for run in self.nights.iter_mut().flat_map(|n| &mut n.runs) {
            run.releases.iter_mut().for_each(|(_, receipt)| *receipt = *receipt * 2 - 1);
            let mut files = Vec::new();
            for file in run.files.drain(..) {
                let receipt = file.receipt * 2 - 1;
                let first_use = file.damage == Damage::None && taken.insert((file.origin.clone(), file.receipt));
                if !first_use {
                    files.push(File { receipt, ..file });
                    continue;
                }
                // Lines that share a record_no stay in one file, or they would no longer be wrong.
                let numbers: BTreeSet<&str> = file.lines.iter().map(|l| get(l, "record_no")).collect();
                let cut = if numbers.len() == file.lines.len() { dice.below(file.lines.len() + 1) } else { 0 };
                let (one, two) = file.lines.split_at(cut);
                files.push(File { receipt, lines: one.to_vec(), ..file.clone() });
                files.push(File { receipt: receipt + 1, lines: two.to_vec(), ..file.clone() });
            }
            dice.shuffle(&mut files);
            run.files = files;
        }
    }

    pub fn twice(&mut self, dice: &mut Dice) {
        let mut before: Vec<File> = Vec::new();
        for run in self.nights.iter_mut().flat_map(|n| &mut n.runs) {
            let own = run.files.clone();
            run.files.extend(own.clone());
            if !before.is_empty() {
                run.files.extend((0..2).map(|_| before[dice.below(before.len())].clone()));
            }
            before.extend(own);
            dice.shuffle(&mut run.files);
        }
    }

    pub fn separate(&mut self, dice: &mut Dice) {
        for night in &mut self.nights {
            let mut runs = Vec::new();
            for run in &night.runs {
                let mut origins: Vec<&String> = self.insurers.keys().collect();
                dice.shuffle(&mut origins);
                for origin in origins {
                    runs.push(Run {
                        any_release: run.any_release,
                        releases: run.releases.iter().filter(|(of, _)| of == origin).cloned().collect(),
                        files: run.files.iter().filter(|f| f.origin == *origin).cloned().collect(),
                    });
                }
            }
            night.runs = runs;
        }
    }

    /// Only that insurer's part.
    pub fn only(&self, origin: &str) -> Plan {
        let mut plan = self.clone();
        plan.insurers.retain(|code, _| code == origin);
        for run in plan.nights.iter_mut().flat_map(|n| &mut n.runs) {
            run.files.retain(|f| f.origin == origin);
            run.releases.retain(|(of, _)| of == origin);
        }
        plan
    }
}

/// The operation list in a readable form.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for night in &self.nights {
            for (n, run) in night.runs.iter().enumerate() {
                writeln!(f, "night {} run {}", night.date, n + 1)?;
                for (origin, receipt) in &run.releases {
                    writeln!(f, "  release {origin} {receipt} (if held)")?;
                }
                for file in &run.files {
                    let scheme = &self.insurers[&file.origin].scheme;
                    writeln!(f, "  file {} (制度 {scheme}) 受付番号 {} {:?}", file.origin, file.receipt, file.damage)?;
                    for line in &file.lines {
                        let fields: Vec<String> = line.iter().map(|(name, value)| format!("{name}={value}")).collect();
                        writeln!(f, "    {}", fields.join(" "))?;
                    }
                }
            }
        }
        Ok(())
    }
}
