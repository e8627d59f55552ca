//! What has changed since a version, and the view that follows by it.
//!
//! A view lags behind the state, and nothing is unsafe about that: whoever acts by a view also
//! holds a lease, and a slot is taken from nobody whose lease lasts. A view can be followed in turn,
//! as clients follow that of a node. A delta reads leniently, as its reader only looks: an older
//! client follows a newer cluster. Depends on the other values of `slots`.

use std::collections::BTreeMap;

use super::SlotId;
use super::group::{Group, GroupId};
use super::key::{Slot, SlotCount};
use super::member::{Member, Owner};
use super::record::{Fields, RecordError, Writer, push_varint};
use super::state::{
    BATCH_MAX, DEPARTED_MAX, Departed, GROUPS_MAX, GroupEntry, MEMBERS_MAX, MemberEntry, Standing,
    State, forget_departed,
};
use super::stored::{read_departed, read_entry, write_departed, write_entry};
use super::table::{Entry, Epoch, Table, Version};
use crate::id::{ClusterId, NodeId};
use crate::plant::{Mistake, Plant};
use crate::wire::reader::Reader;

/// What has changed between two versions of the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    cluster: ClusterId,
    slots: SlotCount,
    from: Version,
    to: Version,
    members: Vec<MemberEntry>,
    departed: Vec<(NodeId, Departed)>,
    groups: Vec<Group>,
    entries: Vec<(SlotId, Entry)>,
}

impl State {
    /// Returns what has changed since this version: all of it, or a first part of at most
    /// `entries_max` slots (at least [`BATCH_MAX`]), whose end is [`Delta::to`].
    ///
    /// Returns nothing before the cluster is formed. A version from before the horizon, or from
    /// the future, gets everything at once, from the beginning.
    #[must_use]
    pub fn since(&self, from: Version, entries_max: usize) -> Option<Delta> {
        let source = Source {
            cluster: self.cluster?,
            slots: self.slots,
            version: self.version,
            horizon: self.horizon,
            members: &self.members,
            departed: &self.departed,
            groups: &self.groups,
        };
        Some(source.since(from, entries_max))
    }
}

/// What a delta is taken from: the state, or what somebody sees of it.
struct Source<'a> {
    cluster: ClusterId,
    slots: SlotCount,
    version: Version,
    /// The oldest version from which a delta still knows who has left.
    horizon: Version,
    members: &'a BTreeMap<NodeId, MemberEntry>,
    departed: &'a BTreeMap<NodeId, Departed>,
    groups: &'a BTreeMap<GroupId, GroupEntry>,
}

impl Source<'_> {
    fn since(&self, from: Version, entries_max: usize) -> Delta {
        // Who has nothing need not be told who has left.
        let known = from == Version::default() || (self.horizon..=self.version).contains(&from);
        let from = if known { from } else { Version::default() };
        let mut entries: Vec<(SlotId, Entry)> = Vec::new();
        for (group, it) in self.groups {
            let changed = it.table.iter().filter(|(_, entry)| entry.changed > from);
            let group = *group;
            entries.extend(changed.map(|(slot, entry)| (SlotId { group, slot }, *entry)));
        }
        entries.sort_by_key(|(id, entry)| (entry.changed, *id));
        let mut to = self.version;
        let entries_max = entries_max.max(BATCH_MAX);
        if known && entries.len() > entries_max {
            // Cut between two versions. One command changes at most `BATCH_MAX` slots, so there is
            // such a place.
            let cut = entries[entries_max].1.changed;
            let keep = entries.partition_point(|(_, entry)| entry.changed < cut);
            entries.truncate(keep);
            to = Version(cut.0 - 1);
        }
        let changed = |version: Version| version > from && version <= to;
        let members = self.members.values().filter(|it| changed(it.changed));
        let departed = self.departed.iter().filter(|(_, it)| changed(it.changed));
        // Those that have changed after the cut too: a slot before it may be one of theirs.
        let groups = self.groups.values().filter(|it| it.changed > from);
        Delta {
            cluster: self.cluster,
            slots: self.slots,
            from,
            to,
            members: members.cloned().collect(),
            departed: departed.map(|(node, it)| (*node, *it)).collect(),
            groups: groups.map(|it| it.group.clone()).collect(),
            entries,
        }
    }
}

