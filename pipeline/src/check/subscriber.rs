//! Rules between the fields of one SUB record (formats.md §1).

use shikaku_schemas::layout::Layout;

use super::{Finding, Value};

/// Fields 15–33: any of them makes a coverage.
const COVERAGE_FIELDS: std::ops::RangeInclusive<usize> = 14..=32;
/// Fields a coverage must have: 保険者番号, 番号, 資格取得年月日, 証区分.
const COVERAGE_REQUIRED: [&str; 4] = ["insurer_no", "number", "acquired_on", "card_kind"];
/// 制度 市町村国保: everything is an update (002 L15917, L24371).
pub const MUNICIPAL: &str = "06";

/// Checks one record whose fields were typed; `sent` says which fields were not blank in the file.
pub fn check(
    layout: &Layout,
    values: &[Value],
    sent: &dyn Fn(usize) -> bool,
    scheme: &str,
    findings: &mut Vec<Finding>,
) {
    let at = |name: &str| layout.at(name);
    let value = |name: &str| &values[at(name)];
    let operation = value("operation").text();
    let coverage_fields = COVERAGE_FIELDS.clone().any(sent);
    let seq = sent(at("coverage_seq"));
    // 削除 with 資格通番 alone names the coverage to delete.
    let deletes = operation == "3";
    if seq && !coverage_fields && !deletes {
        findings.push(Finding::of("200102"));
    }
    if coverage_fields && (!seq || COVERAGE_REQUIRED.iter().any(|name| !sent(at(name)))) {
        findings.push(Finding::of("200101"));
    }
    let reversed = |from: &str, to: &str| value(from).date().zip(value(to).date()).is_some_and(|(from, to)| to < from);
    for (from, to, code) in [
        ("acquired_on", "lost_on", "200103"),
        ("benefit_from", "benefit_to", "200106"),
        ("card_from", "card_to", "200107"),
        ("elderly_from", "elderly_to", "200108"),
    ] {
        if reversed(from, to) {
            findings.push(Finding::of(code));
        }
    }
    match (sent(at("lost_on")), sent(at("loss_reason"))) {
        (true, false) => findings.push(Finding::of("200104")),
        (false, true) => findings.push(Finding::of("200105")),
        _ => {}
    }
    if scheme == MUNICIPAL && matches!(operation, "3" | "4") {
        findings.push(Finding::of("200109"));
    }
}
