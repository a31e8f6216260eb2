//! How the library is built: rooms in the order of the data, each using only those above it; one registry of inputs.

use std::path::{Path, PathBuf};

use shikaku_pipeline::INTAKES;
use shikaku_pipeline::base::config::inbox_folders;
use shikaku_schemas::layout::{self, Origin};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline/src")
}

/// Rooms, lowest first, as `lib.rs` lists them.
fn rooms() -> Vec<String> {
    let lib = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    lib.lines().filter_map(name).collect()
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.extend(path.extension().is_some_and(|e| e == "rs").then_some(path)),
        }
    }
}

#[test]
fn every_room_uses_only_those_before_it() {
    let rooms = rooms();
    assert!(rooms.len() > 15, "{rooms:?}");
    let place = |name: &str| rooms.iter().position(|room| room == name);
    let (mut all, mut wrong, mut seen) = (Vec::new(), Vec::new(), 0);
    files(&source(), &mut all);
    for file in all {
        let below = file.strip_prefix(source()).unwrap();
        let room = below.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let Some(own) = place(&room) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices("crate::") {
            let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            let other: String = text[at + 7..].chars().take_while(is_name).collect();
            seen += usize::from(place(&other).is_some());
            if place(&other).is_some_and(|other| other > own) {
                wrong.push(format!("{} uses {other}", below.display()));
            }
        }
    }
    assert!(wrong.is_empty() && seen > 300, "{seen} uses, {wrong:#?}");
}

#[test]
fn every_kind_of_file_has_one_intake_and_every_intake_a_folder() {
    for intake in INTAKES {
        assert!(inbox_folders().any(|folder| folder == intake.folder), "{}", intake.name);
    }
    for layout in layout::all().iter().filter(|layout| layout.origin != Origin::Master) {
        let takers = INTAKES.iter().filter(|intake| intake.kinds.contains(&layout.kind.as_str()));
        let takers: Vec<(&str, &str)> = takers.map(|intake| (intake.name, intake.folder)).collect();
        assert!(takers.len() == 1 && takers[0].1 == layout.inbox, "{}: {takers:?}", layout.kind);
    }
}
