//! The scripted households of the sample: what happens to them, which receipts come, and what must be decided.
//!
//! Each case is one household; its first person is the subject. Insurers: 0 協会けんぽ, 1 健保組合, 2 国保, 3 後期高齢.

/// Something the table cannot say with dates alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    None,
    /// 紐付訂正: the first insurer had linked the member to a wrong person.
    Relink,
    /// 削除 on the second night.
    Delete,
    /// Registered without any coverage.
    NoCoverage,
    /// Persons 1 and 2 differ in 氏名カナ and 枝番 only; receipts are person 1's.
    Twins,
    /// An older card: 枝番 is not known.
    NoBranch,
}

/// The end of the first coverage.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    pub on: &'static str,
    pub reason: &'static str,
    /// 証回収; blank = not returned.
    pub returned: &'static str,
    /// Night on which it is told.
    pub told: usize,
}

/// A later coverage.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    pub insurer: usize,
    pub from: &'static str,
    /// Blank = open.
    pub until: &'static str,
    pub told: usize,
}

/// A coverage of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    First,
    Next(usize),
}

/// What is wrong with the printed card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Number,
    Birth,
}

/// Days with 受診等区分.
#[derive(Debug, Clone, Copy)]
pub enum Jd {
    /// The visits.
    Visits,
    /// No JD record.
    Missing,
    /// The visits and a day with code 9.
    Nine(u32),
    /// Other days than the detail records count.
    Days(&'static [u32]),
}

/// One receipt and its decision.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub table: &'static str,
    pub days: &'static [u32],
    pub outcome: &'static str,
    pub reason: &'static str,
    pub printed: Which,
    /// Coverage the receipt goes to.
    pub to: Which,
    pub fault: Fault,
    pub jd: Jd,
    pub detail_days: bool,
    pub branch: bool,
    pub kana: bool,
    pub mf: bool,
    pub kohi: bool,
    pub kohi_alone: bool,
    pub large: bool,
    pub inpatient: bool,
    pub service_month: &'static str,
}

impl Plan {
    const fn moved(mut self, to: usize) -> Self {
        self.to = Which::Next(to);
        self
    }
    const fn printed(mut self, next: usize) -> Self {
        (self.printed, self.to) = (Which::Next(next), Which::Next(next));
        self
    }
    const fn why(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }
    const fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
    const fn jd(mut self, jd: Jd) -> Self {
        self.jd = jd;
        self
    }
    const fn no_details(mut self) -> Self {
        self.detail_days = false;
        self
    }
    const fn no_branch(mut self) -> Self {
        self.branch = false;
        self
    }
    const fn no_kana(mut self) -> Self {
        self.kana = false;
        self
    }
    const fn no_mf(mut self) -> Self {
        self.mf = false;
        self
    }
    const fn large(mut self) -> Self {
        self.large = true;
        self
    }
    const fn kohi(mut self) -> Self {
        self.kohi = true;
        self
    }
    const fn kohi_alone(mut self) -> Self {
        (self.kohi, self.kohi_alone) = (true, true);
        self
    }
    const fn inpatient(mut self) -> Self {
        self.inpatient = true;
        self
    }
    const fn month(mut self, month: &'static str) -> Self {
        self.service_month = month;
        self
    }
}

/// One household.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub insurer: usize,
    pub loss: Option<Loss>,
    pub next: &'static [Next],
    pub special: Special,
    pub bills: &'static [Plan],
}

const fn bill(table: &'static str, days: &'static [u32], outcome: &'static str) -> Plan {
    Plan {
        table,
        days,
        outcome,
        reason: "",
        printed: Which::First,
        to: Which::First,
        fault: Fault::None,
        jd: Jd::Visits,
        detail_days: true,
        branch: true,
        kana: true,
        mf: true,
        kohi: false,
        kohi_alone: false,
        large: false,
        inpatient: false,
        service_month: "202610",
    }
}

const fn case(insurer: usize, loss: Option<Loss>, next: &'static [Next], bills: &'static [Plan]) -> Case {
    Case { insurer, loss, next, special: Special::None, bills }
}

const fn special(insurer: usize, special: Special, bills: &'static [Plan]) -> Case {
    Case { insurer, loss: None, next: &[], special, bills }
}

const fn loss(on: &'static str, reason: &'static str, returned: &'static str, told: usize) -> Option<Loss> {
    Some(Loss { on, reason, returned, told })
}

const fn next(insurer: usize, from: &'static str, told: usize) -> Next {
    Next { insurer, from, until: "", told }
}

const MONTH: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
];

