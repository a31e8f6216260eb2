//! `cargo xtask sample`: the nights and the month on the shipped samples. `cargo xtask generate [--check]`: the generated
//! documents and samples, written or compared.

mod documents;
mod generate;
mod rust;
mod sample;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["sample"] => sample::run(),
        ["generate"] => generate::run(false),
        ["generate", "--check"] => generate::run(true),
        _ => Err("usage: cargo xtask sample | generate [--check]".to_owned()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

/// Root of the repository.
fn root() -> PathBuf {
    // Cargo says at run time where the package is: with a shared target folder the program may be another clone's.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_owned()
}

/// Builds the program and gives its path: it lies beside this one.
fn program() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "shikaku"])
        .current_dir(root())
        .status()
        .map_err(|e| e.to_string())?;
    if !status.success() {
        return Err("shikaku does not build".to_owned());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let name = format!("shikaku{}", std::env::consts::EXE_SUFFIX);
    Ok(own.with_file_name(name))
}

/// Runs the program in the repository's root; returns its exit code.
fn shikaku(program: &Path, arguments: &[&str]) -> Result<u8, String> {
    let status = Command::new(program).args(arguments).current_dir(root()).status().map_err(|e| e.to_string())?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", from.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    Ok(())
}
