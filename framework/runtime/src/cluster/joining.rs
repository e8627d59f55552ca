//! How this node becomes a member, and one again when its lease has ended.
//!
//! It asks the leader until it is told that it is in. Each life of it is on the disk before it is
//! named to anybody. Depends on `driver`.

use callboard_protocol::{
    cluster::{JOIN_DETAIL_BYTES_MAX, Message},
    code::Code,
    id::{ClusterId, Incarnation, NodeId},
    membership::Profile,
    slots::{Command, Owner},
    time::Time,
};
use std::time::Duration;

use super::{
    driver::{Driver, Event},
    leading::Ask,
};

/// This node's way into a cluster.
#[derive(Debug)]
pub(super) struct Joining {
    cluster: Option<ClusterId>,
    heir_of: Option<Incarnation>,
    /// The last question, and the first of this life: an answer to an older one is about another.
    number: u64,
    first_number: u64,
    try_at: Time,
    is_member: bool,
    /// The next life is being written down.
    is_reborn: bool,
}

impl Joining {
    pub(super) fn new(heir_of: Option<Incarnation>) -> Self {
        Self {
            cluster: None,
            heir_of,
            number: 0,
            first_number: 1,
            try_at: Time::ZERO,
            is_member: false,
            is_reborn: false,
        }
    }

    /// The node belongs to this cluster.
    pub(super) fn begin(&mut self, cluster: ClusterId) {
        self.cluster = Some(cluster);
    }

    /// There is somebody new to ask.
    pub(super) fn handle_leader(&mut self, now: Time) {
        self.try_at = self.try_at.min(now);
    }

    /// Returns whether an answer is to a question of this life, which still waits for one.
    fn expects(&self, number: u64) -> bool {
        self.waits() && (self.first_number..=self.number).contains(&number)
    }

    fn waits(&self) -> bool {
        self.cluster.is_some() && !self.is_member && !self.is_reborn
    }
}

impl Driver {
    pub(super) fn step_joining(&mut self, now: Time) {
        if !self.joining.waits() || self.leader.is_none() || now < self.joining.try_at {
            return;
        }
        self.joining.try_at = now + RETRY;
        let Some(cluster) = self.joining.cluster else {
            return;
        };
        if self.parts.data.is_some() && self.seat.is_none() {
            return;
        }
        self.joining.number += 1;
        let disk = self.disk;
        let command = Command::Join {
            cluster,
            member: Box::new(self.parts.member(self.owner, disk)),
            heir_of: self.joining.heir_of,
        };
        let (number, command) = (self.joining.number, command.encode());
        self.send_to_leader(Message::Join { number, command });
    }

    pub(super) fn joining_deadline(&self) -> Option<Time> {
        let asks = self.joining.waits() && self.leader.is_some();
        asks.then_some(self.joining.try_at)
    }

    /// A node asks to be let in.
    pub(super) fn handle_join(&mut self, from: NodeId, number: u64, command: &[u8]) {
        let Ok(Command::Join {
            cluster,
            member,
            heir_of,
        }) = Command::decode(command)
        else {
            return;
        };
        // A node asks for itself, as its certificate names it.
        if member.id() == from {
            let command = Command::Join {
                cluster,
                member,
                heir_of,
            };
            self.leading.handle_ask(Ask {
                from,
                number,
                command,
            });
        }
    }

    pub(super) fn handle_joined(&mut self, number: u64, profile: u32, now: Time) {
        if !self.joining.expects(number) {
            return;
        }
        let Some(profile) = Profile::from_number(profile) else {
            let detail = format!("the cluster goes by profile {profile}, which is not known here");
            return self.set_trouble(Code::ProtocolMismatch, detail);
        };
        tracing::info!(me = %self.owner, "joined the cluster");
        self.joining.is_member = true;
        self.set_profile(profile);
        self.holding.begin(profile, self.owner.incarnation, now);
        self.status.send_modify(|it| it.trouble = None);
    }

    pub(super) fn handle_not_joined(
        &mut self,
        number: u64,
        later: bool,
        foreign: bool,
        mut detail: String,
    ) {
        if !self.joining.expects(number) {
            return;
        }
        let mut end = detail.len().min(JOIN_DETAIL_BYTES_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail.truncate(end);
        if !later {
            self.joining.try_at = self.now() + RETRY_REFUSED;
        }
        let code = match foreign {
            true => Code::ClusterMismatch,
            false => Code::NotJoined,
        };
        self.set_trouble(code, detail);
    }

    /// The lease has ended: what this life owned is others'. Joins again, in another life.
    pub(super) fn begin_next_life(&mut self) {
        if self.joining.is_reborn {
            return;
        }
        tracing::warn!(
            me = %self.owner,
            "the lease of this node has ended, as it was not renewed in time: its keyed actors go to other members, and \
             it joins again, without them; look whether this process stood still, or was cut off from the others"
        );
        self.joining.is_member = false;
        self.joining.is_reborn = true;
        self.joining.heir_of = None;
        self.write_next_life();
    }

    /// Writes the number of the next life down.
    pub(super) fn write_next_life(&mut self) {
        let Some(data) = self.parts.data.clone() else {
            let next = Incarnation(self.owner.incarnation.0.saturating_add(1));
            return self.handle_life(Ok(next), self.now());
        };
        let (env, events) = (self.env.clone(), self.events.clone());
        let name = self.parts.about.name.to_string();
        let job = move || {
            let life = data.begin(&env, &name).map_err(|error| error.to_string());
            drop(events.try_send(Event::Life(life)));
        };
        self.env.blocking.run("next-life", Box::new(job));
    }

    pub(super) fn handle_life(&mut self, life: Result<Incarnation, String>, now: Time) {
        match life {
            Ok(incarnation) => {
                let node = self.owner.node;
                self.owner = Owner { node, incarnation };
                self.ownership.handle_life(self.owner);
                self.joining.is_reborn = false;
                self.joining.first_number = self.joining.number + 1;
                self.joining.try_at = now;
            }
            Err(why) => self.handle_life_failed(&why, now),
        }
    }
}

/// After what time a question that has no answer is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// And one that was refused, which only a person can change.
const RETRY_REFUSED: Duration = Duration::from_secs(5);
