//! The leader's work on slots: says which group there is for a type, and brings every slot where it
//! should be.
//!
//! What there is to do follows from the state alone: a group for each actor type that a member hosts,
//! an owner for each slot, and no more than its share for each owner. So a plan is made whenever the
//! members change, and made again until nothing is left to do; commands that were lost are in the
//! next one. Assignments go out at once; moves begin at the rate that the cluster's settings say, and
//! are seen to their ends by the [`Mover`]. Proposes nothing by itself: whoever leads asks it for
//! commands. Reads no clock.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use callboard_protocol::{
    id::InterfaceId,
    placement::plan,
    slots::{Command, Epoch, Event, GROUPS_MAX, Group, GroupId, Mover, Owner, SlotId, State},
    time::Time,
};

/// Brings slots where they should be, while this node leads.
#[derive(Debug)]
pub struct Placing {
    mover: Mover,
    /// Commands of the last plan that wait to be proposed.
    assign: VecDeque<Command>,
    /// When the next plan is made; nothing while there is nothing to do, or while this node does
    /// not lead.
    plan_at: Option<Time>,
    leads: bool,
}

/// Returns the placement group of an actor type.
///
/// Every type has a group of its own, whose number is that of its declared name: nodes that host
/// different types agree on it without asking each other, and each of them may own slots.
#[must_use]
pub const fn group_of(kind: InterfaceId) -> GroupId {
    GroupId(kind.0)
}

impl Placing {
    /// Makes the one of a node that does not lead; `lease` is how long a lease lasts.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self {
            mover: Mover::new(lease / PROPOSALS_IN_LEASE, lease * 2),
            assign: VecDeque::new(),
            plan_at: None,
            leads: false,
        }
    }

    /// This node leads from now on. Called AFTER the first entry of its term was applied.
    pub fn handle_leading(&mut self, state: &State, now: Time) {
        self.handle_deposed();
        self.leads = true;
        self.mover.handle_leading(state, now);
        self.plan_at = Some(now);
    }

    /// This node leads no more.
    pub fn handle_deposed(&mut self) {
        self.mover.handle_deposed();
        self.assign.clear();
        self.plan_at = None;
        self.leads = false;
    }

    /// A command was applied, with this event.
    pub fn handle_event(&mut self, event: &Event, state: &State, now: Time) {
        if !self.leads {
            return;
        }
        self.mover.handle_event(event, state, now);
        let at = match event {
            // Nobody answers for its slots until they are given to others.
            Event::Lapsed(_) | Event::Left(_) | Event::Orphaned(_) | Event::Draining(_) => now,
            // Others join in the same moment when a cluster is formed; a slot that is given to the
            // first of them would have to be moved.
            Event::Joined(_) | Event::Placed(_) => now + SETTLE,
            _ => return,
        };
        self.plan_at = Some(self.plan_at.map_or(at, |before| before.min(at)));
    }

    /// The owner of a slot that moves says that it has stopped.
    pub fn handle_stopped(&mut self, id: SlotId, epoch: Epoch, by: Owner, now: Time) {
        self.mover.handle_stopped(id, epoch, by, now);
    }

    /// The owner of a slot that moves says that a turn does not end.
    pub fn handle_stuck(&mut self, id: SlotId, epoch: Epoch, by: Owner, now: Time) {
        self.mover.handle_stuck(id, epoch, by, now);
    }

    /// Returns the next command to propose at this moment, until there is none.
    pub fn poll_command(&mut self, state: &State, now: Time) -> Option<Command> {
        if self.plan_at.is_some_and(|at| now >= at) {
            self.plan(state, now);
        }
        self.assign
            .pop_front()
            .or_else(|| self.mover.poll_command(now))
    }

    /// Returns when [`poll_command`](Self::poll_command) has something to propose, if nothing is
    /// handled before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let assign = (!self.assign.is_empty()).then_some(Time::ZERO);
        let others = [assign, self.plan_at, self.mover.next_deadline()];
        others.into_iter().flatten().min()
    }

    /// Returns how many slots are on their way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.mover.under_way()
    }

    fn plan(&mut self, state: &State, now: Time) {
        let moves_max = usize::try_from(state.settings().moves_per_second).unwrap_or(usize::MAX);
        let plan = plan(state, moves_max);
        let groups = missing_groups(state);
        // What is on its way counts as arrived in a plan, and may yet come back.
        let is_done = plan.assign.is_empty()
            && plan.moves.is_empty()
            && groups.is_empty()
            && self.mover.under_way() == 0;
        self.assign = groups.into_iter().chain(plan.assign).collect();
        self.mover.handle_plan(plan.moves);
        self.plan_at = (!is_done).then_some(now + PLAN_AGAIN);
    }
}

