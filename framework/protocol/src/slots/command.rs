//! What the control group can be told, and what came of it.
//!
//! A command is one entry of the log. Its encoding begins with a version and a kind; a kind or a
//! field that this version does not know is refused, because a voter that skipped it would drift
//! apart from the others. New kinds are therefore sent only once every member knows them. Depends
//! on the other values of `slots`.

use std::collections::BTreeMap;

use super::SlotId;
use super::choices::{choice_number, read_choice};
use super::group::{Group, GroupId};
use super::key::{Slot, SlotCount};
use super::member::{Member, Owner, read_owner, write_owner};
use super::record::{Fields, RecordError, Writer, push_varint};
use super::state::BATCH_MAX;
use super::table::Epoch;
use crate::id::{ClusterId, DiskId, Incarnation, NodeId};
use crate::membership::VoterChoice;
use crate::wire::reader::Reader;

/// A change of the control group's state.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Makes the cluster. Once.
    Form {
        /// Its id, for good.
        cluster: ClusterId,
        /// How many slots every group has, for good.
        slots: SlotCount,
        /// Its first settings.
        settings: Settings,
    },
    /// Lets a node in.
    Join {
        /// The cluster that it means to join.
        cluster: ClusterId,
        /// The node.
        member: Box<Member>,
        /// The last incarnation on the data directory whose lock the node holds. That one, and
        /// those before it on the same directory, are proven dead: a process holds the lock for as
        /// long as it lives.
        heir_of: Option<Incarnation>,
    },
    /// The lease of a member has ended: it is one no more, until it joins again.
    Lapse(Owner),
    /// A member gives its slots away and gets no new ones.
    Drain(Owner),
    /// A member that owns nothing any more is gone for good.
    Leave(Owner),
    /// Adds a placement group, or changes where it may be.
    Place(Group),
    /// Gives slots whose owner is gone, or that never had one, to a member.
    Assign {
        /// The group.
        group: GroupId,
        /// The slots, each with the epoch that it is known to have: at most [`BATCH_MAX`]. Those
        /// that have another one are left alone.
        slots: Vec<(Slot, Epoch)>,
        /// To whom.
        to: Owner,
    },
    /// Begins to move a slot.
    Move {
        /// Which.
        id: SlotId,
        /// The epoch that it is known to have.
        epoch: Epoch,
        /// Where it goes.
        to: Owner,
    },
    /// The old owner has stopped: the slot is the target's.
    Stopped {
        /// Which.
        id: SlotId,
        /// The epoch under which it was owned.
        epoch: Epoch,
        /// Who has stopped.
        by: Owner,
    },
    /// A move ends without the old owner's word. The slot stays with it under a higher epoch; if it
    /// is gone, the target has it, and if both are, nobody.
    Abort {
        /// Which.
        id: SlotId,
        /// The epoch under which it is owned.
        epoch: Epoch,
    },
    /// Says who votes, with what disk. Follows the change in the group itself.
    Seats(BTreeMap<NodeId, DiskId>),
    /// Changes the settings.
    Set(Settings),
    /// Chooses for a member that it votes, that it does not, or nothing any more.
    Choose {
        /// The member, in the life that it was chosen for. The choice is for all its lives.
        of: Owner,
        /// What.
        choice: Option<VoterChoice>,
    },
}

/// What is set for the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Which times leases and elections go by: 0 `lan`, 1 `fast`, 2 `wan`.
    pub profile: u32,
    /// How many moves of slots may begin in a second: 1 to 10,000, 200 by default. More empty a
    /// node sooner, and make more work beside the calls.
    pub moves_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: 0,
            moves_per_second: 200,
        }
    }
}

