//! A member of the cluster, as the control group knows it.
//!
//! Holds values and their limits, and encodes them. Depends on `id` and `record`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use super::lack::Lack;
use super::record::{Field, Fields, RecordError, Writer};
use crate::id::{DiskId, Incarnation, InterfaceId, NodeId, NodeName, RoleName};

/// One life of a node: what owns slots.
///
/// A later life of the same node is another owner. A node that was taken for dead and has joined
/// again must not act on what its life before has owned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.incarnation)
    }
}

/// What a node says of itself when it joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name, from which its id follows.
    pub name: NodeName,
    /// Which life of it this is.
    pub incarnation: Incarnation,
    /// Its data directory; nothing for a node that keeps nothing. Only one with a disk may vote.
    pub disk: Option<DiskId>,
    /// Where it can be reached.
    pub addr: SocketAddr,
    /// What is likely to fail together with it. Empty when it does not say.
    pub zone: String,
    /// What it may do, by its certificate.
    pub roles: BTreeSet<RoleName>,
    /// What its operator says of it: at most [`LABELS_MAX`] pairs.
    pub labels: BTreeMap<String, String>,
    /// The actor types that it hosts: at most [`HOSTS_MAX`].
    pub hosts: BTreeSet<InterfaceId>,
    /// Those of them whose state does not end when a slot goes elsewhere: only their slots are moved for
    /// balance. A version that does not know this says none.
    pub movable: BTreeSet<InterfaceId>,
    /// Those of them of which it must not own slots, and what it lacks for it. A version that does not know
    /// this lacks nothing.
    pub lacks: BTreeMap<InterfaceId, Lack>,
    /// The newest version of the protocol that it speaks.
    pub version: u32,
    /// How much of the load it takes beside others: 1 to [`WEIGHT_MAX`], 100 by default.
    pub weight: u32,
}

impl Member {
    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId::of(&self.name)
    }

    /// Returns this life of it, as it owns slots.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner {
            node: self.id(),
            incarnation: self.incarnation,
        }
    }

    /// Returns what is out of range, if anything is.
    pub(super) fn check(&self) -> Option<&'static str> {
        let texts = [&self.zone];
        let labels = self.labels.iter().flat_map(|(key, value)| [key, value]);
        if texts
            .into_iter()
            .chain(labels)
            .any(|it| it.len() > TEXT_BYTES_MAX)
        {
            return Some("zone or label");
        }
        let rules = [
            (self.labels.len() <= LABELS_MAX, "labels"),
            (self.roles.len() <= ROLES_MAX, "roles"),
            (self.hosts.len() <= HOSTS_MAX, "hosts"),
            (self.movable.len() <= HOSTS_MAX, "movable"),
            (self.lacks.len() <= HOSTS_MAX, "lacks"),
            ((1..=WEIGHT_MAX).contains(&self.weight), "weight"),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds);
        let broken = broken.map(|(_, field)| *field);
        broken.or_else(|| self.lacks.values().find_map(Lack::check))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.text(1, self.name.as_str());
        out.number(2, self.incarnation.0);
        if let Some(disk) = self.disk {
            out.number(3, disk.0);
        }
        out.text(4, &self.addr.to_string());
        out.text(5, &self.zone);
        for role in &self.roles {
            out.text(6, role.as_str());
        }
        for (key, value) in &self.labels {
            out.record(7, |label| {
                label.text(1, key);
                label.text(2, value);
            });
        }
        for host in &self.hosts {
            out.number(8, u64::from(host.0));
        }
        out.number(9, u64::from(self.version));
        out.number(10, u64::from(self.weight));
        for host in &self.movable {
            out.number(11, u64::from(host.0));
        }
        for (kind, lack) in &self.lacks {
            out.record(12, |record| lack.write(*kind, record));
        }
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let (mut name, mut incarnation, mut disk, mut addr) = (None, None, None, None);
        let (mut zone, mut version, mut weight) = (String::new(), 0, WEIGHT_DEFAULT);
        let (mut roles, mut labels) = (BTreeSet::new(), BTreeMap::new());
        let (mut hosts, mut movable) = (BTreeSet::new(), BTreeSet::new());
        let mut lacks = BTreeMap::new();
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => name = Some(read_name(field, "name", NodeName::new)?),
                2 => incarnation = Some(Incarnation(field.number()?)),
                3 => disk = Some(DiskId(field.number()?)),
                4 => {
                    let text = field.text("address")?.parse();
                    addr = Some(text.map_err(|_| field.out_of_range("address"))?);
                }
                5 => zone = field.text("zone")?.to_owned(),
                6 => {
                    roles.insert(read_name(field, "role", RoleName::new)?);
                }
                7 => {
                    let (key, value) = read_label(fields.within("label", field))?;
                    labels.insert(key, value);
                }
                8 => {
                    hosts.insert(InterfaceId(field.number_u32("host")?));
                }
                9 => version = field.number_u32("version")?,
                10 => weight = field.number_u32("weight")?,
                11 => {
                    movable.insert(InterfaceId(field.number_u32("movable")?));
                }
                12 => {
                    let (kind, lack) = Lack::read(fields.within("lack", field))?;
                    lacks.insert(kind, lack);
                }
                _ => fields.unknown(field)?,
            }
        }
        let member = Self {
            name: fields.require(name, "name")?,
            incarnation: fields.require(incarnation, "incarnation")?,
            disk,
            addr: fields.require(addr, "address")?,
            zone,
            roles,
            labels,
            hosts,
            movable,
            lacks,
            version,
            weight,
        };
        let record = "member";
        match member.check() {
            Some(field) => Err(RecordError::OutOfRange { record, field }),
            None => Ok(member),
        }
    }
}

pub(super) fn read_name<T, E>(
    field: Field<'_>,
    what: &'static str,
    check: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, RecordError> {
    let text = field.text(what)?.to_owned();
    check(text).map_err(|_| field.out_of_range(what))
}

pub(super) fn read_label(mut fields: Fields<'_>) -> Result<(String, String), RecordError> {
    let (mut key, mut value) = (None, String::new());
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => key = Some(field.text("key")?.to_owned()),
            2 => value = field.text("value")?.to_owned(),
            _ => fields.unknown(field)?,
        }
    }
    Ok((fields.require(key, "key")?, value))
}

/// Writes an owner as a record.
pub(super) fn write_owner(out: &mut Writer, tag: u64, owner: Owner) {
    out.record(tag, |record| {
        record.number(1, owner.node.0);
        record.number(2, owner.incarnation.0);
    });
}

pub(super) fn read_owner(mut fields: Fields<'_>) -> Result<Owner, RecordError> {
    let (mut node, mut incarnation) = (None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => node = Some(NodeId(field.number()?)),
            2 => incarnation = Some(Incarnation(field.number()?)),
            _ => fields.unknown(field)?,
        }
    }
    Ok(Owner {
        node: fields.require(node, "node")?,
        incarnation: fields.require(incarnation, "incarnation")?,
    })
}

/// The most labels of a member.
pub const LABELS_MAX: usize = 32;

/// The most actor types that a member hosts.
pub const HOSTS_MAX: usize = 4096;

/// The greatest weight of a member.
pub const WEIGHT_MAX: u32 = 10_000;

const WEIGHT_DEFAULT: u32 = 100;

/// The most roles of a member.
pub(super) const ROLES_MAX: usize = 64;

/// The longest zone, and the longest key and value of a label, in bytes.
pub const TEXT_BYTES_MAX: usize = 63;
