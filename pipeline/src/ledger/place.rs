//! Where what an event names may lie. Events are text that somebody with the ledger's file can write, so a path in one is
//! looked at before it is obeyed: it stays below its root, goes through no link, and names what events of its kind may name.

use std::path::{Component, Path, PathBuf};

use shikaku_schemas::tables;

use crate::base::error::{At, Error, Result};
use crate::ledger::event::Committed;

/// `root/path`: plain components, and no symbolic link below the root on the way there.
pub fn below(root: &Path, path: &str) -> Result<PathBuf> {
    let mut at = root.to_owned();
    if path.is_empty() || path.contains('\0') {
        return Err(outside(path));
    }
    for component in Path::new(path).components() {
        let Component::Normal(name) = component else { return Err(outside(path)) };
        at.push(name);
        match std::fs::symlink_metadata(&at) {
            Ok(metadata) if metadata.is_symlink() => {
                let text =
                    format!("{}: a symbolic link where only files and folders of this lake belong", at.display());
                return Err(Error::integrity(text));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at(&at),
        }
    }
    Ok(at)
}

/// Whether a path is plain: relative, without `..` or `.`.
fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn outside(path: &str) -> Error {
    let shown: String = path.chars().take(80).filter(|c| !c.is_control()).collect();
    Error::integrity(format!(
        "an event names the place {shown:?}, which is none of this lake; run `shikaku audit verify`"
    ))
}

fn is_table(name: &str) -> bool {
    tables::all().iter().any(|table| table.name == name)
}

/// Folder of a table's generation: `<table>/…`.
fn is_generation(dir: &str) -> bool {
    is_plain(dir) && dir.split_once('/').is_some_and(|(table, rest)| is_table(table) && !rest.starts_with("_manifest"))
}

fn is_landing(path: &str) -> bool {
    is_plain(path) && path.starts_with("landing/") && path.split('/').count() == 3
}

/// Whether key rotation may change a file at this ledger path: a part of a restricted table, or a sealed landing.
pub fn may_be_sealed(path: &str) -> bool {
    let Some(path) = path.strip_prefix("lake/").filter(|path| is_plain(path)) else { return false };
    let table = path.split('/').next().unwrap_or_default();
    let restricted = tables::all().iter().any(|t| t.name == table && t.restricted);
    (restricted && path.ends_with(".parquet")) || (is_landing(path) && path.ends_with(".sealed"))
}

/// Whether everything that a commit names lies where a commit may reach.
pub fn contained(committed: &Committed) -> Result<()> {
    let of_run = !committed.run_id.is_empty() && committed.run_id.bytes().all(|b| b.is_ascii_hexdigit());
    if !of_run {
        return Err(outside(&committed.run_id));
    }
    for generation in &committed.generations {
        if !is_generation(&generation.dir) || generation.dir.split('/').next() != Some(&generation.table) {
            return Err(outside(&generation.dir));
        }
    }
    for output in &committed.outputs {
        let fits = match output.path.split_once('/') {
            Some(("lake", rest)) if output.table_name.is_some() => is_generation(rest),
            Some(("lake", rest)) => is_landing(rest),
            Some(("outbox", rest)) => is_plain(rest),
            _ => false,
        };
        if !fits {
            return Err(outside(&output.path));
        }
    }
    for place in &committed.removals {
        if !is_generation(place) && !is_landing(place) {
            return Err(outside(place));
        }
    }
    for step in &committed.moves {
        if !is_plain(&step.from) || step.to.as_ref().is_some_and(|to| !is_plain(to) || !to.starts_with("quarantine/")) {
            return Err(outside(&step.from));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_root_and_go_through_no_link() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["", "..", "../x", "a/../../x", "/etc/passwd", "./a", "a\0b"] {
            assert!(below(dir.path(), bad).is_err(), "{bad:?}");
        }
        assert!(below(dir.path(), "a/b").is_ok());
        std::os::unix::fs::symlink("/tmp", dir.path().join("link")).unwrap();
        assert!(below(dir.path(), "link").is_err());
        assert!(below(dir.path(), "link/x").is_err());
    }

    #[test]
    fn events_name_tables_landings_and_the_outbox_alone() {
        assert!(is_generation("member/layer=delta/gen=000001"));
        for bad in ["../../victim", "member", "member/_manifest", "landing/aa/x", "nothing/gen=000001", "/member/x"] {
            assert!(!is_generation(bad), "{bad}");
        }
        assert!(is_landing("landing/ab/abc.zst") && !is_landing("landing/../../x") && !is_landing("landing"));
        assert!(may_be_sealed("lake/member/layer=delta/gen=000001/part-00000.parquet"));
        for bad in ["outbox/fees/x.csv", "lake/fee/month=2026-10/version=1/part-00000.parquet", "lake/chain.head"] {
            assert!(!may_be_sealed(bad), "{bad}");
        }
    }
}
