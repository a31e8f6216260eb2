//! A night in a real place: a lost mount, a full log, a second process, a wrong date, too little of everything. Every exit
//! code of the README is reached here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Done, Lake, Sub, sub_file};
use crate::nightly::{NIGHTS, fill, sample_lake};

const D: &str = "2026-10-30";

/// Runs a command that must not wait: 124 if it does.
fn soon(lake: &Lake, arguments: &[&str]) -> Done {
    let mut command = Command::new("timeout");
    command.args(["20", env!("CARGO_BIN_EXE_shikaku")]).args(arguments).current_dir(lake.dir.path());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn with_file(lake: Lake) -> Lake {
    let lake = lake.load_masters();
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1)]));
    lake
}

#[test]
fn every_exit_code_of_the_readme_is_reached() {
    let lake = with_file(Lake::new());
    lake.run(&["nightly", "--date", D]).exits(0);
    lake.run(&["nightly", "--nonsense"]).exits(2);
    lake.run(&["ingest", "subscribers", "nowhere.csv"]).exits(2);
    lake.write("inbox/subscribers/2.csv", &sub_file(2, &[Sub::new(1, 2).with("sex", "9")]));
    lake.run(&["nightly", "--date", D]).exits(3);
    let lock = std::fs::File::open(lake.path("lake")).unwrap();
    lock.lock().unwrap();
    lake.run(&["nightly", "--date", D]).exits(4);
    drop(lock);
    std::fs::write(lake.path("lake/stray"), b"x").unwrap();
    lake.run(&["audit", "verify"]).exits(5);
    std::fs::remove_file(lake.path("lake/stray")).unwrap();
    // Fails in its middle: nothing of it is visible.
    lake.write("inbox/subscribers/3.csv", &sub_file(3, &[Sub::new(1, 3)]));
    lake.write("lake/_staging", b"a file where a folder belongs");
    lake.run(&["ingest", "subscribers", "inbox/subscribers/3.csv", "--date", D]).exits(1);
}

#[test]
fn removing_the_lock_file_lets_nobody_in() {
    let lake = with_file(Lake::new());
    // The run stands still at a step while its `.lock` is removed and another one is started.
    let other = format!(
        "rm {0}/lake/.lock; cd {0} && {1} nightly --date {D}; echo $? > {0}/code",
        lake.dir.path().display(),
        env!("CARGO_BIN_EXE_shikaku")
    );
    let mut command = lake.command(&["nightly", "--date", D]);
    let done = command.env("SHIKAKU_DO_AT", format!("staged={other}")).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read_to_string(lake.path("code")).unwrap().trim(), "4");
    lake.run(&["audit", "verify"]).exits(0);
    assert_eq!(lake.rows("member").len(), 1);
}

#[test]
fn a_night_goes_on_when_its_log_cannot_be_written() {
    for to in ["/dev/full", "closed"] {
        let lake = with_file(Lake::new());
        let mut command = lake.command(&["nightly", "--date", D, "-v"]);
        command.stdout(Stdio::null());
        if to == "closed" {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stderr(writer);
        } else {
            command.stderr(std::fs::File::options().write(true).open(to).unwrap());
        }
        assert_eq!(command.status().unwrap().code(), Some(0), "{to}");
        assert_eq!(lake.rows("member").len(), 1);
    }
}

#[test]
fn an_inbox_that_is_not_there_is_no_quiet_night() {
    let lake = with_file(Lake::new());
    let inbox = lake.path("inbox");
    std::fs::rename(&inbox, lake.path("away")).unwrap();
    lake.run(&["nightly", "--date", D]).exits(2);
    // A mount point without its mount, and a file in its place.
    std::fs::create_dir(&inbox).unwrap();
    lake.run(&["nightly", "--date", D]).exits(2);
    std::fs::remove_dir(&inbox).unwrap();
    std::fs::write(&inbox, b"").unwrap();
    lake.run(&["nightly", "--date", D]).exits(2);
    std::fs::remove_file(&inbox).unwrap();
    std::fs::rename(lake.path("away"), &inbox).unwrap();
    // One folder of it: its job fails, the others run.
    std::fs::remove_dir(inbox.join("crl")).unwrap();
    std::fs::write(inbox.join("crl"), b"").unwrap();
    lake.run(&["nightly", "--date", D]).exits(1);
    assert_eq!(lake.rows("member").len(), 1);
}

