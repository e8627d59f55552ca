//! A call on its way into a mailbox, and why it is not there.

use callboard_protocol::{
    code::CallError,
    slots::{Epoch, Version},
};

use super::{envelope::Incoming, meta::Meta};

/// A call on its way into a mailbox.
#[derive(Debug)]
pub(crate) struct Coming<'a> {
    pub(crate) incoming: Incoming<'a>,
    pub(crate) meta: Meta,
    pub(crate) sight: Sight,
}

/// By what its sender has chosen this node for a call of a key, and since when a send waits here. None runs
/// once its sender may have sent later ones to another owner of the slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sight {
    /// The version of the tables that its sender went by, or an earlier one.
    pub(crate) seen: Version,
    /// It waits.
    pub(crate) waits: bool,
    /// The epoch of the slot, as its sender has said it, or once it has waited for it here.
    pub(crate) bound: Option<Epoch>,
}

impl Sight {
    /// Makes that of one that has just come, and says by which epoch if it is not 0.
    pub(super) fn by(seen: Version, epoch: u64) -> Self {
        Self {
            seen,
            waits: false,
            bound: (epoch != 0).then_some(Epoch(epoch)),
        }
    }

    /// Returns whether it may still go on under this epoch: nobody else has had the slot since it was sent, or
    /// waits. A later epoch may be that of the next owner, or of this one after a move that was given up.
    pub(crate) fn holds_for(&self, epoch: Epoch) -> bool {
        self.bound
            .is_none_or(|bound| epoch == bound || epoch.0 == bound.0.saturating_add(1))
    }

    /// Returns whether somebody else has had the slot since it was sent, where the slot is here under this epoch.
    pub(crate) fn is_overtaken(&self, epoch: Epoch) -> bool {
        self.bound
            .is_some_and(|bound| epoch.0 > bound.0.saturating_add(1))
    }

    /// Returns whether its sender knows of a later epoch than this.
    pub(crate) fn is_ahead_of(&self, epoch: Epoch) -> bool {
        self.bound.is_some_and(|bound| bound > epoch)
    }
}

/// Why a call was not put into a mailbox.
#[derive(Debug)]
pub(crate) enum Unaccepted {
    /// It is refused.
    Refused(CallError),
    /// It is a send, and there may be a place for it in a moment: its parts are where they were.
    Later(CallError),
}

impl From<CallError> for Unaccepted {
    fn from(error: CallError) -> Self {
        Self::Refused(error)
    }
}

/// What is lost of what was to go along with a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) states: usize,
    pub(crate) sends: usize,
}
