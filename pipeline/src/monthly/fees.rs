//! Month-end close of the two metered things (手数料): 有効性確認の実施回数 and 紐付情報取得件数, paid and billed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::NaiveDate;
use shikaku_schemas::tables;

use crate::base::error::{Error, Result};
use crate::base::table_text::{BOM, TableText};
use crate::base::time::{Month, add_days};
use crate::lake::columns::batch_of;
use crate::lake::order;
use crate::lake::read::Reader;
use crate::lake::tables::acquisition;
use crate::lake::tables::fee::{self, Row};
use crate::masters::UNKNOWN_INSURER;
use crate::monthly::rollup;
use crate::store::Stage;
use crate::store::versions::{self, Versioned};
use crate::text::cp932::Encoding;

/// What is metered (区分).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Metric {
    /// 有効性確認の実施回数.
    Check,
    /// 紐付情報取得件数.
    Link,
}

/// Who looks at it (支払・請求).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FeeView {
    Payment,
    Billing,
}

impl Metric {
    /// As it stands in the table.
    const fn word(self) -> &'static str {
        match self {
            Self::Check => "validity_check",
            Self::Link => "link_acquisition",
        }
    }
}

impl FeeView {
    /// As it stands in the table.
    const fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Billing => "billing",
        }
    }
}

/// Titles of 帳票 24–27 (002 L26114–26153), which are the file names.
const FILES: [(Metric, FeeView, &str); 4] = [
    (Metric::Check, FeeView::Payment, "利用者証明用電子証明書有効性確認の実施回数情報（支払）"),
    (Metric::Check, FeeView::Billing, "利用者証明用電子証明書有効性確認の実施回数情報（請求）"),
    (Metric::Link, FeeView::Payment, "紐付情報取得件数情報（支払）"),
    (Metric::Link, FeeView::Billing, "紐付情報取得件数情報（請求）"),
];

/// One count of the close.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    metric: Metric,
    date: NaiveDate,
    bearer_kind: &'static str,
    bearer_code: String,
    validity: Option<String>,
    count: i64,
}

/// Closes a month; no version comes of it when nothing changed. Returns the payment counts (checks, links).
pub fn close(stage: &mut Stage<'_>, month: Month) -> Result<(i64, i64)> {
    let reader = stage.store.reader()?;
    let billable = &stage.store.config.fees.billable_results;
    let mut counts = checks(&reader, month, billable)?;
    counts.extend(links(&reader, month)?);
    let prices = stage.store.config.fees.unit_price;
    let price = |metric: Metric| match metric {
        Metric::Check => prices.validity_check,
        Metric::Link => prices.link_acquisition,
    };
    let table = tables::of("fee");
    let batch = order::sorted(table, &batch_of(rows(&counts, &price)?)?)?;
    let totals = (payment(&counts, Metric::Check), payment(&counts, Metric::Link));
    if let Versioned::New(version) = versions::next(&reader, table, month, &batch)? {
        let rows: Vec<Row<'_>> = fee::View::of(&batch)?.rows().collect();
        let suffix = versions::suffix(version);
        for (metric, view, title) in FILES {
            let text = csv_text(&rows, metric, view, month, price(metric).is_some())?;
            let utf8 = [BOM, text.as_bytes()].concat();
            stage.outbox(&format!("fees/{month}/{title}{suffix}.csv"), &utf8)?;
            let cp932 = Encoding::Cp932.encode_lossy(&text);
            stage.outbox(&format!("fees/{month}/cp932/{title}{suffix}.csv"), &cp932)?;
        }
        versions::write(stage, &reader, table, month, version, &batch, &format!("fees/{month}"))?;
        stage.set(&versions::CLOSED.at(format!("fees/{month}")), &i64::from(version))?;
    }
    Ok(totals)
}

fn dates(month: Month) -> impl Iterator<Item = NaiveDate> {
    let end = month.end();
    std::iter::successors(Some(month.first()), |d| Some(add_days(*d, 1))).take_while(move |d| *d < end)
}

/// Validity checks per day and bearer, from the daily partials.
fn checks(reader: &Reader, month: Month, billable: &[String]) -> Result<Vec<Count>> {
    let table = tables::of("check_daily");
    let mut counts = Vec::new();
    for date in dates(month) {
        let generations = reader.snapshot.partition(table, &format!("on_date={date}"));
        for (axis, bearer_kind) in [("insurer", "01"), ("institution", "02")] {
            for (keys, count) in rollup::sum_by(reader, table, &generations, axis, &["axis_key", "validity"])? {
                let mut keys = keys.into_iter();
                let (code, validity) = (keys.next().flatten(), keys.next().flatten());
                // One validity check = one record whose result is not blank.
                let Some(validity) = validity else { continue };
                if !billable.is_empty() && !billable.contains(&validity) {
                    continue;
                }
                let known = code.filter(|c| c != crate::checks::UNKNOWN);
                counts.push(Count {
                    metric: Metric::Check,
                    date,
                    bearer_kind,
                    bearer_code: known.unwrap_or_else(|| UNKNOWN_INSURER.to_owned()),
                    validity: Some(validity),
                    count,
                });
            }
        }
    }
    Ok(merge(counts))
}

