//! Why a group stopped, why it refused to do something, and why it did not take a message.
//!
//! Depends on the codes of the protocol.

use std::io;
use std::path::PathBuf;

use callboard_protocol::code::Code;
use callboard_protocol::id::DiskId;

/// Why a group did not open, or has stopped for good.
///
/// A group that has stopped gives no action any more. Opening it again reads what the disk has.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk failed. What it holds of the last writes is not known.
    #[error("file {path}: {kind}: {detail}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        detail: String,
    },
    /// Another process, or another group of this one, has the folder.
    #[error("folder {0}: another group has it")]
    Locked(PathBuf),
    /// A file is damaged where it was whole once, or a later version has written it. It is left as
    /// it is.
    #[error("file {path}: {why}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An entry is committed that this version does not know: it could not go on without drifting
    /// apart from the others.
    #[error("entry {index} of the log: {why}")]
    UnknownEntry {
        /// Which entry.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The Raft library refuses what the disk holds, or a change that is committed.
    #[error("the log contradicts itself: {0}")]
    Contradiction(String),
}

impl Error {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } => Code::Io,
            Self::Locked(_) => Code::DataDirLocked,
            Self::Unreadable { .. } | Self::UnknownEntry { .. } | Self::Contradiction(_) => {
                Code::LogUnreadable
            }
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::Io {
            path: path.into(),
            kind: error.kind(),
            detail: error.to_string(),
        }
    }

    pub(super) fn unreadable(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::Unreadable {
            path: path.into(),
            why: why.into(),
        }
    }
}

/// Why a group did not do what it was asked. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another member leads, or none that is known.
    #[error("this member does not lead the control group")]
    NotLeader {
        /// Who leads, as far as this member knows.
        leader: Option<DiskId>,
    },
    /// It has been elected, and has committed nothing yet in its term. It will be ready soon.
    #[error("the leader has not committed an entry of its term yet")]
    NotReady,
    /// Too much is on its way, a change of the members too, or the leadership is being handed over.
    #[error("the control group is busy")]
    Busy,
    /// The command is longer than an entry may be.
    #[error("the command has more than {max} bytes")]
    TooLarge {
        /// How many it may have.
        max: usize,
    },
    /// The group has been formed already, or has members.
    #[error("the control group is formed already")]
    AlreadyFormed,
    /// The first command does not form a cluster.
    #[error("the first command has to form the cluster")]
    NotForming,
    /// The group has stopped; see [`Group::flush`](super::Group::flush).
    #[error("the control group has stopped on this node")]
    Stopped,
}

/// Why a message was not taken. It has changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It ends inside a value.
    #[error("the message ends inside a value")]
    Truncated,
    /// A later version has written it.
    #[error("version {0} of a message of the control group is not known")]
    UnknownVersion(u8),
    /// It is of a kind that members do not send each other.
    #[error("kind {0} of a message of the control group is not known")]
    UnknownKind(u8),
    /// Something in it has a value that it cannot have.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// It says that it is from another member than the one that sent it, or is for another.
    #[error("the message is from or for another member")]
    Misdirected,
    /// No member that follows the protocol would send it now.
    #[error("the message contradicts the log of this member")]
    Contradiction,
    /// The group has stopped.
    #[error("the control group has stopped on this node")]
    Stopped,
}