impl Delta {
    /// Returns the version that a view has after it.
    #[must_use]
    pub const fn to(&self) -> Version {
        self.to
    }

    /// Takes out what members say of themselves that no call is routed by, for whoever only calls:
    /// their disks, zones, roles, labels, and what they host.
    #[must_use]
    pub fn for_callers(mut self) -> Self {
        for MemberEntry { member, .. } in &mut self.members {
            member.disk = None;
            member.zone.clear();
            member.roles.clear();
            member.labels.clear();
            member.hosts.clear();
            member.movable.clear();
            member.lacks.clear();
        }
        self
    }

    /// Encodes the delta, in the version `DELTA_VERSION`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(1, &self.cluster.0.to_le_bytes());
        out.number(2, u64::from(self.slots.get()));
        out.number(3, self.from.0);
        out.number(4, self.to.0);
        for member in &self.members {
            out.record(5, |record| member.write(record));
        }
        for (node, departed) in &self.departed {
            out.record(6, |record| write_departed(record, *node, *departed));
        }
        for group in &self.groups {
            out.record(7, |record| group.write(record));
        }
        for (id, entry) in &self.entries {
            out.record(8, |record| {
                record.number(1, u64::from(id.group.0));
                record.record(2, |record| write_entry(record, id.slot, entry));
            });
        }
        let mut bytes = Vec::new();
        push_varint(&mut bytes, DELTA_VERSION);
        bytes.extend_from_slice(&out.finish());
        bytes
    }

    /// Decodes a delta. Fields of later versions are skipped.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let found = reader.varint_u64()?;
        if found != DELTA_VERSION {
            let (oldest, newest) = (DELTA_VERSION, DELTA_VERSION);
            return Err(RecordError::UnknownVersion {
                found,
                oldest,
                newest,
            });
        }
        let mut fields = Fields::lenient("delta", reader.take_rest());
        let (mut cluster, mut slots, mut from, mut to) = (None, None, None, None);
        let (mut members, mut departed) = (Vec::new(), Vec::new());
        let (mut groups, mut entries) = (Vec::new(), Vec::new());
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => cluster = Some(ClusterId(u128::from_le_bytes(field.array("cluster")?))),
                2 => {
                    let count = SlotCount::new(field.number_u32("slots")?);
                    slots = Some(count.map_err(|_| field.out_of_range("slots"))?);
                }
                3 => from = Some(Version(field.number()?)),
                4 => to = Some(Version(field.number()?)),
                5 => members.push(MemberEntry::read(fields.within("member", field))?),
                6 => departed.push(read_departed(fields.within("departed", field))?),
                7 => groups.push(Group::read(fields.within("group", field))?),
                8 => entries.push(read_slot(fields.within("slot", field))?),
                _ => fields.unknown(field)?,
            }
        }
        Ok(Self {
            cluster: fields.require(cluster, "cluster")?,
            slots: fields.require(slots, "slots")?,
            from: fields.require(from, "from")?,
            to: fields.require(to, "to")?,
            members,
            departed,
            groups,
            entries,
        })
    }
}

fn read_slot(mut fields: Fields<'_>) -> Result<(SlotId, Entry), RecordError> {
    let (mut group, mut entry) = (None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => group = Some(GroupId(field.number_u32("group")?)),
            2 => entry = Some(read_entry(fields.within("slot", field))?),
            _ => fields.unknown(field)?,
        }
    }
    let group = fields.require(group, "group")?;
    let (slot, entry) = fields.require(entry, "slot")?;
    Ok((SlotId { group, slot }, entry))
}

