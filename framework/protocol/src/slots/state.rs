//! The control group's state, and what each command does to it.
//!
//! [`State::apply`] is a function of the state and the command alone, so that every voter that has
//! applied the same log has the same state. Every command names the epoch or the incarnation that
//! it was made for; one that comes too late is refused and changes nothing, so whoever proposes may
//! do so twice. Reads no clock: when a lease has ended is decided elsewhere, and becomes a command.
//! Depends on the other values of `slots`.

use std::collections::BTreeMap;

use super::SlotId;
use super::choices::Choices;
use super::command::{Command, Event, Settings};
use super::group::{Group, GroupId, Ineligible};
use super::key::{Slot, SlotCount};
use super::member::{Member, Owner};
use super::refusal::{JoinRefusal, Refusal};
use super::table::{Entry, Epoch, Table, Version};
use crate::id::{ClusterId, DiskId, Incarnation, NodeId};
use crate::plant::Plant;

/// Whether a member may act, and whether it gets slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is there.
    Live,
    /// It is there, and gives its slots away.
    Draining,
    /// Its lease has ended. It has to join again.
    Lapsed,
}

/// What the control group holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    pub(super) cluster: Option<ClusterId>,
    pub(super) slots: SlotCount,
    pub(super) settings: Settings,
    pub(super) version: Version,
    /// The oldest version from which a delta still knows who has left.
    pub(super) horizon: Version,
    pub(super) members: BTreeMap<NodeId, MemberEntry>,
    pub(super) departed: BTreeMap<NodeId, Departed>,
    pub(super) groups: BTreeMap<GroupId, GroupEntry>,
    pub(super) seats: BTreeMap<NodeId, DiskId>,
    /// No epoch up to this one is given any more: a cluster before this one may have given it.
    pub(super) floor: Epoch,
    /// Who is chosen to vote or not to. There is nothing until somebody has chosen for the first time.
    pub(super) choices: Option<Choices>,
    plant: Plant,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MemberEntry {
    pub(super) member: Member,
    pub(super) standing: Standing,
    pub(super) changed: Version,
}

/// A node that has left, so that no earlier life of it can come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Departed {
    pub(super) incarnation: Incarnation,
    pub(super) changed: Version,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupEntry {
    pub(super) group: Group,
    pub(super) table: Table,
    pub(super) changed: Version,
}

impl State {
    /// Makes the state before the cluster is formed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cluster: None,
            slots: SlotCount::default(),
            settings: Settings::default(),
            version: Version::default(),
            horizon: Version::default(),
            members: BTreeMap::new(),
            departed: BTreeMap::new(),
            groups: BTreeMap::new(),
            seats: BTreeMap::new(),
            floor: Epoch::default(),
            choices: None,
            plant: Plant::NONE,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_plant(mut self, plant: Plant) -> Self {
        self.plant = plant;
        self
    }

    /// Applies one command; returns what it has changed.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the command does not fit the state any more, or never did. The state is as it
    /// was.
    ///
    /// # Panics
    ///
    /// When an invariant of our own is broken: an epoch or a version that does not grow.
    pub fn apply(&mut self, command: &Command) -> Result<Vec<Event>, Refusal> {
        if self.cluster.is_none() && !matches!(command, Command::Form { .. }) {
            return Err(Refusal::NotFormed);
        }
        let next = Version(self.version.0 + 1);
        let events = match command {
            Command::Form {
                cluster,
                slots,
                settings,
            } => self.form(*cluster, *slots, *settings),
            Command::Join {
                cluster,
                member,
                heir_of,
            } => self.join(*cluster, member, *heir_of, next),
            Command::Lapse(owner) => self.set_standing(*owner, Standing::Lapsed, next),
            Command::Drain(owner) => self.set_standing(*owner, Standing::Draining, next),
            Command::Leave(owner) => self.leave(*owner, next),
            Command::Place(group) => self.place(group, next),
            Command::Assign { group, slots, to } => self.assign(*group, slots, *to, next),
            Command::Move { id, epoch, to } => self.begin_move(*id, *epoch, *to, next),
            Command::Stopped { id, epoch, by } => self.stopped(*id, *epoch, *by, next),
            Command::Abort { id, epoch } => self.abort(*id, *epoch, next),
            Command::Seats(seats) => {
                self.seats.clone_from(seats);
                Ok(vec![Event::Seated])
            }
            Command::Set(settings) => match settings.check() {
                Some(what) => Err(Refusal::OutOfRange(what)),
                None => {
                    self.settings = *settings;
                    Ok(vec![Event::Set])
                }
            },
            Command::Choose { of, choice } => self.choose(*of, *choice),
        }?;
        assert!(next > self.version, "versions only grow");
        self.version = next;
        Ok(events)
    }