#[test]
fn an_outbox_that_takes_no_file_is_found_before_the_first_stage() {
    let lake = with_file(Lake::new());
    let outbox = lake.path("outbox");
    let _ = std::fs::remove_dir_all(&outbox);
    std::fs::write(&outbox, b"").unwrap();
    lake.run(&["nightly", "--date", D]).exits(2);
    assert!(lake.rows("member").is_empty() && lake.path("inbox/subscribers/1.csv").exists());
    lake.run(&["doctor"]).exits(1);
    std::fs::remove_file(&outbox).unwrap();
    // On another file system, where there is one.
    let elsewhere = tempfile::TempDir::new().unwrap();
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(path).unwrap());
    if device(elsewhere.path()) != device(&lake.path("")) {
        lake.set("path = \"outbox\"", &format!("path = {:?}", elsewhere.path().display().to_string()));
        let done = lake.run(&["nightly", "--date", D]).exits(2);
        assert!(done.stderr.contains("file system"), "{}", done.stderr);
        lake.set(&format!("path = {:?}", elsewhere.path().display().to_string()), "path = \"outbox\"");
    }
    lake.run(&["nightly", "--date", D]).exits(0);
}

#[test]
fn places_that_lie_in_one_another_are_refused() {
    for (what, place) in [("inbox", "lake/inbox"), ("outbox", "lake/outbox"), ("inbox", "."), ("outbox", "inbox")] {
        let lake = with_file(Lake::new());
        std::fs::create_dir_all(lake.path(place)).unwrap();
        lake.set(&format!("path = \"{what}\""), &format!("path = \"{place}\""));
        let done = lake.run(&["nightly", "--date", D]).exits(2);
        assert!(!done.stderr.is_empty());
        lake.run(&["doctor"]).exits(1);
        assert!(lake.path("inbox/subscribers/1.csv").exists());
    }
}

#[test]
fn a_date_that_has_not_come_needs_force() {
    let lake = with_file(Lake::new());
    let done = lake.run(&["nightly", "--date", "2062-10-31"]).exits(2);
    assert!(done.stderr.contains("2062-10-31"));
    for command in [
        ["ingest", "subscribers", "inbox/subscribers/1.csv"].as_slice(),
        &["reroute", "--month", "2026-10"],
        &["fees", "close", "--month", "2026-09"],
    ] {
        lake.run(&[command, &["--date", "2062-10-31"]].concat()).exits(2);
    }
    assert!(lake.rows("member").is_empty());
    lake.run(&["nightly", "--date", D]).exits(0);
    // Taken all the same, `doctor` says what has become of it.
    lake.write("inbox/subscribers/2.csv", &sub_file(2, &[Sub::new(1, 2)]));
    lake.run(&["nightly", "--date", "2062-10-31", "--force"]).exits(0);
    assert!(lake.run(&["doctor"]).exits(1).stdout.contains("2062-10-31"));
}

#[test]
fn a_night_cut_off_is_resumed_inside_its_window_only_and_keeps_its_exit_code() {
    let lake = Lake::with_masters();
    let bad = Sub::new(2, 2).with("sex", "9");
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1), bad]));
    // Cut off behind the subscribers: their rejections are the night's, whoever finishes it.
    let mut steps = 0;
    let status = loop {
        let copy = Lake::with_masters();
        copy.write("inbox/subscribers/1.csv", &std::fs::read(lake.path("inbox/subscribers/1.csv")).unwrap());
        let mut command = copy.command(&["nightly", "--date", D]);
        let status = command.env("SHIKAKU_DIE_AT", steps.to_string()).output().unwrap().status;
        if status.code().is_none() {
            copy.run(&["nightly", "--date", D]).exits(3);
            // Done once, the same night again finds everything done.
            copy.run(&["nightly", "--date", D]).exits(0);
        } else {
            break status;
        }
        steps += 1;
    };
    assert!(status.code() == Some(3) && steps >= 9, "{steps} steps");
    // Without a date the clock decides, not a night of weeks ago.
    let mut command = lake.command(&["nightly", "--date", D]);
    assert!(command.env("SHIKAKU_DIE_AT", "staged").output().unwrap().status.code().is_none());
    lake.run(&["nightly"]).exits(3);
    let recorded = lake.column("member", "recorded_from");
    assert!(recorded.iter().all(|at| !at.starts_with(D)), "{recorded:?}");
}

