//! The plan: what to assign and what to move so that every member has its share.
//!
//! A member's share of a group is slots × its weight ÷ all weights; it is to own that many, rounded
//! down or up. Slots without an owner that lives are assigned; those of a member that must not own
//! any are moved; and what is more than a share goes to those that have less, if the types' state goes
//! with it. Depends on `score`.

use std::collections::{BTreeMap, BTreeSet};

use super::score::score;
use crate::id::NodeId;
use crate::slots::{
    BATCH_MAX, Command, Epoch, Group, Member, Owner, PlannedMove, Slot, SlotCount, SlotId,
    Standing, State, Table,
};

/// What to do so that every slot is where it should be.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// Slots that nobody has: propose these at once.
    pub assign: Vec<Command>,
    /// Slots to be moved, the most needed first: hand these to the
    /// [`Mover`](crate::slots::Mover).
    pub moves: Vec<PlannedMove>,
    /// Slots that nobody has and nobody may have, with the number of them.
    pub unplaceable: BTreeMap<crate::slots::GroupId, usize>,
}

/// Plans all groups of a state.
///
/// At most `moves_max` moves are planned, over all groups. Slots that are on their way count as
/// arrived and are left alone. The same state gives the same plan.
#[must_use]
pub fn plan(state: &State, moves_max: usize) -> Plan {
    let mut plan = Plan::default();
    let members: Vec<_> = state.members().collect();
    for (group, table) in state.groups() {
        Shares::of(&members, state.slots(), group, table).plan(&mut plan, moves_max);
    }
    plan.moves.truncate(moves_max);
    plan
}

/// A group's slots beside what each member should own of them.
pub(super) struct Shares<'a> {
    group: &'a Group,
    /// The members that may own slots.
    pub(super) members: BTreeMap<NodeId, Share>,
    /// Slots that nobody has, with their epochs.
    orphans: Vec<(Slot, Epoch)>,
    /// Slots of members that live and must not own them.
    evicted: Vec<(Slot, Epoch)>,
}

pub(super) struct Share {
    pub(super) owner: Owner,
    pub(super) weight: u32,
    /// Whether what it has of the group's types outlives a move: what does not is moved only if it has to.
    pub(super) movable: bool,
    /// How many it should own at least, and at most.
    pub(super) least: usize,
    pub(super) most: usize,
    /// How many it owns, or will when what is on its way has arrived.
    pub(super) load: usize,
    /// Those that it owns and that stay, with their epochs.
    own: BTreeSet<(Slot, Epoch)>,
}

impl<'a> Shares<'a> {
    /// Looks at a group's table, with all members of the cluster.
    pub(super) fn of(
        members: &[(&Member, Standing)],
        slots: SlotCount,
        group: &'a Group,
        table: &Table,
    ) -> Self {
        let may = |(member, standing): &&(&Member, Standing)| {
            group.why_not_now(member, *standing).is_none()
        };
        let live = members.iter().filter(|(_, it)| *it != Standing::Lapsed);
        let live: BTreeSet<Owner> = live.map(|(member, _)| member.owner()).collect();
        let eligible: Vec<_> = members.iter().filter(may).map(|(it, _)| *it).collect();
        let weights: u64 = eligible.iter().map(|it| u64::from(it.weight)).sum();
        let slots = u64::from(slots.get());
        let share = |weight: u32| {
            let exact = slots * u64::from(weight);
            let least = usize::try_from(exact / weights).unwrap_or(usize::MAX);
            let rounds_up = exact % weights != 0;
            (least, least + usize::from(rounds_up))
        };
        let members = eligible.into_iter().map(|member| {
            let (least, most) = share(member.weight);
            let share = Share {
                owner: member.owner(),
                weight: member.weight,
                movable: group.types.is_subset(&member.movable),
                least,
                most,
                load: 0,
                own: BTreeSet::new(),
            };
            (member.id(), share)
        });
        let mut shares = Self {
            group,
            members: members.collect(),
            orphans: Vec::new(),
            evicted: Vec::new(),
        };
        shares.count(&live, table);
        shares
    }

    fn count(&mut self, live: &BTreeSet<Owner>, table: &Table) {
        for (slot, entry) in table.iter() {
            let known = (slot, entry.epoch);
            let owner = entry.owner.filter(|owner| live.contains(owner));
            let place = entry.moving.or(owner);
            let share = place.and_then(|it| self.members.get_mut(&it.node));
            match (share, owner) {
                (Some(share), _) if Some(share.owner) == place => {
                    share.load += 1;
                    if entry.moving.is_none() {
                        share.own.insert(known);
                    }
                }
                // Whatever becomes of it, the mover sees to it first.
                _ if entry.moving.is_some() => {}
                (_, Some(_)) => self.evicted.push(known),
                (_, None) => self.orphans.push(known),
            }
        }
    }

