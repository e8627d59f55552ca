//! The leader's side of the leases: renews those of members, and says which have ended.
//!
//! Renewals that arrive within a batch's time are answered together, after one quorum read that
//! began when the batch was full. Whoever has been deposed gets no quorum, so it renews nobody
//! (the read index of Ongaro, "Consensus: bridging theory and practice", 2014, section 6.4; a
//! leader answers reads only after it has committed an entry of its own term, see etcd's issue
//! 7331 of what happens otherwise). No clock is compared with another one, and the leader's own is
//! used for waiting only. Knows no Raft: the driver reads from the quorum, and applies what it has
//! read to the members BEFORE it says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Profile, RenewalNumber};
use crate::id::{Incarnation, NodeId};
use crate::plant::{Mistake, Plant};
use crate::time::Time;

/// Numbers the quorum reads of a node. Numbers are not used again, in later terms neither.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadNumber(pub u64);

/// What the leases ask their driver to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LeaseAction {
    /// Begin a quorum read now, and say with [`Leases::handle_read_done`] when a quorum has
    /// confirmed that this node leads and the log is applied up to the read's index.
    Read(ReadNumber),
    /// Answer a renewal.
    Grant {
        /// Whose.
        to: NodeId,
        /// The life of it that asked.
        incarnation: Incarnation,
        /// The renewal that is answered.
        number: RenewalNumber,
    },
    /// The lease has ended: commit that this incarnation is a member no more. Asked again until
    /// [`Leases::handle_member_gone`] says that it is committed.
    Lapse {
        /// Whose.
        node: NodeId,
        /// The life of it that was a member.
        incarnation: Incarnation,
    },
}

/// Why a renewal is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseRefusal {
    /// This node does not lead. The holder asks another one.
    #[error("this node does not lead the control group")]
    NotLeader,
    /// The lease has ended. The holder must join again under a higher incarnation.
    #[error("the lease of node {node} has ended: it joins again under a higher incarnation")]
    Lapsed {
        /// Whose.
        node: NodeId,
    },
    /// A later life of the node has joined. The holder must stop.
    #[error("node {node} has joined as incarnation {newer}")]
    Superseded {
        /// Whose.
        node: NodeId,
        /// The later life.
        newer: Incarnation,
    },
    /// It is not a member, or not yet as this incarnation.
    #[error("node {node} has not joined under this incarnation")]
    NotMember {
        /// Who.
        node: NodeId,
    },
}

/// The leases of all members, as the leader of the control group sees them.
#[derive(Debug)]
pub struct Leases {
    profile: Profile,
    leads: bool,
    leases: BTreeMap<NodeId, Lease>,
    /// When each lease ends, or its lapse is asked for again.
    ends: BTreeSet<(Time, NodeId)>,
    batch: BTreeMap<NodeId, Renewal>,
    batch_closes: Time,
    reads: BTreeMap<ReadNumber, BTreeMap<NodeId, Renewal>>,
    next_read: u64,
    granted: VecDeque<(NodeId, Renewal)>,
    plant: Plant,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    incarnation: Incarnation,
    ends: Time,
    newest: Option<RenewalNumber>,
    lapsed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Renewal {
    incarnation: Incarnation,
    number: RenewalNumber,
}

impl Leases {
    /// Makes the leases of a node that does not lead.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            leads: false,
            leases: BTreeMap::new(),
            ends: BTreeSet::new(),
            batch: BTreeMap::new(),
            batch_closes: Time::MAX,
            reads: BTreeMap::new(),
            next_read: 0,
            granted: VecDeque::new(),
            plant: Plant::NONE,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_plant(mut self, plant: Plant) -> Self {
        self.plant = plant;
        self
    }

    /// This node leads from now on, with these members.
    ///
    /// Called AFTER the first entry of the term is committed and applied: only then are the members
    /// those that the leader before has left. Every lease counts as renewed at this moment, because
    /// it may have been (Burrows 2006, section 2.8).
    pub fn handle_leading(
        &mut self,
        members: impl IntoIterator<Item = (NodeId, Incarnation)>,
        now: Time,
    ) {
        self.handle_deposed();
        self.leads = true;
        for (node, incarnation) in members {
            self.handle_member(node, incarnation, now);
        }
    }

    /// This node leads no more. Whatever was in work is dropped.
    pub fn handle_deposed(&mut self) {
        self.leads = false;
        self.leases.clear();
        self.ends.clear();
        self.batch.clear();
        self.batch_closes = Time::MAX;
        self.reads.clear();
        self.granted.clear();
    }

    /// It is committed that this incarnation is a member. Its lease begins.
    ///
    /// A lease of an earlier incarnation is gone with that: its end was proven, or has been waited
    /// for, before the join could be committed.
    pub fn handle_member(&mut self, node: NodeId, incarnation: Incarnation, now: Time) {
        if !self.leads {
            return;
        }
        self.handle_member_gone(node);
        let ends = now + self.reassign_after();
        self.ends.insert((ends, node));
        let lease = Lease {
            incarnation,
            ends,
            newest: None,
            lapsed: false,
        };
        self.leases.insert(node, lease);
    }

    /// It is committed that the node is a member no more.
    pub fn handle_member_gone(&mut self, node: NodeId) {
        if let Some(lease) = self.leases.remove(&node) {
            self.ends.remove(&(lease.ends, node));
        }
        self.batch.remove(&node);
    }

    /// This life of a node says that it acts on nothing any more: its lease has ended.
    ///
    /// It has given its lease up before it said so, and asks for no other: nobody has to wait.
    pub fn handle_over(&mut self, node: NodeId, incarnation: Incarnation, now: Time) {
        let lease = self.leases.get_mut(&node);
        let Some(lease) = lease.filter(|it| it.incarnation == incarnation && !it.lapsed) else {
            return;
        };
        self.ends.remove(&(lease.ends, node));
        lease.lapsed = true;
        lease.ends = now;
        self.ends.insert((now, node));
    }

