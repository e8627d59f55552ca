//! Placement groups: actor types that are placed together, and where they may be.
//!
//! Says who may own a group's slots; whom of them to choose is the business of `placement`.
//! Depends on `id`, `lack`, `member` and `record`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

use super::lack::Lack;
use super::member::Member;
use super::record::{Fields, RecordError, Writer};
use super::state::Standing;
use crate::id::InterfaceId;

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
    /// The oldest version of the protocol that an owner must speak.
    pub version_min: u32,
}

impl Group {
    /// Makes a group of these types, for members of any version.
    #[must_use]
    pub fn of(id: GroupId, types: impl IntoIterator<Item = InterfaceId>) -> Self {
        Self {
            id,
            types: types.into_iter().collect(),
            version_min: 0,
        }
    }

    /// Returns why a member must not own slots of the group, or nothing when it may.
    #[must_use]
    pub fn why_not(&self, member: &Member) -> Option<Ineligible> {
        if let Some(missing) = self.types.difference(&member.hosts).next() {
            return Some(Ineligible::DoesNotHost(*missing));
        }
        if let Some(lack) = self.types.iter().find_map(|it| member.lacks.get(it)) {
            return Some(Ineligible::Lacks(lack.clone()));
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
        let fits = (1..=TYPES_MAX).contains(&self.types.len());
        (!fits).then_some("types")
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.number(1, u64::from(self.id.0));
        for kind in &self.types {
            out.number(2, u64::from(kind.0));
        }
        out.number(6, u64::from(self.version_min));
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let (mut id, mut version_min) = (None, 0);
        let mut types = BTreeSet::new();
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => id = Some(GroupId(field.number_u32("id")?)),
                2 => {
                    types.insert(InterfaceId(field.number_u32("type")?));
                }
                6 => version_min = field.number_u32("version")?,
                _ => fields.unknown(field)?,
            }
        }
        let group = Self {
            id: fields.require(id, "id")?,
            types,
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
    /// It lacks what the definition of a type asks for.
    #[error("{0}")]
    Lacks(Lack),
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