/// What a command has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The cluster exists.
    Formed(ClusterId),
    /// A node is a member. A life of it before is one no more.
    Joined(Owner),
    /// A member is one no more; its slots have no owner that lives.
    Lapsed(Owner),
    /// A member is being drained.
    Draining(Owner),
    /// A member is gone for good.
    Left(Owner),
    /// A group was added or changed.
    Placed(GroupId),
    /// A slot has a new epoch.
    Owned {
        /// Which.
        id: SlotId,
        /// Who owns it.
        owner: Owner,
        /// The new epoch.
        epoch: Epoch,
    },
    /// A slot is on its way.
    Moving {
        /// Which.
        id: SlotId,
        /// From whom.
        from: Owner,
        /// To whom.
        to: Owner,
        /// The epoch under which it still is.
        epoch: Epoch,
    },
    /// A slot that was on its way has lost both: nobody owns it.
    Orphaned(SlotId),
    /// The voters have changed.
    Seated,
    /// The settings have changed.
    Set,
    /// What is chosen for a member has changed.
    Chosen(Owner),
}

impl Command {
    /// Encodes the command, in the version `COMMAND_VERSION`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let kind = self.write(&mut out);
        let mut bytes = Vec::new();
        push_varint(&mut bytes, COMMAND_VERSION);
        push_varint(&mut bytes, kind);
        bytes.extend_from_slice(&out.finish());
        bytes
    }

    /// Writes the fields; returns the kind.
    fn write(&self, out: &mut Writer) -> u64 {
        match self {
            Self::Form {
                cluster,
                slots,
                settings,
            } => {
                out.bytes(1, &cluster.0.to_le_bytes());
                out.number(2, u64::from(slots.get()));
                out.record(3, |record| settings.write(record));
                KIND_FORM
            }
            Self::Join {
                cluster,
                member,
                heir_of,
            } => {
                out.bytes(1, &cluster.0.to_le_bytes());
                out.record(2, |record| member.write(record));
                if let Some(heir_of) = heir_of {
                    out.number(3, heir_of.0);
                }
                KIND_JOIN
            }
            Self::Lapse(owner) => owner_only(out, *owner, KIND_LAPSE),
            Self::Drain(owner) => owner_only(out, *owner, KIND_DRAIN),
            Self::Leave(owner) => owner_only(out, *owner, KIND_LEAVE),
            Self::Place(group) => {
                out.record(1, |record| group.write(record));
                KIND_PLACE
            }
            Self::Assign { group, slots, to } => {
                out.number(1, u64::from(group.0));
                for (slot, epoch) in slots {
                    out.record(2, |record| {
                        record.number(1, u64::from(slot.0));
                        record.number(2, epoch.0);
                    });
                }
                write_owner(out, 3, *to);
                KIND_ASSIGN
            }
            Self::Move { id, epoch, to } => {
                write_slot(out, *id, *epoch);
                write_owner(out, 4, *to);
                KIND_MOVE
            }
            Self::Stopped { id, epoch, by } => {
                write_slot(out, *id, *epoch);
                write_owner(out, 4, *by);
                KIND_STOPPED
            }
            Self::Abort { id, epoch } => {
                write_slot(out, *id, *epoch);
                KIND_ABORT
            }
            Self::Seats(seats) => {
                write_seats(out, 1, seats);
                KIND_SEATS
            }
            Self::Set(settings) => {
                out.record(1, |record| settings.write(record));
                KIND_SET
            }
            Self::Choose { of, choice } => write_choose(out, *of, *choice),
        }
    }

    /// Decodes a command of any version up to `COMMAND_VERSION`.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: what is wrong with the bytes, or that a later version has written them.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let found = reader.varint_u64()?;
        if !(1..=COMMAND_VERSION).contains(&found) {
            let (oldest, newest) = (1, COMMAND_VERSION);
            return Err(RecordError::UnknownVersion {
                found,
                oldest,
                newest,
            });
        }
        let kind = reader.varint_u64()?;
        let fields = Fields::strict("command", reader.take_rest());
        match kind {
            KIND_FORM => read_form(fields),
            KIND_JOIN => read_join(fields),
            KIND_LAPSE => read_owner_only(fields).map(Self::Lapse),
            KIND_DRAIN => read_owner_only(fields).map(Self::Drain),
            KIND_LEAVE => read_owner_only(fields).map(Self::Leave),
            KIND_PLACE => read_place(fields),
            KIND_ASSIGN => read_assign(fields),
            KIND_MOVE | KIND_STOPPED | KIND_ABORT => read_slot_command(kind, fields),
            KIND_SEATS => read_seats_only(fields).map(Self::Seats),
            KIND_SET => read_set(fields),
            KIND_CHOOSE => read_choose(fields),
            kind => {
                let record = "command";
                Err(RecordError::UnknownKind { record, kind })
            }
        }
    }
}

