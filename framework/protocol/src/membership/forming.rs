//! How a cluster comes to be, once: the nodes that are to form it promise themselves to one of
//! them.
//!
//! Every node that forms a cluster knows how many take part, `bootstrap_expect`. When a node sees
//! exactly that many which belong to no cluster, and has the lowest id of them, it asks all of them
//! for a promise. Each gives one at a time, on its disk, and the asker mints the cluster's id when
//! *all* have promised. Two sets of nodes that share one can therefore not both form a cluster.
//! Whoever sees a node that belongs to a cluster joins that one. Two sets that share no node and
//! never see each other would form two clusters: no rule can tell them from two clusters that are
//! meant.
//!
//! It is a two-phase commit whose coordinator may take its question back, because nobody can have
//! heard of a decision before it is on the coordinator's disk. (Gray, "Notes on data base operating
//! systems", 1978, section 5.8.3.3.) Does not send, and stores nothing itself. Depends on `id` and
//! `time`.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::id::{ClusterId, Incarnation, NodeId};
use crate::time::Time;

/// What a node has to remember of forming, on its disk.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct FormingMemory {
    /// The cluster that it belongs to, for good.
    pub cluster: Option<ClusterId>,
    /// To whom it has promised itself.
    pub promise: Option<Promise>,
    /// What it has decided, if it was the one that asked.
    pub decision: Option<Decision>,
}

/// What the node that asked has decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// In which of its rounds.
    pub round: Round,
    /// The first voters.
    pub voters: BTreeSet<NodeId>,
}

/// A node's word to form a cluster with another one and with nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// Who asked.
    pub to: NodeId,
    /// In which of its rounds.
    pub round: Round,
}

/// Tells one attempt of a node to form a cluster from its others. A later one is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Round {
    /// The life of the node that makes it.
    pub life: Incarnation,
    /// Counts within that life.
    pub count: u32,
}

/// What a node says of itself to others before it belongs to a cluster, and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Who.
    pub node: NodeId,
    /// The cluster it belongs to.
    pub cluster: Option<ClusterId>,
    /// How many nodes it expects to form one. Nothing for a node that only joins.
    pub expects: Option<u32>,
}

/// What the nodes that form a cluster say to each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FormingMessage {
    /// Asks for a promise to form a cluster of these nodes.
    Ask {
        /// The attempt.
        round: Round,
        /// All who take part, the asker included.
        set: BTreeSet<NodeId>,
    },
    /// Gives the promise.
    Promised {
        /// The attempt.
        round: Round,
    },
    /// Does not give it: another node has it.
    Taken {
        /// The attempt.
        round: Round,
        /// Who has it.
        by: NodeId,
    },
    /// The asker has given up the attempt.
    Released {
        /// The attempt.
        round: Round,
    },
    /// The cluster is formed.
    Formed {
        /// The attempt.
        round: Round,
        /// The cluster.
        cluster: ClusterId,
        /// Its first voters.
        voters: BTreeSet<NodeId>,
    },
}

/// What forming asks its driver to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FormingAction {
    /// Write this to the disk and sync it, BEFORE any action that follows.
    Store(FormingMemory),
    /// Send a message.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: FormingMessage,
    },
    /// Start the control group of this cluster with these voters, unless its log is here already.
    Form {
        /// The cluster.
        cluster: ClusterId,
        /// Its first voters.
        voters: BTreeSet<NodeId>,
    },
    /// Join this cluster, which exists.
    Join {
        /// The cluster.
        cluster: ClusterId,
    },
}

/// Why a node does not form a cluster now, for whoever looks at it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormingRefusal {
    /// This node forms none.
    #[error("this node has no bootstrap_expect: it waits for a cluster to join")]
    OnlyJoins,
    /// Not enough nodes are there.
    #[error("{seen} of the {expect} nodes that form the cluster are here; start the others")]
    Waiting {
        /// How many are there, this one included.
        seen: usize,
        /// How many there have to be.
        expect: u32,
    },
    /// More nodes are there than are to form the cluster.
    #[error(
        "{seen} nodes want to form a cluster of {expect}: give bootstrap_expect to {expect} of them, \
         and start the others without it"
    )]
    TooMany {
        /// How many are there, this one included.
        seen: usize,
        /// How many there have to be.
        expect: u32,
    },
    /// The nodes do not agree on how many they are.
    #[error("bootstrap_expect is {ours} here and {theirs} on node {node}: give both the same")]
    ExpectDiffers {
        /// The setting of this node.
        ours: u32,
        /// The setting of the other.
        theirs: u32,
        /// The other.
        node: NodeId,
    },
    /// Another node is at it.
    #[error(
        "node {by} is forming the cluster; if it is lost for good, clear this node's data folder"
    )]
    Promised {
        /// Which.
        by: NodeId,
    },
}