    fn form(
        &mut self,
        cluster: ClusterId,
        slots: SlotCount,
        settings: Settings,
    ) -> Result<Vec<Event>, Refusal> {
        if let Some(formed) = self.cluster {
            return Err(Refusal::AlreadyFormed(formed));
        }
        if let Some(what) = settings.check() {
            return Err(Refusal::OutOfRange(what));
        }
        self.cluster = Some(cluster);
        self.slots = slots;
        self.settings = settings;
        Ok(vec![Event::Formed(cluster)])
    }

    fn join(
        &mut self,
        cluster: ClusterId,
        member: &Member,
        heir_of: Option<Incarnation>,
        next: Version,
    ) -> Result<Vec<Event>, Refusal> {
        self.why_not_join(cluster, member, heir_of)?;
        let owner = member.owner();
        self.departed.remove(&owner.node);
        let entry = MemberEntry {
            member: member.clone(),
            standing: Standing::Live,
            changed: next,
        };
        if let Some(before) = self.members.insert(owner.node, entry) {
            assert!(
                before.member.incarnation < owner.incarnation,
                "incarnations only grow"
            );
        }
        Ok(vec![Event::Joined(owner)])
    }

    fn why_not_join(
        &self,
        cluster: ClusterId,
        member: &Member,
        heir_of: Option<Incarnation>,
    ) -> Result<(), JoinRefusal> {
        let (name, given) = (member.name.clone(), member.incarnation);
        if let Some(ours) = self.cluster.filter(|ours| *ours != cluster) {
            let theirs = cluster;
            return Err(JoinRefusal::WrongCluster { name, theirs, ours });
        }
        if let Some(what) = member.check() {
            return Err(JoinRefusal::OutOfRange { name, what });
        }
        let node = member.id();
        let departed = self.departed.get(&node).map(|it| it.incarnation);
        let known = self.members.get(&node);
        let last = known.map(|it| it.member.incarnation).max(departed);
        if let Some(known) = last.filter(|last| given <= *last) {
            return Err(JoinRefusal::StaleIncarnation { name, given, known });
        }
        match known {
            None if self.members.len() >= MEMBERS_MAX => return Err(JoinRefusal::Full),
            None => {}
            Some(known) if known.member.name != name => {
                let other = known.member.name.clone();
                return Err(JoinRefusal::SameId { name, other });
            }
            Some(known) => {
                let living = known.member.incarnation;
                // Its lease has ended, or the joiner holds the lock of the directory that knows of
                // that life, which held it until its end. A directory that does not know of it is
                // an older copy, and proves nothing. Anything less waits.
                let ended = known.standing == Standing::Lapsed;
                let same_disk = member.disk.is_some() && member.disk == known.member.disk;
                let proven = same_disk && heir_of.is_some_and(|last| last >= living);
                if !ended && !proven {
                    return Err(JoinRefusal::StillAlive { name, living });
                }
            }
        }
        match self.seats.get(&node) {
            Some(seated) if member.disk != Some(*seated) => {
                Err(JoinRefusal::lost_log(name, *seated, member.disk))
            }
            _ => Ok(()),
        }
    }

    fn set_standing(
        &mut self,
        owner: Owner,
        standing: Standing,
        next: Version,
    ) -> Result<Vec<Event>, Refusal> {
        let entry = self.members.get_mut(&owner.node);
        let entry = entry.filter(|it| it.member.incarnation == owner.incarnation);
        let entry = entry.filter(|it| it.standing != Standing::Lapsed);
        let entry = entry.ok_or(Refusal::NotMember(owner))?;
        entry.standing = standing;
        entry.changed = next;
        Ok(vec![match standing {
            Standing::Draining => Event::Draining(owner),
            Standing::Live | Standing::Lapsed => Event::Lapsed(owner),
        }])
    }

