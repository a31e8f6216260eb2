//! One month of 請求年月: its receipts decided as known at the cut-off, written as one version.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use chrono::{NaiveDateTime, NaiveTime};
use rayon::prelude::*;
use serde::Serialize;
use shikaku_schemas::tables;
use shikaku_schemas::uke::Edition;

use super::decide::{Claim, Decision, Outcome, Rules, decide};
use super::emit;
use super::index::{ClaimKey, CoverageIndex};
use crate::base::config::{Config, Kohi};
use crate::base::error::{Error, Result};
use crate::base::table_text::TableText;
use crate::base::time::{BusinessDate, Month, add_days, parse_date_or_era};
use crate::lake::columns::Columns;
use crate::lake::order;
use crate::lake::tables::reroute::Row;
use crate::masters::Masters;
use crate::read::uke::{self, FileHead, FileTail, Receipt, UkeReader};
use crate::receipts::{ReceivedFile, Totals, received};
use crate::store::versions::{self, Versioned};
use crate::store::{Stage, Store, landing};
use crate::text::cp932::Encoding;
use crate::text::normal;

/// Cut-off of a month by the configuration: the end of `reroute.cutoff_day`.
pub fn default_cutoff(config: &Config, month: Month) -> NaiveDateTime {
    let day = month.day(config.reroute.cutoff_day).unwrap_or(month.first());
    add_days(day, 1).and_time(NaiveTime::MIN)
}

/// Cut-off of a run: the one given, else the month's; a month that was loaded only after its cut-off is decided as known
/// at the end of the business date (docs/decisions.md).
pub fn cutoff(
    store: &Store,
    month: Month,
    known_at: Option<NaiveDateTime>,
    date: BusinessDate,
) -> Result<NaiveDateTime> {
    if let Some(at) = known_at {
        return Ok(at);
    }
    let own = default_cutoff(&store.config, month);
    let files: Vec<ReceivedFile> =
        received(store)?.into_iter().map(|(_, f)| f).filter(|f| f.month == month.to_string()).collect();
    let mut late_only = !files.is_empty();
    for file in &files {
        late_only &= landed(file)? >= own;
    }
    Ok(if late_only { own.max(add_days(date.0, 1).and_time(NaiveTime::MIN)) } else { own })
}

/// When a file landed. One whose time cannot be read must not drop out of its month unseen.
fn landed(file: &ReceivedFile) -> Result<NaiveDateTime> {
    let own = file.landed_at.parse().or_else(|_| NaiveDateTime::parse_from_str(&file.landed_at, "%Y-%m-%d %H:%M:%S"));
    own.map_err(|_| Error::integrity("the ledger's time of a landed receipt file cannot be read"))
}

/// The files that count: landed before the cut-off, of one (institution, payer, volume) the last.
pub fn files(store: &Store, month: Month, cutoff: NaiveDateTime) -> Result<Vec<(String, ReceivedFile)>> {
    let mut newest: BTreeMap<(String, String, String), (String, ReceivedFile)> = BTreeMap::new();
    let mut all: Vec<(NaiveDateTime, String, ReceivedFile)> = Vec::new();
    for (sha256, file) in received(store)?.into_iter().filter(|(_, f)| f.month == month.to_string()) {
        let at = landed(&file)?;
        if at < cutoff {
            all.push((at, sha256, file));
        }
    }
    // Two of one night: the greater digest holds, so that arrival does not show.
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for (_, sha256, file) in all {
        let key = (file.institution_code.clone(), file.payer.clone(), file.volume.clone());
        newest.insert(key, (sha256, file));
    }
    Ok(newest.into_values().collect())
}

struct Read1 {
    source_file: String,
    head: FileHead,
    tail: FileTail,
    receipts: Vec<Receipt>,
    claims: Vec<Claim>,
    /// Of everything in the file, and of the receipts in it that were rejected when it came.
    totals: Totals,
    rejected: (usize, Totals),
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    tail: Vec<u8>,
    totals: Totals,
    receipts: i64,
}

