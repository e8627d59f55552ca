//! How much a slot prefers a member.
//!
//! Depends on the hash function.

use xxhash_rust::xxh3::xxh3_64;

use crate::id::NodeId;
use crate::slots::SlotId;

/// Returns the preference of a slot for a member of this weight, the greatest being the first
/// choice: −weight ÷ ln(u), where u is uniform in (0, 1) by the hash of the two.
///
/// With it the member of the greatest score is chosen with a probability in proportion to its
/// weight, and a change of one weight moves slots to or from that member only (Schindelhauer and
/// Schomaker 2005, section 3, the logarithmic method).
pub(super) fn score(id: SlotId, node: NodeId, weight: u32) -> f64 {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&id.group.0.to_le_bytes());
    bytes[4..8].copy_from_slice(&id.slot.0.to_le_bytes());
    bytes[8..].copy_from_slice(&node.0.to_le_bytes());
    // Half a step off the ends: never 0, and made less than 1 below.
    let bits = u32::try_from(xxh3_64(&bytes) >> 32).expect("32 bits are left");
    let uniform = (f64::from(bits) + 0.5) / f64::from(u32::MAX);
    -f64::from(weight) / uniform.min(BELOW_ONE).ln()
}

const BELOW_ONE: f64 = 1.0 - f64::EPSILON;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::{GroupId, Slot};

    fn winner(slot: u32, weights: &[u32]) -> usize {
        let group = GroupId(1);
        let id = SlotId {
            group,
            slot: Slot(slot),
        };
        let score = |node: usize| score(id, NodeId(node as u64), weights[node]);
        let nodes = 0..weights.len();
        let best = nodes.max_by(|a, b| score(*a).total_cmp(&score(*b)));
        best.expect("some")
    }

    #[test]
    fn shares_are_in_proportion_to_the_weights() {
        let mut won = [0u32; 3];
        for slot in 0..60_000 {
            won[winner(slot, &[100, 200, 300])] += 1;
        }
        for (won, expected) in won.into_iter().zip([10_000u32, 20_000, 30_000]) {
            assert!(won.abs_diff(expected) < expected / 20, "{won} {expected}");
        }
    }

    #[test]
    fn a_further_member_takes_slots_and_moves_none_between_others() {
        for slot in 0..5000 {
            let (before, after) = (winner(slot, &[100; 4]), winner(slot, &[100; 5]));
            assert!(after == before || after == 4);
        }
    }
}
