//! Waking a paused process when its parent dies, the Linux way.
//!
//! A process under SIGSTOP cannot see that its standard input has ended. The kernel is asked to send
//! SIGCONT when the parent dies: it wakes a paused process, and means nothing to a running one.

use std::io;

use rustix::process::{Signal, set_parent_process_death_signal};

/// Has this process woken when its parent ends.
///
/// # Errors
///
/// What the kernel says.
pub(crate) fn when_parent_ends() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::CONT))?)
}
