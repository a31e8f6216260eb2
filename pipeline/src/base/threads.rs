//! Threads that say so when they cannot be started: a limit of the machine is an error of the run, not a panic.

use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use crate::base::error::{Error, Result};

fn none(error: std::io::Error) -> Error {
    Error::failed(format!("no thread could be started: {error}"))
}

/// A thread of its own.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(work).map_err(none)
}

/// A thread that ends before its scope does.
pub fn spawn_scoped<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(none)
}
