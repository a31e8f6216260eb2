//! With keys: the same rows, and nothing personal in clear anywhere.

use crate::common::{Lake, Sub, read_all, sub_file};
use crate::nightly::{run_all, sample_lake};

#[test]
fn encrypted_and_plain_lakes_hold_the_same_rows() {
    let plain = sample_lake(Lake::new());
    let sealed = sample_lake(Lake::with_keys());
    run_all(&plain);
    run_all(&sealed);
    assert!(plain.contents() == sealed.contents());
    let digests = |lake: &Lake| {
        let generations = lake.store().ledger.generations().unwrap();
        let own = generations.into_iter().filter(|g| !g.table.starts_with("run") && g.table != "rejection");
        own.map(|g| (g.dir, g.content_digest)).collect::<Vec<_>>()
    };
    assert_eq!(digests(&plain), digests(&sealed));
    sealed.run(&["audit", "verify"]).exits(0);
}

#[test]
fn nothing_personal_stands_in_clear() {
    let lake = Lake::with_keys().load_masters();
    let sub = Sub::new(1, 1).with("name", "秘密　花子").with("number", "HIMITSU77");
    lake.ingest("subscribers", "1.csv", &sub_file(1, &[sub]), "2026-10-30").exits(0);
    let mut files = std::collections::BTreeMap::new();
    read_all(&lake.path("lake"), lake.dir.path(), &mut files);
    for (path, bytes) in files {
        for secret in ["秘密".as_bytes(), b"HIMITSU77"] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{path}");
        }
        if path.contains("/member/") && path.ends_with(".parquet") {
            assert_eq!(&bytes[..4], b"PARE", "{path} is not sealed");
        }
    }
    assert_eq!(lake.column("member", "name"), ["秘密　花子"]);
    // A lost key is a clear error, not a panic.
    std::fs::write(lake.path("shikaku.key"), "{}").unwrap();
    lake.run(&["status"]).exits(2);
}
