//! Waits until this node has given away what it has, and says how far that is.
//!
//! Depends on `handle`; how it comes about is in `parting`.

use std::{fmt, time::Duration};

use callboard_protocol::{code::Code, slots::Standing};
use tokio::time::Instant;

use super::{handle::Cluster, parting::Wish};

/// How far a node is drained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Draining {
    /// What it still has to give away.
    pub stage: DrainStage,
    /// How many slots are still its own, or on their way to it.
    pub slots: usize,
}

/// What a node that is being drained has to give away. One comes after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum DrainStage {
    /// No leader has taken it in yet that the node is to go.
    Asking,
    /// It leads the control group, or votes in it.
    Seat,
    /// It owns slots.
    Slots,
    /// Nothing any more.
    Done,
}

/// Why a node is not drained. It goes on with what it still has, and gets nothing new.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// There is no other member that stays. Nothing was changed.
    #[error("no other member of the cluster could take over")]
    OnlyMember,
    /// No leader has taken it in that the node is to go: the control group has lost its quorum, or this
    /// node its links. It may still be taken in.
    #[error("the control group has no leader that took it in within {within:?}")]
    NoLeader {
        /// How long was waited.
        within: Duration,
    },
    /// It has taken longer than it may. What was given away stays away.
    #[error("not done within {within:?}: {left}")]
    LimitPassed {
        /// How long was waited.
        within: Duration,
        /// What is left.
        left: Draining,
    },
}

impl DrainError {
    /// Returns the stable code: [`Code::NotDrained`].
    #[must_use]
    pub fn code(&self) -> Code {
        Code::NotDrained
    }
}

impl fmt::Display for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            DrainStage::Asking => f.write_str("no leader has taken it in"),
            DrainStage::Seat => f.write_str(
                "it leads the control group or votes in it, and nobody could take that over yet",
            ),
            DrainStage::Slots => write!(f, "{} slots are still its own", self.slots),
            DrainStage::Done => f.write_str("nothing is left but to leave"),
        }
    }
}

impl Cluster {
    /// Gives away what this node has: the leadership, the voter's seat, the slots.
    ///
    /// # Errors
    /// [`DrainError`].
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait: the node goes on giving away.
    pub(crate) async fn drain(&self, within: Duration) -> Result<(), DrainError> {
        if !self.has_others() {
            return Err(DrainError::OnlyMember);
        }
        self.wish(Wish::Drain);
        let last = self.wait(within, |it| it.stage == DrainStage::Done).await;
        match last {
            Ok(()) => Ok(()),
            Err(left) if left.stage == DrainStage::Asking => Err(DrainError::NoLeader { within }),
            Err(left) => Err(DrainError::LimitPassed { within, left }),
        }
    }

    /// Says that this node acts on nothing any more, in this life, and is no member any more.
    ///
    /// # Errors
    /// [`DrainError::LimitPassed`]: nobody has answered. Others wait until its lease has ended.
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait.
    pub(crate) async fn leave(&self, within: Duration) -> Result<(), DrainError> {
        match self.part(Wish::Leave, within).await {
            true => Ok(()),
            false => {
                let left = self.left();
                Err(DrainError::LimitPassed { within, left })
            }
        }
    }

    /// Says that this node acts on nothing any more in this life, if it is a member: others need not
    /// wait until its lease has ended.
    ///
    /// It has to be true of everything but turns that never await. Those can let nothing out: the
    /// lease is given up here BEFORE anybody hears of it.
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait.
    pub(crate) async fn end(&self, within: Duration) {
        if self.status().lease_until.is_some() && !self.part(Wish::End, within).await {
            tracing::info!(
                ?within,
                "nobody has heard that this node ends; its lease has to"
            );
        }
    }

    /// Returns how far this node is drained, if it is to be.
    pub(crate) fn draining(&self) -> Option<Draining> {
        (self.wished() != Wish::Stay).then(|| self.left())
    }

    async fn part(&self, wish: Wish, within: Duration) -> bool {
        self.wish(wish);
        let mut status = self.status_changes();
        let ended = status.wait_for(|it| it.has_ended);
        matches!(tokio::time::timeout(within, ended).await, Ok(Ok(_)))
    }

    /// # Errors
    /// What was left when the time was over.
    async fn wait(
        &self,
        within: Duration,
        is_enough: impl Fn(Draining) -> bool,
    ) -> Result<(), Draining> {
        let deadline = Instant::now() + within;
        let (mut changes, mut status) = (self.ownership().changes(), self.status_changes());
        loop {
            // BEFORE the look: a change in between wakes it.
            changes.mark_unchanged();
            status.mark_unchanged();
            let left = self.left();
            if is_enough(left) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => return Err(left),
                Ok(()) = changes.changed() => {}
                Ok(()) = status.changed() => {}
                else => return Err(left),
            }
        }
    }

    fn left(&self) -> Draining {
        let (ownership, status) = (self.ownership(), self.status());
        let slots = ownership.slots();
        let is_seated = status.is_leader || status.is_seated != Some(false);
        let stage = match ownership.standing() {
            Some(Standing::Draining) if is_seated => DrainStage::Seat,
            Some(Standing::Draining) if slots > 0 => DrainStage::Slots,
            Some(Standing::Draining) => DrainStage::Done,
            _ => DrainStage::Asking,
        };
        Draining { stage, slots }
    }

    /// Returns whether another member stays, as far as is known here.
    fn has_others(&self) -> bool {
        let me = self.ownership().me().node;
        let members = self.ownership().members().into_iter();
        let mut others = members.filter(|(member, _)| member.id() != me);
        others.any(|(_, standing)| standing == Standing::Live)
    }
}