#[test]
fn readers_beside_a_night_do_not_disturb_it_nor_each_other() {
    let lake = sample_lake(Lake::with_keys());
    fill(&lake, NIGHTS[0]);
    lake.run(&["nightly", "--date", NIGHTS[0]]).exits(0);
    fill(&lake, NIGHTS[1]);
    lake.write("ask.json", br#"{"link_no": 1, "valid_on": "2026-11-01"}"#);
    let mut night =
        lake.command(&["nightly", "--date", NIGHTS[1]]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::scope(|scope| {
        for n in 0..3 {
            let lake = &lake;
            scope.spawn(move || {
                for round in 0..4 {
                    let out = format!("x{n}.csv");
                    lake.run(&["export", "coverage", "-o", &out]).exits(0);
                    lake.run(&["inquire", "ask.json"]).exits(0);
                    let command = [["status"].as_slice(), &["runs", "list"], &["views"], &["status", "--json"]][round];
                    lake.run(command).exits(0);
                }
            });
        }
    });
    assert_eq!(night.wait().unwrap().code(), Some(3));
    lake.run(&["audit", "verify"]).exits(0);
    let accesses = lake.store().ledger.events().unwrap().iter().filter(|e| e.kind == "accessed").count();
    assert_eq!(accesses, 3 * 4 * 3, "an inquiry leaves one record, an export one before and one after");
}

#[test]
fn files_are_for_their_owner_whoever_starts_the_night() {
    let lake = Lake::empty();
    let sh = |arguments: &str| {
        let command = format!("umask 0000; exec {} {arguments}", env!("CARGO_BIN_EXE_shikaku"));
        Command::new("sh").current_dir(lake.dir.path()).args(["-c", &command]).output().unwrap()
    };
    assert!(sh("init").status.success());
    let lake = lake.load_masters();
    lake.write("inbox/subscribers/1.csv", &sub_file(1, &[Sub::new(1, 1)]));
    let sh = |arguments: &str| {
        let command = format!("umask 0000; exec {} {arguments}", env!("CARGO_BIN_EXE_shikaku"));
        Command::new("sh").current_dir(lake.dir.path()).args(["-c", &command]).output().unwrap()
    };
    assert!(sh(&format!("nightly --date {D}")).status.success());
    let mut seen = 0;
    let mut folders = vec![lake.path("lake"), lake.path("outbox")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o007, 0, "{:?} is {mode:o}", entry.path());
            seen += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(seen > 20);
    assert_eq!(std::fs::metadata(lake.path("lake")).unwrap().permissions().mode() & 0o777, 0o700);
    // A key file that others may read is used with a word.
    std::fs::set_permissions(lake.path("shikaku.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let done = lake.run(&["status"]).exits(0);
    assert!(done.stderr.contains("key file"), "{}", done.stderr);
    assert!(lake.run(&["doctor"]).exits(1).stdout.contains("chmod 600"));
}

#[test]
fn the_ledger_url_is_never_echoed() {
    let lake = Lake::empty();
    let config = shikaku_pipeline::base::config::sample("lake", "");
    for url in [
        "postgres://u:SECRET@127.0.0.1:1/d",
        "postgres://u@127.0.0.1:1/d?sslmode=SECRET",
        "postgres://u@127.0.0.1:1/d?options=SECRET",
        "postgres://SECRET",
        "mysql://u@h/SECRET",
    ] {
        lake.write("shikaku.toml", config.replace("url = \"\"", &format!("url = \"{url}\"")).as_bytes());
        for command in [["init", "--no-keys"].as_slice(), &["status"], &["doctor"], &["nightly", "--date", D]] {
            // A server that is away is no night of waiting.
            let done = soon(&lake, command);
            assert!(done.code == 1 || done.code == 2, "{url}: {}", done.code);
            assert!(!(done.stdout + &done.stderr).contains("SECRET"), "{url}");
        }
    }
}

#[test]
fn damage_is_told_from_trouble() {
    let lake = with_file(Lake::with_keys());
    lake.run(&["nightly", "--date", D]).exits(0);
    if lake.on_postgres() {
        return;
    }
    let ledger = lake.path("lake/ledger.sqlite");
    crate::common::ledger::change(&lake, "PRAGMA wal_checkpoint(TRUNCATE)");
    let good = std::fs::read(&ledger).unwrap();
    let commands = [["status"].as_slice(), &["audit", "verify"], &["nightly", "--date", D]];
    let restore = || {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(lake.path(&format!("lake/ledger.sqlite{suffix}")));
        }
        std::fs::write(&ledger, &good).unwrap();
    };
    let quickly = |code: i32, what: &str| {
        for command in commands {
            let done = soon(&lake, command);
            assert_eq!(done.code, code, "{what}, {command:?}: {}{}", done.stdout, done.stderr);
        }
    };
    crate::common::ledger::change(&lake, "DROP TABLE event");
    quickly(5, "a table is gone");
    restore();
    crate::common::ledger::change(&lake, "DROP TABLE fact");
    quickly(5, "a projection is gone");
    restore();
    std::fs::write(&ledger, b"no database at all, and long enough to be looked at as one").unwrap();
    quickly(5, "no database");
    restore();
    let mut damaged = good.clone();
    damaged[..100].fill(0);
    std::fs::write(&ledger, &damaged).unwrap();
    quickly(5, "a damaged head");
    std::fs::remove_file(&ledger).unwrap();
    quickly(5, "the file is gone");
    restore();
    // What the configuration names and is not there.
    std::fs::rename(lake.path("shikaku.key"), lake.path("k")).unwrap();
    quickly(2, "no key file");
    std::fs::rename(lake.path("k"), lake.path("shikaku.key")).unwrap();
    let config = std::fs::read(lake.path("shikaku.toml")).unwrap();
    std::fs::write(lake.path("shikaku.toml"), [b"# \xff\xfe\n".as_slice(), &config].concat()).unwrap();
    quickly(2, "a configuration that is not UTF-8");
    std::fs::write(lake.path("shikaku.toml"), &config).unwrap();
    lake.run(&["status"]).exits(0);
}

#[test]
fn too_few_handles_and_threads_are_errors_and_no_panic() {
    let lake = with_file(Lake::new());
    let limited = |limit: &str, arguments: &str| {
        let command = format!("{limit}; exec {} {arguments}", env!("CARGO_BIN_EXE_shikaku"));
        Command::new("sh").current_dir(lake.dir.path()).args(["-c", &command]).output().unwrap()
    };
    for handles in [6, 9, 12] {
        let done = limited(&format!("ulimit -n {handles}"), "audit verify");
        let code = done.status.code().unwrap();
        assert!(matches!(code, 0 | 1), "{handles} handles: {code} {}", String::from_utf8_lossy(&done.stdout));
    }
    // Address space for no second thread's stack.
    let done =
        limited("RUST_MIN_STACK=68719476736; export RUST_MIN_STACK; ulimit -v 4000000", &format!("nightly --date {D}"));
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!told.contains("panicked"), "{told}");
    assert_ne!(done.status.code(), Some(101));
    lake.run(&["nightly", "--date", D]);
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn reading_commands_work_on_a_lake_that_cannot_be_written() {
    let lake = with_file(Lake::with_keys());
    lake.run(&["nightly", "--date", D]).exits(0);
    if lake.on_postgres() {
        return;
    }
    let (lake_dir, binary) = (lake.path("lake"), env!("CARGO_BIN_EXE_shikaku"));
    let read_only = |arguments: &str| {
        let at = lake_dir.display();
        let script = format!("mount --bind {at} {at} && mount -o remount,ro,bind {at} && exec {binary} {arguments}");
        Command::new("timeout").args(["20", "unshare", "-m", "sh", "-c", &script]).current_dir(lake.dir.path()).output()
    };
    let allowed = read_only("--version").is_ok_and(|done| done.status.success());
    if !allowed {
        eprintln!("skipped: mounts are not allowed here");
        return;
    }
    for arguments in ["status", "runs list", "views", "audit verify", "--json status"] {
        let done = read_only(arguments).unwrap();
        assert_eq!(done.status.code(), Some(0), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
    // These would leave a record and cannot.
    for arguments in ["export member -o x.csv", "nightly --date 2026-10-31"] {
        let code = read_only(arguments).unwrap().status.code();
        assert!(matches!(code, Some(1 | 2)), "{arguments}: {code:?}");
    }
    lake.run(&["audit", "verify"]).exits(0);
}

#[test]
fn one_file_that_cannot_be_read_holds_up_no_other() {
    let lake = with_file(Lake::new());
    let file = lake.write("inbox/subscribers/2.csv", &sub_file(2, &[Sub::new(1, 2)]));
    let folder = lake.path("inbox/subscribers/closed");
    std::fs::create_dir(&folder).unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&file, 0o000);
    mode(&folder, 0o000);
    let nobody = 65534;
    for dir in [lake.dir.path(), &lake.path("lake"), &lake.path("inbox")] {
        let _ = Command::new("chown").args(["-R", &format!("{nobody}:{nobody}")]).arg(dir).status();
    }
    mode(lake.dir.path(), 0o755);
    let run = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_shikaku")]);
        command.args(["nightly", "--date", D]).current_dir(lake.dir.path()).output()
    };
    let Some(done) = run().ok().filter(|done| done.status.code() != Some(126) && done.status.code() != Some(127))
    else {
        eprintln!("skipped: the user cannot be changed here");
        return;
    };
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.code() == Some(2) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    assert_eq!(done.status.code(), Some(3), "{out}{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.contains("2.csv") && out.contains("closed"), "{out}");
    assert_eq!(lake.rows("member").len(), 1);
    mode(&file, 0o644);
    mode(&folder, 0o755);
    run().unwrap();
    assert_eq!(lake.rows("member").len(), 2);
}

#[test]
fn what_was_refused_is_refused_again_on_another_day() {
    let lake = Lake::with_masters();
    let mut bad = sub_file(1, &[Sub::new(1, 1)]);
    bad.truncate(bad.len() - 5);
    lake.write("inbox/subscribers/1.csv", &bad);
    lake.run(&["nightly", "--date", D]).exits(3);
    let own = format!("results/{}/1.csv", crate::common::kempo().0);
    let result = lake.outbox(&own);
    // The same night again: everything is done. Another night: refused again, by the same answer.
    for (date, code) in [(D, 0), ("2026-10-31", 3)] {
        lake.write("inbox/subscribers/1.csv", &bad);
        let done = lake.run(&["nightly", "--date", date]).exits(code);
        assert_eq!(done.stderr.contains("refused before"), code == 3, "{}", done.stderr);
        assert_eq!(lake.outbox(&own), result);
        assert!(!lake.path("inbox/subscribers/1.csv").exists());
    }
}

#[test]
fn operators_read_japanese_where_the_locale_or_the_configuration_says_so() {
    let lake = with_file(Lake::new());
    let status = |locale: &str| {
        let mut command = lake.command(&["status"]);
        String::from_utf8(command.env_remove("LC_ALL").env("LANG", locale).output().unwrap().stdout).unwrap()
    };
    assert!(status("ja_JP.UTF-8").contains("業務日") && status("C.UTF-8").contains("business date"));
    lake.set("# language = \"ja\"", "language = \"ja\"");
    assert!(status("C.UTF-8").contains("業務日"));
    let done = lake.run(&["doctor"]);
    assert!(done.stdout.contains("台帳"), "{}", done.stdout);
}

#[test]
fn many_deltas_fold_with_few_handles() {
    let lake = Lake::with_masters();
    let first = shikaku_pipeline::base::time::BusinessDate("2026-01-01".parse().unwrap()).0;
    let last = 60;
    for n in 1..=last {
        let date = shikaku_pipeline::base::time::add_days(first, i64::from(n)).to_string();
        lake.ingest("subscribers", &format!("{n}.csv"), &sub_file(n, &[Sub::new(1, n)]), &date).exits(0);
    }
    let before = lake.rows("member");
    let date = |lake: &Lake| {
        lake.store().ledger.fact(&shikaku_pipeline::ledger::facts::BUSINESS_DATE).unwrap().map(|date| date.to_string())
    };
    let newest = date(&lake);
    let command = format!("ulimit -n 40; exec {} compact", env!("CARGO_BIN_EXE_shikaku"));
    let done = Command::new("sh").current_dir(lake.dir.path()).args(["-c", &command]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(lake.rows("member"), before);
    assert_eq!(date(&lake), newest);
    lake.run(&["audit", "verify"]).exits(0);
}