    fn leave(&mut self, owner: Owner, next: Version) -> Result<Vec<Event>, Refusal> {
        let entry = self.members.get(&owner.node);
        if entry.is_none_or(|it| it.member.incarnation != owner.incarnation) {
            return Err(Refusal::NotMember(owner));
        }
        let slots = self.slots_of(owner);
        if slots > 0 && self.is_live(owner) {
            return Err(Refusal::StillOwns { owner, slots });
        }
        self.members.remove(&owner.node);
        self.forget_choice(owner.node);
        let departed = Departed {
            incarnation: owner.incarnation,
            changed: next,
        };
        self.departed.insert(owner.node, departed);
        forget_departed(&mut self.departed, &mut self.horizon);
        Ok(vec![Event::Left(owner)])
    }

    fn place(&mut self, group: &Group, next: Version) -> Result<Vec<Event>, Refusal> {
        if let Some(what) = group.check() {
            return Err(Refusal::OutOfRange(what));
        }
        if let Some(entry) = self.groups.get_mut(&group.id) {
            entry.group = group.clone();
            entry.changed = next;
            return Ok(vec![Event::Placed(group.id)]);
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(Refusal::TooManyGroups);
        }
        let entry = GroupEntry {
            group: group.clone(),
            table: Table::new(self.slots),
            changed: next,
        };
        self.groups.insert(group.id, entry);
        Ok(vec![Event::Placed(group.id)])
    }

    fn assign(
        &mut self,
        group: GroupId,
        slots: &[(Slot, Epoch)],
        to: Owner,
        next: Version,
    ) -> Result<Vec<Event>, Refusal> {
        if slots.len() > BATCH_MAX {
            return Err(Refusal::BatchTooLarge);
        }
        self.check_target(group, to)?;
        // BEFORE any is given: a command that is refused changes nothing.
        for (slot, _) in slots {
            self.entry(SlotId { group, slot: *slot })?;
        }
        let mut events = Vec::new();
        for (slot, epoch) in slots {
            let id = SlotId { group, slot: *slot };
            let entry = self.entry(id)?;
            let free = entry.owner.is_none_or(|owner| !self.is_live(owner));
            if free && entry.epoch == *epoch && entry.changed < next {
                events.push(self.give(id, to, next));
            }
        }
        if events.is_empty() {
            return Err(Refusal::NothingToAssign);
        }
        Ok(events)
    }

    fn begin_move(
        &mut self,
        id: SlotId,
        epoch: Epoch,
        to: Owner,
        next: Version,
    ) -> Result<Vec<Event>, Refusal> {
        let entry = self.entry_of(id, epoch)?;
        if entry.moving.is_some() {
            return Err(Refusal::AlreadyMoving(id));
        }
        let from = entry.owner.filter(|owner| self.is_live(*owner));
        let from = from.ok_or(Refusal::NoOwner(id))?;
        if from == to {
            return Err(Refusal::BadTarget(to));
        }
        self.check_target(id.group, to)?;
        self.entry_mut(id).mark(Some(to), next);
        Ok(vec![Event::Moving {
            id,
            from,
            to,
            epoch,
        }])
    }

    fn stopped(
        &mut self,
        id: SlotId,
        epoch: Epoch,
        by: Owner,
        next: Version,
    ) -> Result<Vec<Event>, Refusal> {
        let entry = self.entry_of(id, epoch)?;
        let to = entry.moving.ok_or(Refusal::NotMoving(id))?;
        if entry.owner != Some(by) {
            return Err(Refusal::NotMember(by));
        }
        // The target may have been lost meanwhile.
        Ok(vec![self.give_to_first(id, [to, by], next)])
    }

    fn abort(&mut self, id: SlotId, epoch: Epoch, next: Version) -> Result<Vec<Event>, Refusal> {
        let entry = self.entry_of(id, epoch)?;
        let to = entry.moving.ok_or(Refusal::NotMoving(id))?;
        let owner = entry.owner.ok_or(Refusal::NoOwner(id))?;
        // If the old owner is gone, its word is not needed any more.
        Ok(vec![self.give_to_first(id, [owner, to], next)])
    }

    /// Ends a move at the first of these that lives, or at nobody.
    ///
    /// The old owner too gets a higher epoch: it may have stopped, and its word that it has, which
    /// is for the epoch before, may still be on its way.
    fn give_to_first(&mut self, id: SlotId, parties: [Owner; 2], next: Version) -> Event {
        if let Some(owner) = parties.into_iter().find(|owner| self.is_live(*owner)) {
            return self.give(id, owner, next);
        }
        self.entry_mut(id).mark(None, next);
        Event::Orphaned(id)
    }

    fn give(&mut self, id: SlotId, owner: Owner, next: Version) -> Event {
        let (floor, plant) = (self.floor, self.plant);
        let entry = self.entry_mut(id);
        entry.give(owner, floor, next, plant);
        let epoch = entry.epoch;
        Event::Owned { id, owner, epoch }
    }

