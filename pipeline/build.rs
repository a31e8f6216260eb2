//! The registry of the kinds of input: every room of `src/lib.rs` that has an `INTAKE`, in the order of the rooms.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let source = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src");
    println!("cargo::rerun-if-changed=src");
    let rooms = std::fs::read_to_string(source.join("lib.rs"))?;
    let mut text = String::from("&[");
    for room in rooms.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        let file = [format!("{room}/mod.rs"), format!("{room}.rs")].map(|name| source.join(name));
        let own = file.iter().find(|path| path.exists()).map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        if own.lines().any(|line| line.starts_with("pub const INTAKE: Intake")) {
            text += &format!("&{room}::INTAKE, ");
        }
    }
    text.push(']');
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("intakes.rs"), text)
}
