//! What commands print: one JSON document with `--json`, else a few lines that say where to look.

use std::fmt::Display;
use std::path::Path;

use serde_json::json;
use shikaku_pipeline::base::config::Config;
use shikaku_pipeline::intake::sequence::release_key;
use shikaku_pipeline::ledger::InputRow;
use shikaku_pipeline::ledger::RunOutcome;
use shikaku_pipeline::ledger::facts::RELEASED;
use shikaku_pipeline::store::commit::RunReport;
use shikaku_pipeline::store::{Store, verify};
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::operator;

use crate::nightly::Night;
use crate::outside;

/// Prints a JSON document.
pub fn document(value: &impl serde::Serialize) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

pub fn made(file: &Path, config: &Config, json: bool) -> Result<u8> {
    let sealed = config.key_file.is_some();
    if json {
        document(
            &json!({ "config": file, "lake": config.lake, "inbox": config.inbox, "outbox": config.outbox, "encrypted": sealed }),
        )?;
    } else {
        say!("lake    {}", config.lake.display());
        say!("inbox   {}", config.inbox.display());
        say!("outbox  {}", config.outbox.display());
        say!("config  {}", file.display());
        match &config.key_file {
            Some(key) => say!("keys    {} (keep a copy elsewhere: without it nothing can be read)", key.display()),
            None => say!("keys    none: restricted tables and landed inputs are stored in clear"),
        }
    }
    Ok(0)
}

pub fn synthesised(output: &Path, files: u64, bytes: u64, json: bool) -> Result<u8> {
    if json {
        document(&json!({ "output": output, "files": files, "bytes": bytes }))?;
    } else {
        say!("{files} files, {bytes} bytes in {}", output.display());
    }
    Ok(0)
}

/// One line of a run's counts.
fn counts(report: &RunReport) -> String {
    let values: [(&str, &dyn Display); 4] = [
        ("read", &report.rows_read),
        ("accepted", &report.rows_accepted),
        ("rejected", &report.rows_rejected),
        ("duplicate", &report.rows_duplicate),
    ];
    let mut line = operator::text(outside::language(), "night.read", &values);
    for (code, count) in &report.codes {
        line.push_str(&format!(", {code} × {count}"));
    }
    line
}

pub fn report(report: &RunReport, json: bool) -> Result<()> {
    if json {
        return document(report);
    }
    if report.unchanged {
        say!("{}: nothing changed", report.job);
        return Ok(());
    }
    say!("{} {}: {}", report.job, &report.run_id[..12], counts(report));
    for what in report.unread.iter().chain(&report.passed_over).chain(&report.notes) {
        say!("  {what}");
    }
    for path in report.outbox.iter().take(10) {
        say!("  outbox/{path}");
    }
    if report.outbox.len() > 10 {
        say!("  … {} files in all: shikaku runs show {}", report.outbox.len(), &report.run_id[..12]);
    }
    Ok(())
}

pub fn night(night: &Night, store: &Store, json: bool) -> Result<()> {
    if json {
        return document(night);
    }
    let said = |key: &str, values: &[(&str, &dyn Display)]| operator::text(outside::language(), key, values);
    say!("{}", said("night.title", &[("date", &night.business_date)]));
    for job in &night.jobs {
        let detail = match (&job.report, &job.error) {
            (_, Some(error)) => error.clone(),
            (Some(report), _) if !report.unchanged => counts(report),
            _ => String::new(),
        };
        say!("  {:<14} {:<11} {detail}", job.job, said(&format!("state.{}", job.state), &[]));
        let report = job.report.as_ref();
        for what in report.into_iter().flat_map(|r| &r.unread) {
            say!("{}", said("night.unread", &[("what", what)]));
        }
        for what in report.into_iter().flat_map(|r| &r.passed_over) {
            say!("{}", said("night.passed_over", &[("what", what)]));
        }
        for note in report.into_iter().flat_map(|r| &r.notes) {
            say!("                 {note}");
        }
    }
    say!("{}", said("night.results", &[("path", &store.config.outbox.display())]));
    say!("{}", said("night.tables", &[("path", &store.config.lake.display())]));
    say!("{}", said("night.details", &[]));
    Ok(())
}

