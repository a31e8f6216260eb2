//! How fast the readers are, alone: `cargo bench` prints rows and megabytes a second at the sizes named below.
//!
//! Inputs are made by `synth` on first use below tmp/bench. Compare ratios of one run, never single figures.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::float_arithmetic, reason = "a bench measures time")]
#![allow(clippy::as_conversions, reason = "figures for people")]

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

use shikaku_pipeline::crl::parse;
use shikaku_pipeline::pki::ca;
use shikaku_pipeline::read::envelope::{self, Accepts, DataLines};
use shikaku_pipeline::read::uke::UkeReader;
use shikaku_pipeline::reroute::month::claim;
use shikaku_pipeline::synth::{Options, Scale, generate};
use shikaku_pipeline::text::cp932::Encoding;

/// Persons of each size; national is what `--scale national` makes and takes hours of disk.
const SIZES: [(&str, Scale, Option<u64>); 2] =
    [("smoke", Scale::Regional, Some(20_000)), ("regional", Scale::Regional, Some(200_000))];

fn main() {
    let wanted = std::env::args().nth(1).filter(|a| !a.starts_with('-')).unwrap_or_else(|| "smoke".to_owned());
    for (name, scale, persons) in SIZES.into_iter().filter(|(n, ..)| *n == wanted) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tmp/bench").join(name);
        if !dir.join("ca").exists() {
            generate(&Options { scale, seed: 1, persons, planted_errors: false }, &dir).unwrap();
        }
        println!("{name}: {}", dir.display());
        subscribers(&files(&dir, "subscribers"));
        revocations(&dir, &files(&dir, "crl"));
        receipts(&files(&dir, "receipts"));
    }
}

fn files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(dir, kind, false, &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, kind: &str, inside: bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let inside = inside || path.file_name().is_some_and(|n| n == kind);
        if path.is_dir() {
            walk(&path, kind, inside, found);
        } else if inside {
            found.push(path);
        }
    }
}

fn report(what: &str, rows: u64, files: &[PathBuf], start: Instant) {
    let bytes: u64 = files.iter().map(|f| f.metadata().unwrap().len()).sum();
    let seconds = start.elapsed().as_secs_f64();
    let (rows_a_second, megabytes) = (rows as f64 / seconds, bytes as f64 / 1e6);
    println!(
        "  {what:<34} {rows:>10} rows {megabytes:>8.1} MB {seconds:>7.3} s {rows_a_second:>12.0} rows/s {:>7.1} MB/s",
        megabytes / seconds
    );
}

/// Inspection (guard, limits, trailer) and reading of every record.
fn subscribers(files: &[PathBuf]) {
    let start = Instant::now();
    let limit = |layout: &shikaku_schemas::layout::Layout| (layout.max_rows, layout.max_bytes);
    let accepts = Accepts { kinds: &["SUB"], encoding_of: &|_| Some(Encoding::Cp932), limit: &limit };
    let mut rows = 0;
    for file in files {
        envelope::inspect(file.as_path(), &accepts).unwrap();
        let mut lines = DataLines::open(file.as_path(), shikaku_schemas::layout::of("SUB")).unwrap();
        while lines.next_line().unwrap().is_some() {
            rows += 1;
        }
    }
    report("SUB inspect + read", rows, files, start);
}

/// Parse, hash, verify.
fn revocations(dir: &Path, files: &[PathBuf]) {
    let cas = vec![ca::load(&dir.join("ca/sample-ca.pem")).unwrap()];
    let files: Vec<PathBuf> = files.iter().filter(|f| f.extension().is_some_and(|e| e == "crl")).cloned().collect();
    let start = Instant::now();
    let mut rows = 0;
    for file in &files {
        parse::read(std::fs::File::open(file).unwrap(), &cas, |_, _| {
            rows += 1;
            Ok(())
        })
        .unwrap();
    }
    report("CRL parse + verify", rows, &files, start);
}

/// Lines → receipts → what each claims.
fn receipts(files: &[PathBuf]) {
    let start = Instant::now();
    let mut rows = 0;
    for file in files {
        let mut reader = UkeReader::open(BufReader::new(std::fs::File::open(file).unwrap())).unwrap();
        while let Some(receipt) = reader.next_receipt().unwrap() {
            let _ = claim(&reader.head, &receipt);
            rows += 1;
        }
    }
    report("UKE read + claim", rows, files, start);
}
