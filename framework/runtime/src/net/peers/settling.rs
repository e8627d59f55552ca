//! Whether more links are about to come up.

use super::Peers;

impl<L: Clone + PartialEq> Peers<L> {
    /// Returns whether a node is known that is not linked, that was not linked before, and that has not been
    /// dialled in vain.
    pub(in super::super) fn is_settling(&self) -> bool {
        let mut seeds = self.seeds.iter();
        let seed = seeds
            .any(|(addr, seed)| !seed.dial.is_tried && !seed.is_own && !self.is_linked_seed(*addr));
        seed || self.awaits_named()
    }

    /// Returns whether a node that a linked one has named is not linked, was not linked before, and has not been
    /// dialled in vain.
    pub(in super::super) fn awaits_named(&self) -> bool {
        self.unlinked().any(|member| {
            // A seed's address is dialled as a seed, once.
            let seed = self.seeds.get(&member.info.addr);
            !seed.map_or(&member.dial, |seed| &seed.dial).is_tried
        })
    }
}
