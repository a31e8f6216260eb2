//! Synthetic inputs of every kind, from a seed alone: no clock, no randomness, no real person.
//!
//! The sample is a script with everything that must come of it; the larger scales stream, each attribute computed from
//! its index, so that no scale holds its persons in memory.

mod bulk;
mod cases;
mod checks;
mod crl;
mod delimited;
mod der;
mod dice;
mod links;
mod masters;
mod names;
mod planted;
mod readme;
mod rules;
mod sample;
mod script;
mod subscribers;
mod truth;
mod uke;
mod world;

use std::path::{Path, PathBuf};

use crate::base::error::{At, Error, Result};
use dice::{Dice, count};
use world::World;

/// Business dates of the nights.
const NIGHTS: [&str; 3] = ["2026-10-30", "2026-10-31", "2026-11-12"];

/// How much is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// About a thousand persons.
    Sample,
    /// 1.3 million persons.
    Regional,
    /// 130 million persons.
    National,
}

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub scale: Scale,
    pub seed: u64,
    /// Number of persons, where it is not the scale's own.
    pub persons: Option<u64>,
    /// Also make records and files that must be refused (sample only).
    pub planted_errors: bool,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub files: u64,
    pub bytes: u64,
}

/// Writes files below a folder and counts them.
struct Out {
    root: PathBuf,
    files: u64,
    bytes: u64,
}

impl Out {
    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).at(folder)?;
        }
        std::fs::write(&path, bytes).at(&path)?;
        self.files += 1;
        self.bytes += count(bytes.len());
        Ok(())
    }
}

/// Writes the inputs of a scale below `dir`, which must be new or empty.
pub fn generate(options: &Options, dir: &Path) -> Result<Summary> {
    if dir.exists() && std::fs::read_dir(dir).at(dir)?.next().is_some() {
        return Err(Error::usage(format!("{}: not empty; choose a new folder", dir.display())));
    }
    std::fs::create_dir_all(dir).at(dir)?;
    let mut out = Out { root: dir.to_owned(), files: 0, bytes: 0 };
    let (name, own) = match options.scale {
        Scale::Sample => ("sample", 1_002),
        Scale::Regional => ("regional", 1_300_000),
        Scale::National => ("national", 130_000_000),
    };
    let persons = options.persons.unwrap_or(own);
    let small = options.scale == Scale::Sample;
    // The script needs its households and some others around them.
    let least = if small { script::scripted_persons() + 300 } else { 1_000 };
    if persons < least || persons > 1_000_000_000 {
        return Err(Error::usage(format!("{name}: persons must be {least} to 1000000000")));
    }
    let world = World {
        dice: Dice::new(options.seed),
        persons,
        // 1,700 insurer codes and 236,538 institutions for 130 million persons (002 L13922).
        insurers: if small {
            masters::sample_insurers()
        } else {
            masters::many_insurers((persons / 70_000).clamp(10, 1_700))
        },
        institutions: masters::institutions(if small { 12 } else { (persons / 550).clamp(12, 236_538) }),
        small,
        scripted: if small { cases::CASES.iter().map(|c| c.insurer).collect() } else { Vec::new() },
    };
    let planted = options.planted_errors && small;
    out.write("shikaku.toml", readme::CONFIGURATION.as_bytes())?;
    out.write("README.md", readme::text(options.seed, name, persons, planted).as_bytes())?;
    if small {
        sample::generate(&world, options.seed, planted, &mut out)?;
        rules::write(&world, &mut out)?;
    } else {
        bulk::generate(&world, options.seed, &mut out)?;
    }
    Ok(Summary { files: out.files, bytes: out.bytes })
}
