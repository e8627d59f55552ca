//! What the rest of the node sees of its part in the cluster.
//!
//! Depends on the driver, which it starts.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use callboard_protocol::{
    code::Code,
    id::{ClusterId, DiskId, NodeId},
    membership::{Former, FormingMemory, VoterChoice},
    slots::{Entry, Owner, SlotId, Standing, Version},
    time::Time,
};
use tokio::sync::{mpsc, watch};

use super::{
    choosing::{ASKS_MAX, Ask},
    driver::{Driver, Ends},
    followers::Followers,
    forming::Forming,
    inbox::Queue,
    ownership::Ownership,
    parting::Wish,
    parts::Parts,
    passage::Passage,
    seat::{self, Seat},
};
use crate::{env::Env, net::StartError, task::Tasks};

/// This node's part in the cluster. Its task ends with the node's.
pub(crate) struct Cluster {
    ownership: Arc<Ownership>,
    status: watch::Receiver<Status>,
    wish: watch::Sender<Wish>,
    pub(super) asks: mpsc::Sender<Ask>,
}

/// How a node stands, for the simulator, which compares it with how the others do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Position {
    /// The cluster that it belongs to.
    pub cluster: Option<ClusterId>,
    /// This life of it.
    pub me: Owner,
    /// The term in which it leads the control group, if it does as far as it knows.
    pub leads: Option<u64>,
    /// Whether it votes in the control group, as far as it knows.
    pub votes: bool,
    /// Why it is no member, or does not vote.
    pub trouble: Option<Code>,
    /// How long its lease lasts from now; nothing without one.
    pub lease_left: Option<Duration>,
    /// The version of the control group's state that it knows.
    pub version: Version,
    /// The members in that version, and whether they are live.
    pub members: Vec<(Owner, bool)>,
}

/// How this node stands in the cluster.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Status {
    /// The cluster that it belongs to.
    pub(crate) cluster: Option<ClusterId>,
    /// Who leads, as far as is known here.
    pub(crate) leader: Option<NodeId>,
    /// Until when it holds its lease; nothing without one.
    pub(crate) lease_until: Option<Time>,
    /// Why it is no member, or does not vote.
    pub(crate) trouble: Option<Trouble>,
    /// Why it holds no lease, where that has lasted for seconds and is no trouble of its own.
    pub(crate) unleased: Option<String>,
    pub(crate) term: u64,
    pub(crate) is_leader: bool,
    pub(crate) applied: u64,
    /// The disks of those who vote, and of those who do not yet.
    pub(crate) voters: BTreeSet<DiskId>,
    pub(crate) learners: BTreeSet<DiskId>,
    pub(crate) votes: bool,
    /// What is chosen of the voters.
    pub(crate) choices: Vec<(NodeId, VoterChoice)>,
    /// Whether it has a seat in the control group, as the leader says of a node that is to go.
    pub(crate) is_seated: Option<bool>,
    /// The leader has taken it in that this node acts no more.
    pub(crate) has_ended: bool,
    /// How long the disk has taken last.
    pub(crate) sync: Duration,
}

/// The seats of the control group. None are known to a node without a log.
#[derive(Debug, Default)]
pub(super) struct Seats {
    pub(super) voters: BTreeSet<DiskId>,
    pub(super) learners: BTreeSet<DiskId>,
    /// Whether this node votes.
    pub(super) votes: bool,
    /// What is chosen of the voters.
    pub(super) choices: Vec<(NodeId, VoterChoice)>,
}

/// Why a node is no member, or one that does not vote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

impl Cluster {
    /// Starts a node's part in the cluster, which feeds `ownership`. Clients are told of `served`, which
    /// is the same unless somebody else feeds it. Reads the data folder, and blocks for that.
    ///
    /// # Errors
    /// `ConfigInvalid` when `bootstrap_expect` is out of range or has no data folder, or the file of
    /// the cluster is damaged; `LogUnreadable`, `DataDirLocked` and `Io` for the control group's
    /// files.
    pub(crate) fn start(
        env: &Env,
        tasks: &Tasks,
        parts: Parts,
        (ownership, passage): (Arc<Ownership>, Arc<Passage>),
        served: Arc<Ownership>,
        mut queue: Queue,
    ) -> Result<Self, StartError> {
        let memory = match &parts.data {
            Some(data) => data.memory(env)?,
            None => FormingMemory::default(),
        };
        if parts.expect.is_some() || memory.cluster.is_some() {
            ownership.expect();
        } else if !parts.has_seeds {
            ownership.set_alone();
        }
        let now = parts.now();
        // Whoever has no promise and no cluster on the disk breaks none by it.
        let goes_alone = parts.is_development
            && parts.has_seeds
            && parts.expect.is_none()
            && memory == FormingMemory::default();
        let seat = open(env, &parts, &memory)?.map(|it| Seat::new(it, &parts.profile, now));
        let former = Former::new(
            parts.owner.node,
            parts.owner.incarnation,
            parts.expect,
            memory.clone(),
            FORMING_RETRY,
            now,
        );
        let former = former.map_err(|error| {
            StartError::new(Code::ConfigInvalid, "bootstrap_expect").with_detail(error.to_string())
        })?;
        let forming = Forming::new(former, memory, parts.expect);
        let (events, coming) = mpsc::channel(EVENTS_MAX);
        let (status, seen) = watch::channel(Status::default());
        let (wish, wishes) = watch::channel(Wish::default());
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let tasks = tasks.child("cluster");
        let followers = Followers::new(served, Arc::clone(&parts.clock));
        run_followers(&tasks, &mut queue, followers);
        let mut driver = Driver::new(
            env.clone(),
            tasks.clone(),
            parts,
            (Arc::clone(&ownership), passage),
            forming,
            Ends {
                events,
                status,
                wishes,
            },
        );
        if let Some(seat) = seat {
            driver.set_seat(seat);
        }
        if goes_alone {
            driver.go_alone_unless_linked(now);
        }
        tasks.spawn("cluster", driver.run(queue, coming, asked));
        Ok(Self {
            ownership,
            status: seen,
            wish,
            asks,
        })
    }

