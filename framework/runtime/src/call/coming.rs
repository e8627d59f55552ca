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

/// By what its sender has chosen this node for a send to a key, and since when it waits here. One that waits
/// must not run once its sender may have sent later ones to another owner of the slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sight {
    /// The version of the tables that its sender went by, or an earlier one.
    pub(crate) seen: Version,
    /// It waits.
    pub(crate) waits: bool,
    /// The epoch of the slot, once it has waited for it here.
    pub(crate) bound: Option<Epoch>,
}

impl Sight {
    /// Makes that of one that has just come.
    pub(super) fn by(seen: Version) -> Self {
        Self {
            seen,
            ..Self::default()
        }
    }

    /// Returns whether it may still go on under this epoch: nobody else has had the slot since it waits.
    pub(crate) fn holds_for(&self, epoch: Epoch) -> bool {
        self.bound
            .is_none_or(|bound| epoch == bound || epoch.0 == bound.0 + 1)
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
