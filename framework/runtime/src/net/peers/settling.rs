//! Whether more links are about to come up.

use super::{Dial, Peers};

impl<L: Clone + PartialEq> Peers<L> {
    /// Returns whether a node is known that is not linked, and that has not been dialled in vain since it was
    /// heard of or lost.
    pub(in super::super) fn is_settling(&self) -> bool {
        let is_untried = |dial: &Dial| dial.attempt == 0 && dial.failed.is_none();
        let mut seeds = self.seeds.iter();
        let seed = seeds.any(|(addr, seed)| {
            is_untried(&seed.dial) && !seed.is_own && !self.is_linked_seed(*addr)
        });
        // A seed's address is dialled as a seed, once.
        seed || self
            .unlinked()
            .any(|member| is_untried(&member.dial) && !self.seeds.contains_key(&member.info.addr))
    }
}
