//! Groups of actors that a node stops with itself.

use std::sync::{MutexGuard, PoisonError};

use crate::actor::Guardian;

use super::hub::Hub;

impl Hub {
    /// Notes a group of actors that ends with the node.
    pub(crate) fn new_group(&self, group: Guardian) -> Guardian {
        self.groups().push(group.clone());
        group
    }

    /// Forgets the groups that have stopped.
    pub(crate) fn forget_stopped_groups(&self) {
        self.groups().retain(|group| !group.is_over());
    }

    /// Takes the groups, the youngest first.
    pub(crate) fn take_groups(&self) -> Vec<Guardian> {
        let mut groups = std::mem::take(&mut *self.groups());
        groups.reverse();
        groups
    }

    fn groups(&self) -> MutexGuard<'_, Vec<Guardian>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
