//! Placement groups: actor types that are placed together, and where they may be.
//!
//! Says who may own a group's slots; whom of them to choose is the business of `placement`.
//! Depends on `id`, `member` and `record`.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::member::{LABELS_MAX, Member, ROLES_MAX, TEXT_BYTES_MAX, read_label, read_name};
use super::record::{Fields, RecordError, Writer};
use super::state::Standing;
use crate::id::{InterfaceId, RoleName};

/// Identifies a placement group within its cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// The actor types with equal placement attributes. They share a slot table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Which.
    pub id: GroupId,
    /// The types. A node that does not host all of them owns no slot of the group.
    pub types: BTreeSet<InterfaceId>,
    /// Roles that an owner must have.
    pub roles: BTreeSet<RoleName>,
    /// Labels that an owner must have.
    pub labels: BTreeMap<String, String>,
    /// The zones in which an owner must be; any when empty.
    pub zones: BTreeSet<String>,
    /// The oldest version of the protocol that an owner must speak.
    pub version_min: u32,
}

impl Group {
    /// Makes a group of these types that may be anywhere.
    #[must_use]
    pub fn anywhere(id: GroupId, types: impl IntoIterator<Item = InterfaceId>) -> Self {
        Self {
            id,
            types: types.into_iter().collect(),
            roles: BTreeSet::new(),
            labels: BTreeMap::new(),
            zones: BTreeSet::new(),
            version_min: 0,
        }
    }

    /// Returns why a member must not own slots of the group, or nothing when it may.
    #[must_use]
    pub fn why_not(&self, member: &Member) -> Option<Ineligible> {
        if let Some(missing) = self.types.difference(&member.hosts).next() {
            return Some(Ineligible::DoesNotHost(*missing));
        }
        if let Some(role) = self.roles.difference(&member.roles).next() {
            return Some(Ineligible::LacksRole(role.clone()));
        }
        let lacks = |(key, value): &(&String, &String)| member.labels.get(*key) != Some(*value);
        if let Some((key, value)) = self.labels.iter().find(lacks) {
            return Some(Ineligible::LacksLabel {
                key: key.clone(),
                value: value.clone(),
            });
        }
        if !self.zones.is_empty() && !self.zones.contains(&member.zone) {
            return Some(Ineligible::WrongZone(member.zone.clone()));
        }
        if member.version < self.version_min {
            let (speaks, needs) = (member.version, self.version_min);
            return Some(Ineligible::TooOld { speaks, needs });
        }
        None
    }

    /// Returns why a member that stands so must not get slots of the group, or nothing when it may.
    #[must_use]
    pub fn why_not_now(&self, member: &Member, standing: Standing) -> Option<Ineligible> {
        match standing {
            Standing::Live => self.why_not(member),
            Standing::Draining => Some(Ineligible::Draining),
            Standing::Lapsed => Some(Ineligible::Lapsed),
        }
    }

    /// Returns what is out of range, if anything is.
    pub(super) fn check(&self) -> Option<&'static str> {
        let labels = self.labels.iter().flat_map(|(key, value)| [key, value]);
        if labels
            .chain(&self.zones)
            .any(|it| it.len() > TEXT_BYTES_MAX)
        {
            return Some("zone or label");
        }
        let rules = [
            ((1..=TYPES_MAX).contains(&self.types.len()), "types"),
            (self.labels.len() <= LABELS_MAX, "labels"),
            (self.roles.len() <= ROLES_MAX, "roles"),
            (self.zones.len() <= ZONES_MAX, "zones"),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds);
        broken.map(|(_, field)| *field)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.number(1, u64::from(self.id.0));
        for kind in &self.types {
            out.number(2, u64::from(kind.0));
        }
        for role in &self.roles {
            out.text(3, role.as_str());
        }
        for (key, value) in &self.labels {
            out.record(4, |label| {
                label.text(1, key);
                label.text(2, value);
            });
        }
        for zone in &self.zones {
            out.text(5, zone);
        }
        out.number(6, u64::from(self.version_min));
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let (mut id, mut version_min) = (None, 0);
        let (mut types, mut roles) = (BTreeSet::new(), BTreeSet::new());
        let (mut labels, mut zones) = (BTreeMap::new(), BTreeSet::new());
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => id = Some(GroupId(field.number_u32("id")?)),
                2 => {
                    types.insert(InterfaceId(field.number_u32("type")?));
                }
                3 => {
                    roles.insert(read_name(field, "role", RoleName::new)?);
                }
                4 => {
                    let (key, value) = read_label(fields.within("label", field))?;
                    labels.insert(key, value);
                }
                5 => {
                    zones.insert(field.text("zone")?.to_owned());
                }
                6 => version_min = field.number_u32("version")?,
                _ => fields.unknown(field)?,
            }
        }
        let group = Self {
            id: fields.require(id, "id")?,
            types,
            roles,
            labels,
            zones,
            version_min,
        };
        let record = "group";
        match group.check() {
            Some(field) => Err(RecordError::OutOfRange { record, field }),
            None => Ok(group),
        }
    }
}

/// Why a member must not own slots of a group.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ineligible {
    /// It does not host one of the types.
    #[error("it does not host the type {0}")]
    DoesNotHost(InterfaceId),
    /// It does not have a role.
    #[error("it does not have the role {0}")]
    LacksRole(RoleName),
    /// It does not have a label.
    #[error("it does not have the label {key}={value}")]
    LacksLabel {
        /// The label.
        key: String,
        /// The value that it must have.
        value: String,
    },
    /// It is in another zone.
    #[error("it is in zone {0:?}")]
    WrongZone(String),
    /// It speaks an older version of the protocol than the group needs.
    #[error("it speaks protocol version {speaks}, and the group needs {needs}")]
    TooOld {
        /// The newest version that it speaks.
        speaks: u32,
        /// The oldest version that is needed.
        needs: u32,
    },
    /// It is being drained.
    #[error("it is being drained")]
    Draining,
    /// Its lease has ended.
    #[error("its lease has ended")]
    Lapsed,
}

/// The most types of a group.
pub const TYPES_MAX: usize = 1024;

const ZONES_MAX: usize = 64;
