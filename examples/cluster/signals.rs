//! The signals that end a run early: SIGINT (Ctrl-C), SIGTERM and SIGHUP.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::driver::Happening;

/// Listens from now on; each signal becomes a [`Happening::Signal`] with the exit code that a shell
/// would report for it.
///
/// # Errors
///
/// What the system says about installing a handler.
pub(crate) fn listen(tell: &mpsc::Sender<Happening>) -> io::Result<()> {
    for (kind, name, code) in [
        (SignalKind::interrupt(), "SIGINT", 130),
        (SignalKind::terminate(), "SIGTERM", 143),
        (SignalKind::hangup(), "SIGHUP", 129),
    ] {
        // Ends with the runtime, as the program does.
        tokio::spawn(pass_on(signal(kind)?, name, code, tell.clone()));
    }
    Ok(())
}

async fn pass_on(mut signal: Signal, name: &'static str, code: u8, tell: mpsc::Sender<Happening>) {
    while signal.recv().await.is_some() {
        if tell.send(Happening::Signal { name, code }).await.is_err() {
            return;
        }
    }
}
