//! Generated files: written, or made anew and compared, byte by byte, with the command that mends a difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{documents, program, root, rust, shikaku};

/// Every table as types.
const TABLES: &str = "pipeline/src/lake/tables.rs";
/// Every code as an enum.
const CODES: &str = "schemas/src/code_list.rs";
/// Seed of the shipped samples.
const SEED: &str = "20261001";

/// Writes, or with `check` compares; exit 1 names what differs.
pub fn run(check: bool) -> Result<u8, String> {
    // The program cannot be built without its tables and codes, so they come first.
    let sources = [(TABLES, rust::tables()), (CODES, rust::codes())];
    for (path, text) in &sources {
        if !check && std::fs::read_to_string(root().join(path)).ok().as_ref() != Some(text) {
            std::fs::write(root().join(path), text).map_err(|e| e.to_string())?;
            println!("wrote {path}");
        }
    }
    let program = program()?;
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    files.insert("docs/data-dictionary.md".into(), documents::data_dictionary().into_bytes());
    files.insert("docs/codes.md".into(), documents::codes().into_bytes());
    files.extend(sources.map(|(path, text)| (path.into(), text.into_bytes())));
    files.insert("docs/jobs.md".into(), job_table(&program)?);
    for (path, bytes) in samples(&program)? {
        files.insert(Path::new("data-samples").join(path), bytes);
    }
    let mut different = Vec::new();
    for (path, bytes) in &files {
        let own = std::fs::read(root().join(path)).ok();
        if own.as_ref() != Some(bytes) {
            different.push(path.clone());
        }
    }
    for path in committed_samples()? {
        if !files.contains_key(&path) {
            different.push(path);
        }
    }
    if check {
        for path in &different {
            println!("{} is not what the declarations make", path.display());
        }
        if different.is_empty() {
            println!("{} generated files are current", files.len());
            return Ok(0);
        }
        println!("run: cargo xtask generate");
        return Ok(1);
    }
    for path in different {
        let target = root().join(&path);
        match files.get(&path) {
            Some(bytes) => {
                if let Some(parent) = target.parent() {
                    std::fs::create_dir_all(parent).map_err(|e| e.to_string())?;
                }
                std::fs::write(&target, bytes).map_err(|e| e.to_string())?;
            }
            None => std::fs::remove_file(&target).map_err(|e| e.to_string())?,
        }
        println!("wrote {}", path.display());
    }
    Ok(0)
}

fn job_table(program: &Path) -> Result<Vec<u8>, String> {
    let output = std::process::Command::new(program).arg("job-table").output().map_err(|e| e.to_string())?;
    Ok(output.stdout)
}

/// The sample, generated into a scratch folder: path below it → bytes.
fn samples(program: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let scratch = root().join("tmp").join("generate");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch).map_err(|e| e.to_string())?;
    }
    let target = scratch.display().to_string();
    let code = shikaku(program, &["--quiet", "synth", "--scale", "sample", "--seed", SEED, "--output", &target])?;
    if code != 0 {
        return Err(format!("synth ended with exit code {code}"));
    }
    let mut files = BTreeMap::new();
    read_all(&scratch, &scratch, &mut files)?;
    std::fs::remove_dir_all(&scratch).map_err(|e| e.to_string())?;
    Ok(files)
}

fn read_all(dir: &Path, base: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    for entry in std::fs::read_dir(dir).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.is_dir() {
            read_all(&path, base, files)?;
        } else {
            let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
            files.insert(path.strip_prefix(base).unwrap_or(&path).to_owned(), bytes);
        }
    }
    Ok(())
}

/// Files below data-samples/ that the generator owns: `public/` holds real public files, `crl/` what its own script made,
/// `kinds/` what was written by hand.
fn committed_samples() -> Result<Vec<PathBuf>, String> {
    let dir = root().join("data-samples");
    let mut files = BTreeMap::new();
    if dir.is_dir() {
        read_all(&dir, &dir, &mut files)?;
    }
    let own = files.into_keys().filter(|p| !["public", "crl", "kinds"].iter().any(|own| p.starts_with(own)));
    Ok(own.map(|p| Path::new("data-samples").join(p)).collect())
}