/// The month's manifest: control totals that GO may not carry.
#[derive(Serialize)]
struct MonthManifest {
    month: String,
    version: u32,
    cutoff: String,
    files_in: Vec<FileTotals>,
    files_out: Vec<FileTotals>,
    /// Receipts that were rejected alone when their file came: counted here, in no file that goes out.
    rejected: FileTotals,
    outcomes: BTreeMap<String, i64>,
}

#[derive(Serialize)]
struct FileTotals {
    file: String,
    receipts: i64,
    records: i64,
    points: i64,
}

/// Decides and writes a month; no version comes of it when nothing changed. Returns the outcome counts.
pub fn run(stage: &mut Stage<'_>, month: Month, cutoff: NaiveDateTime) -> Result<BTreeMap<String, i64>> {
    let store = stage.store;
    let reader = store.reader()?;
    let masters = Masters::known_before(store, cutoff)?;
    let chosen = files(store, month, cutoff)?;
    let read: Vec<Read1> =
        chosen.par_iter().map(|(sha256, file)| read_landed(store, sha256, file)).collect::<Result<_>>()?;
    let keys: BTreeSet<ClaimKey> = read
        .iter()
        .flat_map(|f| &f.claims)
        .map(|c| (c.insurer_no.clone(), c.symbol_key.clone(), c.number_key.clone()))
        .collect();
    let index = CoverageIndex::load(&reader, &masters, &store.config, &keys, cutoff)?;
    let rules = Rules { exclude_kohi: store.config.reroute.kohi == Kohi::Exclude };
    let decisions: Vec<Vec<Decision>> =
        read.par_iter().map(|f| f.claims.iter().map(|c| decide(&index, c, rules)).collect()).collect();

    let table = tables::of("reroute");
    let mut rows = Columns::new(table);
    let mut outcomes: BTreeMap<String, i64> = BTreeMap::new();
    for (file, decisions) in read.iter().zip(&decisions) {
        for ((receipt, claim), decision) in file.receipts.iter().zip(&file.claims).zip(decisions) {
            *outcomes.entry(decision.outcome.code().to_owned()).or_default() += 1;
            rows.push(&row(file, receipt, claim, decision, &index))?;
        }
    }
    let rows = order::sorted(table, &rows.batch()?)?;
    let version = match versions::next(&reader, table, month, &rows)? {
        Versioned::Unchanged => return Ok(outcomes),
        Versioned::New(version) => version,
    };
    let outgoing = collect(&read, &decisions, &index, &masters);
    let suffix = versions::suffix(version);
    let manifest = MonthManifest {
        month: month.to_string(),
        version,
        cutoff: cutoff.to_string(),
        files_in: read
            .iter()
            .map(|f| totals_of(f.source_file.clone(), f.receipts.len() + f.rejected.0, f.totals))
            .collect(),
        rejected: read.iter().fold(totals_of(String::new(), 0, Totals::default()), |sum, f| {
            let own = totals_of(String::new(), f.rejected.0, f.rejected.1);
            let (receipts, records) = (sum.receipts + own.receipts, sum.records + own.records);
            FileTotals { receipts, records, points: sum.points + own.points, ..sum }
        }),
        files_out: outgoing
            .iter()
            .map(|(path, o)| totals_of(path.clone(), usize::try_from(o.receipts).unwrap_or(0), o.totals))
            .collect(),
        outcomes: outcomes.clone(),
    };
    conserve(&manifest)?;
    for (path, file) in &outgoing {
        stage.outbox(&format!("reroute/{month}/{path}{suffix}.UKE"), &[file.bytes.as_slice(), &file.tail].concat())?;
    }
    for (institution, bytes) in institution_lists(&read, &decisions, &index, month)? {
        stage.outbox(&format!("reroute/{month}/institution/{institution}{suffix}.csv"), &bytes)?;
    }
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    stage.outbox(&format!("reroute/{month}/manifest{suffix}.json"), text.as_bytes())?;
    versions::write(stage, &reader, table, month, version, &rows, &format!("reroute/{month}"))?;
    stage.set(&versions::CUTOFFS.at(format!("reroute/{month}/{version}")), &cutoff.to_string())?;
    Ok(outcomes)
}

