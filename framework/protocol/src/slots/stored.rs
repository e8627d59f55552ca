//! The state as bytes, for the snapshots of the log.
//!
//! Version, then the record of the state, then a checksum of both. The order is that of the ids, so
//! equal states have equal bytes. Depends on the other values of `slots`.

use xxhash_rust::xxh3::xxh3_64;

use super::choices::Choices;
use super::command::{Settings, read_seat, write_seats};
use super::group::Group;
use super::key::{Slot, SlotCount};
use super::member::{Member, Owner, read_owner, write_owner};
use super::record::{Field, Fields, RecordError, Writer, push_varint};
use super::recovery::FLOOR_MAX;
use super::state::{
    DEPARTED_MAX, Departed, GROUPS_MAX, GroupEntry, MEMBERS_MAX, MemberEntry, Standing, State,
};
use super::table::{Entry, Epoch, Table, Version};
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::wire::reader::Reader;

impl State {
    /// Encodes the whole state, in the version `STATE_VERSION`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        if let Some(cluster) = self.cluster {
            out.bytes(1, &cluster.0.to_le_bytes());
        }
        out.number(2, u64::from(self.slots.get()));
        out.record(3, |record| self.settings.write(record));
        out.number(4, self.version.0);
        out.number(5, self.horizon.0);
        for entry in self.members.values() {
            out.record(6, |record| entry.write(record));
        }
        for (node, departed) in &self.departed {
            out.record(7, |record| write_departed(record, *node, *departed));
        }
        for entry in self.groups.values() {
            out.record(8, |record| {
                record.record(1, |group| entry.group.write(group));
                record.number(2, entry.changed.0);
                for (slot, entry) in entry.table.iter() {
                    if entry.changed > Version::default() {
                        record.record(3, |slots| write_entry(slots, slot, entry));
                    }
                }
            });
        }
        write_seats(&mut out, 9, &self.seats);
        // Only a cluster that was recovered has one, and only from a version on that knows of it.
        if self.floor > Epoch::default() {
            out.number(10, self.floor.0);
        }
        if let Some(choices) = &self.choices {
            out.record(11, |record| choices.write(record));
        }
        let mut bytes = Vec::new();
        push_varint(&mut bytes, STATE_VERSION);
        bytes.extend_from_slice(&out.finish());
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// Decodes a state of any version up to `STATE_VERSION`.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the bytes are damaged, out of range, or of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (bytes, checksum) = bytes.split_last_chunk().ok_or(RecordError::Truncated)?;
        if xxh3_64(bytes).to_le_bytes() != *checksum {
            return Err(RecordError::Damaged);
        }
        let mut reader = Reader::new(bytes);
        let found = reader.varint_u64()?;
        if !(1..=STATE_VERSION).contains(&found) {
            let (oldest, newest) = (1, STATE_VERSION);
            return Err(RecordError::UnknownVersion {
                found,
                oldest,
                newest,
            });
        }
        let mut state = Self::new();
        let mut fields = Fields::strict("state", reader.take_rest());
        while let Some(field) = fields.next()? {
            state.read_field(&fields, field)?;
        }
        state.check()
    }

    fn read_field(&mut self, fields: &Fields<'_>, field: Field<'_>) -> Result<(), RecordError> {
        match field.tag {
            1 => self.cluster = Some(ClusterId(u128::from_le_bytes(field.array("cluster")?))),
            2 => {
                let count = SlotCount::new(field.number_u32("slots")?);
                self.slots = count.map_err(|_| field.out_of_range("slots"))?;
            }
            3 => self.settings = Settings::read(fields.within("settings", field))?,
            4 => self.version = Version(field.number()?),
            5 => self.horizon = Version(field.number()?),
            6 => {
                let entry = MemberEntry::read(fields.within("member", field))?;
                self.members.insert(entry.member.id(), entry);
            }
            7 => {
                let (node, departed) = read_departed(fields.within("departed", field))?;
                self.departed.insert(node, departed);
            }
            8 => {
                let entry = read_group(fields.within("group", field), self.slots)?;
                self.groups.insert(entry.group.id, entry);
            }
            9 => {
                let (node, disk) = read_seat(fields.within("seat", field))?;
                self.seats.insert(node, disk);
            }
            10 => self.floor = Epoch(field.number()?),
            11 => self.choices = Some(Choices::read(fields.within("choices", field))?),
            _ => fields.unknown(field)?,
        }
        Ok(())
    }

    /// Checks what the fields alone do not show.
    fn check(self) -> Result<Self, RecordError> {
        let changes = self.members.values().map(|it| it.changed);
        let changes = changes.chain(self.departed.values().map(|it| it.changed));
        let slots = self.groups.values().flat_map(|it| it.table.iter());
        let changes = changes.chain(slots.map(|(_, entry)| entry.changed));
        let newest = changes.max().unwrap_or_default();
        let rules = [
            (newest <= self.version, "version"),
            (self.version.0 < u64::MAX, "version"),
            (self.floor <= FLOOR_MAX, "floor"),
            (self.members.len() <= MEMBERS_MAX, "members"),
            (self.departed.len() <= DEPARTED_MAX, "departed"),
            (self.groups.len() <= GROUPS_MAX, "groups"),
            (self.are_choices_of_members(), "choices"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, field)) => Err(RecordError::OutOfRange {
                record: "state",
                field,
            }),
            None => Ok(self),
        }
    }
}