/// All cases, one household each, from the first person on.
pub const CASES: &[Case] = &[
    // The insurer changed in the middle of the month; told late.
    case(
        0,
        loss("20261016", "01", "", 2),
        &[next(1, "20261016", 2)],
        &[bill("1", &[5, 6], "02"), bill("1", &[20], "04").moved(0), bill("1", &[8, 22], "06").why("split_blocked")],
    ),
    // The same, told in time.
    case(
        0,
        loss("20261016", "04", "", 0),
        &[next(2, "20261016", 0)],
        &[bill("1", &[20], "04").moved(0), bill("1", &[3, 25], "06").why("split_blocked")],
    ),
    // From the first of the month; every kind of institution.
    case(
        1,
        loss("20261001", "01", "", 1),
        &[next(0, "20261001", 1)],
        &[
            bill("4", &[4, 11], "04").moved(0),
            bill("3", &[12], "04").moved(0),
            bill("6", &[2, 9, 16], "04").moved(0),
            bill("dpc", &[1, 2, 3, 4, 5, 6, 7], "04").moved(0).inpatient(),
            bill("1", &[13], "04").moved(0).no_branch(),
        ],
    ),
    // Died.
    case(0, loss("20261011", "02", "", 1), &[], &[bill("1", &[5], "02"), bill("1", &[5, 15], "08")]),
    // The card was returned before the cover ended.
    case(1, loss("20261011", "01", "20261005", 1), &[], &[bill("1", &[8], "02"), bill("3", &[15], "07")]),
    // The card was returned after the cover ended.
    case(2, loss("20261011", "03", "20261020", 1), &[], &[bill("1", &[15], "06"), bill("4", &[22], "07")]),
    // No cover after the loss.
    case(2, loss("20261005", "03", "", 2), &[], &[bill("1", &[15], "06"), bill("1", &[2, 15], "06")]),
    // 同日得喪 in between covers nothing.
    case(
        0,
        loss("20261010", "04", "", 1),
        &[Next { insurer: 1, from: "20261010", until: "20261010", told: 1 }, next(2, "20261010", 1)],
        &[bill("1", &[12], "04").moved(1), bill("1", &[14], "04").printed(0).moved(1)],
    ),
    // Two valid coverages: nothing moves.
    case(0, None, &[next(3, "20261005", 0)], &[bill("1", &[12], "02"), bill("1", &[13], "02").printed(0)]),
    // 公費併用 stays; without a change it is simply unchanged.
    case(
        0,
        loss("20261016", "01", "", 1),
        &[next(1, "20261016", 1)],
        &[bill("1", &[20], "06").why("with_kohi").kohi(), bill("1", &[5], "02").kohi()],
    ),
    // No MF: only small receipts move.
    case(
        0,
        loss("20261001", "01", "", 1),
        &[next(1, "20261001", 1)],
        &[bill("1", &[20], "06").why("no_mf").no_mf().large(), bill("1", &[21], "04").moved(0).no_mf()],
    ),
    // No JD: days come from the detail records, but nothing is split.
    case(
        0,
        loss("20261016", "01", "", 1),
        &[next(2, "20261016", 1)],
        &[bill("1", &[8, 22], "06").why("no_jd").jd(Jd::Missing), bill("1", &[23], "04").moved(0).jd(Jd::Missing)],
    ),
    // JD and the detail records disagree.
    case(
        1,
        loss("20261016", "01", "", 2),
        &[next(2, "20261016", 2)],
        &[
            bill("1", &[8, 22], "06").why("jd_disagrees").jd(Jd::Nine(23)),
            bill("1", &[8, 21], "06").why("jd_disagrees").jd(Jd::Days(&[8, 22])),
        ],
    ),
    // The same insurer, a new number.
    case(
        0,
        loss("20261001", "99", "", 1),
        &[next(0, "20261001", 1)],
        &[bill("1", &[7], "04").moved(0), bill("1", &[9], "02").printed(0)],
    ),
    Case {
        insurer: 1,
        loss: loss("20261005", "04", "", 0),
        next: &[next(2, "20261005", 0)],
        special: Special::Relink,
        bills: &[bill("1", &[12], "04").moved(0)],
    },
    special(0, Special::NoCoverage, &[bill("1", &[7], "03").why("no_member")]),
    special(
        0,
        Special::None,
        &[
            bill("1", &[7], "03").why("no_member").fault(Fault::Number),
            bill("4", &[8], "03").why("no_member").fault(Fault::Birth),
        ],
    ),
    special(
        0,
        Special::Twins,
        &[
            bill("1", &[7], "09").no_branch(),
            bill("3", &[8], "03").why("several_members").no_branch().no_kana(),
            bill("1", &[9], "02"),
        ],
    ),
    special(
        2,
        Special::None,
        &[
            bill("3", &[7], "03").why("no_days").jd(Jd::Missing),
            bill("1", &[8], "03").why("no_days").jd(Jd::Missing).no_details(),
        ],
    ),
    special(1, Special::None, &[bill("1", &[5], "").why("before_2021_09").month("202108")]),
    special(
        0,
        Special::None,
        &[bill("1", &[5], "").why("no_ho").kohi_alone(), bill("4", &[6], "").why("no_ho").kohi_alone()],
    ),
    // 入院 without any day: the whole month.
    special(0, Special::None, &[bill("1", MONTH, "02").jd(Jd::Missing).no_details().inpatient()]),
    case(0, loss("20261016", "01", "", 1), &[], &[bill("1", MONTH, "06").jd(Jd::Missing).no_details().inpatient()]),
    // 後期高齢: no 枝番 at all.
    case(3, loss("20261020", "02", "", 1), &[], &[bill("1", &[9], "02"), bill("1", &[25], "08")]),
    special(1, Special::Delete, &[bill("1", &[7], "03").why("no_member")]),
    special(1, Special::NoBranch, &[bill("1", &[7], "02").no_branch(), bill("3", &[8], "02")]),
    // A newer coverage ended again: the newest that covers the day answers.
    case(
        1,
        loss("20261001", "01", "", 0),
        &[Next { insurer: 0, from: "20261001", until: "20261021", told: 0 }, next(2, "20261021", 2)],
        &[bill("4", &[6], "04").moved(0), bill("3", &[27], "04").moved(1)],
    ),
];
