//! The end of a node or a client, which any of its clones may ask for and each of them waits for.
//!
//! It runs once, in a task of its own, so that one who waits and goes away does not leave the node half stopped.
//! What an end consists of is not known here. It may depend on `task`.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, instrument::WithSubscriber};

use crate::task::Tasks;

/// Runs the end of a node or a client once. Dropping it drops the end at its next await.
pub(crate) struct Ending {
    /// No part of the node's own tasks, which end in it.
    tasks: Tasks,
    has_begun: AtomicBool,
    over: CancellationToken,
}

impl Ending {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            tasks: Tasks::new(name),
            has_begun: AtomicBool::new(false),
            over: CancellationToken::new(),
        }
    }

    /// Runs what is made by `end`, unless it has begun before, and waits until it is over. A runtime that ends
    /// before it does counts as that.
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait.
    pub(crate) async fn run<F>(&self, end: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.has_begun.swap(true, Ordering::AcqRel) {
            let (over, token) = (self.over.clone().drop_guard(), self.tasks.token().clone());
            // What it says goes where the log of whoever asks goes.
            let end = end().in_current_span().with_current_subscriber();
            self.tasks.spawn("end", async move {
                // Dropped AFTER what ends, in whatever way: nobody goes on while a part of it is left.
                let _over = over;
                token.run_until_cancelled(end).await;
            });
        }
        self.over.cancelled().await;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc};

    use futures_util::poll;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn an_end_that_one_no_longer_waits_for_goes_on_for_the_others() {
        let (ending, go_on) = (Ending::new("n1/end"), Arc::new(Notify::new()));
        {
            let waits = go_on.clone();
            let mut first = pin!(ending.run(|| async move { waits.notified().await }));
            assert!(poll!(&mut first).is_pending());
        }
        let mut second = pin!(ending.run(|| async { panic!("it has begun") }));
        assert!(poll!(&mut second).is_pending());
        go_on.notify_one();
        second.await;
        ending.run(|| async { panic!("it is over") }).await;
    }

    #[tokio::test]
    async fn whoever_drops_it_drops_the_end() {
        let held = Arc::new(());
        let gone = Arc::downgrade(&held);
        let ending = Ending::new("n1/end");
        let over = ending.over.clone();
        {
            let hangs = async move {
                std::future::pending::<()>().await;
                drop(held);
            };
            let mut first = pin!(ending.run(|| hangs));
            assert!(poll!(&mut first).is_pending());
        }
        drop(ending);
        over.cancelled().await;
        assert!(gone.upgrade().is_none());
    }
}
