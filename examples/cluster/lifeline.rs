//! How a node process notices that its driver is gone: its standard input ends.
//!
//! The kernel closes the pipe however the driver ends, SIGKILL included. The node then removes the
//! run's directory, which nobody else will, and ends at once. A thread of its own waits for it, so
//! that a busy or stuck runtime does not keep the process alive.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;

use crate::split::Split;
use crate::wake;
use crate::words::Told;

/// What the name of a run's directory begins with. Nothing else is ever removed.
pub(crate) const DIRECTORY_PREFIX: &str = "callboard-cluster-";

/// Starts to watch the driver. What it tells comes out of the returned channel, but for the network,
/// which is divided at once; if the driver is gone instead, the process ends.
pub(crate) fn hold(directory: PathBuf, split: Arc<Split>) -> io::Result<mpsc::Receiver<Told>> {
    wake::when_parent_ends()?;
    let (pass_on, told) = mpsc::channel(TOLD_MAX);
    thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(move || {
            // An error of the pipe is the end of it too.
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    Ok(Told::Split(from)) => split.set(from),
                    // The receiver may be gone already, or have been told: then the process is ending.
                    Ok(told) => drop(pass_on.try_send(told)),
                    Err(error) => complain_of(&line, &error),
                }
            }
            orphaned(&directory)
        })?;
    Ok(told)
}

fn complain_of(line: &str, error: &serde_json::Error) {
    let _ = writeln!(io::stderr(), "not understood: {line:?}: {error}");
}

fn orphaned(directory: &Path) -> ! {
    let name = directory
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if name.starts_with(DIRECTORY_PREFIX) {
        // The other nodes do the same at the same time, and one may take a file from under
        // another's feet, which is an error there: hence more than once.
        for _ in 0..REMOVALS_MAX {
            if fs::remove_dir_all(directory).is_ok() || !directory.exists() {
                break;
            }
        }
    }
    process::exit(i32::from(crate::args::EXIT_RUN))
}

/// Told to drain and to stop; nothing else waits.
const TOLD_MAX: usize = 8;

/// More than there are nodes in a run.
const REMOVALS_MAX: usize = 64;