/// Links per night of acceptance and insurer. The acquisition log is restricted, so its own reader counts it.
fn links(reader: &Reader, month: Month) -> Result<Vec<Count>> {
    let table = tables::of("acquisition");
    let mut counts = Vec::new();
    for date in dates(month) {
        let mut by_insurer: BTreeMap<String, i64> = BTreeMap::new();
        for generation in reader.snapshot.partition(table, &format!("on_date={date}")) {
            for batch in reader.batches(table, generation, Some(&[acquisition::INSURER_CODE.name]), None)? {
                for code in acquisition::INSURER_CODE.of(&batch?)?.iter() {
                    *by_insurer.entry(code.unwrap_or(UNKNOWN_INSURER).to_owned()).or_default() += 1;
                }
            }
        }
        counts.extend(by_insurer.into_iter().map(|(bearer_code, count)| Count {
            metric: Metric::Link,
            date,
            bearer_kind: "01",
            bearer_code,
            validity: None,
            count,
        }));
    }
    Ok(merge(counts))
}

/// One row per key: an unknown bearer written in two ways is still one.
fn merge(counts: Vec<Count>) -> Vec<Count> {
    let mut sums: BTreeMap<Count, i64> = BTreeMap::new();
    for count in counts {
        let n = count.count;
        *sums.entry(Count { count: 0, ..count }).or_default() += n;
    }
    sums.into_iter().map(|(key, count)| Count { count, ..key }).collect()
}

/// Payment count of a metric: the sum over one kind of bearer.
fn payment(counts: &[Count], metric: Metric) -> i64 {
    counts.iter().filter(|c| c.metric == metric && c.bearer_kind == "01").map(|c| c.count).sum()
}

fn rows<'c>(counts: &'c [Count], price: &dyn Fn(Metric) -> Option<i64>) -> Result<Vec<Row<'c>>> {
    let mut rows = Vec::new();
    let amount = |metric: Metric, count: i64| -> Result<Option<i64>> {
        let overflows = || Error::failed("an amount overflows");
        price(metric).map(|yen| yen.checked_mul(count).ok_or_else(overflows)).transpose()
    };
    for metric in [Metric::Check, Metric::Link] {
        let total = payment(counts, metric);
        for kind in ["01", "02"] {
            let own: i64 = counts.iter().filter(|c| c.metric == metric && c.bearer_kind == kind).map(|c| c.count).sum();
            // Guarantee 3: Σ billing by one bearer kind = payment. Links have insurers only.
            if own != total && (metric == Metric::Check || kind == "01") {
                return Err(Error::failed(format!(
                    "{}: bearers of kind {kind} add up to {own}, paid are {total}",
                    metric.word()
                )));
            }
        }
        rows.push(Row {
            metric: metric.word().into(),
            fee_view: FeeView::Payment.word().into(),
            on_date: None,
            bearer_kind: None,
            bearer_code: None,
            validity: None,
            count: total,
            total,
            amount: amount(metric, total)?,
        });
    }
    let mut day_totals: BTreeMap<(Metric, NaiveDate), i64> = BTreeMap::new();
    for c in counts.iter().filter(|c| c.bearer_kind == "01") {
        *day_totals.entry((c.metric, c.date)).or_default() += c.count;
    }
    for c in counts {
        rows.push(Row {
            metric: c.metric.word().into(),
            fee_view: FeeView::Billing.word().into(),
            on_date: Some(c.date.into()),
            bearer_kind: Some(c.bearer_kind.into()),
            bearer_code: Some(c.bearer_code.as_str().into()),
            validity: c.validity.as_deref().map(Cow::Borrowed),
            count: c.count,
            total: day_totals.get(&(c.metric, c.date)).copied().unwrap_or(0),
            amount: amount(c.metric, c.count)?,
        });
    }
    Ok(rows)
}

/// One of 帳票 24–27 from the rows of the version (formats.md §6).
fn csv_text(rows: &[Row<'_>], metric: Metric, view: FeeView, month: Month, priced: bool) -> Result<String> {
    let heading: &[&str] = match (metric, view) {
        (Metric::Check, FeeView::Payment) => &["No", "年月", "回数"],
        (Metric::Link, FeeView::Payment) => &["No", "年月", "件数"],
        (Metric::Check, FeeView::Billing) => {
            &["No", "年月日", "負担者区分", "負担者コード", "有効性確認結果", "確認回数", "全体回数"]
        }
        (Metric::Link, FeeView::Billing) => &["No", "年月日", "負担者コード", "取得件数", "全体件数"],
    };
    let mut heading = heading.to_vec();
    if priced {
        heading.push(if view == FeeView::Payment { "金額" } else { "配賦額" });
    }
    let mut out = TableText::new(b"");
    out.row(&heading)?;
    let text = |value: &Option<Cow<'_, str>>| value.as_deref().unwrap_or_default().to_owned();
    let wanted = rows.iter().filter(|row| row.metric == metric.word() && row.fee_view == view.word());
    for (number, row) in (1u64..).zip(wanted) {
        let date = row.on_date.map(|d| d.date().format("%Y%m%d").to_string()).unwrap_or_default();
        let (count, total) = (row.count.to_string(), row.total.to_string());
        let (kind, code, validity) = (text(&row.bearer_kind), text(&row.bearer_code), text(&row.validity));
        let mut fields = vec![number.to_string()];
        match (metric, view) {
            (_, FeeView::Payment) => fields.extend([month.compact(), count]),
            (Metric::Check, FeeView::Billing) => fields.extend([date, kind, code, validity, count, total]),
            (Metric::Link, FeeView::Billing) => fields.extend([date, code, count, total]),
        }
        if priced {
            fields.push(row.amount.map(|n| n.to_string()).unwrap_or_default());
        }
        out.row(&fields)?;
    }
    out.text()
}
