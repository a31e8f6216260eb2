//! SUB records: a full image of a member and one coverage.

use super::delimited::Row;
use super::world::{Coverage, Insurer, Person, age, compact, day};
use crate::base::error::Result;

/// 処理種別 other than those that carry an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Delete,
    Relink,
}

/// A record that registers or updates: operation 1, or 2 for 市町村国保.
pub fn image(
    insurer: &Insurer,
    person: &Person,
    coverage: Option<&Coverage>,
    update: bool,
    night: &str,
) -> Result<Row> {
    let mut row = Row::new("SUB", insurer.encoding);
    let municipal = insurer.scheme == "06";
    row.set("operation", if update || municipal { "2" } else { "1" })?;
    row.set("link_no", &person.link_no)?;
    row.set("name", &person.name())?;
    row.set("kana", &person.kana())?;
    row.set("sex", person.sex)?;
    row.set("birth_date", &compact(person.birth))?;
    row.set("address", &person.address)?;
    let head = person.place == 0;
    match insurer.scheme {
        "06" => {
            row.set("householder", if head { "1" } else { "2" })?;
            if head {
                row.set("householder_name", &person.name())?;
            }
        }
        "07" => {}
        _ => {
            row.set("dependent", if head { insurer.insured_code } else { "2" })?;
            if head {
                row.set("insured_name", &person.name())?;
            }
        }
    }
    row.set("updated_at", &format!("{}150000", night.replace('-', "")))?;
    if let Some(coverage) = coverage {
        row.set("member_no", &coverage.member_no)?;
        set_coverage(&mut row, insurer, person, coverage)?;
    }
    Ok(row)
}

fn set_coverage(row: &mut Row, insurer: &Insurer, person: &Person, coverage: &Coverage) -> Result<()> {
    row.set("coverage_seq", &coverage.seq.to_string())?;
    row.set("insurer_no", &coverage.insurer_no)?;
    row.set("symbol", &coverage.symbol)?;
    row.set("number", &coverage.number)?;
    row.set("branch_no", &coverage.branch)?;
    row.set("acquired_on", &compact(coverage.acquired))?;
    if let Some((lost_on, reason)) = coverage.lost {
        row.set("lost_on", &compact(lost_on))?;
        row.set("loss_reason", reason)?;
    }
    if let Some(returned) = coverage.returned {
        row.set("card_returned_on", &compact(returned))?;
    }
    row.set("card_kind", coverage.card_kind)?;
    row.set("card_from", &compact(coverage.acquired))?;
    // 事業所名称 is a field of the coverage, not of the member.
    if matches!(insurer.scheme, "01" | "02") && person.place == 0 {
        row.set("workplace", "架空商事株式会社")?;
    }
    match insurer.scheme {
        "06" => {
            row.set("card_to", "20270731")?;
            row.set("card_copay", "30")
        }
        "07" => {
            row.set("card_to", "20270731")?;
            row.set("card_copay", "10")
        }
        _ if age(person.birth, day("20261001")) >= 70 => {
            row.set("elderly_from", "20260801")?;
            row.set("elderly_to", "20270731")?;
            row.set("elderly_copay", "20")
        }
        _ => Ok(()),
    }
}

/// 削除 of a member with all coverages, or 紐付訂正 to another person.
pub fn other(
    insurer: &Insurer,
    person: &Person,
    member_no: &str,
    operation: Operation,
    link: &str,
    night: &str,
) -> Result<Row> {
    let mut row = Row::new("SUB", insurer.encoding);
    row.set("operation", if operation == Operation::Relink { "4" } else { "3" })?;
    row.set("member_no", member_no)?;
    row.set("link_no", link)?;
    row.set("sex", person.sex)?;
    row.set("updated_at", &format!("{}150000", night.replace('-', "")))?;
    Ok(row)
}