/// Exit 5 and a line per finding when anything differs.
pub fn verified(store: &Store, json: bool) -> Result<u8> {
    let verified = verify::verify(store)?;
    let code = if verified.findings.is_empty() { 0 } else { 5 };
    if json {
        document(&verified)?;
        return Ok(code);
    }
    for finding in &verified.findings {
        say!("{finding}");
    }
    let said = |key: &str, values: &[(&str, &dyn Display)]| operator::text(outside::language(), key, values);
    if verified.unfinished_runs > 0 {
        say!("{}", said("verify.unfinished", &[("runs", &verified.unfinished_runs)]));
    }
    let values: [(&str, &dyn Display); 3] =
        [("events", &verified.events), ("files", &verified.files), ("bytes", &verified.bytes)];
    say!("{}", said(if code == 0 { "verify.intact" } else { "verify.violated" }, &values));
    Ok(code)
}

pub fn release(store: &Store, kind: &str, origin: &str, receipt: i64, json: bool) -> Result<u8> {
    if !(1..=99_999_999).contains(&receipt) {
        return Err(Error::usage("a 受付番号 is 1 to 99999999"));
    }
    let held = store.ledger.held()?;
    let is_it = |i: &InputRow| i.kind == kind && i.origin.as_deref() == Some(origin) && i.receipt_no == Some(receipt);
    if !held.iter().any(is_it) {
        return Err(Error::usage(format!("no held {kind} file of {origin} with 受付番号 {receipt}")));
    }
    store.set(&RELEASED.at(release_key(kind, origin, receipt)), Some(&store.now()))?;
    if json {
        document(&json!({ "kind": kind, "origin": origin, "receipt_no": receipt, "released": true }))?;
    } else {
        say!("受付番号 {receipt} of {origin} goes in with the next run");
    }
    Ok(0)
}

pub fn runs(store: &Store, json: bool) -> Result<u8> {
    let runs = store.ledger.runs()?;
    if json {
        document(&runs)?;
        return Ok(0);
    }
    for run in runs {
        let set = run.set_id.map(|s| s.to_string()).unwrap_or_default();
        say!(
            "{} {} {:<14} {:<10} {:<21} set {set}",
            &run.run_id[..12],
            run.business_date,
            run.job,
            run.status,
            run.outcome.map_or("", RunOutcome::word)
        );
    }
    Ok(0)
}

pub fn run(store: &Store, id: &str, json: bool) -> Result<u8> {
    let run = store.ledger.run(id)?;
    let inputs: Vec<_> = store.ledger.inputs(Some(&run.run_id))?.into_iter().map(|(_, input)| input).collect();
    let codes = store.ledger.rejections(&run.run_id)?;
    let outputs = store.ledger.outputs(Some(&run.run_id))?;
    if json {
        let codes: Vec<_> = codes
            .iter()
            .map(|(sha256, code, severity, count)| {
                json!({ "sha256": sha256, "code": code, "severity": severity, "count": count })
            })
            .collect();
        let outputs: Vec<_> = outputs.iter().map(|(path, sha256)| json!({ "path": path, "sha256": sha256 })).collect();
        document(&json!({ "run": run, "inputs": inputs, "codes": codes, "outputs": outputs }))?;
        return Ok(0);
    }
    say!("run        {}", run.run_id);
    say!("job        {} of {}, {}", run.job, run.business_date, run.parameters);
    say!("status     {} {}", run.status, run.outcome.map_or("", RunOutcome::word));
    say!("time       {} – {}", run.started_at, run.finished_at.unwrap_or_default());
    say!("program    {} with configuration {}", run.code_version, &run.config_digest[..12]);
    if let Some(error) = run.error {
        say!("error      {error}");
    }
    for input in inputs {
        say!(
            "input      {} {} {}: {} read {}, accepted {}, rejected {}, duplicate {}",
            &input.sha256[..12],
            input.kind,
            input.name,
            input.state,
            input.rows_read,
            input.rows_accepted,
            input.rows_rejected,
            input.rows_duplicate
        );
    }
    for (sha256, code, severity, count) in codes {
        let ja = &shikaku_schemas::messages::of(&code).ja;
        say!("code       {} {code} × {count} ({severity}) {ja}", &sha256[..12]);
    }
    for (path, sha256) in outputs {
        say!("output     {} {path}", &sha256[..12]);
    }
    Ok(0)
}