/// The state as a node or a client sees it: members and tables, a little behind.
#[derive(Clone, Debug)]
pub struct View {
    cluster: Option<ClusterId>,
    slots: SlotCount,
    version: Version,
    /// The oldest version from which a delta still knows who has left.
    horizon: Version,
    members: BTreeMap<NodeId, MemberEntry>,
    departed: BTreeMap<NodeId, Departed>,
    groups: BTreeMap<GroupId, GroupEntry>,
    plant: Plant,
}

/// Why a delta was not taken. The view is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// It begins after the version that the view has: ask for one from that.
    #[error("the delta begins at version {}, the view is at {}", from.0, at.0)]
    Gap {
        /// Where the delta begins.
        from: Version,
        /// What the view has.
        at: Version,
    },
    /// It is of another cluster.
    #[error("the delta is of cluster {theirs}, the view of {ours}")]
    OtherCluster {
        /// Of the delta.
        theirs: ClusterId,
        /// Of the view.
        ours: ClusterId,
    },
    /// It would take an epoch back. Its sender is not to be trusted.
    #[error("the delta takes slot {id} from epoch {ours} back to {theirs}")]
    EpochBack {
        /// Which.
        id: SlotId,
        /// The epoch of the view.
        ours: Epoch,
        /// The epoch of the delta.
        theirs: Epoch,
    },
    /// It names more than there can be, or a slot that there is not.
    #[error("the delta names more {0} than there can be")]
    TooMany(&'static str),
}

impl View {
    /// Makes a view of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cluster: None,
            slots: SlotCount::default(),
            version: Version::default(),
            horizon: Version::default(),
            members: BTreeMap::new(),
            departed: BTreeMap::new(),
            groups: BTreeMap::new(),
            plant: Plant::NONE,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_plant(mut self, plant: Plant) -> Self {
        self.plant = plant;
        self
    }

    /// Takes a delta; returns the slots whose entries have changed by it.
    ///
    /// One that ends before the view's version is old, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`DeltaError`]. Nothing is changed then.
    pub fn handle_delta(&mut self, delta: &Delta) -> Result<Vec<SlotId>, DeltaError> {
        let first = Version::default();
        if let Some(ours) = self.cluster.filter(|ours| *ours != delta.cluster) {
            let theirs = delta.cluster;
            return Err(DeltaError::OtherCluster { theirs, ours });
        }
        if delta.from > self.version {
            let (from, at) = (delta.from, self.version);
            return Err(DeltaError::Gap { from, at });
        }
        if delta.to <= self.version {
            return Ok(Vec::new());
        }
        self.check(delta)?;
        self.cluster = Some(delta.cluster);
        self.slots = delta.slots;
        if delta.from == first {
            // From the beginning, because nothing is known here, or it is not known any more who has
            // left since.
            self.members.clear();
            self.departed.clear();
            self.horizon = delta.to;
        }
        self.version = delta.to;
        for (node, departed) in &delta.departed {
            self.members.remove(node);
            self.departed.insert(*node, *departed);
        }
        for entry in &delta.members {
            let node = entry.member.id();
            self.departed.remove(&node);
            self.members.insert(node, entry.clone());
        }
        forget_departed(&mut self.departed, &mut self.horizon);
        for group in &delta.groups {
            let place = self.groups.entry(group.id);
            let entry = place.or_insert_with(|| GroupEntry {
                group: group.clone(),
                table: Table::new(self.slots),
                changed: delta.to,
            });
            entry.group.clone_from(group);
            entry.changed = delta.to;
        }
        let mut changed = Vec::new();
        for (id, entry) in &delta.entries {
            let table = self.groups.get_mut(&id.group).map(|it| &mut it.table);
            if let Some(place) = table.and_then(|it| it.get_mut(id.slot))
                && entry.changed > place.changed
            {
                *place = *entry;
                changed.push(*id);
            }
        }
        Ok(changed)
    }