    /// Wishes that this node goes so far. What is wished only grows.
    pub(super) fn wish(&self, wish: Wish) {
        self.wish.send_if_modified(|it| {
            let is_more = wish > *it;
            *it = wish.max(*it);
            is_more
        });
    }

    /// Returns how far this node is to go.
    pub(super) fn wished(&self) -> Wish {
        *self.wish.borrow()
    }

    pub(super) fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Returns what tells how this node stands.
    pub(super) fn status_changes(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Returns how this node stands at this moment, for the simulator.
    pub(crate) fn position(&self, now: Time) -> Position {
        // At every tick of the simulator: nothing is cloned that is not asked for.
        let status = self.status.borrow();
        let lives = self.ownership.lives().into_iter();
        let live = |it| it != Standing::Lapsed;
        let lease_until = status.lease_until.filter(|it| *it > now);
        Position {
            cluster: status.cluster,
            me: self.ownership.me(),
            leads: status.is_leader.then_some(status.term),
            votes: status.votes,
            trouble: status.trouble.as_ref().map(|it| it.code),
            lease_left: lease_until.map(|it| it - now),
            version: self.ownership.version(),
            members: lives.map(|(it, standing)| (it, live(standing))).collect(),
        }
    }

    /// Returns what is known here of all slots, for the simulator.
    pub(crate) fn entries(&self) -> Vec<(SlotId, Entry)> {
        self.ownership.entries()
    }

    /// Returns how this node stands.
    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until this node is a member and holds a lease.
    ///
    /// # Errors
    /// The code of what keeps it from that, when that is for good, or when it takes longer than
    /// `within`: `ClusterMismatch`, `ConfigInvalid`, `NotJoined`, `Io`, `LogUnreadable`.
    pub(crate) async fn joined(&self, within: Duration) -> Result<(), StartError> {
        let mut status = self.status.clone();
        let held = status.wait_for(|it| it.lease_until.is_some());
        if matches!(tokio::time::timeout(within, held).await, Ok(Ok(_))) {
            return Ok(());
        }
        let trouble = self.status().trouble.unwrap_or_else(|| Trouble {
            code: Code::NotJoined,
            detail: match self.status().unleased {
                Some(why) => format!("no lease within {within:?}: {why}"),
                None => format!("no lease within {within:?}"),
            },
        });
        Err(StartError::new(trouble.code, "cluster").with_detail(trouble.detail))
    }
}

impl Status {
    /// Takes in where the control group is on this node; returns whether it leads where it did not,
    /// or the other way round.
    pub(super) fn control(
        &mut self,
        (term, applied): (u64, u64),
        is_leader: bool,
        seats: Seats,
        sync: Duration,
    ) -> bool {
        let differs = self.is_leader != is_leader;
        (self.term, self.applied) = (term, applied);
        (self.voters, self.learners, self.votes) = (seats.voters, seats.learners, seats.votes);
        (self.is_leader, self.sync) = (is_leader, sync);
        self.choices = seats.choices;
        differs
    }

    /// Takes in where the node is; returns whether it is something else than before, the length of
    /// its lease aside.
    pub(super) fn node(
        &mut self,
        cluster: Option<ClusterId>,
        leader: Option<NodeId>,
        lease_until: Option<Time>,
    ) -> bool {
        let differs = self.cluster != cluster
            || self.leader != leader
            || self.lease_until.is_some() != lease_until.is_some();
        (self.cluster, self.leader, self.lease_until) = (cluster, leader, lease_until);
        differs
    }
}

/// Tells clients, from now on, what they ask for.
fn run_followers(tasks: &Tasks, queue: &mut Queue, followers: Followers) {
    if let Some(asks) = queue.take_asks() {
        tasks.spawn("followers", followers.run(tasks.clone(), asks));
    }
}

/// Opens the control group's files of a node that forms a cluster, or belongs to one.
fn open(
    env: &Env,
    parts: &Parts,
    memory: &FormingMemory,
) -> Result<Option<crate::control::Group>, StartError> {
    let takes_part = parts.expect.is_some() || memory.cluster.is_some();
    match &parts.data {
        Some(data) if takes_part => {
            let opened = seat::open(env, data, memory.cluster);
            opened.map(Some).map_err(|error| {
                StartError::new(error.code(), "control group").with_detail(error.to_string())
            })
        }
        None if parts.expect.is_some() => {
            let detail = "a node that forms a cluster keeps its promises on its disk";
            Err(StartError::new(Code::ConfigInvalid, "bootstrap_expect")
                .with_detail(detail)
                .with_advice("give it a data folder with `data_dir`"))
        }
        _ => Ok(None),
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// How often nodes that form a cluster say again what had no answer.
const FORMING_RETRY: Duration = Duration::from_millis(200);

/// How many events wait for the driver: a probe, and a file or two.
const EVENTS_MAX: usize = 16;