impl Settings {
    /// Returns what is out of range, if anything is.
    pub(super) fn check(&self) -> Option<&'static str> {
        let rules = [
            (self.profile <= 2, "profile"),
            (
                (1..=10_000).contains(&self.moves_per_second),
                "moves_per_second",
            ),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds);
        broken.map(|(_, field)| *field)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.number(1, u64::from(self.profile));
        out.number(2, u64::from(self.moves_per_second));
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let mut settings = Self::default();
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => settings.profile = field.number_u32("profile")?,
                2 => settings.moves_per_second = field.number_u32("moves_per_second")?,
                _ => fields.unknown(field)?,
            }
        }
        let record = "settings";
        match settings.check() {
            Some(field) => Err(RecordError::OutOfRange { record, field }),
            None => Ok(settings),
        }
    }
}

fn owner_only(out: &mut Writer, owner: Owner, kind: u64) -> u64 {
    write_owner(out, 1, owner);
    kind
}

fn write_choose(out: &mut Writer, of: Owner, choice: Option<VoterChoice>) -> u64 {
    write_owner(out, 1, of);
    if let Some(choice) = choice {
        out.number(2, choice_number(choice));
    }
    KIND_CHOOSE
}

fn write_slot(out: &mut Writer, id: SlotId, epoch: Epoch) {
    out.number(1, u64::from(id.group.0));
    out.number(2, u64::from(id.slot.0));
    out.number(3, epoch.0);
}

pub(super) fn write_seats(out: &mut Writer, tag: u64, seats: &BTreeMap<NodeId, DiskId>) {
    for (node, disk) in seats {
        out.record(tag, |seat| {
            seat.number(1, node.0);
            seat.number(2, disk.0);
        });
    }
}

fn read_form(mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let (mut cluster, mut slots) = (None, SlotCount::default());
    let mut settings = Settings::default();
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => cluster = Some(ClusterId(u128::from_le_bytes(field.array("cluster")?))),
            2 => {
                let count = SlotCount::new(field.number_u32("slots")?);
                slots = count.map_err(|_| field.out_of_range("slots"))?;
            }
            3 => settings = Settings::read(fields.within("settings", field))?,
            _ => fields.unknown(field)?,
        }
    }
    Ok(Command::Form {
        cluster: fields.require(cluster, "cluster")?,
        slots,
        settings,
    })
}

fn read_join(mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let (mut cluster, mut member, mut heir_of) = (None, None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => cluster = Some(ClusterId(u128::from_le_bytes(field.array("cluster")?))),
            2 => member = Some(Box::new(Member::read(fields.within("member", field))?)),
            3 => heir_of = Some(Incarnation(field.number()?)),
            _ => fields.unknown(field)?,
        }
    }
    Ok(Command::Join {
        cluster: fields.require(cluster, "cluster")?,
        member: fields.require(member, "member")?,
        heir_of,
    })
}

fn read_owner_only(mut fields: Fields<'_>) -> Result<Owner, RecordError> {
    let mut owner = None;
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => owner = Some(read_owner(fields.within("owner", field))?),
            _ => fields.unknown(field)?,
        }
    }
    fields.require(owner, "owner")
}

fn read_place(mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let mut group = None;
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => group = Some(Group::read(fields.within("group", field))?),
            _ => fields.unknown(field)?,
        }
    }
    fields.require(group, "group").map(Command::Place)
}