    /// A renewal has arrived.
    ///
    /// It is answered with its batch. One that is older than another of the same incarnation is
    /// ignored: the link keeps the order, so it is a copy.
    ///
    /// # Errors
    ///
    /// The variants of [`LeaseRefusal`]. Nothing is changed then. A refusal is the view of this node
    /// alone, which no quorum has confirmed: one from a leader that was deposed costs its holder the
    /// activations, and no more.
    pub fn handle_renewal(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        number: RenewalNumber,
        now: Time,
    ) -> Result<(), LeaseRefusal> {
        if !self.leads {
            return Err(LeaseRefusal::NotLeader);
        }
        let after = self.reassign_after();
        let renews_lapsed = self.plant.has(Mistake::RenewAfterLapse);
        let lease = self.leases.get_mut(&node);
        let lease = lease.ok_or(LeaseRefusal::NotMember { node })?;
        if lease.incarnation != incarnation {
            let newer = lease.incarnation;
            return Err(if newer > incarnation {
                LeaseRefusal::Superseded { node, newer }
            } else {
                LeaseRefusal::NotMember { node }
            });
        }
        if lease.lapsed && !renews_lapsed {
            // Its end is in the log, or on its way there: it must not be renewed any more.
            return Err(LeaseRefusal::Lapsed { node });
        }
        if lease.newest.is_some_and(|newest| number <= newest) {
            return Ok(());
        }
        lease.newest = Some(number);
        // Extended at the receipt, not when it is granted: waiting longer is always safe.
        self.ends.remove(&(lease.ends, node));
        lease.ends = now + after;
        self.ends.insert((lease.ends, node));
        if self.batch.is_empty() {
            self.batch_closes = now + self.profile.batch;
        }
        let renewal = Renewal {
            incarnation,
            number,
        };
        self.batch.insert(node, renewal);
        Ok(())
    }

    /// A quorum has confirmed that this node led after the read began, and the members are those of
    /// the read's index.
    ///
    /// The number of a read that has failed, or of an earlier term, is ignored.
    pub fn handle_read_done(&mut self, read: ReadNumber) {
        let Some(renewals) = self.reads.remove(&read) else {
            return;
        };
        // What was answered stands or falls with its lease NOW: it may have lapsed, or its node may
        // have joined anew, while the quorum was asked.
        let still = renewals.into_iter().filter(|(node, renewal)| {
            self.leases.get(node).is_some_and(|lease| {
                let lapsed = lease.lapsed && !self.plant.has(Mistake::RenewAfterLapse);
                lease.incarnation == renewal.incarnation && !lapsed
            })
        });
        self.granted.extend(still);
    }

    /// The read has failed. Its renewals are not answered; their holders send others.
    pub fn handle_read_failed(&mut self, read: ReadNumber) {
        self.reads.remove(&read);
    }

    /// Returns the next thing to do at this moment, until there is none.
    pub fn poll_action(&mut self, now: Time) -> Option<LeaseAction> {
        if !self.leads {
            return None;
        }
        if let Some((to, renewal)) = self.granted.pop_front() {
            return Some(LeaseAction::Grant {
                to,
                incarnation: renewal.incarnation,
                number: renewal.number,
            });
        }
        if now >= self.batch_closes {
            return Some(self.close_batch());
        }
        let (due, node) = *self.ends.first().filter(|(due, _)| *due <= now)?;
        let lease = self.leases.get_mut(&node)?;
        lease.lapsed = true;
        lease.ends = now + self.profile.lease / LAPSE_AGAIN_PARTS;
        let incarnation = lease.incarnation;
        self.ends.remove(&(due, node));
        self.ends.insert((lease.ends, node));
        Some(LeaseAction::Lapse { node, incarnation })
    }

    /// Returns when [`poll_action`](Self::poll_action) has something to do, if nothing is handled
    /// before. A moment that has passed means now.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.granted.is_empty() {
            return Some(Time::ZERO);
        }
        let batch = (!self.batch.is_empty()).then_some(self.batch_closes);
        let lapse = self.ends.first().map(|(due, _)| *due);
        [batch, lapse].into_iter().flatten().min()
    }

    /// Returns whether this incarnation holds a lease that has not ended by the leader's clock.
    #[must_use]
    pub fn is_alive(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let lease = self.leases.get(&node);
        lease.is_some_and(|lease| lease.incarnation == incarnation && !lease.lapsed)
    }

    fn close_batch(&mut self) -> LeaseAction {
        let read = ReadNumber(self.next_read);
        self.next_read += 1;
        self.batch_closes = Time::MAX;
        if self.reads.len() == READS_MAX {
            // The quorum has not answered for that long: the oldest holders send others.
            self.reads.pop_first();
        }
        self.reads.insert(read, std::mem::take(&mut self.batch));
        if self.plant.has(Mistake::AnswerWithoutRead) {
            self.handle_read_done(read);
        }
        LeaseAction::Read(read)
    }

    fn reassign_after(&self) -> std::time::Duration {
        if self.plant.has(Mistake::EndLeaseEarly) {
            return self.profile.lease / 2;
        }
        self.profile.reassign_after()
    }
}

/// The most reads under way. Each holds one renewal of every member at most.
const READS_MAX: usize = 8;

/// An end that was asked for and is not committed is asked for again after this part of a lease.
const LAPSE_AGAIN_PARTS: u32 = 8;

#[cfg(test)]
mod tests;
