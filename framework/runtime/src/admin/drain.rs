//! Drains this node: because it is to stop, or because somebody asks for it from outside.
//!
//! Depends on `desk` and `drain_report`.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    desk::Desk,
    drain_report::{DrainOutcome, DrainReport, DrainStep},
};
use crate::cluster::{DrainError, DrainStage};

/// What has become of a drain that somebody has asked for.
#[derive(Debug, Default)]
pub(crate) enum Asked {
    /// Nobody has.
    #[default]
    Not,
    /// It goes on.
    Running,
    /// It has ended.
    Ended(Result<(), DrainError>),
}

impl Desk {
    /// Drains the node; see [`Node::drain`](crate::Node::drain).
    pub(crate) async fn drain(&self, within: Duration) -> Result<(), DrainError> {
        let deadline = Instant::now() + within;
        let left = || deadline.saturating_duration_since(Instant::now());
        let is_placed = self.hub.ownership().is_some();
        if is_placed {
            self.cluster.drain(within).await?;
        }
        // AFTER the slots are gone: whoever is told takes no keyed call to another node for it.
        self.net.leave().await;
        if !self.net.heard_by_all(left().min(HEARD_MAX)).await {
            tracing::warn!(
                within = ?HEARD_MAX,
                "not every peer has answered that this node leaves; calls that they still send here \
                 are taken until it is stopped"
            );
        }
        // AFTER the peers know: no call is added but those that are on their way.
        if !self.hub.quiet(left().min(self.grace)).await {
            tracing::warn!(
                "calls or streams of services still go on; `stop` gives them the rest of its grace"
            );
        }
        match is_placed {
            true => self.cluster.leave(left().max(LEAVE_MIN)).await,
            false => Ok(()),
        }
    }

    /// Begins to drain the node, unless that goes on already or is done. It goes on whether or not
    /// somebody waits for it.
    pub(super) fn begin_drain(self: &Arc<Self>, within: Duration) -> DrainReport {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*asked, Asked::Not | Asked::Ended(Err(_))) {
            *asked = Asked::Running;
            let (desk, token) = (Arc::clone(self), self.hub.tasks().token().clone());
            self.hub.tasks().spawn("drain", async move {
                let ended = tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    ended = desk.drain(within) => ended,
                };
                let mut asked = desk.asked.lock().unwrap_or_else(PoisonError::into_inner);
                *asked = Asked::Ended(ended);
            });
        }
        drop(asked);
        self.draining()
    }

    /// Says how far the node is drained.
    pub(super) fn draining(&self) -> DrainReport {
        let outcome = match &*self.asked.lock().unwrap_or_else(PoisonError::into_inner) {
            Asked::Not => DrainOutcome::NotAsked,
            Asked::Running => DrainOutcome::Running,
            Asked::Ended(Ok(())) => DrainOutcome::Drained,
            Asked::Ended(Err(error @ DrainError::OnlyMember)) => {
                DrainOutcome::Refused(error.to_string())
            }
            Asked::Ended(Err(error)) => DrainOutcome::NotInTime(error.to_string()),
        };
        let left = self.cluster.draining();
        DrainReport {
            node: self.hub.me().name.clone(),
            outcome,
            step: left.map(|it| match it.stage {
                DrainStage::Asking => DrainStep::Asking,
                DrainStage::Seat => DrainStep::Seat,
                DrainStage::Slots => DrainStep::Slots,
                DrainStage::Done => DrainStep::Leaving,
            }),
            slots: left.map_or(0, |it| it.slots as u64),
        }
    }
}

/// How long a node that drains waits for the answers of its peers: many times what a message takes, and less than
/// it takes for a peer that does not answer to be lost.
const HEARD_MAX: Duration = Duration::from_secs(1);

/// What is left at least for leaving the cluster, whatever the rest of a drain has taken.
const LEAVE_MIN: Duration = Duration::from_millis(100);
