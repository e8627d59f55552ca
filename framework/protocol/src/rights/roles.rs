//! The roles that a certificate gives to its owner.

use std::{fmt, sync::Arc};

use crate::id::RoleName;

/// The roles of a node or a client, in order, each once.
///
/// A clone is cheap. Without a role nothing is allocated.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Roles(Option<Arc<[RoleName]>>);

impl Roles {
    /// Returns whether the role is one of them.
    #[must_use]
    pub fn contains(&self, role: &str) -> bool {
        self.iter().any(|held| held.as_str() == role)
    }

    /// Returns the roles, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RoleName> {
        self.0.iter().flat_map(|roles| roles.iter())
    }
}

impl FromIterator<RoleName> for Roles {
    fn from_iter<I: IntoIterator<Item = RoleName>>(roles: I) -> Self {
        let mut roles: Vec<_> = roles.into_iter().collect();
        roles.sort();
        roles.dedup();
        Self((!roles.is_empty()).then(|| roles.into()))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(RoleName::as_str))
            .finish()
    }
}

/// The names, with commas between; nothing for no role.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(RoleName::as_str).collect::<Vec<_>>();
        f.write_str(&names.join(", "))
    }
}