    fn check(&self, delta: &Delta) -> Result<(), DeltaError> {
        let counts = [
            (
                self.members.len() + delta.members.len(),
                2 * MEMBERS_MAX,
                "members",
            ),
            (delta.departed.len(), DEPARTED_MAX, "departed"),
            (
                self.groups.len() + delta.groups.len(),
                2 * GROUPS_MAX,
                "groups",
            ),
        ];
        if let Some((.., what)) = counts.iter().find(|(count, max, _)| count > max) {
            return Err(DeltaError::TooMany(what));
        }
        if self.cluster.is_some() && self.slots != delta.slots {
            return Err(DeltaError::TooMany("slots"));
        }
        for (id, theirs) in &delta.entries {
            let ours = self.entry(*id).copied().unwrap_or_default();
            let known = self.groups.contains_key(&id.group)
                || delta.groups.iter().any(|it| it.id == id.group);
            if !known || !delta.slots.has(id.slot) {
                return Err(DeltaError::TooMany("slots"));
            }
            if theirs.changed > ours.changed && theirs.epoch < ours.epoch {
                let (id, ours, theirs) = (*id, ours.epoch, theirs.epoch);
                return Err(DeltaError::EpochBack { id, ours, theirs });
            }
        }
        Ok(())
    }

    /// Returns what has changed since this version, as far as it is known here: what
    /// [`State::since`] returns. Nothing while nothing is known.
    #[must_use]
    pub fn since(&self, from: Version, entries_max: usize) -> Option<Delta> {
        let source = Source {
            cluster: self.cluster?,
            slots: self.slots,
            version: self.version,
            horizon: self.horizon,
            members: &self.members,
            departed: &self.departed,
            groups: &self.groups,
        };
        Some(source.since(from, entries_max))
    }

    /// Returns the entry of a slot, as far as it is known here.
    #[must_use]
    pub fn entry(&self, id: SlotId) -> Option<&Entry> {
        self.groups.get(&id.group)?.table.get(id.slot)
    }

    /// Returns where a key's slot is, and its entry: what a call is routed by.
    #[must_use]
    pub fn locate(&self, group: GroupId, key: &[u8]) -> Option<(Slot, &Entry)> {
        let slot = self.slots.slot_of(key);
        Some((slot, self.groups.get(&group)?.table.get(slot)?))
    }

    /// Returns the epoch under which this life of a node may run turns on a slot, if it may.
    ///
    /// It also has to hold its lease, see [`Holder`](crate::membership::Holder): the view alone may
    /// be old.
    #[must_use]
    pub fn may_act(&self, me: Owner, id: SlotId) -> Option<Epoch> {
        let entry = self.entry(id)?;
        if self.plant.has(Mistake::StartBeforeStop) && entry.moving == Some(me) {
            return Some(entry.epoch);
        }
        let owner = entry.owner?;
        let owns = if self.plant.has(Mistake::ForgetIncarnation) {
            owner.node == me.node
        } else {
            owner == me
        };
        (owns && entry.moving.is_none()).then_some(entry.epoch)
    }

    /// Returns a member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<(&Member, Standing)> {
        let entry = self.members.get(&node)?;
        Some((&entry.member, entry.standing))
    }

    /// Returns the members in the order of their ids, those whose lease has ended included.
    pub fn members(&self) -> impl Iterator<Item = (&Member, Standing)> {
        self.members.values().map(|it| (&it.member, it.standing))
    }

    /// Returns the placement groups with their tables, in the order of their ids.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, &Table)> {
        self.groups.values().map(|it| (&it.group, &it.table))
    }

    /// Returns how many slots every group has.
    #[must_use]
    pub const fn slots(&self) -> SlotCount {
        self.slots
    }

    /// Returns the version that the view has.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

/// The version in which deltas are written.
pub(super) const DELTA_VERSION: u64 = 1;

#[cfg(test)]
mod tests;