fn read_assign(mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let (mut group, mut slots, mut to) = (None, Vec::new(), None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => group = Some(GroupId(field.number_u32("group")?)),
            2 if slots.len() == BATCH_MAX => return Err(field.out_of_range("slots")),
            2 => {
                let mut record = fields.within("slot", field);
                let (mut slot, mut epoch) = (None, Epoch::default());
                while let Some(field) = record.next()? {
                    match field.tag {
                        1 => slot = Some(Slot(field.number_u32("slot")?)),
                        2 => epoch = Epoch(field.number()?),
                        _ => record.unknown(field)?,
                    }
                }
                slots.push((record.require(slot, "slot")?, epoch));
            }
            3 => to = Some(read_owner(fields.within("owner", field))?),
            _ => fields.unknown(field)?,
        }
    }
    Ok(Command::Assign {
        group: fields.require(group, "group")?,
        slots,
        to: fields.require(to, "owner")?,
    })
}

fn read_slot_command(kind: u64, mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let (mut group, mut slot, mut epoch, mut owner) = (None, None, None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => group = Some(GroupId(field.number_u32("group")?)),
            2 => slot = Some(Slot(field.number_u32("slot")?)),
            3 => epoch = Some(Epoch(field.number()?)),
            4 if kind != KIND_ABORT => owner = Some(read_owner(fields.within("owner", field))?),
            _ => fields.unknown(field)?,
        }
    }
    let id = SlotId {
        group: fields.require(group, "group")?,
        slot: fields.require(slot, "slot")?,
    };
    let epoch = fields.require(epoch, "epoch")?;
    if kind == KIND_ABORT {
        return Ok(Command::Abort { id, epoch });
    }
    let owner = fields.require(owner, "owner")?;
    Ok(if kind == KIND_MOVE {
        let to = owner;
        Command::Move { id, epoch, to }
    } else {
        let by = owner;
        Command::Stopped { id, epoch, by }
    })
}

fn read_seats_only(mut fields: Fields<'_>) -> Result<BTreeMap<NodeId, DiskId>, RecordError> {
    let mut seats = BTreeMap::new();
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => {
                let (node, disk) = read_seat(fields.within("seat", field))?;
                seats.insert(node, disk);
            }
            _ => fields.unknown(field)?,
        }
    }
    Ok(seats)
}

pub(super) fn read_seat(mut fields: Fields<'_>) -> Result<(NodeId, DiskId), RecordError> {
    let (mut node, mut disk) = (None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => node = Some(NodeId(field.number()?)),
            2 => disk = Some(DiskId(field.number()?)),
            _ => fields.unknown(field)?,
        }
    }
    let node = fields.require(node, "node")?;
    Ok((node, fields.require(disk, "disk")?))
}

fn read_set(mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let mut settings = None;
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => settings = Some(Settings::read(fields.within("settings", field))?),
            _ => fields.unknown(field)?,
        }
    }
    fields.require(settings, "settings").map(Command::Set)
}

fn read_choose(mut fields: Fields<'_>) -> Result<Command, RecordError> {
    let (mut of, mut choice) = (None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => of = Some(read_owner(fields.within("owner", field))?),
            2 => choice = Some(read_choice(field)?),
            _ => fields.unknown(field)?,
        }
    }
    let of = fields.require(of, "owner")?;
    Ok(Command::Choose { of, choice })
}

/// The version in which commands are written. Older ones are read.
pub(super) const COMMAND_VERSION: u64 = 1;

const KIND_FORM: u64 = 1;
const KIND_JOIN: u64 = 2;
const KIND_LAPSE: u64 = 3;
const KIND_DRAIN: u64 = 4;
const KIND_LEAVE: u64 = 5;
const KIND_PLACE: u64 = 6;
const KIND_ASSIGN: u64 = 7;
const KIND_MOVE: u64 = 8;
const KIND_STOPPED: u64 = 9;
const KIND_ABORT: u64 = 10;
const KIND_SEATS: u64 = 11;
const KIND_SET: u64 = 12;
const KIND_CHOOSE: u64 = 13;

#[cfg(test)]
mod tests;
