//! Work that blocks a thread.

use std::fmt::Debug;

/// A piece of blocking work. It reports through whatever it captured.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Runs work that would block an async worker thread: file reads, syncs, long computations.
pub trait Blocking: Debug + Send + Sync + 'static {
    /// Runs `job`, on another thread or inline.
    ///
    /// `name` labels the work in traces. A caller must not rely on the job having run, or not
    /// having run, when this returns. A job that panics takes down only itself.
    fn run(&self, name: &'static str, job: Job);

    /// Runs `job` on a thread of its own, beside those that handlers may hold, and returns whether it does. It
    /// watches them, so it is not run where everything is on one thread. Default: it is dropped.
    fn run_beside(&self, name: &'static str, job: Job) -> bool {
        drop((name, job));
        false
    }
}