    fn check_target(&self, group: GroupId, to: Owner) -> Result<(), Refusal> {
        let entry = self.groups.get(&group);
        let group = &entry.ok_or(Refusal::UnknownGroup(group))?.group;
        let member = self.members.get(&to.node);
        let member = member.filter(|it| it.member.incarnation == to.incarnation);
        let member = member.ok_or(Refusal::NotMember(to))?;
        let eligible = member.standing == Standing::Live && group.why_not(&member.member).is_none();
        eligible.then_some(()).ok_or(Refusal::BadTarget(to))
    }

    fn entry_of(&self, id: SlotId, expected: Epoch) -> Result<&Entry, Refusal> {
        let entry = self.entry(id)?;
        let found = entry.epoch;
        if found == expected {
            Ok(entry)
        } else {
            Err(Refusal::OtherEpoch {
                id,
                expected,
                found,
            })
        }
    }

    fn entry_mut(&mut self, id: SlotId) -> &mut Entry {
        let group = self.groups.get_mut(&id.group);
        let entry = group.and_then(|it| it.table.get_mut(id.slot));
        entry.expect("the caller has just read the entry")
    }

    /// Returns the entry of a slot.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownGroup`] and [`Refusal::UnknownSlot`].
    pub fn entry(&self, id: SlotId) -> Result<&Entry, Refusal> {
        let group = self.groups.get(&id.group);
        let group = group.ok_or(Refusal::UnknownGroup(id.group))?;
        group.table.get(id.slot).ok_or(Refusal::UnknownSlot(id))
    }

    /// Returns whether this life of a node is a member whose lease has not ended.
    #[must_use]
    pub fn is_live(&self, owner: Owner) -> bool {
        let entry = self.members.get(&owner.node);
        entry.is_some_and(|it| {
            it.member.incarnation == owner.incarnation && it.standing != Standing::Lapsed
        })
    }

    /// Returns how many slots it owns, over all groups.
    #[must_use]
    pub fn slots_of(&self, owner: Owner) -> usize {
        let entries = self.groups.values().flat_map(|it| it.table.iter());
        entries
            .filter(|(_, entry)| entry.owner == Some(owner))
            .count()
    }

    /// Returns why a member must not get slots of a group, or nothing when it may.
    #[must_use]
    pub fn why_not(&self, group: &Group, node: NodeId) -> Option<Ineligible> {
        let Some(entry) = self.members.get(&node) else {
            return Some(Ineligible::Lapsed);
        };
        group.why_not_now(&entry.member, entry.standing)
    }

    /// Returns the cluster's id, once it is formed.
    #[must_use]
    pub const fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Returns the number of accepted commands.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns how many slots every group has.
    #[must_use]
    pub const fn slots(&self) -> SlotCount {
        self.slots
    }

    /// Returns what is set for the whole cluster.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// Returns the members in the order of their ids, those whose lease has ended included.
    pub fn members(&self) -> impl Iterator<Item = (&Member, Standing)> {
        self.members.values().map(|it| (&it.member, it.standing))
    }

    /// Returns the placement groups with their tables, in the order of their ids.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, &Table)> {
        self.groups.values().map(|it| (&it.group, &it.table))
    }

    /// Returns who votes, with what disk.
    #[must_use]
    pub const fn seats(&self) -> &BTreeMap<NodeId, DiskId> {
        &self.seats
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// Forgets the earliest of those who have left until they are no more than are kept in mind.
pub(super) fn forget_departed(departed: &mut BTreeMap<NodeId, Departed>, horizon: &mut Version) {
    while departed.len() > DEPARTED_MAX {
        let oldest = departed.iter().min_by_key(|(_, it)| it.changed);
        let Some((node, changed)) = oldest.map(|(node, it)| (*node, it.changed)) else {
            return;
        };
        departed.remove(&node);
        *horizon = changed.max(*horizon);
    }
}

/// The most members of a cluster.
pub const MEMBERS_MAX: usize = 4096;

/// The most placement groups of a cluster.
pub const GROUPS_MAX: usize = 64;

/// The most slots that one command gives away, so that no entry of the log is large.
pub const BATCH_MAX: usize = 256;

/// How many nodes that have left are kept in mind. The earliest is then forgotten.
pub(super) const DEPARTED_MAX: usize = 4096;

#[cfg(test)]
mod tests;