    fn plan(mut self, plan: &mut Plan, moves_max: usize) {
        if self.members.is_empty() {
            if !self.orphans.is_empty() {
                plan.unplaceable.insert(self.group.id, self.orphans.len());
            }
            return;
        }
        // First those that nobody serves, then those that have to go, then the balance.
        let (orphans, evicted) = (
            std::mem::take(&mut self.orphans),
            std::mem::take(&mut self.evicted),
        );
        let mut assigned: BTreeMap<Owner, Vec<(Slot, Epoch)>> = BTreeMap::new();
        let mut left = orphans.len() + evicted.len();
        for (slot, epoch) in orphans {
            let to = self.place(slot, left);
            assigned.entry(to).or_default().push((slot, epoch));
            left -= 1;
        }
        for (to, slots) in assigned {
            for slots in slots.chunks(BATCH_MAX) {
                let (group, slots) = (self.group.id, slots.to_vec());
                plan.assign.push(Command::Assign { group, slots, to });
            }
        }
        for (slot, epoch) in evicted {
            let to = self.place(slot, left);
            left -= 1;
            plan.moves.push(self.planned(slot, epoch, to));
        }
        while plan.moves.len() < moves_max {
            let Some(next) = self.balance() else {
                break;
            };
            plan.moves.push(next);
        }
    }

    /// Gives a slot to the member that it likes best among those that have room. `left` is how many
    /// are to be given, this one included: as soon as they are no more than what is missing
    /// somewhere, only those that miss some have room.
    fn place(&mut self, slot: Slot, left: usize) -> Owner {
        let missing: usize = self.members.values().map(Share::missing).sum();
        let group = self.group.id;
        let has_room = |it: &Share| {
            if left <= missing {
                it.load < it.least
            } else {
                it.load < it.most
            }
        };
        let with_room = self.members.iter().filter(|(_, it)| has_room(it));
        let best = best(SlotId { group, slot }, with_room);
        // All shares together have room for all slots; what is on its way to nowhere may take one
        // away, and then the least loaded has it.
        let least_loaded = self.members.iter().min_by_key(|(_, it)| it.load);
        let node = best.or(least_loaded.map(|(node, _)| *node));
        let node = node.expect("a group without members is not planned");
        let share = self.members.get_mut(&node).expect("it was just found");
        share.load += 1;
        share.owner
    }

    /// Takes one slot from who has too many for who has too few, if there are such.
    fn balance(&mut self) -> Option<PlannedMove> {
        let group = self.group.id;
        let gives = |it: &Share| it.movable && !it.own.is_empty();
        let over = |it: &Share| it.load > it.most && gives(it);
        let members = self.members.values();
        let someone_misses = members.filter(|it| it.movable).any(|it| it.missing() > 0);
        let spare = |it: &Share| it.load > it.least && gives(it) && someone_misses;
        let giver = self.fullest(over).or_else(|| self.fullest(spare))?;
        let takers: Vec<(NodeId, u32)> = self
            .members
            .iter()
            .filter(|(node, it)| **node != giver && it.movable && it.wants(someone_misses))
            .map(|(node, it)| (*node, it.weight))
            .collect();
        // The slot that gains most by going: its place is then the one that it would choose.
        let share = &self.members[&giver];
        let own_weight = share.weight;
        let gains = share.own.iter().flat_map(|known| {
            let id = SlotId {
                group,
                slot: known.0,
            };
            let own = score(id, giver, own_weight);
            takers
                .iter()
                .map(move |(node, weight)| (score(id, *node, *weight) / own, *known, *node))
        });
        let (_, known, taker) = gains.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let share = self.members.get_mut(&giver)?;
        share.load -= 1;
        share.own.remove(&known);
        let share = self.members.get_mut(&taker)?;
        share.load += 1;
        let to = share.owner;
        Some(self.planned(known.0, known.1, to))
    }

    /// Returns the member that is over its share most, among some.
    fn fullest(&self, which: impl Fn(&Share) -> bool) -> Option<NodeId> {
        let members = self.members.iter().filter(|(_, it)| which(it));
        let most = members.max_by_key(|(node, it)| (it.load.saturating_sub(it.least), **node));
        most.map(|(node, _)| *node)
    }

    fn planned(&self, slot: Slot, epoch: Epoch, to: Owner) -> PlannedMove {
        let group = self.group.id;
        let id = SlotId { group, slot };
        PlannedMove { id, epoch, to }
    }
}

impl Share {
    fn missing(&self) -> usize {
        self.least.saturating_sub(self.load)
    }

    fn wants(&self, someone_misses: bool) -> bool {
        if someone_misses {
            self.missing() > 0
        } else {
            self.load < self.most
        }
    }
}

fn best<'a>(id: SlotId, members: impl Iterator<Item = (&'a NodeId, &'a Share)>) -> Option<NodeId> {
    let scored = members.map(|(node, it)| (score(id, *node, it.weight), *node));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    best.map(|(_, node)| node)
}

#[cfg(test)]
mod tests;
