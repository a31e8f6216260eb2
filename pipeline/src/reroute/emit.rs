//! Writing receipts back: SN says the outcome; every other line of a whole receipt keeps its bytes (formats.md §5).

use super::decide::{Decision, Outcome};
use super::index::{CoverageIndex, Held};
use crate::read::uke::{FileHead, FileTail, Line, Receipt};

/// Lines of the receipt as the insurer gets them.
pub fn receipt(receipt: &Receipt, decision: &Decision, index: &CoverageIndex) -> Vec<u8> {
    if decision.outcome == Outcome::NotApplicable {
        // Before 2021-09 SN, JD and MF are left out (記録条件仕様 医科 R4, notes).
        let strip = decision.reason == "before_2021_09";
        let kept = receipt.lines.iter().filter(|l| !(strip && (l.is("SN") || l.is("JD") || l.is("MF"))));
        return kept.flat_map(|l| l.bytes.iter().copied()).collect();
    }
    let is_own_sn = |l: &Line| l.is("SN") && l.field(2) == b"1";
    let has_sn = receipt.lines.iter().any(is_own_sn);
    let last_payer = receipt.lines.iter().rposition(|l| l.is("HO") || l.is("KO"));
    let mut out = Vec::new();
    let mut written = false;
    for (i, line) in receipt.lines.iter().enumerate() {
        if is_own_sn(line) {
            if !written {
                out.extend(sn(line, decision, index));
                written = true;
            }
            continue;
        }
        out.extend_from_slice(&line.bytes);
        if !has_sn && last_payer == Some(i) {
            out.extend(sn(line, decision, index));
        }
    }
    out
}

/// The SN record of 負担者種別 1, with leading columns and line end of the line it stands for or behind.
fn sn(beside: &Line, decision: &Decision, index: &CoverageIndex) -> Vec<u8> {
    let held = responsible(decision, index);
    let (number, symbol, card, branch) = match (decision.outcome, held) {
        (Outcome::Rerouted, Some(held)) => (
            printed_insurer_no(&held.insurer_no).as_bytes().to_vec(),
            held.symbol_raw.clone(),
            held.number_raw.clone(),
            held.branch_no.clone().unwrap_or_default(),
        ),
        (Outcome::BranchFound, Some(held)) => {
            (Vec::new(), Vec::new(), Vec::new(), held.branch_no.clone().unwrap_or_default())
        }
        _ => (Vec::new(), Vec::new(), Vec::new(), String::new()),
    };
    let fields: [&[u8]; 9] =
        [b"SN", b"1", decision.outcome.code().as_bytes(), &number, &symbol, &card, branch.as_bytes(), b"", b""];
    [beside.lead_bytes(), &fields.join(&b','), beside.line_end()].concat()
}

/// The coverage that the receipt goes to, where it is not the printed one or says the 枝番.
pub fn responsible<'a>(decision: &Decision, index: &'a CoverageIndex) -> Option<&'a Held> {
    let found = match decision.outcome {
        Outcome::Rerouted => decision.days.first().and_then(|(r, _)| *r),
        Outcome::BranchFound => decision.claimed,
        _ => None,
    };
    found.map(|i| &index.coverages[i])
}

/// 保険者番号 as receipts print it: 6 digits for 国保, 8 for all others.
pub fn printed_insurer_no(insurer_no: &str) -> &str {
    insurer_no.strip_prefix("00").filter(|rest| rest.len() == 6).unwrap_or(insurer_no)
}

/// Head of an outgoing file: the incoming one with 審査支払機関 set.
pub fn head(head: &FileHead, payer: &str) -> Vec<u8> {
    let position = head.edition.record("IR").and_then(|r| r.position("payer"));
    head.lines
        .iter()
        .flat_map(|line| match position {
            Some(p) if line.is("IR") => line.with_fields(&[(p, payer.as_bytes())]),
            _ => line.bytes.clone(),
        })
        .collect()
}

/// End of an outgoing file: GO with zero totals, as in every file of moved receipts (domain.md §5.8).
pub fn tail(head: &FileHead, tail: &FileTail) -> Vec<u8> {
    let layout = head.edition.record("GO");
    let at = |name: &str| layout.and_then(|r| r.position(name));
    let mut out: Vec<u8> = tail
        .lines
        .iter()
        .flat_map(|line| match (at("count"), at("points")) {
            (Some(count), Some(points)) => line.with_fields(&[(count, b"0"), (points, b"0")]),
            _ => line.bytes.clone(),
        })
        .collect();
    out.extend_from_slice(&tail.end_mark);
    out
}
