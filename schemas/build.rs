//! Every data file beside this crate becomes a part of the program: what lies in a folder is declared.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Folder of TOML files, and the constant that lists them as `(stem, text)`.
const FOLDERS: [(&str, &str); 6] = [
    ("layouts", "LAYOUTS"),
    ("layouts/older", "OLDER_LAYOUTS"),
    ("layouts/uke", "UKE"),
    ("codes", "CODES"),
    ("tables", "TABLES"),
    ("messages", "MESSAGES"),
];

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut text = String::new();
    for (folder, name) in FOLDERS {
        let files = stems(&root.join(folder))?;
        let _ = writeln!(text, "pub(crate) const {name}: &[(&str, &str)] = &[");
        for (stem, path) in files {
            let _ = writeln!(text, "    ({stem:?}, include_str!({path:?})),");
        }
        let _ = writeln!(text, "];");
        println!("cargo::rerun-if-changed={folder}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("files.rs"), text)
}

/// Stem and path of the TOML files of a folder, in name order.
fn stems(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}