fn totals_of(file: String, receipts: usize, totals: Totals) -> FileTotals {
    FileTotals {
        file,
        receipts: i64::try_from(receipts).unwrap_or(i64::MAX),
        records: totals.records,
        points: totals.points,
    }
}

/// Guarantee 3: what goes out is what came in.
fn conserve(manifest: &MonthManifest) -> Result<()> {
    let sum =
        |files: &[FileTotals]| files.iter().fold((0, 0, 0), |t, f| (t.0 + f.receipts, t.1 + f.records, t.2 + f.points));
    let (out, rejected) = (sum(&manifest.files_out), &manifest.rejected);
    let accounted = (out.0 + rejected.receipts, out.1 + rejected.records, out.2 + rejected.points);
    if sum(&manifest.files_in) == accounted {
        Ok(())
    } else {
        Err(Error::internal("receipts, records or points going out differ from those that came in"))
    }
}

fn read_landed(store: &Store, sha256: &str, file: &ReceivedFile) -> Result<Read1> {
    let path = store.resolve(&format!("lake/{}", file.landing))?;
    let source: Box<dyn Read> = landing::open_known(&path, store.keys.as_deref(), sha256)?;
    let again = |b: uke::Broken| {
        Error::integrity(format!("{}: a landed receipt file no longer reads (line {})", file.landing, b.line))
    };
    let mut reader = UkeReader::open(BufReader::with_capacity(1 << 18, source)).map_err(again)?;
    let edition = reader.head.edition;
    let (mut receipts, mut claims, mut totals) = (Vec::new(), Vec::new(), Totals::default());
    let mut rejected = (0, Totals::default());
    while let Some(receipt) = reader.next_receipt().map_err(again)? {
        totals.add(&receipt, edition);
        match (uke::fault(edition, &receipt), claim(&reader.head, &receipt)) {
            (None, Some(claim)) => {
                claims.push(claim);
                receipts.push(receipt);
            }
            _ => {
                rejected.0 += 1;
                rejected.1.add(&receipt, edition);
            }
        }
    }
    let (head, tail) = reader.finish().map_err(again)?;
    Ok(Read1 { source_file: sha256[..16].to_owned(), head, tail, receipts, claims, totals, rejected })
}

/// Field of a record by name, through the edition's declaration.
fn field<'a>(edition: &Edition, receipt: &'a Receipt, id: &str, name: &str) -> &'a [u8] {
    let position = edition.record(id).and_then(|r| r.position(name));
    position.zip(receipt.first(id)).map_or(&[], |(p, line)| line.field(p))
}

fn decoded(bytes: &[u8]) -> String {
    Encoding::Cp932.decode(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), |t| t.into_owned())
}

