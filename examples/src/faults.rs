//! What a run does to its nodes, and when, by the clock of their turns.
//!
//! It opens nothing and reads no clock; the times are handed in.

use crate::trace::{Fault, FaultKind};

/// What was done, that which has not ended included.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Something is done to a node, until [`Self::end`].
    pub fn begin(&mut self, node: &str, kind: FaultKind, now_ns: u64) {
        self.0.push(Fault {
            node: node.to_owned(),
            from_ns: now_ns,
            until_ns: u64::MAX,
            kind,
        });
    }

    /// What is done to a node has ended.
    pub fn end(&mut self, node: &str, kind: FaultKind, now_ns: u64) {
        let its = self
            .0
            .iter_mut()
            .filter(|it| it.node == node && it.kind == kind);
        let open = its.filter(|it| it.until_ns == u64::MAX);
        open.for_each(|fault| fault.until_ns = now_ns);
    }

    /// Takes all of it.
    pub fn take(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_until_it_is_ended_and_no_later_end_moves_it() {
        let mut faults = Faults::default();
        faults.begin("n1", FaultKind::Paused, 10);
        faults.begin("n1", FaultKind::Cut, 12);
        faults.begin("n2", FaultKind::Paused, 15);
        faults.end("n1", FaultKind::Paused, 20);
        faults.end("n1", FaultKind::Paused, 30);
        let times: Vec<(u64, u64)> = faults
            .take()
            .iter()
            .map(|fault| (fault.from_ns, fault.until_ns))
            .collect();
        assert_eq!(times, [(10, 20), (12, u64::MAX), (15, u64::MAX)]);
    }
}
