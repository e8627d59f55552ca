//! The trace that a node process writes of the turns of its carts, one line each.
//!
//! A line is handed to the kernel before its turn's reply can leave, so that a process that is killed
//! has written every turn that has answered. The lines are in the order of the ends. The driver reads
//! them when the run is over: see [`callboard_examples::trace`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::sync::{Mutex, OnceLock, PoisonError};

use callboard::prelude::*;
use callboard_examples::trace::Turn;
use rustix::time::{ClockId, clock_gettime};

use crate::args::EXIT_RUN;
use crate::cart::Cart;

/// The trace of this process. An actor that comes from another node is made of what was sent, so it
/// cannot bring the file along.
static TRACE: OnceLock<Mutex<File>> = OnceLock::new();

/// Begins the trace of this process.
///
/// # Errors
///
/// What the system says about the file, which must not exist.
pub(crate) fn write_to(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let _ = TRACE.set(Mutex::new(file));
    Ok(())
}

/// Nanoseconds since the machine was started; all its processes read the same clock.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Begins a turn of a cart. It ends, and is written, when what this returns is dropped: also when the
/// handler is dropped in its middle.
pub(crate) fn begin(ctx: &Ctx<Cart>) -> Running {
    // A cart that is owned by nobody is under no epoch, and would be seen beside one that is.
    let owned = ctx
        .fence()
        .map(|fence| (fence.id().slot.0, fence.epoch().0));
    let (slot, epoch) = owned.unwrap_or((u32::MAX, 0));
    Running(Turn {
        key: ctx.key().clone(),
        slot,
        epoch,
        node: ctx.node_name().to_owned(),
        start_ns: now_ns(),
        end_ns: 0,
    })
}

/// A turn that runs.
#[derive(Debug)]
pub(crate) struct Running(Turn);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(trace) = TRACE.get() else {
            return;
        };
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that the lines are in the order of the ends.
        self.0.end_ns = now_ns();
        let line = format!("{}\n", self.0);
        if let Err(error) = trace.write_all(line.as_bytes()) {
            // A trace with a hole would acquit whom it should not.
            let _ = writeln!(io::stderr(), "error: a turn cannot be traced: {error}");
            process::exit(i32::from(EXIT_RUN));
        }
    }
}