fn blank_is_none(bytes: &[u8]) -> Option<String> {
    let text = decoded(bytes);
    let text = text.trim_matches([' ', '\u{3000}']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// What a receipt claims, by the positions of its edition; `None` where nothing may be guessed ([`uke::fault`]).
pub fn claim(head: &FileHead, receipt: &Receipt) -> Option<Claim> {
    let edition = head.edition;
    let get = |id: &str, name: &str| field(edition, receipt, id, name);
    let mut kind = [0u8; 4];
    for (digit, byte) in kind.iter_mut().zip(get("RE", "kind")) {
        *digit = byte.is_ascii_digit().then(|| byte - b'0')?;
    }
    let dpc = uke::all_dpc_marker().is_some_and(|marker| receipt.first(marker).is_some());
    let sn_branch = receipt.all("SN").find(|l| l.field(2) == b"1").and_then(|l| {
        let position = edition.record("SN")?.position("branch_no")?;
        blank_is_none(l.field(position))
    });
    Some(Claim {
        has_ho: receipt.first("HO").is_some(),
        has_kohi: receipt.first("KO").is_some(),
        service_month: Month::parse_compact(get("RE", "service_month"))?,
        billing_month: head.billing_month,
        kind,
        insurer_no: uke::insurer_no(get("HO", "insurer_no")),
        symbol_key: normal::number_key(&decoded(get("HO", "symbol"))),
        number_key: normal::number_key(&decoded(get("HO", "number"))),
        branch_no: sn_branch.map(|b| normal::number_key(&b)),
        birth_date: parse_date_or_era(get("RE", "birth_date")),
        sex: blank_is_none(get("RE", "sex")),
        kana_key: blank_is_none(get("RE", "kana")).map(|k| normal::kana_key(&k)),
        jd: jd(edition, receipt),
        detail_days: detail_days(edition, receipt),
        has_mf: receipt.first("MF").is_some(),
        points: uke::number(get("HO", "points")),
        inpatient: dpc || kind[3] % 2 == 1,
    })
}

fn jd(edition: &Edition, receipt: &Receipt) -> Option<[u8; 31]> {
    let first = edition.record("JD")?.position("day_first")?;
    let line = receipt.all("JD").find(|l| l.field(2) == b"1")?;
    let mut days = [0u8; 31];
    for (i, day) in days.iter_mut().enumerate() {
        *day = match line.field(first + i) {
            b"1" => 1,
            b"2" => 2,
            b"9" => 9,
            _ => 0,
        };
    }
    Some(days)
}

/// Days that any detail record counts; `None` where the edition declares no detail records.
fn detail_days(edition: &Edition, receipt: &Receipt) -> Option<Vec<u32>> {
    let detail: Vec<(&str, usize)> = edition
        .records()
        .filter(|(id, _)| *id != "JD")
        .filter_map(|(id, r)| r.position("day_first").map(|p| (id, p)))
        .collect();
    if detail.is_empty() {
        return None;
    }
    let mut days = BTreeSet::new();
    for (id, first) in detail {
        for line in receipt.all(id) {
            for day in 1..=31u32 {
                let offset = usize::try_from(day - 1).unwrap_or(0);
                if uke::number(line.field(first + offset)).is_some_and(|n| n > 0) {
                    days.insert(day);
                }
            }
        }
    }
    Some(days.into_iter().collect())
}

/// 保険者番号 of the responsible insurer and the 審査支払機関 its claims go through.
fn destination(
    file: &Read1,
    claim: &Claim,
    decision: &Decision,
    index: &CoverageIndex,
    masters: &Masters,
) -> (String, String) {
    match emit::responsible(decision, index) {
        Some(held) if decision.outcome == Outcome::Rerouted => {
            (masters.payer_of(&held.insurer_no).to_owned(), held.insurer_no.clone())
        }
        _ if !claim.has_ho => (file.head.payer.clone(), "_kohi".to_owned()),
        _ => {
            // What stands on a receipt is no path: anything but digits shares one folder.
            let plain = claim.insurer_no.len() == 8 && claim.insurer_no.bytes().all(|b| b.is_ascii_digit());
            (file.head.payer.clone(), if plain { claim.insurer_no.clone() } else { "_unreadable".to_owned() })
        }
    }
}

fn collect(
    read: &[Read1],
    decisions: &[Vec<Decision>],
    index: &CoverageIndex,
    masters: &Masters,
) -> BTreeMap<String, Outgoing> {
    let mut outgoing: BTreeMap<String, Outgoing> = BTreeMap::new();
    for (file, decisions) in read.iter().zip(decisions) {
        for ((receipt, claim), decision) in file.receipts.iter().zip(&file.claims).zip(decisions) {
            let (payer, insurer) = destination(file, claim, decision, index, masters);
            let path = format!("payer/{payer}/{insurer}/{}", file.head.institution_code);
            let out = outgoing.entry(path).or_default();
            if out.bytes.is_empty() {
                out.bytes = emit::head(&file.head, &payer);
                out.tail = emit::tail(&file.head, &file.tail);
            }
            out.bytes.extend(emit::receipt(receipt, decision, index));
            out.receipts += 1;
            let mut own = Totals::default();
            own.add(receipt, file.head.edition);
            out.totals = out.totals.plus(own);
        }
    }
    outgoing
}

fn all_days(decision: &Decision) -> Vec<i32> {
    let mut days: Vec<i32> =
        decision.days.iter().flat_map(|(_, days)| days).filter_map(|d| i32::try_from(*d).ok()).collect();
    days.sort_unstable();
    days
}

fn receipt_no(file: &Read1, receipt: &Receipt) -> String {
    decoded(field(file.head.edition, receipt, "RE", "receipt_no"))
}

fn row<'r>(
    file: &'r Read1,
    receipt: &'r Receipt,
    claim: &'r Claim,
    decision: &'r Decision,
    index: &'r CoverageIndex,
) -> Row<'r> {
    let held = decision.claimed.map(|i| &index.coverages[i]);
    let goes_to = emit::responsible(decision, index);
    let claimed_no = claim.has_ho.then_some(claim.insurer_no.as_str());
    let insurer_no = goes_to.map(|h| h.insurer_no.as_str()).or(claimed_no);
    Row {
        institution_code: file.head.institution_code.as_str().into(),
        payer: file.head.payer.as_str().into(),
        receipt_no: receipt_no(file, receipt).into(),
        part: 0,
        outcome: Some(decision.outcome.code().into()),
        reason: Some(decision.reason).filter(|r| !r.is_empty()).map(Cow::Borrowed),
        claimed_insurer_no: claimed_no.map(Cow::Borrowed),
        insurer_no: insurer_no.map(Cow::Borrowed),
        branch_no: goes_to.or(held).and_then(|h| h.branch_no.as_deref()).map(Cow::Borrowed),
        link_no: held.map(|h| h.link_no),
        days: all_days(decision),
        points: claim.points.filter(|_| claim.has_ho),
        source_file: file.source_file.as_str().into(),
        source_line: receipt.lines.first().map_or(0, |l| l.number),
    }
}

