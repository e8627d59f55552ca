//! What a member lacks to own slots of an actor type.
//!
//! A definition may ask for nodes of a role, with labels, or in certain zones. Each node compares that
//! with itself and says what it lacks, since only the program that hosts a type has its definition. So
//! two versions of a program may ask for different things: each of their nodes goes by its own.
//! Depends on `member` and `record`.

use std::collections::BTreeSet;

use super::member::{TEXT_BYTES_MAX, read_label, read_name};
use super::record::{Fields, RecordError, Writer};
use crate::id::{InterfaceId, RoleName};

/// What a member lacks of that which the definition of an actor type asks of a node.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lack {
    /// A role in its certificate.
    #[error("it does not have the role {0}")]
    Role(RoleName),
    /// A label.
    #[error("it does not have the label {key}={value}")]
    Label {
        /// The label.
        key: String,
        /// The value that it must have.
        value: String,
    },
    /// It is in none of these zones: at most [`ZONES_MAX`].
    #[error("its zone is none of {}", .0.iter().map(String::as_str).collect::<Vec<_>>().join(", "))]
    Zone(BTreeSet<String>),
}

impl Lack {
    /// Returns what is out of range, if anything is.
    pub(super) fn check(&self) -> Option<&'static str> {
        let fits = |text: &String| text.len() <= TEXT_BYTES_MAX;
        let holds = match self {
            Self::Role(_) => true,
            Self::Label { key, value } => fits(key) && fits(value),
            Self::Zone(zones) => zones.len() <= ZONES_MAX && zones.iter().all(fits),
        };
        (!holds).then_some("lack")
    }

    pub(super) fn write(&self, kind: InterfaceId, out: &mut Writer) {
        out.number(1, u64::from(kind.0));
        match self {
            Self::Role(role) => out.text(2, role.as_str()),
            Self::Label { key, value } => out.record(3, |label| {
                label.text(1, key);
                label.text(2, value);
            }),
            Self::Zone(zones) => {
                for zone in zones {
                    out.text(4, zone);
                }
            }
        }
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<(InterfaceId, Self), RecordError> {
        let (mut kind, mut role, mut label) = (None, None, None);
        let mut zones = BTreeSet::new();
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => kind = Some(InterfaceId(field.number_u32("type")?)),
                2 => role = Some(read_name(field, "role", RoleName::new)?),
                3 => label = Some(read_label(fields.within("label", field))?),
                4 => {
                    zones.insert(field.text("zone")?.to_owned());
                }
                _ => fields.unknown(field)?,
            }
        }
        let lack = match (role, label) {
            (Some(role), _) => Self::Role(role),
            (None, Some((key, value))) => Self::Label { key, value },
            (None, None) => Self::Zone(zones),
        };
        Ok((fields.require(kind, "type")?, lack))
    }
}

/// The most zones of which a definition asks for one.
pub const ZONES_MAX: usize = 64;
