//! Whether more links are about to come up.

use super::Peers;

impl<L: Clone + PartialEq> Peers<L> {
    /// Returns whether a node is known that is not linked, that was not linked before, and that has not been
    /// dialled in vain.
    pub(in super::super) fn is_settling(&self) -> bool {
        let mut seeds = self.seeds.iter();
        let seed = seeds
            .any(|(addr, seed)| !seed.dial.is_tried && !seed.is_own && !self.is_linked_seed(*addr));
        // A seed's address is dialled as a seed, once.
        seed || self
            .unlinked()
            .any(|member| !member.dial.is_tried && !self.seeds.contains_key(&member.info.addr))
    }
}
