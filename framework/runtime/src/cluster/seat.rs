//! This node's member of the control group, and its way to the disk and back.
//!
//! What a member is told has no effect before its flush, which writes and syncs. That is blocking
//! work: the member is away with it for as long as it takes, and what comes meanwhile waits here, so
//! that leases are renewed while a disk is slow. Depends on `control` and `env`.

use std::time::Duration;

use callboard_protocol::{
    code::Code,
    id::{ClusterId, DiskId},
    membership::Profile,
    slots::{Command, State},
    time::Time,
};
use tokio::sync::oneshot;

use super::parts::Data;
use crate::{
    control::{Config, Error, Group, Refused},
    env::Env,
};

/// A member of the control group, at home or away.
#[derive(Debug)]
pub(super) struct Seat {
    id: DiskId,
    group: Option<Group>,
    away: Option<oneshot::Receiver<Returned>>,
    /// Messages that have come while it is away.
    heard: Vec<(DiskId, Vec<u8>)>,
    is_dirty: bool,
    tick: Duration,
    tick_at: Time,
}

/// A member that comes back from the disk.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) group: Group,
    /// Whether it goes on; if not, it has stopped for good.
    pub(super) outcome: Result<(), Error>,
    /// How long the disk has taken.
    pub(super) took: Duration,
}

/// Why a member is gone for good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The disk failed, or the log is not understood.
    #[error(transparent)]
    Stopped(#[from] Error),
    /// The work that it was away with panicked.
    #[error("the log of the control group was lost in a panic")]
    Panicked,
}

impl Lost {
    /// Returns whether the disk is why, so that it may be back when that works again.
    pub(super) fn is_of_disk(&self) -> bool {
        matches!(self, Self::Stopped(Error::Io { .. }))
    }

    /// Returns the stable code.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Stopped(error) => error.code(),
            Self::Panicked => Code::LogUnreadable,
        }
    }
}

impl Seat {
    /// Takes a member in.
    pub(super) fn new(group: Group, profile: &Profile, now: Time) -> Self {
        let tick = tick_of(profile);
        Self {
            id: group.id(),
            group: Some(group),
            away: None,
            heard: Vec::new(),
            is_dirty: false,
            tick,
            tick_at: now + tick,
        }
    }

    /// Returns the id of the disk.
    pub(super) fn id(&self) -> DiskId {
        self.id
    }

    /// Returns the state of the group, if the member is at home.
    pub(super) fn state(&self) -> Option<&State> {
        Some(self.group.as_ref()?.state())
    }

    /// Goes by the times of this profile from now on.
    pub(super) fn set_profile(&mut self, profile: &Profile) {
        self.tick = tick_of(profile);
    }

    /// Takes a message from another member.
    pub(super) fn handle_message(&mut self, from: DiskId, bytes: Vec<u8>) {
        if self.heard.len() < HEARD_MAX {
            self.heard.push((from, bytes));
        }
    }

    /// Takes the member, if it is at home, with all that has come for it, and the ticks that are
    /// due. It has to be given back.
    pub(super) fn take(&mut self, now: Time) -> Option<Group> {
        let mut group = self.group.take()?;
        for (from, bytes) in self.heard.drain(..) {
            match group.handle_message(from, &bytes) {
                Ok(()) => self.is_dirty = true,
                Err(why) => tracing::debug!(%from, %why, "a message of the control group"),
            }
        }
        if now >= self.tick_at {
            // One tick, however late: a member that stood still does not take all others for lost.
            group.handle_tick();
            self.tick_at = now + self.tick;
            self.is_dirty = true;
        }
        Some(group)
    }

    /// Gives the member back, and sends it to the disk if it was told something.
    pub(super) fn give(&mut self, group: Group, was_told: bool, env: &Env) {
        self.is_dirty |= was_told;
        if self.is_dirty {
            self.is_dirty = false;
            self.send_away(group, env, Group::flush);
        } else {
            self.group = Some(group);
        }
    }

    /// Forms the group with this member alone, unless it has a log. It is away with that.
    pub(super) fn form(&mut self, group: Group, first: Command, env: &Env) {
        self.send_away(group, env, move |group| match group.form(&first) {
            Ok(()) | Err(Refused::AlreadyFormed) => group.flush(),
            // Of one that has stopped, a flush says why.
            Err(why) => group
                .flush()
                .and(Err(Error::Contradiction(why.to_string()))),
        });
    }

    /// Waits until the member is back from the disk; for good while it is at home.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(super) async fn returned(&mut self) -> Result<Returned, Lost> {
        let Some(away) = &mut self.away else {
            return std::future::pending().await;
        };
        let returned = away.await;
        self.away = None;
        returned.map_err(|_| Lost::Panicked)
    }

    /// Waits until the member is not away any more, and ends it.
    pub(super) async fn stay(&mut self) {
        if self.away.is_some() {
            drop(self.returned().await);
        }
    }

    /// Takes a member that is back; the driver has taken it apart from what it brings.
    pub(super) fn come_home(&mut self, group: Group) {
        self.group = Some(group);
    }

    /// Returns when the next tick is due; nothing while the member is away.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.group.is_some().then_some(self.tick_at)
    }

    fn send_away(
        &mut self,
        mut group: Group,
        env: &Env,
        work: impl FnOnce(&mut Group) -> Result<(), Error> + Send + 'static,
    ) {
        let (report, away) = oneshot::channel();
        self.away = Some(away);
        let clock = env.clock.clone();
        let job = move || {
            let from = clock.now();
            let outcome = work(&mut group);
            let took = clock.now().saturating_duration_since(from);
            // Nobody is left to take it when the node has ended.
            drop(report.send(Returned {
                group,
                outcome,
                took,
            }));
        };
        env.blocking.run("control-group", Box::new(job));
    }
}

/// Returns how a group counts its time. The length of a tick makes the times those of a profile: an
/// election after 6 to 12 ticks without a leader, a heartbeat every second tick.
pub(super) fn config() -> Config {
    Config {
        election_ticks: ELECTION_TICKS as usize,
        heartbeat_ticks: 2,
        ..Config::default()
    }
}

/// Opens the group's files of a node that belongs to this cluster. Blocks.
pub(super) fn open(env: &Env, data: &Data, cluster: Option<ClusterId>) -> Result<Group, Error> {
    Group::open(env, &data.control(env, cluster)?, config())
}

/// The longest silence is that of the profile, as its arithmetic of a leader's loss needs it.
fn tick_of(profile: &Profile) -> Duration {
    profile.election_max / (2 * ELECTION_TICKS)
}

const ELECTION_TICKS: u32 = 6;

/// How many messages wait while the member is away. Members say again what is dropped.
const HEARD_MAX: usize = 256;
