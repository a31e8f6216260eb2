//! CRL sets: what outside eyes found, each by itself (faults C2–C4, C7–C11).

use chrono::{NaiveDate, NaiveTime, TimeDelta};

use crate::common::Lake;
use crate::common::crl::{bytes_of, certificate_written_otherwise, odd_list, pem};
use crate::crl_oracle::{Entry, List};
use crate::crlnights::{accept, fresh, ingest, json, nights, plain};

/// A list of so many entries, from a serial on.
fn long(point: usize, number: u128, date: NaiveDate, serials: std::ops::Range<u16>) -> List {
    let one = plain(point, number, date, &[(1, 0)]);
    let entry = one.entries[0].clone();
    let entries = serials.map(|n| Entry { serial: [&[0x10], n.to_be_bytes().as_slice()].concat(), ..entry.clone() });
    List { entries: entries.collect(), ..one }
}

#[test]
fn a_set_that_loses_much_in_many_small_steps_is_refused_and_a_list_is_never_swallowed() {
    let (lake, [one, two, _]) = (fresh(false), nights());
    lake.set("band_entries = 3", "band_entries = 1000");
    // Each list has its own serials: 40 lists of 60 entries.
    let set = |number: u128, date: NaiveDate, left: u16| -> Vec<Vec<u8>> {
        (0..40u16).map(|n| bytes_of(&long(n.into(), number, date, n * 100..n * 100 + left))).collect()
    };
    ingest(&lake, one, &set(1, one, 60)).exits(0);
    // Every list keeps more than half and loses fewer than 1000; together 1,160 of 2,400 go.
    ingest(&lake, two, &set(2, two, 31)).exits(3);
    let causes = &json(&lake, &["status"])["crl_causes"];
    assert_eq!(causes["set"][0]["code"], "400110", "{causes}");
    assert!(causes["set"][0]["detail"].as_str().unwrap().contains("1160"), "{causes}");
    assert_eq!(lake.rows("revocation").len(), 2400);
    // One list that goes to nothing, though that is few entries.
    let mut lists = set(3, two, 60);
    lists[7] = bytes_of(&long(7, 3, two, 0..0));
    ingest(&lake, two, &lists).exits(3);
    let causes = &json(&lake, &["status"])["crl_causes"];
    assert!(causes.to_string().contains("件数 60 から 0"), "{causes}");
    // What goes is counted, not the difference: as many new ones do not make up for it.
    let turned: Vec<Vec<u8>> =
        (0..40u16).map(|n| bytes_of(&long(n.into(), 4, two, n * 100 + 29..n * 100 + 89))).collect();
    ingest(&lake, two, &turned).exits(3);
    assert_eq!(lake.rows("revocation").len(), 2400);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn an_override_lets_pass_what_was_shown_and_every_cause_is_shown() {
    let (lake, [one, two, three]) = (fresh(false), nights());
    let set = |number: u128, made: NaiveDate, entries: u16| {
        let next_update = crate::common::crl::now(made) + TimeDelta::hours(24);
        [bytes_of(&List { next_update, ..long(1, number, made, 0..entries) })]
    };
    ingest(&lake, one, &set(500, one, 60)).exits(0);
    // Out of date in the third night, and with a number and a size that the date alone would have hidden.
    ingest(&lake, three, &set(3, two, 0)).exits(3);
    let causes = json(&lake, &["status"])["crl_causes"].to_string();
    for code in ["400104", "400105", "400110"] {
        assert!(causes.contains(code), "{code} in {causes}");
    }
    assert!(causes.contains("1f4") && causes.contains("60 から 0"), "{causes}");
    let text = lake.run(&["status"]).exits(0).stdout;
    assert!(text.contains("0.crl") && text.contains("crl accept"), "{text}");
    accept(&lake).exits(0);
    assert!(lake.rows("revocation").is_empty());
}

#[test]
fn a_night_in_the_morning_says_that_the_set_in_force_is_too_old() {
    let (lake, [one, two, three]) = (fresh(false), nights());
    let made = plain(1, 1, one, &[(1, 0)]);
    // Good for the coming morning and no longer.
    let until = one.and_time(NaiveTime::MIN) + TimeDelta::hours(23);
    let list = List { next_update: until, ..made };
    ingest(&lake, one, &[bytes_of(&list)]).exits(0);
    lake.run(&["nightly", "--date", &one.to_string()]).exits(0);
    let done = lake.run(&["nightly", "--date", &two.to_string()]).exits(3);
    assert!(done.stdout.contains("expired"), "{}", done.stdout);
    assert!(lake.run(&["status"]).exits(0).stdout.contains("EXPIRED"));
    assert!(lake.run(&["doctor"]).exits(1).stdout.contains("CRL"));
    let at = format!("{}T23:00:00", two);
    assert_eq!(json(&lake, &["inquire", "--serial", "1", "--at", &at])["certificate"]["crl"]["expired"], true);
    // A refused set: the next nights say STALE, whether or not another one comes.
    ingest(&lake, two, &[b"nothing".to_vec()]).exits(3);
    let done = lake.run(&["nightly", "--date", &three.to_string()]).exits(3);
    assert!(done.stdout.contains("stale"), "{}", done.stdout);
    // A lake that never had a set has none that is old.
    let empty = fresh(false);
    empty.run(&["nightly", "--date", &one.to_string()]).exits(0);
}

#[test]
fn a_current_list_with_an_older_number_is_refused_with_its_code_and_the_one_before_stays() {
    let (lake, [one, two, _]) = (fresh(false), nights());
    ingest(&lake, one, &[bytes_of(&plain(1, 5, one, &[(1, 0)]))]).exits(0);
    let before = lake.rows("revocation");
    let done = ingest(&lake, two, &[bytes_of(&plain(1, 4, two, &[(1, 0), (2, 0)]))]).exits(3);
    assert!(done.stdout.contains("400105") && !done.stdout.contains("400104"), "{}", done.stdout);
    assert_eq!(lake.rows("revocation"), before);
    ingest(&lake, two, &[bytes_of(&plain(1, 6, two, &[(1, 0), (2, 0)]))]).exits(0);
    assert_eq!(lake.rows("revocation").len(), before.len() + 1);
}

#[test]
fn a_list_with_more_extensions_than_any_ca_uses_is_not_read_on() {
    let (lake, [one, ..]) = (fresh(false), nights());
    ingest(&lake, one, &[odd_list(&plain(1, 1, one, &[(1, 0)]), 100, false)]).exits(3);
    assert!(json(&lake, &["status"])["crl_causes"].to_string().contains("拡張の数"));
    ingest(&lake, one, &[odd_list(&plain(1, 1, one, &[(1, 0)]), 20, false)]).exits(0);
}

#[test]
fn an_entry_of_another_ca_makes_a_list_indirect_critical_or_not() {
    let (lake, [one, ..]) = (fresh(false), nights());
    ingest(&lake, one, &[odd_list(&plain(1, 1, one, &[(1, 0)]), 0, true)]).exits(3);
    assert!(json(&lake, &["status"])["crl_causes"].to_string().contains("400109"));
}

#[test]
fn a_serial_counts_as_revoked_by_the_ca_of_its_link_alone() {
    let (lake, [one, ..]) = (fresh(false), nights());
    let link = crate::common::envelope("LNKP", "CHUKAN", 1, &["D,1,1,1001".to_owned()]);
    lake.set("issuer_key_id = \"\"", &format!("issuer_key_id = {:?}", "c0".repeat(20)));
    let lake = Lake { dir: lake.dir };
    lake.ingest("links", "1.csv", &link, &one.to_string()).exits(0);
    let of = |ca: usize| List { ca, ..plain(1, 1, one, &[(1, 0)]) };
    // CA 1 has another name: its serial 1 is another certificate.
    ingest(&lake, one, &[bytes_of(&of(1))]).exits(0);
    let at = format!("{one}T23:00:00");
    let validity = || json(&lake, &["inquire", "--serial", "1", "--at", &at])["certificate"]["validity"].clone();
    assert_eq!(validity(), "valid");
    // CA 2 is CA 0 with a new key.
    ingest(&lake, one, &[bytes_of(&List { number: 2, ..of(2) })]).exits(0);
    assert_eq!(validity(), "revoked");
}

#[test]
fn names_that_say_the_same_are_one_name_and_minus_one_is_no_serial_255() {
    let (lake, [one, ..]) = (fresh(false), nights());
    lake.write("ca0.pem", pem("CERTIFICATE", &certificate_written_otherwise(0)).as_bytes());
    let made = plain(1, 1, one, &[(1, 0)]);
    let entry = |serial: &[u8]| Entry { serial: serial.to_vec(), ..made.entries[0].clone() };
    let list = List { entries: vec![entry(&[0xff]), entry(&[0x01])], ..made.clone() };
    ingest(&lake, one, &[bytes_of(&list)]).exits(0);
    assert_eq!(lake.column("revocation", "serial"), ["-1", "1"]);
}

#[test]
fn of_two_entries_of_one_serial_the_graver_reason_shows() {
    let (lake, [one, ..]) = (fresh(false), nights());
    let made = plain(1, 1, one, &[(1, 0)]);
    let entry = |hours: i64, reason: u8| {
        let first = made.entries[0].clone();
        Entry { at: first.at + TimeDelta::hours(hours), reason: Some(reason), ..first }
    };
    let list = List { entries: vec![entry(0, 6), entry(5, 1)], ..made.clone() };
    ingest(&lake, one, &[bytes_of(&list)]).exits(0);
    assert_eq!(lake.column("revocation", "reason"), ["1"]);
    let at = format!("{one}T23:00:00");
    assert_eq!(json(&lake, &["inquire", "--serial", "1", "--at", &at])["certificate"]["validity"], "revoked");
}

#[test]
fn hidden_files_and_links_are_no_lists_of_a_set() {
    let (lake, [one, ..]) = (fresh(false), nights());
    let dir = lake.path("set");
    lake.write("set/1.crl", &bytes_of(&plain(1, 1, one, &[(1, 0)])));
    lake.write("set/.2.crl", b"half");
    lake.write("outside/3.crl", b"not ours");
    std::os::unix::fs::symlink(lake.path("outside/3.crl"), dir.join("3.crl")).unwrap();
    lake.run(&["ingest", "crl", dir.to_str().unwrap(), "--date", &one.to_string()]).exits(0);
    assert_eq!(lake.rows("revocation").len(), 1);
}

#[test]
fn what_is_no_name_of_a_set_is_said_every_night() {
    let (lake, [one, ..]) = (fresh(false), nights());
    lake.write("inbox/crl/2026-13-01/1.crl", &bytes_of(&plain(1, 1, one, &[(1, 0)])));
    lake.write("inbox/crl/1.crl", &bytes_of(&plain(1, 1, one, &[(1, 0)])));
    for _ in 0..2 {
        let done = lake.run(&["nightly", "--date", &one.to_string()]).exits(3);
        assert!(done.stdout.contains("2026-13-01") && done.stdout.contains("1.crl"), "{}", done.stdout);
        assert!(lake.rows("revocation").is_empty() && lake.path("inbox/crl/1.crl").exists());
    }
}