/// One CP932 list per institution: what became of each receipt (000: like 増減点通知).
fn institution_lists(
    read: &[Read1],
    decisions: &[Vec<Decision>],
    index: &CoverageIndex,
    month: Month,
) -> Result<BTreeMap<String, Vec<u8>>> {
    const HEADING: [&str; 14] = [
        "請求年月",
        "レセプト番号",
        "枝",
        "確認区分",
        "理由",
        "変更前保険者番号",
        "変更前記号",
        "変更前番号",
        "変更後保険者番号",
        "変更後記号",
        "変更後番号",
        "枝番",
        "受診日",
        "点数",
    ];
    let mut by_institution: BTreeMap<String, TableText> = BTreeMap::new();
    for (file, decisions) in read.iter().zip(decisions) {
        let code = file.head.institution_code.clone();
        if !by_institution.contains_key(&code) {
            let mut writer = TableText::new(b"");
            writer.row(HEADING.iter().map(|h| Encoding::Cp932.encode_lossy(h)))?;
            by_institution.insert(code.clone(), writer);
        }
        let Some(writer) = by_institution.get_mut(&code) else { continue };
        for ((receipt, claim), decision) in file.receipts.iter().zip(&file.claims).zip(decisions) {
            let moved = emit::responsible(decision, index).filter(|_| decision.outcome == Outcome::Rerouted);
            let edition = file.head.edition;
            let before = |name| field(edition, receipt, "HO", name).to_vec();
            let branch = emit::responsible(decision, index).and_then(|h| h.branch_no.clone()).unwrap_or_default();
            let days: Vec<String> = all_days(decision).iter().map(ToString::to_string).collect();
            let points = claim.points.filter(|_| claim.has_ho).map(|p| p.to_string()).unwrap_or_default();
            let fields: Vec<Vec<u8>> = vec![
                month.compact().into_bytes(),
                receipt_no(file, receipt).into_bytes(),
                b"0".to_vec(),
                Some(decision.outcome).filter(|o| *o != Outcome::NotApplicable).map_or("", Outcome::code).into(),
                decision.reason.into(),
                before("insurer_no"),
                before("symbol"),
                before("number"),
                moved.map(|h| emit::printed_insurer_no(&h.insurer_no).into()).unwrap_or_default(),
                moved.map(|h| h.symbol_raw.clone()).unwrap_or_default(),
                moved.map(|h| h.number_raw.clone()).unwrap_or_default(),
                branch.into_bytes(),
                days.join(" ").into_bytes(),
                points.into_bytes(),
            ];
            writer.row(fields)?;
        }
    }
    by_institution.into_iter().map(|(code, writer)| Ok((code, writer.bytes()?))).collect()
}
