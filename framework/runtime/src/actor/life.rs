//! The life of one incarnation: what it started ends with it.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use tokio::sync::Notify;

/// Ends once. Every turn looks whether it has, so that look takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Life {
    over: AtomicBool,
    /// It ended with the last turn, and not in the middle of one.
    in_order: AtomicBool,
    /// A [`Cut`]; 0 for none.
    cut: AtomicU8,
    end: Notify,
}

/// Why turns that had begun are dropped before their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// It was told to stop, and the grace was over.
    GraceOver = 1,
    /// A sibling failed, with which it is restarted.
    Restarted,
    /// It failed too often, or a sibling that it is given up with did.
    GivenUp,
    /// What it belongs to has ended without a grace: its parent, or its node.
    Orphaned,
}

impl Life {
    /// Ends it.
    pub(super) fn end(&self) {
        // BEFORE those that wait are woken: they may look.
        self.over.store(true, Ordering::Release);
        self.end.notify_waiters();
    }

    /// Ends it AFTER its last turn: what its streams have ready still goes.
    pub(super) fn end_in_order(&self) {
        self.in_order.store(true, Ordering::Release);
        self.end();
    }

    /// Returns whether what its streams have ready still goes, once it has ended.
    pub(crate) fn ended_in_order(&self) -> bool {
        self.in_order.load(Ordering::Acquire)
    }

    /// Returns whether it has ended in the middle of something, which its streams are not to take for their end.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_over() && !self.ended_in_order()
    }

    /// Notes why its turns are dropped, BEFORE they are.
    pub(super) fn cut(&self, why: Cut) {
        self.cut.store(why as u8, Ordering::Release);
    }

    /// Returns why its turns were dropped; nothing while they run, or if a panic of one dropped the others.
    pub(crate) fn why_cut(&self) -> Option<Cut> {
        let all = [Cut::GraceOver, Cut::Restarted, Cut::GivenUp, Cut::Orphaned];
        let noted = self.cut.load(Ordering::Acquire);
        all.into_iter().find(|why| *why as u8 == noted)
    }

    /// Returns whether it has ended.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits until it has ended.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(crate) async fn ended(&self) {
        let mut end = pin!(self.end.notified());
        // BEFORE the look, so that an end in between wakes it.
        end.as_mut().enable();
        if !self.is_over() {
            end.await;
        }
    }
}