/// Why forming cannot begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is {expect}: allowed are 1 to {EXPECT_MAX}")]
pub struct FormingError {
    /// The setting.
    pub expect: u32,
}

/// The forming of a cluster, as one node takes part in it.
#[derive(Debug)]
pub struct Former {
    me: NodeId,
    expect: Option<u32>,
    memory: FormingMemory,
    seen: BTreeMap<NodeId, Sighting>,
    next_round: Round,
    /// The attempt of this node that is under way.
    attempt: Option<Attempt>,
    actions: VecDeque<FormingAction>,
    retry: Duration,
    retry_at: Time,
    settled: bool,
}

#[derive(Debug)]
struct Attempt {
    round: Round,
    set: BTreeSet<NodeId>,
    promised: BTreeSet<NodeId>,
    given_up_at: Time,
}

impl Former {
    /// Makes the part of a node that comes back with this memory, or with none.
    ///
    /// `expect` is `bootstrap_expect`, nothing for a node that only joins; `retry` is the time
    /// after which a message is sent again.
    ///
    /// # Errors
    ///
    /// [`FormingError`] when `expect` is zero or greater than [`EXPECT_MAX`].
    pub fn new(
        me: NodeId,
        life: Incarnation,
        expect: Option<u32>,
        memory: FormingMemory,
        retry: Duration,
        now: Time,
    ) -> Result<Self, FormingError> {
        if let Some(expect) = expect.filter(|it| !(1..=EXPECT_MAX).contains(it)) {
            return Err(FormingError { expect });
        }
        let mut former = Self {
            me,
            expect,
            memory,
            seen: BTreeMap::new(),
            next_round: Round { life, count: 0 },
            attempt: None,
            actions: VecDeque::new(),
            retry,
            retry_at: now,
            settled: false,
        };
        former.resume();
        Ok(former)
    }

    /// Goes on where the life before has stopped.
    fn resume(&mut self) {
        if let Some(cluster) = self.memory.cluster {
            self.settled = true;
            let decision = self.memory.decision.clone();
            self.actions.push_back(match decision {
                Some(Decision { voters, .. }) => FormingAction::Form { cluster, voters },
                None => FormingAction::Join { cluster },
            });
        } else if self.memory.promise.is_some_and(|it| it.to == self.me) {
            // The attempt has died with the life before: nothing of it was decided.
            self.memory.promise = None;
            self.store();
        }
    }

    /// Another node was seen, or said something else of itself.
    pub fn handle_sighting(&mut self, sighting: Sighting, now: Time) {
        if sighting.node == self.me || (self.seen.len() >= SEEN_MAX && !self.knows(sighting.node)) {
            return;
        }
        if self.seen.insert(sighting.node, sighting) != Some(sighting) {
            self.retry_at = self.retry_at.min(now);
        }
        if let Some(cluster) = sighting.cluster.filter(|_| !self.settled) {
            self.handle_cluster(cluster);
        }
    }

    /// A node is not seen any more.
    pub fn handle_lost(&mut self, node: NodeId) {
        self.seen.remove(&node);
    }

    /// A message has come from another node.
    pub fn handle_message(&mut self, from: NodeId, message: FormingMessage, now: Time) {
        match message {
            FormingMessage::Ask { round, set } => self.handle_ask(from, round, &set),
            FormingMessage::Promised { round } => self.handle_promised(from, round, now),
            FormingMessage::Taken { round, by } => self.handle_taken(from, round, by),
            FormingMessage::Released { round } => {
                let ours = self.memory.promise;
                if ours.is_some_and(|it| it.to == from && it.round <= round) && !self.settled {
                    self.memory.promise = None;
                    self.store();
                    self.join_if_seen();
                }
            }
            FormingMessage::Formed {
                round,
                cluster,
                voters,
            } => {
                let promise = Promise { to: from, round };
                if !self.settled && self.memory.promise == Some(promise) {
                    self.settle(cluster);
                    self.actions
                        .push_back(FormingAction::Form { cluster, voters });
                }
            }
        }
    }

