//! `inquire` and `export`: the two ways to see restricted data, both of which leave an access record in the ledger; and the
//! rotation of the keys that seal it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use shikaku_pipeline::ask::export::{self, Format};
use shikaku_pipeline::ask::inquire::certificate::Certificate;
use shikaku_pipeline::ask::inquire::{self, Request};
use shikaku_pipeline::ledger::Event;
use shikaku_pipeline::store::{Store, rotate};
use shikaku_pipeline::{Error, Result};
use shikaku_schemas::tables;

use super::show;

/// Largest request read.
const MAX_REQUEST: u64 = 64 * 1024;

/// Records who saw what, before anything is shown.
fn record(store: &Store, what: &str, asked: String, outcome: String) -> Result<()> {
    let by = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let event = Event::Accessed { what: what.to_owned(), asked, outcome, by, at: store.now() };
    store.note(event)
}

/// The request of a JSON file or, for `-` or none, of stdin.
pub fn request(path: Option<&PathBuf>) -> Result<Request> {
    let mut text = String::new();
    let read = match path.filter(|p| p.as_os_str() != "-") {
        Some(path) => std::fs::File::open(path).and_then(|f| f.take(MAX_REQUEST).read_to_string(&mut text)),
        None => std::io::stdin().take(MAX_REQUEST).read_to_string(&mut text),
    };
    read.map_err(|e| Error::usage(format!("the request cannot be read: {e}")))?;
    // The text may hold personal data and is not shown.
    serde_json::from_str(&text).map_err(|e| {
        Error::usage(format!(
            "the request is not usable at line {}, column {}: see `shikaku inquire --help`",
            e.line(),
            e.column()
        ))
    })
}

pub fn inquire(store: &Store, request: &Request, json: bool) -> Result<u8> {
    let answer = inquire::answer(store, request)?;
    let state = serde_json::to_value(answer.state)?;
    let asked = inquire::fingerprint(store, request)?;
    record(store, "inquire", asked, state.as_str().unwrap_or_default().to_owned())?;
    if json {
        show::document(&answer)?;
        return Ok(0);
    }
    say!("{}", answer.message);
    for notice in &answer.notices {
        say!("注意          {notice}");
    }
    if let Some(certificate) = &answer.certificate {
        certificate_facts(certificate);
    }
    for shown in &answer.coverages {
        say!("保険者番号    {}", shown.insurer_no);
        let branch = shown.branch_no.as_deref().map(|b| format!(" 枝番 {b}")).unwrap_or_default();
        // A card without 記号 shows its 番号 alone.
        let symbol = shown.symbol.as_deref().map(|symbol| format!("{symbol}・")).unwrap_or_default();
        say!("記号・番号    {symbol}{}{branch}", shown.number);
        if let Some(name) = &shown.name {
            say!("氏名          {name} {}", shown.kana.as_deref().unwrap_or(""));
        }
        let lost = shown.lost_on.map(|d| format!("  資格喪失 {d}")).unwrap_or_default();
        say!("資格取得      {}{lost}", shown.acquired_on);
    }
    Ok(0)
}

/// The three facts that a certificate's state follows from.
fn certificate_facts(own: &Certificate) {
    say!("有効性確認    {} ({})", own.validity.text(), own.at);
    match &own.link {
        Some(link) => {
            let next = if link.superseded { " 更新済み" } else { "" };
            say!("紐付          紐付番号 {}{next}", link.link_no);
            let (file, record, from) = (&link.source_file, link.source_record, shown(link.recorded_from));
            say!("              記録 {from}  入力 {file} レコード {record}");
        }
        None => say!("紐付          なし"),
    }
    match &own.crl {
        Some(set) => {
            let stale = match (set.expired, set.stale) {
                (true, _) => " (有効期間切れ)",
                (false, true) => " (前回のまま)",
                (false, false) => "",
            };
            say!("失効情報      業務日 {} セット {} 実行 {}{stale}", set.business_date, set.set_id, &set.run_id[..12]);
        }
        None => say!("失効情報      なし"),
    }
    if let Some(entry) = &own.entry {
        let reason = entry.reason.as_deref().unwrap_or("なし");
        say!("失効          {} 理由 {reason} 初回掲載 {}", shown(entry.revoked_at), shown(entry.first_seen));
        say!("              CRL番号 {} 発行者鍵 {}", entry.crl_number, entry.issuer_key_id);
    }
}

/// A moment or a day, if there is one.
fn shown(when: Option<impl ToString>) -> String {
    when.map(|when| when.to_string()).unwrap_or_default()
}

pub fn export(store: &Store, table: &str, set: Option<i64>, format: Format, path: &Path, json: bool) -> Result<u8> {
    let Some(table) = tables::all().iter().find(|t| t.name == table) else {
        let names: Vec<&str> = tables::all().iter().map(|t| t.name.as_str()).collect();
        return Err(Error::usage(format!("no table {table}; there are {}", names.join(", "))));
    };
    if path.is_dir() || path.as_os_str() == "-" {
        return Err(Error::usage(format!("{} is no file name", path.display())));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside =
        |own: &Path| folder.canonicalize().ok().zip(own.canonicalize().ok()).is_some_and(|(f, o)| f.starts_with(o));
    if inside(&store.config.lake) || inside(&store.config.outbox) {
        return Err(Error::usage("an export does not belong in the lake or the outbox; name another folder"));
    }
    let asked = format!("{} {}", table.name, set.map_or("newest".to_owned(), |set| set.to_string()));
    let told = |rows: Option<i64>| {
        let outcome = rows.map_or("begun".to_owned(), |rows| format!("{rows} rows"));
        record(store, "export", asked.clone(), outcome)
    };
    let rows = export::export(store, table, set, format, path, &told)?;
    if json {
        show::document(&json!({ "table": table.name, "rows": rows, "path": path }))?;
    } else {
        say!("{rows} rows of {} in {}", table.name, path.display());
        if table.restricted {
            say!("This file holds personal data in clear. Delete it when it has served.");
        }
    }
    Ok(0)
}

/// Wraps all data keys by a new master key.
pub fn rotate(store: &mut Store, forget: bool, json: bool) -> Result<u8> {
    let rotated = rotate::rotate(store, forget)?;
    if json {
        show::document(&rotated)?;
    } else {
        say!("{} files are wrapped by master key {}", rotated.files, rotated.key);
        say!("the key file holds {}; keep a copy of it elsewhere", rotated.kept.join(", "));
    }
    Ok(0)
}
