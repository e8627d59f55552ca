//! How long turns follow each other before other tasks of the thread run.
//!
//! tokio counts: after 128 turns a task lets others run. Where each turn computes for milliseconds,
//! that is seconds, in which nobody reads the socket, and peers that are not answered give the node up.
//! So it is time that counts too. It may depend on `turns` for what it waits with.

use std::{pin::pin, time::Duration};

use callboard_protocol::time::Time;

use super::turns::waits;

/// Turns one after another.
#[derive(Debug, Default)]
pub(super) struct Stint {
    /// When the first of them ended.
    since: Option<Time>,
}

impl Stint {
    /// Lets other tasks run if it is time to, and returns whether they did. `ended` is when the last
    /// turn ended, where that is known.
    pub(super) async fn pause(&mut self, ended: Option<Time>) -> bool {
        let spent = self.since.zip(ended);
        let is_over = spent.is_some_and(|(since, now)| now.saturating_since(since) >= STINT_MAX);
        if is_over {
            tokio::task::yield_now().await;
        }
        let paused = is_over || waits(pin!(tokio::task::consume_budget())).await.1;
        self.since = self.since.or(ended).filter(|_| !paused);
        paused
    }

    /// Others have run meanwhile.
    pub(super) fn rested(&mut self) {
        self.since = None;
    }
}

/// Far more than 128 short turns take, which are let through as before.
const STINT_MAX: Duration = Duration::from_millis(1);
