//! How files go from the inbox: by their bytes, never by their name alone. Whoever delivers may have put a new file under a
//! name meanwhile, so a file is first taken off its name, then looked at, and only then removed or put into quarantine; one
//! that is not the one that was read goes back.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::ledger::place;

/// Where a file is looked at, below the folder of its kind. Hidden, so that no run takes it for an input.
const AWAY: &str = ".leaving";

/// Removes an inbox file whose bytes have that digest, or moves it below the inbox. Any other file of that name stays.
pub fn leave(inbox: &Path, from: &str, sha256: &str, to: Option<&str>) -> Result<()> {
    // A link that stands on the way by now leads to nothing that was read.
    let path = match place::below(inbox, from) {
        Err(Error::Integrity(_)) => return Ok(()),
        path => path?,
    };
    if !is_file(&path) {
        return Ok(());
    }
    let (kind, rest) = from.split_once('/').map_or(("", from), |(kind, rest)| (kind, rest));
    let folder = inbox.join(kind).join(AWAY);
    let away = folder.join(rest);
    let parent = away.parent().unwrap_or(&folder);
    std::fs::create_dir_all(parent).at(parent)?;
    if away.exists() {
        put_back(&away, &path)?;
    }
    match std::fs::rename(&path, &away) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        renamed => {
            renamed.at(&path)?;
            if is_file(&away) && digest::sha256_file(&away)?.0 == sha256 {
                match to {
                    Some(to) => {
                        let target = place::below(inbox, to)?;
                        let parent = target.parent().unwrap_or(inbox);
                        std::fs::create_dir_all(parent).at(parent)?;
                        std::fs::rename(&away, &target).at(&target)?;
                    }
                    None => std::fs::remove_file(&away).at(&away)?,
                }
            } else {
                put_back(&away, &path)?;
            }
        }
    }
    remove_empty(&away, &folder);
    // A CRL set is a folder; it goes with its last file.
    if let Some(parent) = path.parent().filter(|p| p.parent().is_some_and(|p| p != inbox && p.starts_with(inbox))) {
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}

/// Puts back what a killed run had taken off its name.
pub fn restore(inbox: &Path) -> Result<()> {
    let mut folders = vec![inbox.join(AWAY)];
    if let Ok(entries) = std::fs::read_dir(inbox) {
        folders.extend(entries.flatten().map(|entry| entry.path().join(AWAY)));
    }
    for folder in folders {
        if std::fs::symlink_metadata(&folder).is_ok_and(|m| m.is_dir()) {
            restore_from(&folder, folder.parent().unwrap_or(inbox))?;
            let _ = std::fs::remove_dir(&folder);
        }
    }
    Ok(())
}

fn restore_from(away: &Path, home: &Path) -> Result<()> {
    for entry in std::fs::read_dir(away).at(away)? {
        let entry = entry.at(away)?;
        let (path, back) = (entry.path(), home.join(entry.file_name()));
        if entry.file_type().at(&path)?.is_dir() {
            restore_from(&path, &back)?;
            let _ = std::fs::remove_dir(&path);
        } else {
            put_back(&path, &back)?;
        }
    }
    Ok(())
}

/// Gives a file its name again, or a numbered one where another file has it by now: nothing is overwritten.
fn put_back(away: &Path, path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).at(parent)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = name.rsplit_once('.').map_or((name.as_str(), String::new()), |(s, e)| (s, format!(".{e}")));
    let numbered = (2u32..10_000).map(|n| parent.join(format!("{stem}_{n}{extension}")));
    for target in std::iter::once(path.to_owned()).chain(numbered) {
        match rename_new(away, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.at(&target),
        }
    }
    Err(Error::failed(format!("no free name beside {}", path.display())))
}

/// Renames without overwriting anything.
pub fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot rename so can link so.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}

/// Itself, not what a link leads to.
fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file())
}

fn remove_empty(away: &Path, folder: &Path) {
    let mut at: Option<PathBuf> = away.parent().map(Path::to_path_buf);
    while let Some(dir) = at.filter(|dir| dir.starts_with(folder)) {
        if std::fs::remove_dir(&dir).is_err() {
            break;
        }
        at = dir.parent().map(Path::to_path_buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn only_the_bytes_that_were_read_go() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = dir.path();
        let old = digest::sha256(b"old");
        write(&inbox.join("crl/20261031/a.crl"), "old");
        leave(inbox, "crl/20261031/a.crl", &old, None).unwrap();
        assert!(!inbox.join("crl/20261031").exists() && inbox.join("crl").is_dir());
        // A new file under the name stays, a link too.
        write(&inbox.join("checks/a.csv"), "new");
        leave(inbox, "checks/a.csv", &old, None).unwrap();
        assert_eq!(std::fs::read_to_string(inbox.join("checks/a.csv")).unwrap(), "new");
        let outside = tempfile::tempdir().unwrap();
        write(&outside.path().join("b.csv"), "old");
        std::os::unix::fs::symlink(outside.path().join("b.csv"), inbox.join("checks/b.csv")).unwrap();
        leave(inbox, "checks/b.csv", &old, None).unwrap();
        assert!(outside.path().join("b.csv").exists() && inbox.join("checks/b.csv").exists());
        assert!(!inbox.join("checks/.leaving").exists());
    }

    #[test]
    fn what_a_kill_left_aside_comes_back_beside_what_came_since() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = dir.path();
        write(&inbox.join("crl/.leaving/20261031/a.crl"), "one");
        write(&inbox.join("checks/.leaving/a.csv"), "two");
        write(&inbox.join("checks/a.csv"), "three");
        restore(inbox).unwrap();
        let text = |path: &str| std::fs::read_to_string(inbox.join(path)).unwrap();
        assert_eq!(text("crl/20261031/a.crl"), "one");
        assert_eq!((text("checks/a.csv"), text("checks/a_2.csv")), ("three".to_owned(), "two".to_owned()));
        assert!(!inbox.join("crl/.leaving").exists() && !inbox.join("checks/.leaving").exists());
    }
}
