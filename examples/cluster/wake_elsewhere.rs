//! Waking a paused process when its parent dies, where the kernel offers no way: it stays paused
//! until somebody sends SIGCONT, and then ends.

use std::io;

/// Does nothing.
///
/// # Errors
///
/// None.
pub(crate) fn when_parent_ends() -> io::Result<()> {
    Ok(())
}