impl MemberEntry {
    pub(super) fn write(&self, out: &mut Writer) {
        out.record(1, |member| self.member.write(member));
        let standing = match self.standing {
            Standing::Live => 0,
            Standing::Draining => 1,
            Standing::Lapsed => 2,
        };
        out.number(2, standing);
        out.number(3, self.changed.0);
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let (mut member, mut standing, mut changed) = (None, Standing::Live, Version::default());
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => member = Some(Member::read(fields.within("member", field))?),
                2 => {
                    standing = match field.number()? {
                        0 => Standing::Live,
                        1 => Standing::Draining,
                        2 => Standing::Lapsed,
                        _ => return Err(field.out_of_range("standing")),
                    }
                }
                3 => changed = Version(field.number()?),
                _ => fields.unknown(field)?,
            }
        }
        Ok(Self {
            member: fields.require(member, "member")?,
            standing,
            changed,
        })
    }
}

pub(super) fn write_departed(out: &mut Writer, node: NodeId, departed: Departed) {
    let incarnation = departed.incarnation;
    write_owner(out, 1, Owner { node, incarnation });
    out.number(2, departed.changed.0);
}

pub(super) fn read_departed(mut fields: Fields<'_>) -> Result<(NodeId, Departed), RecordError> {
    let (mut owner, mut changed) = (None, Version::default());
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => owner = Some(read_owner(fields.within("owner", field))?),
            2 => changed = Version(field.number()?),
            _ => fields.unknown(field)?,
        }
    }
    let Owner { node, incarnation } = fields.require(owner, "owner")?;
    let departed = Departed {
        incarnation: Incarnation(incarnation.0),
        changed,
    };
    Ok((node, departed))
}

pub(super) fn write_entry(out: &mut Writer, slot: Slot, entry: &Entry) {
    out.number(1, u64::from(slot.0));
    if let Some(owner) = entry.owner {
        write_owner(out, 2, owner);
    }
    out.number(3, entry.epoch.0);
    if let Some(to) = entry.moving {
        write_owner(out, 4, to);
    }
    out.number(5, entry.changed.0);
}

pub(super) fn read_entry(mut fields: Fields<'_>) -> Result<(Slot, Entry), RecordError> {
    let (mut slot, mut entry) = (None, Entry::default());
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => slot = Some(Slot(field.number_u32("slot")?)),
            2 => entry.owner = Some(read_owner(fields.within("owner", field))?),
            3 => entry.epoch = Epoch(field.number()?),
            4 => entry.moving = Some(read_owner(fields.within("owner", field))?),
            5 => entry.changed = Version(field.number()?),
            _ => fields.unknown(field)?,
        }
    }
    let slot = fields.require(slot, "slot")?;
    // Nothing moves that nobody has, and an owner has an epoch.
    let owned = entry.owner.is_some();
    if owned == (entry.epoch == Epoch::default()) || (entry.moving.is_some() && !owned) {
        let (record, field) = ("slot", "epoch");
        return Err(RecordError::OutOfRange { record, field });
    }
    Ok((slot, entry))
}

fn read_group(mut fields: Fields<'_>, slots: SlotCount) -> Result<GroupEntry, RecordError> {
    let (mut group, mut changed, mut table) = (None, Version::default(), Table::new(slots));
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => group = Some(Group::read(fields.within("group", field))?),
            2 => changed = Version(field.number()?),
            3 => {
                let (slot, entry) = read_entry(fields.within("slot", field))?;
                let place = table.get_mut(slot);
                *place.ok_or(field.out_of_range("slot"))? = entry;
            }
            _ => fields.unknown(field)?,
        }
    }
    Ok(GroupEntry {
        group: fields.require(group, "group")?,
        table,
        changed,
    })
}

/// The version in which states are written. Older ones are read.
pub(super) const STATE_VERSION: u64 = 1;
