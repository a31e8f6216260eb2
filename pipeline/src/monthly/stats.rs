//! Monthly statistics (資格確認実績月次統計): checks by eight axes and by access kind, summed from the daily partials.

use std::collections::BTreeMap;

use shikaku_schemas::{codes, tables};

use crate::base::error::Result;
use crate::base::table_text::{BOM, TableText};
use crate::base::time::Month;
use crate::checks::UNKNOWN;
use crate::lake::columns::batch_of;
use crate::lake::order;
use crate::lake::read::Reader;
use crate::lake::tables::stat::Row;
use crate::masters::Masters;
use crate::monthly::rollup;
use crate::store::Stage;
use crate::store::versions::{self, Versioned};
use crate::text::cp932::Encoding;

/// Counts of one key: マイナンバーカード, 被保険者証.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Access {
    card: i64,
    certificate: i64,
}

type ByKey = BTreeMap<String, Access>;

/// Builds the month's statistics; no version comes of it when nothing changed. Returns the number of checks.
pub fn build(stage: &mut Stage<'_>, month: Month) -> Result<i64> {
    let reader = stage.store.reader()?;
    let masters = Masters::load(&reader)?;
    let axes = axes(&reader, &masters, month)?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (axis, by_key) in &axes {
        for (key, access) in by_key {
            let counts = [
                ("total", access.card + access.certificate),
                ("card", access.card),
                ("certificate", access.certificate),
            ];
            for (name, count) in counts {
                rows.push(Row { axis: (*axis).into(), axis_key: key.into(), access: name.into(), count });
            }
        }
    }
    let total = axes.get("hour").map_or(0, |keys| keys.values().map(|a| a.card + a.certificate).sum());
    let table = tables::of("stat");
    let rows = order::sorted(table, &batch_of(rows)?)?;
    if let Versioned::New(version) = versions::next(&reader, table, month, &rows)? {
        let suffix = versions::suffix(version);
        for axis in codes::list("axis").values() {
            let title = format!("資格確認実績月次統計（{}）", axis.ja);
            let empty = ByKey::new();
            let text = csv_text(&title, month, axis.value, axes.get(axis.value).unwrap_or(&empty), &masters)?;
            let utf8 = [BOM, text.as_bytes()].concat();
            stage.outbox(&format!("stats/{month}/{title}{suffix}.csv"), &utf8)?;
            stage.outbox(&format!("stats/{month}/cp932/{title}{suffix}.csv"), &Encoding::Cp932.encode_lossy(&text))?;
        }
        versions::write(stage, &reader, table, month, version, &rows, &format!("stats/{month}"))?;
        stage.set(&versions::CLOSED.at(format!("stats/{month}")), &i64::from(version))?;
    }
    Ok(total)
}

/// The eight axes: three are counted at the source, five follow from the masters.
fn axes(reader: &Reader, masters: &Masters, month: Month) -> Result<BTreeMap<&'static str, ByKey>> {
    let table = tables::of("check_daily");
    let generations: Vec<_> = reader
        .snapshot
        .all(table)
        .into_iter()
        .filter(|g| g.partition.strip_prefix("on_date=").is_some_and(|d| d.starts_with(&month.to_string())))
        .collect();
    let mut axes: BTreeMap<&'static str, ByKey> = BTreeMap::new();
    for axis in ["insurer", "institution", "hour"] {
        for (keys, count) in rollup::sum_by(reader, table, &generations, axis, &["axis_key", "access_kind"])? {
            let key = keys[0].clone().unwrap_or_else(|| UNKNOWN.to_owned());
            // マイナンバーカード = access kinds 1 and 4 (formats.md §6).
            let card = matches!(keys[1].as_deref(), Some("1" | "4"));
            for (axis, key) in derived(axis, &key, masters) {
                let access = axes.entry(axis).or_default().entry(key).or_default();
                if card {
                    access.card += count;
                } else {
                    access.certificate += count;
                }
            }
        }
    }
    Ok(axes)
}

/// The axis itself and those that follow from it.
fn derived(axis: &'static str, key: &str, masters: &Masters) -> Vec<(&'static str, String)> {
    let unknown = || UNKNOWN.to_owned();
    let mut all = vec![(axis, key.to_owned())];
    if axis == "institution" {
        let own = masters.institutions.get(key);
        let maybe = |value: Option<&String>| value.cloned().unwrap_or_else(unknown);
        all.push(("prefecture", maybe(own.map(|i| &i.prefecture_code))));
        all.push(("municipality", maybe(own.and_then(|i| i.municipality_code.as_ref()))));
        all.push(("medical_area", maybe(own.and_then(|i| i.medical_area_code.as_ref()))));
        all.push(("size_class", maybe(own.and_then(|i| i.size_class.as_ref()))));
    }
    if axis == "insurer" {
        all.push(("scheme", masters.schemes.get(key).cloned().unwrap_or_else(unknown)));
    }
    all
}

/// Name of a key as it stands in the first column.
fn name_of(axis: &str, key: &str, masters: &Masters) -> String {
    let known = match axis {
        "prefecture" => codes::list("prefecture").ja_of(key).map(str::to_owned),
        "scheme" => codes::list("scheme").ja_of(key).map(str::to_owned),
        "institution" => masters.institutions.get(key).map(|i| i.name.clone()),
        "insurer" => masters.holder_names.get(key).cloned(),
        "hour" => Some(format!("{key}時")),
        _ => Some(key.to_owned()),
    };
    if key == UNKNOWN { "不明".to_owned() } else { known.unwrap_or_else(|| key.to_owned()) }
}

/// The monthly form (002 L29652): title, year, month, heading, 全国, then the rows in code order.
fn csv_text(title: &str, month: Month, axis: &str, by_key: &ByKey, masters: &Masters) -> Result<String> {
    let mut text = TableText::new(b"");
    text.row([title])?;
    text.row(["", &format!("{}年度", month.fiscal_year()), "", ""])?;
    text.row(["", &format!("{}月", month.month()), "", ""])?;
    text.row(["", "合計", "マイナンバーカード", "被保険者証"])?;
    let mut line = |name: &str, access: Access| {
        let counts = [access.card + access.certificate, access.card, access.certificate].map(|n| n.to_string());
        text.row(std::iter::once(name).chain(counts.iter().map(String::as_str)))
    };
    let all = by_key
        .values()
        .fold(Access::default(), |t, a| Access { card: t.card + a.card, certificate: t.certificate + a.certificate });
    line("全国", all)?;
    // Every prefecture stands in its list, with 0 where nothing was counted.
    let mut keys: BTreeMap<String, Access> = by_key.clone();
    if axis == "prefecture" {
        for code in codes::list("prefecture").values() {
            keys.entry(code.value.to_owned()).or_default();
        }
    }
    for (key, access) in &keys {
        line(&name_of(axis, key, masters), *access)?;
    }
    text.text()
}
