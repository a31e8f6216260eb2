//! The nights of data-samples/, one after the other, into tmp/sample. A second run finds everything done.

use std::path::Path;

use crate::{copy, program, root, shikaku};

/// Runs the sample; exit code of the last night, or the first failure.
pub fn run() -> Result<u8, String> {
    let program = program()?;
    let home = root().join("tmp").join("sample");
    let config = home.join("shikaku.toml");
    let config_text = config.display().to_string();
    if !config.exists() {
        std::fs::create_dir_all(&home).map_err(|e| e.to_string())?;
        let code = shikaku(&program, &["--config", &config_text, "init", "--no-keys"])?;
        if code != 0 {
            return Ok(code);
        }
        adopt_settings(&config)?;
    }
    copy(&root().join("data-samples").join("ca"), &home.join("ca"))?;
    let mut worst = 0;
    for night in nights()? {
        // Inputs are copied, since a night takes what lies in its inbox.
        copy(&root().join("data-samples").join("nights").join(&night), &home.join("inbox"))?;
        let code = shikaku(&program, &["--config", &config_text, "nightly", "--date", &night])?;
        if !matches!(code, 0 | 3) {
            return Ok(code);
        }
        worst = worst.max(code);
    }
    println!();
    println!("The sample is in tmp/sample: outbox/ has what is sent, lake/ the tables.");
    println!("  target/debug/shikaku --config tmp/sample/shikaku.toml status");
    println!("  target/debug/shikaku --config tmp/sample/shikaku.toml views | duckdb");
    if worst == 3 {
        println!("Exit 3 is right: the sample has planted errors (data-samples/truth/files.csv).");
    }
    Ok(worst)
}

/// Settings that the sample needs beyond the defaults: its CA.
fn adopt_settings(config: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(config).map_err(|e| e.to_string())?;
    let text = text.replace("ca_files = []", "ca_files = [\"ca/sample-ca.pem\"]");
    std::fs::write(config, text).map_err(|e| e.to_string())
}

fn nights() -> Result<Vec<String>, String> {
    let dir = root().join("data-samples").join("nights");
    let mut nights: Vec<String> = std::fs::read_dir(&dir)
        .map_err(|e| format!("{}: {e}", dir.display()))?
        .filter_map(|e| e.ok().map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect();
    nights.sort();
    Ok(nights)
}
