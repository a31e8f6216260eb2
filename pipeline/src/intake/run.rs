//! One run over files: digests, what is new, stage, commit, what leaves the inbox.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use shikaku_schemas::layout;

use super::Intake;
use super::inbox::{self, Found};
use crate::base::error::{self, At as _, Error, Result};
use crate::ledger::InputState;
use crate::read::envelope;
use crate::store::commit::RunReport;
use crate::store::input::Input;
use crate::store::run::Call;
use crate::store::{Stage, Store};

/// A folder of the inbox, if it is there. One that cannot be looked at is an error: its files would be passed over unseen.
pub fn inbox_folder(store: &Store, folder: &str) -> Result<Option<PathBuf>> {
    let dir = store.config.inbox.join(folder);
    match std::fs::read_dir(&dir) {
        Ok(_) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(&dir),
    }
}

impl Intake {
    /// Its folder, if a night has anything for it there.
    pub fn due(&self, store: &Store) -> Result<Option<PathBuf>> {
        let Some(dir) = inbox_folder(store, self.folder)? else { return Ok(None) };
        let found = self.found(std::slice::from_ref(&dir))?;
        let any = !found.files.is_empty() || !found.unread.is_empty() || !found.passed_over.is_empty();
        Ok(any.then_some(dir))
    }

    /// Takes in the files below the call's paths; of a folder that it shares only its own.
    pub fn run(&self, call: &Call<'_>) -> Result<RunReport> {
        self.run_with(call, self.take_in)
    }

    /// The same with other work on the files.
    pub fn run_with(
        &self,
        call: &Call<'_>,
        take_in: impl FnOnce(&mut Stage<'_>, &[Input]) -> Result<()>,
    ) -> Result<RunReport> {
        let found = self.found(&call.paths)?;
        let gathered = inbox::gather(call.store, found)?;
        let again = known_before(call, self.name, &gathered.known)?;
        (self.sent_again)(call.store, &gathered.known)?;
        let mut report = if gathered.new.is_empty() {
            RunReport::unchanged(self.name)
        } else {
            let parameters = BTreeMap::from([("circumstances", call.store.circumstances()?)]);
            call.run(self.name, parameters, &gathered.new, |stage| take_in(stage, &gathered.new))?
        };
        inbox::clear_known(call.store, &gathered.known)?;
        // A file that still waits for an earlier one keeps the night from being clean.
        report.rejections |= again || (report.unchanged && any_held(call.store, &gathered.new)?);
        note_unread(self.name, &mut report, &gathered.unread, &gathered.passed_over);
        Ok(report)
    }

    /// What is its own below these folders.
    fn found(&self, paths: &[PathBuf]) -> Result<Found> {
        let mut found = inbox::files(paths)?;
        let others: Vec<&str> = layout::all()
            .iter()
            .filter(|l| l.inbox == self.folder && !self.kinds.contains(&l.kind.as_str()))
            .map(|l| l.kind.as_str())
            .collect();
        if others.is_empty() {
            return Ok(found);
        }
        let named: BTreeSet<&PathBuf> = paths.iter().filter(|path| path.is_file()).collect();
        let mut of_another = None;
        found.files.retain(|path| {
            let kind = envelope::kind_of(path);
            let is_others = kind.as_deref().is_some_and(|kind| others.contains(&kind));
            // Whatever it is, somebody must say so, and once: the intake that it was named to, or the folder's own.
            let own = kind.as_deref().is_some_and(|kind| self.kinds.contains(&kind));
            if is_others && named.contains(path) {
                of_another = kind.map(|kind| (path.clone(), kind));
            }
            !is_others && (own || self.name == self.folder || named.contains(path))
        });
        // Taken in as what it is not, a good file would be refused for ever.
        if let Some((path, kind)) = of_another {
            let shown = error::shown(&path).display().to_string();
            return Err(Error::usage(format!("{shown} is a {kind} file, which another kind of `ingest` takes")));
        }
        if self.name != self.folder {
            found.unread.clear();
            found.passed_over.clear();
        }
        Ok(found)
    }
}

/// Says which bytes were taken in before. Whether any of them were refused on an earlier day: then they are refused again.
fn known_before(call: &Call<'_>, job: &str, known: &[Input]) -> Result<bool> {
    let mut refused_again = false;
    for input in known {
        let file = &input.sha256[..12];
        let Some(row) = call.store.ledger.input(&input.sha256)? else { continue };
        let refused = matches!(row.state, InputState::Rejected | InputState::Quarantined);
        let first = call.store.ledger.first_night_of(&input.sha256)?;
        if refused && first.is_some_and(|first| call.date.to_string() > first) {
            refused_again = true;
            let code = row.code.as_deref().unwrap_or_default();
            tracing::warn!(job, file, code, "these bytes were refused before; their result file stands");
        } else {
            tracing::info!(job, file, "these bytes were taken in before; nothing changes");
        }
    }
    Ok(refused_again)
}

/// Puts into a report what could not be read and what was passed over.
fn note_unread(job: &str, report: &mut RunReport, unread: &[(PathBuf, String)], passed_over: &[PathBuf]) {
    if !unread.is_empty() {
        report.rejections = true;
        tracing::warn!(job, unread = unread.len(), "files that could not be read stay in the inbox");
    }
    if !passed_over.is_empty() {
        tracing::warn!(
            job,
            passed_over = passed_over.len(),
            "links and other things that are no files were passed over"
        );
    }
    let shown = |path: &Path| error::shown(path).display().to_string();
    report.unread.extend(unread.iter().map(|(path, why)| format!("{}: {why}", shown(path))));
    report.passed_over.extend(passed_over.iter().map(|path| shown(path)));
}

fn any_held(store: &Store, inputs: &[Input]) -> Result<bool> {
    for input in inputs {
        if store.ledger.input_state(&input.sha256)? == Some(InputState::Held) {
            return Ok(true);
        }
    }
    Ok(false)
}
