//! `init`: an empty lake, a commented configuration, keys.

use crate::common::Lake;

#[test]
fn makes_a_lake_that_doctor_and_verify_can_look_at_and_refuses_a_second_time() {
    let lake = Lake::with_keys();
    lake.run(&["audit", "verify"]).exits(0);
    lake.run(&["init"]).exits(2);
    assert!(lake.path("shikaku.key").exists());
    for folder in ["subscribers", "links", "crl", "checks", "receipts", "masters", "quarantine"] {
        assert!(lake.path("inbox").join(folder).is_dir(), "{folder}");
    }
}

#[test]
fn an_unknown_configuration_key_is_exit_2() {
    let lake = Lake::new();
    lake.set("[reroute]", "[reroute]\nunknown = 1");
    let done = lake.run(&["status"]).exits(2);
    assert!(done.stderr.contains("unknown"), "{}", done.stderr);
}

#[test]
fn a_command_without_a_lake_is_exit_2_and_says_what_to_do() {
    let lake = Lake::new();
    let done = lake.run(&["--lake", "elsewhere/lake", "status"]).exits(2);
    assert!(done.stderr.contains("shikaku init"));
}

#[test]
fn the_lake_option_alone_puts_everything_beside_it() {
    let lake = Lake::new();
    lake.run(&["--lake", "other/lake", "init", "--no-keys"]).exits(0);
    lake.run(&["--lake", "other/lake", "status"]).exits(0);
    assert!(lake.path("other/inbox").is_dir() && lake.path("other/shikaku.toml").exists());
}

#[test]
fn a_missing_path_is_exit_2() {
    Lake::new().run(&["ingest", "checks", "nowhere.csv"]).exits(2);
}
