//! Why an actor was not given a name.
//!
//! Depends on `call`.

use callboard_protocol::{
    code::{CallError, Code},
    id::ActorAddr,
};

use crate::call::{Hub, NameHolder};

use super::asking::subject;

/// Why an actor was not given a name. It is asked for no more; an actor that was to be spawned with it was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another actor has it, or is being given it: `NameTaken`.
    #[error("{error}")]
    Taken {
        /// Which one, and where it runs.
        holder: NameHolder,
        /// The same, as an error of a call.
        error: CallError,
    },
    /// It could not be asked for, or not everybody has answered. By code: `NameInvalid`; `TooManyNames`; `ActorGone`
    /// for an actor that has ended; `NodeStopping`; `DeadlineExceeded` and others for a node that is linked and has not
    /// said whether it has the name.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ClaimError {
    pub(super) fn taken(hub: &Hub, name: &str, holder: ActorAddr) -> Self {
        let holder = hub.name_holder(holder);
        let error =
            CallError::new(Code::NameTaken, subject(name)).with_detail(format!("{holder} has it"));
        Self::Taken { holder, error }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Taken { error, .. } | Self::Call(error) => error.code(),
        }
    }
}

/// So that one function can claim names and make calls.
impl From<ClaimError> for CallError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Taken { error, .. } | ClaimError::Call(error) => error,
        }
    }
}
