//! How a node process notices that its driver is gone: its standard input ends.
//!
//! The kernel closes the pipe however the driver ends, SIGKILL included. The node then removes the
//! run's directory, which nobody else will, and ends at once. A thread of its own waits for it, so
//! that a busy or stuck runtime does not keep the process alive.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use tokio::sync::oneshot;

use crate::wake;
use crate::words::STOP;

/// What the name of a run's directory begins with. Nothing else is ever removed.
pub(crate) const DIRECTORY_PREFIX: &str = "callboard-cluster-";

/// Starts to watch the driver. The returned future ends when the driver says [`STOP`]; if the driver
/// is gone instead, the process ends and the future never does.
pub(crate) fn hold(directory: PathBuf) -> std::io::Result<oneshot::Receiver<()>> {
    wake::when_parent_ends()?;
    let (stop, stopped) = oneshot::channel();
    let mut stop = Some(stop);
    thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(move || {
            // An error of the pipe is the end of it too.
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if line == STOP
                    && let Some(stop) = stop.take()
                {
                    // The receiver may be gone already: then the process is ending.
                    let _ = stop.send(());
                }
            }
            orphaned(&directory)
        })?;
    Ok(stopped)
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

/// More than there are nodes in a run.
const REMOVALS_MAX: usize = 64;
