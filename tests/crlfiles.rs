//! One CRL per rule (data-samples/crl, made with OpenSSL and by hand): each alone as a set of an empty lake.

use std::path::PathBuf;

use crate::common::{Lake, samples};

struct Sample {
    path: PathBuf,
    name: String,
    ca: PathBuf,
    class: String,
    entries: usize,
    /// The refusal, or the oddities in code order.
    codes: Vec<String>,
}

fn all(class: &str) -> Vec<Sample> {
    let dir = samples().join("crl");
    let text = std::fs::read_to_string(dir.join("expected.tsv")).unwrap();
    let lines = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    let rows = lines.map(|f| Sample {
        path: dir.join(f[0]),
        name: f[0].to_owned(),
        ca: dir.join(f[1]),
        class: f[2].to_owned(),
        entries: f[4].parse().unwrap(),
        codes: f[5].split(' ').filter(|c| *c != "-").map(str::to_owned).collect(),
    });
    rows.filter(|s| s.class == class).collect()
}

/// A lake that trusts both CAs of one name, or the one that the sample needs.
fn lake_for(sample: &Sample) -> Lake {
    let lake = Lake::new();
    let next = samples().join("crl/ca-rsa2048-next.pem");
    let mut files = vec![sample.ca.display().to_string()];
    if sample.name.contains("next-key") || sample.name.contains("rsa-sha256") {
        files = vec![samples().join("crl/ca-rsa2048.pem").display().to_string(), next.display().to_string()];
    }
    lake.set("ca_files = []", &format!("ca_files = {files:?}"));
    lake
}

fn ingest(lake: &Lake, sample: &Sample) -> crate::common::Done {
    lake.run(&["ingest", "crl", sample.path.to_str().unwrap(), "--date", "2026-10-30"])
}

#[test]
fn sound_lists_of_every_algorithm_and_form_are_taken() {
    for sample in all("good") {
        let lake = lake_for(&sample);
        let done = ingest(&lake, &sample);
        assert_eq!((done.code, lake.rows("revocation").len()), (0, sample.entries), "{}: {}", sample.name, done.stdout);
        assert!(lake.rows("rejection").is_empty(), "{}", sample.name);
    }
}

#[test]
fn a_ca_certificate_that_is_configured_twice_is_one_ca() {
    let sample = all("good").into_iter().find(|s| s.name == "good/rsa-sha256.crl").unwrap();
    let lake = Lake::new();
    let twice = [sample.ca.display().to_string(), sample.ca.display().to_string()];
    lake.set("ca_files = []", &format!("ca_files = {twice:?}"));
    ingest(&lake, &sample).exits(0);
    assert_eq!(lake.rows("revocation").len(), sample.entries);
}

#[test]
fn each_fault_is_refused_by_its_code_and_leaves_nothing() {
    for sample in all("bad").into_iter().filter(|s| !s.name.contains("ed25519")) {
        let lake = lake_for(&sample);
        let done = ingest(&lake, &sample);
        let found = done.stdout.contains(&sample.codes[0]);
        assert!(done.code == 3 && found, "{} must be {:?}: {}", sample.name, sample.codes, done.stdout);
        assert!(lake.rows("revocation").is_empty(), "{}", sample.name);
    }
}

#[test]
fn a_ca_of_another_algorithm_is_a_fault_of_the_configuration() {
    let sample = all("bad").into_iter().find(|s| s.name.contains("ed25519")).unwrap();
    let done = ingest(&lake_for(&sample), &sample);
    assert_eq!(done.code, 2);
}

#[test]
fn oddities_are_taken_named_and_counted() {
    for sample in all("odd") {
        let lake = lake_for(&sample);
        ingest(&lake, &sample).exits(0);
        let codes = lake.column("rejection", "code");
        assert_eq!(codes, sample.codes, "{}", sample.name);
        let doubled = usize::from(sample.codes.iter().any(|c| c == "400121"));
        assert_eq!(lake.rows("revocation").len(), sample.entries - doubled, "{}", sample.name);
    }
}