    /// Begins an attempt when it is time for one, or repeats what had no answer.
    ///
    /// `random` becomes the cluster's id, if one is formed at this moment.
    pub fn handle_time(&mut self, random: u128, now: Time) {
        if self.settled || now < self.retry_at {
            return;
        }
        self.retry_at = now + self.retry;
        if self
            .attempt
            .as_ref()
            .is_some_and(|it| now >= it.given_up_at)
        {
            self.give_up();
        }
        if self.attempt.is_none()
            && self.why_not().is_none()
            && self.set().first() == Some(&self.me)
        {
            self.begin(now);
        }
        if let Some(attempt) = &self.attempt {
            for node in attempt.set.difference(&attempt.promised) {
                let (round, set) = (attempt.round, attempt.set.clone());
                let message = FormingMessage::Ask { round, set };
                self.actions
                    .push_back(FormingAction::Send { to: *node, message });
            }
        } else if let Some(promise) = self.memory.promise {
            // Reminds the asker, which says that it is formed, or lets go.
            let round = promise.round;
            self.send(promise.to, FormingMessage::Promised { round });
        }
        self.decide(random);
    }

    /// Returns the next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<FormingAction> {
        self.actions.pop_front()
    }

    /// Returns when [`handle_time`](Self::handle_time) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        (!self.settled).then_some(self.retry_at)
    }

    /// Returns what this node says of itself to the others.
    #[must_use]
    pub fn sighting(&self) -> Sighting {
        Sighting {
            node: self.me,
            cluster: self.memory.cluster,
            expects: self.expect,
        }
    }

    /// Returns why this node does not begin to form a cluster, or nothing when it may.
    #[must_use]
    pub fn why_not(&self) -> Option<FormingRefusal> {
        let Some(ours) = self.expect else {
            return Some(FormingRefusal::OnlyJoins);
        };
        let others = self.seen.values().filter(|it| it.cluster.is_none());
        let mut differs = others.filter_map(|it| Some((it.node, it.expects?)));
        if let Some((node, theirs)) = differs.find(|(_, theirs)| *theirs != ours) {
            return Some(FormingRefusal::ExpectDiffers { ours, theirs, node });
        }
        let promise = self.memory.promise.filter(|it| it.to != self.me);
        if let Some(promise) = promise {
            return Some(FormingRefusal::Promised { by: promise.to });
        }
        let (seen, expect) = (self.set().len(), ours);
        let wanted = usize::try_from(expect).unwrap_or(usize::MAX);
        if seen < wanted {
            Some(FormingRefusal::Waiting { seen, expect })
        } else if seen > wanted {
            Some(FormingRefusal::TooMany { seen, expect })
        } else {
            None
        }
    }

    /// Returns those who would form the cluster: this node and all that are seen and belong to
    /// none.
    fn set(&self) -> BTreeSet<NodeId> {
        let others = self.seen.values();
        let others = others.filter(|it| it.cluster.is_none() && it.expects.is_some());
        let me = self.expect.is_some().then_some(self.me);
        others.map(|it| it.node).chain(me).collect()
    }

    fn begin(&mut self, now: Time) {
        let round = self.next_round;
        self.next_round.count = self.next_round.count.saturating_add(1);
        self.memory.promise = Some(Promise { to: self.me, round });
        self.store();
        self.attempt = Some(Attempt {
            round,
            set: self.set(),
            promised: BTreeSet::from([self.me]),
            given_up_at: now + self.retry * ATTEMPT_RETRIES,
        });
    }

    fn decide(&mut self, random: u128) {
        let complete = |it: &mut Attempt| it.promised == it.set;
        let Some(attempt) = self.attempt.take_if(complete) else {
            return;
        };
        let cluster = ClusterId(random);
        let (round, voters) = (attempt.round, attempt.set.clone());
        self.memory.decision = Some(Decision { round, voters });
        // Stored BEFORE anybody hears of it: only then can an attempt be taken back.
        self.settle(cluster);
        for node in &others(&attempt.set, self.me) {
            self.send_formed(*node, attempt.round, cluster, &attempt.set);
        }
        let voters = attempt.set;
        self.actions
            .push_back(FormingAction::Form { cluster, voters });
    }

    fn handle_ask(&mut self, from: NodeId, round: Round, set: &BTreeSet<NodeId>) {
        let complete = Some(set.len()) == self.expect.and_then(|it| usize::try_from(it).ok());
        let fits = complete && set.contains(&self.me) && set.contains(&from);
        if self.settled || !fits || from == self.me {
            return;
        }
        if self.attempt.is_some() && from < self.me {
            // The lower id goes first, so that two that ask at once do not wait for each other.
            self.give_up();
        }
        match self.memory.promise {
            Some(promise) if promise.to != from => {
                let by = promise.to;
                self.send(from, FormingMessage::Taken { round, by });
            }
            Some(promise) if promise.round > round => {}
            promise => {
                let new = Some(Promise { to: from, round });
                if promise != new {
                    self.memory.promise = new;
                    self.store();
                }
                self.send(from, FormingMessage::Promised { round });
            }
        }
    }

    fn handle_promised(&mut self, from: NodeId, round: Round, now: Time) {
        if let Some(attempt) = self.attempt.as_mut().filter(|it| it.round == round) {
            if attempt.set.contains(&from) && attempt.promised.insert(from) {
                self.retry_at = self.retry_at.min(now);
            }
            return;
        }
        let decision = self.memory.decision.clone();
        match (decision.filter(|it| it.round == round), self.memory.cluster) {
            (Some(made), Some(cluster)) => self.send_formed(from, round, cluster, &made.voters),
            _ => self.send(from, FormingMessage::Released { round }),
        }
    }

    fn handle_taken(&mut self, from: NodeId, round: Round, by: NodeId) {
        let ours = self.attempt.as_ref();
        let concerns = ours.is_some_and(|it| it.round == round && it.set.contains(&from));
        // The higher id yields; it will ask again if the lower one comes to nothing.
        if concerns && by < self.me {
            self.give_up();
        }
    }

    /// Another node belongs to a cluster: this one joins it and forms none.
    fn handle_cluster(&mut self, cluster: ClusterId) {
        if self.memory.promise.is_some_and(|it| it.to != self.me) {
            // The asker may count on the promise: it says that it is formed, or lets go, first.
            return;
        }
        self.give_up();
        self.settle(cluster);
        self.actions.push_back(FormingAction::Join { cluster });
    }

    fn join_if_seen(&mut self) {
        if let Some(cluster) = self.seen.values().find_map(|it| it.cluster) {
            self.handle_cluster(cluster);
        }
    }

    fn give_up(&mut self) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        self.memory.promise = None;
        // Stored BEFORE the others hear that they are free.
        self.store();
        let round = attempt.round;
        for node in &others(&attempt.set, self.me) {
            self.send(*node, FormingMessage::Released { round });
        }
    }

    fn settle(&mut self, cluster: ClusterId) {
        assert!(self.memory.cluster.is_none(), "a cluster is for good");
        self.memory.cluster = Some(cluster);
        self.settled = true;
        self.store();
    }

    fn store(&mut self) {
        let memory = self.memory.clone();
        self.actions.push_back(FormingAction::Store(memory));
    }

    fn send(&mut self, to: NodeId, message: FormingMessage) {
        self.actions.push_back(FormingAction::Send { to, message });
    }

    fn send_formed(
        &mut self,
        to: NodeId,
        round: Round,
        cluster: ClusterId,
        set: &BTreeSet<NodeId>,
    ) {
        let voters = set.clone();
        let message = FormingMessage::Formed {
            round,
            cluster,
            voters,
        };
        self.send(to, message);
    }

    fn knows(&self, node: NodeId) -> bool {
        self.seen.contains_key(&node)
    }
}

fn others(set: &BTreeSet<NodeId>, me: NodeId) -> Vec<NodeId> {
    set.iter().copied().filter(|node| *node != me).collect()
}

/// The most nodes that form a cluster together: the most voters there can be.
pub const EXPECT_MAX: u32 = 5;

/// The most nodes that are kept in mind while a cluster is formed.
const SEEN_MAX: usize = 4096;

/// An attempt is given up after this many times of sending its questions.
const ATTEMPT_RETRIES: u32 = 10;

#[cfg(test)]
mod tests;