/// Returns what makes the groups of the types that a member hosts and that have none.
fn missing_groups(state: &State) -> Vec<Command> {
    let groups: BTreeSet<GroupId> = state.groups().map(|(group, _)| group.id).collect();
    let members = state.members();
    let live = members.filter(|(member, _)| state.is_live(member.owner()));
    let hosted: BTreeSet<InterfaceId> = live
        .flat_map(|(member, _)| member.hosts.iter())
        .copied()
        .collect();
    let missing = hosted
        .into_iter()
        .filter(|kind| !groups.contains(&group_of(*kind)));
    let room = GROUPS_MAX.saturating_sub(groups.len());
    let missing = missing.take(room);
    missing
        .map(|kind| Command::Place(Group::of(group_of(kind), [kind])))
        .collect()
}

/// How often a command is proposed in the time of a lease until its effect is seen.
const PROPOSALS_IN_LEASE: u32 = 6;

/// How long a plan waits for more members to join.
const SETTLE: Duration = Duration::from_millis(100);

/// After what time a plan is made again while there is something to do: as many moves are planned at
/// a time as begin in it.
const PLAN_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use callboard_protocol::slots::{Slot, Standing};

    use super::*;
    use crate::cluster::ownership::{
        Ownership,
        tests::{Control, SLOTS, owner},
    };

    const CART: InterfaceId = InterfaceId(0xca47);
    const ORDER: InterfaceId = InterfaceId(0x0bde);
    const LEASE: Duration = Duration::from_secs(3);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Proposes and applies all that there is until a moment.
    fn run(placing: &mut Placing, state: &mut State, until: Time) {
        let mut now = Time::ZERO;
        while let Some(due) = placing.next_deadline().filter(|due| *due <= until) {
            now = now.max(due);
            while let Some(command) = placing.poll_command(state, now) {
                apply(placing, state, &command, now);
            }
        }
    }

    fn apply(placing: &mut Placing, state: &mut State, command: &Command, now: Time) {
        for event in state.apply(command).unwrap_or_default() {
            placing.handle_event(&event, state, now);
            if let Event::Moving {
                id, from, epoch, ..
            } = event
            {
                placing.handle_stopped(id, epoch, from, now);
            }
        }
    }

    fn leading(state: &State) -> Placing {
        let mut placing = Placing::new(LEASE);
        placing.handle_leading(state, at(0));
        placing
    }

    #[test]
    fn every_type_that_a_member_hosts_gets_a_group_whose_slots_are_shared() {
        let mut control = Control::formed();
        control.join("a", 1, CART);
        control.join("b", 1, CART);
        control.join("c", 1, ORDER);
        let mut placing = leading(&control.0);
        run(&mut placing, &mut control.0, at(5000));
        let groups: Vec<_> = control.0.groups().map(|(group, _)| group.id).collect();
        assert_eq!(groups, [group_of(ORDER), group_of(CART)]);
        let slots = ["a", "b", "c"].map(|name| control.0.slots_of(owner(name, 1)));
        let all = SLOTS as usize;
        assert_eq!(slots, [all / 2, all / 2, all]);
        assert_eq!(placing.next_deadline(), None, "nothing is left to do");
    }

    #[test]
    fn a_member_that_is_lost_or_drained_gives_its_slots_to_the_others() {
        for standing in [Standing::Lapsed, Standing::Draining] {
            let mut control = Control::formed();
            control.join("a", 1, CART);
            control.join("b", 1, CART);
            let mut placing = leading(&control.0);
            run(&mut placing, &mut control.0, at(5000));
            let command = match standing {
                Standing::Lapsed => Command::Lapse(owner("a", 1)),
                _ => Command::Drain(owner("a", 1)),
            };
            apply(&mut placing, &mut control.0, &command, at(6000));
            run(&mut placing, &mut control.0, at(9000));
            assert_eq!(
                control.0.slots_of(owner("b", 1)),
                SLOTS as usize,
                "{standing:?}"
            );
            assert_eq!(placing.under_way(), 0);
        }
    }

    #[test]
    fn a_slot_that_has_come_back_is_moved_again() {
        let mut control = Control::formed();
        control.join("a", 1, CART);
        control.join("b", 1, CART);
        let mut placing = leading(&control.0);
        run(&mut placing, &mut control.0, at(5000));
        let drain = Command::Drain(owner("a", 1));
        apply(&mut placing, &mut control.0, &drain, at(6000));
        let mut stuck = None;
        for now in (6000..30_000).step_by(10).map(at) {
            while let Some(command) = placing.poll_command(&control.0, now) {
                let moved = match command {
                    Command::Move { id, .. } => Some(id),
                    _ => None,
                };
                // The owner says nothing of the first one for as long as it is waited for.
                if moved.is_some() && *stuck.get_or_insert(moved) == moved && now < at(7000) {
                    for event in control.0.apply(&command).unwrap_or_default() {
                        placing.handle_event(&event, &control.0, now);
                    }
                } else {
                    apply(&mut placing, &mut control.0, &command, now);
                }
            }
        }
        assert_eq!(control.0.slots_of(owner("b", 1)), SLOTS as usize);
    }

    /// Of each, what it was given is back before it leaves, and nothing of it stays that grows.
    #[test]
    fn a_thousand_nodes_join_and_leave_in_a_row() {
        let mut control = Control::formed();
        control.join("a", 1, CART);
        control.join("b", 1, CART);
        let mut placing = leading(&control.0);
        let follower = Ownership::new(owner("a", 1));
        let (mut now, mut epochs) = (5000, BTreeMap::new());
        run(&mut placing, &mut control.0, at(now));
        for number in 0..1000 {
            let (name, kept) = (format!("n{number}"), owner("a", 1));
            control.join(&name, 1, CART);
            let guest = owner(&name, 1);
            placing.handle_event(&Event::Joined(guest), &control.0, at(now));
            for command in [Command::Drain(guest), Command::Leave(guest)] {
                now += 20_000;
                run(&mut placing, &mut control.0, at(now));
                assert_eq!(placing.under_way(), 0, "{name}");
                let has_some = control.0.slots_of(guest) > 0;
                assert_eq!(has_some, matches!(command, Command::Drain(_)), "{name}");
                assert!(control.0.slots_of(kept) > 0, "{name}");
                apply(&mut placing, &mut control.0, &command, at(now));
                control.tell(&follower);
            }
            for (id, entry) in follower.entries() {
                assert!(entry.owner.is_some() && entry.moving.is_none(), "{name}");
                let before = epochs.insert(id, entry.epoch).unwrap_or_default();
                assert!(entry.epoch >= before, "{name}: {id} had {before}");
            }
        }
        assert_eq!(follower.members().len(), 2);
        assert_eq!(epochs.len(), SLOTS as usize);
        assert!(control.0.encode().len() < 64 * 1024);
    }

    #[test]
    fn whoever_does_not_lead_proposes_nothing() {
        let mut control = Control::of(&["a"], CART);
        let mut placing = Placing::new(LEASE);
        let joined = Event::Joined(owner("a", 1));
        placing.handle_event(&joined, &control.0, at(0));
        assert_eq!(placing.next_deadline(), None);
        let mut placing = leading(&control.0);
        assert!(placing.poll_command(&control.0, at(0)).is_some());
        placing.handle_deposed();
        assert_eq!(placing.poll_command(&control.0, at(9000)), None);
        control.assign(group_of(CART), owner("a", 1));
        let id = SlotId {
            group: group_of(CART),
            slot: Slot(0),
        };
        placing.handle_stopped(id, Epoch(1), owner("a", 1), at(9000));
        assert_eq!(placing.poll_command(&control.0, at(9999)), None);
    }
}
