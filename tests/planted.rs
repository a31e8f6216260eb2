//! The sample nights against the truth that the generator wrote beside them: every planted thing has its outcome.

use std::collections::BTreeMap;

use crate::common::{Lake, samples};
use crate::nightly::{run_all, sample_lake};

/// A truth file without its heading.
fn truth(name: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(samples().join("truth").join(name)).unwrap();
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn files_records_receipts_serials_and_checks_come_out_as_planted() {
    let lake = sample_lake(Lake::new());
    run_all(&lake);
    files(&lake);
    records(&lake);
    receipts(&lake);
    serials(&lake);
    checks(&lake);
}

fn files(lake: &Lake) {
    let inputs = lake.store().ledger.inputs(None).unwrap();
    for row in truth("files.csv") {
        let name = row[1].rsplit('/').next().unwrap();
        let sha256 = shikaku_pipeline::base::digest::sha256_file(&samples().join("nights").join(&row[0]).join(&row[1]))
            .unwrap()
            .0;
        let (_, own) = inputs.iter().find(|(_, i)| i.sha256 == sha256).unwrap_or_else(|| panic!("{name} was not read"));
        let counts = [own.rows_read, own.rows_accepted, own.rows_rejected, own.rows_duplicate];
        let expected: Vec<i64> = row[5..9].iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(
            (own.state.word(), own.code.clone().unwrap_or_default(), counts.to_vec()),
            (row[3].as_str(), row[4].clone(), expected),
            "{name}"
        );
    }
}

fn records(lake: &Lake) {
    let mut outbox = BTreeMap::new();
    crate::common::read_all(&lake.path("outbox/results"), &lake.path("outbox/results"), &mut outbox);
    let mut expected: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in truth("records.csv") {
        let name = row[1].rsplit('/').next().unwrap().to_owned();
        expected.entry(name).or_default().push((row[2].clone(), row[3].clone()));
    }
    for (name, mut findings) in expected {
        let (_, bytes) = outbox
            .iter()
            .find(|(path, _)| path.contains(&format!("/{name}.")) && path.ends_with(".result.csv"))
            .unwrap_or_else(|| panic!("{name}"));
        let mut own: Vec<(String, String)> = bytes
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| l.split(|b| *b == b',').map(|f| String::from_utf8_lossy(f).into_owned()).collect::<Vec<_>>())
            .map(|f| (f[0].clone(), f[6].clone()))
            .filter(|(_, code)| code != "000000")
            .collect();
        own.sort();
        findings.sort();
        assert_eq!(own, findings, "{name}");
    }
}

fn receipts(lake: &Lake) {
    let columns = ["institution_code", "payer", "receipt_no", "outcome", "reason", "insurer_no"]
        .map(|c| lake.column("reroute", c));
    let own: BTreeMap<[String; 3], [String; 3]> = (0..columns[0].len())
        .map(|i| {
            let at = |c: usize| columns[c][i].clone();
            ([at(0), at(1), at(2)], [at(3), at(4), at(5)])
        })
        .collect();
    let rows = truth("receipts.csv");
    assert_eq!(own.len(), rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let outcome = if row[3].is_empty() { "not_applicable".to_owned() } else { row[3].clone() };
        let expected = [outcome, row[4].clone(), row[5].clone()];
        let found = &own[&[row[0].clone(), row[1].clone(), row[2].clone()]];
        if *found != expected {
            wrong.push(format!("{} {} {}: {found:?} instead of {expected:?}", row[0], row[1], row[2]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn serials(lake: &Lake) {
    let (serials, links) = (lake.column("serial_link", "serial"), lake.column("serial_link", "link_no"));
    let own: BTreeMap<&String, &String> = serials.iter().zip(&links).collect();
    let revoked = lake.column("revocation", "serial");
    for row in truth("serials.csv") {
        match row[2].as_str() {
            "pending" => assert!(!own.contains_key(&row[0]), "{} must wait", row[0]),
            state => {
                assert_eq!(state == "revoked", revoked.contains(&row[0]), "{}", row[0]);
                if !row[1].is_empty() {
                    assert_eq!(own.get(&row[0]).map(|l| l.as_str()), Some(row[1].as_str()), "{}", row[0]);
                }
            }
        }
    }
}

fn checks(lake: &Lake) {
    let table = shikaku_schemas::tables::of("check_daily");
    let reader = lake.store().reader().unwrap();
    let mut own: BTreeMap<[String; 4], i64> = BTreeMap::new();
    for generation in reader.snapshot.current(table) {
        let date = generation.partition.strip_prefix("on_date=").unwrap().to_owned();
        let batches = reader.batches(table, generation, None, None).unwrap();
        for row in batches.flat_map(|batch| crate::common::texts(table, &batch.unwrap())) {
            let text = |name: &str| row[name].clone();
            if matches!(row["axis"].as_str(), "insurer" | "institution") {
                let key = [date.clone(), text("axis"), text("axis_key"), text("validity")];
                *own.entry(key).or_default() += row["count"].parse::<i64>().unwrap();
            }
        }
    }
    let expected: BTreeMap<[String; 4], i64> = truth("checks.csv")
        .into_iter()
        .map(|r| ([r[0].clone(), r[1].clone(), r[2].clone(), r[3].clone()], r[4].parse().unwrap()))
        .collect();
    assert_eq!(own, expected);
}
