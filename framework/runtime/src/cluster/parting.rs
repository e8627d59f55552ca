//! How this node goes: it gives away what it has, and says at last that it acts no more.
//!
//! What is wished of it only grows. Each step is said to the leader again until it is seen to be
//! done, whoever leads by then. A node that is to go leads no longer than another one takes to take
//! over. Depends on `driver` and `leading`; who waits for it is in `draining`.

use std::{collections::BTreeMap, mem, time::Duration};

use callboard_protocol::{
    cluster::Message,
    id::{DiskId, Incarnation, NodeId},
    slots::{Command, Owner, Standing, State},
    time::Time,
};
use tokio::sync::watch;

use super::driver::Driver;
use crate::control::Group;

/// How far a node is to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) enum Wish {
    /// It stays.
    #[default]
    Stay,
    /// It gives away what it has, and gets nothing new.
    Drain,
    /// It acts on nothing any more: its slots may be others' at once. It may come back.
    End,
    /// It acts on nothing any more, and is a member no more.
    Leave,
}

/// This node's way out.
#[derive(Debug)]
pub(super) struct Parting {
    wish: watch::Receiver<Wish>,
    /// When the leader is told again.
    say_at: Time,
    /// When the leadership is handed over again.
    hand_over_at: Time,
    /// It has ended: what it says from now on is not about this life.
    has_ended: bool,
}

/// What a member has asked of the leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Asked {
    Drain,
    End,
    Leave,
}

/// Those who have asked to go, as the leader keeps them until it comes to it.
pub(super) type Goers = BTreeMap<Owner, Asked>;

impl Parting {
    pub(super) fn new(wish: watch::Receiver<Wish>) -> Self {
        Self {
            wish,
            say_at: Time::ZERO,
            hand_over_at: Time::ZERO,
            has_ended: false,
        }
    }

    pub(super) fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    /// More is wished, or there is somebody new to say it to.
    pub(super) fn hasten(&mut self) {
        self.say_at = Time::ZERO;
    }

    /// Returns whether this life of the node is over, as its owner wished.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns what tells of a new wish.
    pub(super) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wish.clone()
    }
}

impl Driver {
    pub(super) fn step_parting(&mut self, now: Time) {
        let wish = self.parting.wish();
        if wish >= Wish::End && !self.parting.has_ended {
            // BEFORE anybody hears of it: nothing starts and nothing leaves any more.
            self.fence();
        }
        if !self.has_to_say() || now < self.parting.say_at {
            return;
        }
        self.parting.say_at = now + SAY_AGAIN;
        let incarnation = self.owner.incarnation;
        self.send_to_leader(match wish {
            Wish::Stay | Wish::Drain => Message::Drain { incarnation },
            Wish::End | Wish::Leave => Message::Over {
                incarnation,
                leaves: wish == Wish::Leave,
            },
        });
    }

    pub(super) fn parting_deadline(&self) -> Option<Time> {
        self.has_to_say().then_some(self.parting.say_at)
    }

    fn has_to_say(&self) -> bool {
        let is_drained = || {
            let standing = self.ownership.standing();
            standing == Some(Standing::Draining) && self.status.borrow().is_seated == Some(false)
        };
        match self.parting.wish() {
            Wish::Stay => false,
            Wish::Drain => !is_drained(),
            Wish::End | Wish::Leave => !self.parting.has_ended,
        }
    }

    /// The leader says that this life is over. Returns whether that is what was wished.
    pub(super) fn has_parted(&mut self) -> bool {
        let was_wished = self.parting.wish() >= Wish::End;
        if was_wished {
            self.parting.has_ended = true;
            self.status.send_modify(|it| it.has_ended = true);
        }
        was_wished
    }

    /// Takes in what is said about nodes that go.
    pub(super) fn handle_parting(&mut self, from: NodeId, message: &Message) {
        match *message {
            Message::Drain { incarnation } => self.handle_goer(from, incarnation, Asked::Drain),
            Message::Draining {
                incarnation,
                seated,
            } => self.handle_draining(incarnation, seated),
            Message::Over {
                incarnation,
                leaves,
            } => {
                let asked = if leaves { Asked::Leave } else { Asked::End };
                self.handle_goer(from, incarnation, asked);
            }
            _ => tracing::debug!(%from, "a message of the cluster of an unknown kind"),
        }
    }

    /// The leader says how far this node is drained.
    fn handle_draining(&mut self, incarnation: Incarnation, seated: bool) {
        if incarnation == self.owner.incarnation {
            self.status.send_if_modified(|it| {
                let differs = it.is_seated != Some(seated);
                it.is_seated = Some(seated);
                differs
            });
        }
    }

    /// A member asks the leader to drain it, or says that it acts no more.
    fn handle_goer(&mut self, from: NodeId, incarnation: Incarnation, asked: Asked) {
        let owner = Owner {
            node: from,
            incarnation,
        };
        self.leading.handle_goer(owner, asked);
    }

    /// Hands the leadership over, if this node is to go and another one can take it; returns whether
    /// the group was told.
    pub(super) fn hand_over(&mut self, group: &mut Group, now: Time) -> bool {
        if self.parting.wish() == Wish::Stay || now < self.parting.hand_over_at {
            return false;
        }
        let Some(next) = self.successor(group) else {
            return false;
        };
        // An attempt ends with an election's time; nothing can be proposed while it lasts.
        self.parting.hand_over_at = now + self.parts.profile.election_max * 2;
        group.hand_over(next).is_ok()
    }

    /// Returns another voter that has all that is committed, is linked, and stays.
    pub(super) fn successor(&self, group: &Group) -> Option<DiskId> {
        let state = group.state();
        let stays = |disk: DiskId| {
            let node = self.node_of(disk, state)?;
            let mut members = state.members();
            let (_, standing) = members.find(|(member, _)| member.id() == node)?;
            (standing == Standing::Live && self.peers.has(node)).then_some(())
        };
        let mut others = group.voters().into_iter();
        others.find(|disk| {
            Some(*disk) != self.disk && group.has_caught_up(*disk) && stays(*disk).is_some()
        })
    }

    /// Lets go of those who have asked for it; returns whether the group was told.
    pub(super) fn let_go(&mut self, group: &mut Group, now: Time) -> bool {
        let mut was_told = false;
        for (owner, asked) in mem::take(&mut self.leading.goers) {
            let Owner { node, incarnation } = owner;
            let Some((disk, standing)) = life(group.state(), owner) else {
                self.send_over(owner);
                continue;
            };
            match asked {
                Asked::Drain => {
                    let is_new = standing == Standing::Live;
                    was_told |= is_new && group.propose(&Command::Drain(owner)).is_ok();
                    let seated = disk.is_some_and(|it| {
                        group.voters().contains(&it) || group.learners().contains(&it)
                    });
                    self.send(
                        node,
                        Message::Draining {
                            incarnation,
                            seated,
                        },
                    );
                }
                Asked::Leave if group.state().slots_of(owner) == 0 => {
                    was_told |= group.propose(&Command::Leave(owner)).is_ok();
                }
                Asked::Leave | Asked::End => {
                    self.leading.handle_over(owner, group.state(), now);
                }
            }
        }
        was_told
    }
}

/// Returns the disk of a life of a node that is a member, and how it stands.
fn life(state: &State, owner: Owner) -> Option<(Option<DiskId>, Standing)> {
    let mut members = state.members();
    let (member, standing) = members.find(|(member, _)| member.owner() == owner)?;
    (standing != Standing::Lapsed).then_some((member.disk, standing))
}

/// After what time the leader is told again.
const SAY_AGAIN: Duration = Duration::from_millis(200);
