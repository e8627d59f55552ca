//! What binds an activation to the ownership that it was made under.
//!
//! Decides nothing: it asks [`Ownership`] for one slot and one epoch.

use std::sync::Arc;

use callboard_protocol::{
    slots::{Entry, Epoch, Owner, SlotId},
    time::Time,
};

use super::Ownership;

/// A slot, and the epoch under which something was begun on it.
#[derive(Clone, Debug)]
pub struct Fence {
    ownership: Arc<Ownership>,
    id: SlotId,
    epoch: Epoch,
}

impl Fence {
    /// Binds what begins now.
    #[must_use]
    pub fn new(ownership: Arc<Ownership>, id: SlotId, epoch: Epoch) -> Self {
        Self {
            ownership,
            id,
            epoch,
        }
    }

    /// Returns which slot it is.
    #[must_use]
    pub const fn id(&self) -> SlotId {
        self.id
    }

    /// Returns the epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns this life of the node, and what it knows of the slot now.
    pub(crate) fn place(&self) -> (Owner, Entry) {
        let entry = self.ownership.entry(self.id);
        (self.ownership.me(), entry.unwrap_or_default())
    }

    /// Returns whether the slot is still this node's under the epoch, also while it is on its way.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let entry = self.ownership.entry(self.id);
        entry.is_some_and(|it| it.owner == Some(self.ownership.me()) && it.epoch == self.epoch)
    }

    /// Returns whether the slot is this node's under the epoch, and on its way to another.
    pub(crate) fn is_leaving(&self) -> bool {
        let (me, entry) = self.place();
        entry.owner == Some(me) && entry.epoch == self.epoch && entry.moving.is_some()
    }

    /// Returns whether a turn may start now on what was begun.
    #[must_use]
    pub fn may_start(&self, now: Time) -> bool {
        self.ownership.may_start(self.id, now) == Some(self.epoch)
    }

    /// Returns whether what a turn has made may leave now.
    #[must_use]
    pub fn may_answer(&self, now: Time) -> bool {
        self.ownership.may_answer(self.id, self.epoch, now)
    }
}
