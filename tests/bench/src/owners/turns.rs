//! The keyed actors that are called, and the trace of their turns.
//!
//! A turn is handed to the kernel before its answer can leave, so what a killed process has answered is
//! in its trace. The driver reads all traces when a row is done; nobody is asked what he believes of
//! himself.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use callboard::cluster::Fence;
use callboard::prelude::*;
use callboard_examples::trace::Turn;
use rustix::time::{ClockId, clock_gettime};

/// The trace of this process: its nodes make their actors themselves.
static TRACE: OnceLock<Mutex<File>> = OnceLock::new();

/// Answers who and under which epoch. A slot of it goes only when its node does.
#[derive(Debug, Default, Actor)]
#[actor(key = u32)]
pub(crate) struct Held;

/// The same, with a state that goes along: slots of it go to whoever has too few.
#[derive(Debug, Default, Wire, Actor)]
#[actor(key = u32, handover)]
pub(crate) struct Carried {
    turns: u64,
}

/// Who has answered.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Answer {
    pub(crate) node: String,
    pub(crate) epoch: u64,
}

#[handlers]
impl Held {
    /// Takes a turn that lasts so long. To take it twice does no harm.
    #[handler(idempotent)]
    pub async fn touch(&mut self, ctx: &Ctx<Self>, rest_ms: u32) -> Answer {
        turn(ctx.fence(), *ctx.key(), ctx.node_name(), rest_ms).await
    }
}

#[handlers]
impl Carried {
    /// Takes a turn that lasts so long. To take it twice does no harm.
    #[handler(idempotent)]
    pub async fn touch(&mut self, ctx: &Ctx<Self>, rest_ms: u32) -> Answer {
        self.turns += 1;
        turn(ctx.fence(), *ctx.key(), ctx.node_name(), rest_ms).await
    }
}

/// A turn, which leaves its line whatever ends it.
async fn turn(own: Option<&Fence>, key: u32, node: &str, rest_ms: u32) -> Answer {
    // One that is owned by nobody would be seen beside one that is.
    let (slot, epoch) = own.map_or((u32::MAX, 0), |it| (it.id().slot.0, it.epoch().0));
    let _running = Running(Turn {
        key: key.to_string(),
        slot,
        epoch,
        node: node.to_owned(),
        start_ns: now_ns(),
        end_ns: 0,
    });
    if rest_ms > 0 {
        tokio::time::sleep(Duration::from_millis(rest_ms.into())).await;
    }
    let node = node.to_owned();
    Answer { node, epoch }
}

/// Begins the trace of this process.
///
/// # Errors
/// What the system says about the file, which must not exist.
pub(crate) fn write_to(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let _ = TRACE.set(Mutex::new(file));
    Ok(())
}

/// A turn that runs. It ends when this is dropped, also with its handler in the middle.
#[derive(Debug)]
struct Running(Turn);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(trace) = TRACE.get() else {
            return;
        };
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: the lines are in the order of the ends.
        self.0.end_ns = now_ns();
        if let Err(error) = trace.write_all(format!("{}\n", self.0).as_bytes()) {
            // A trace with a hole would acquit whom it should not.
            let _ = writeln!(io::stderr(), "error: a turn cannot be traced: {error}");
            std::process::exit(1);
        }
    }
}

/// Nanoseconds by a clock that all processes of the machine share.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
