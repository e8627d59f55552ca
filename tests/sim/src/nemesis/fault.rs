//! The kinds of faults.

use crate::world::{Conditions, DiskTrouble};
use std::collections::BTreeSet;
use std::time::Duration;

/// A fault. Machines are named by their number in the world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// Every link is bad: lossy, slow, doubling, reordering, corrupting.
    Weather {
        /// How bad; added to what the links are otherwise.
        worse: Conditions,
    },
    /// One direction of a link is bad.
    BadLink {
        /// From this machine.
        from: usize,
        /// To this machine.
        to: usize,
        /// How bad.
        worse: Conditions,
    },
    /// The machines of one side reach no other; with `one_way` they still hear them.
    Partition {
        /// One side.
        side: BTreeSet<usize>,
        /// Only what leaves the side is lost.
        one_way: bool,
    },
    /// Two machines do not reach each other, while both reach all others.
    CutPair {
        /// The two.
        pair: (usize, usize),
        /// Only the direction from the first to the second is lost.
        one_way: bool,
    },
    /// Nothing passes from one machine to another for a while, then all of it at once.
    Clog {
        /// From this machine.
        from: usize,
        /// To this machine.
        to: usize,
    },
    /// The power fails; the machine restarts at the end of the fault.
    Crash {
        /// The machine.
        host: usize,
    },
    /// The machine is asked to leave in good order; it starts anew at the end of the fault.
    Leave {
        /// The machine.
        host: usize,
    },
    /// The machine stands still, and does not know it.
    Pause {
        /// The machine.
        host: usize,
    },
    /// The machine is suspended: it stands still, and so do its timers.
    Suspend {
        /// The machine.
        host: usize,
    },
    /// Something is wrong with a machine's disk.
    Disk {
        /// The machine.
        host: usize,
        /// What.
        trouble: DiskTrouble,
    },
}

impl Fault {
    /// Returns what this fault does to a machine's disk.
    pub(super) fn disk_trouble(&self, of: usize) -> Option<DiskTrouble> {
        match self {
            Fault::Disk { host, trouble } if *host == of => Some(*trouble),
            _ => None,
        }
    }

    /// Changes the conditions from one machine to another by what this fault does to them.
    pub(super) fn apply(&self, link: &mut Conditions, from: usize, to: usize, end: Duration) {
        match self {
            Fault::Weather { worse } => link.worsen(worse),
            Fault::BadLink {
                from: a,
                to: b,
                worse,
            } if (from, to) == (*a, *b) => link.worsen(worse),
            Fault::Partition { side, one_way } => {
                let leaves = side.contains(&from) && !side.contains(&to);
                let enters = side.contains(&to) && !side.contains(&from);
                link.is_cut |= leaves || (enters && !one_way);
            }
            Fault::CutPair {
                pair: (a, b),
                one_way,
            } => {
                link.is_cut |= (from, to) == (*a, *b) || ((from, to) == (*b, *a) && !one_way);
            }
            Fault::Clog { from: a, to: b } if (from, to) == (*a, *b) => {
                link.clogged_until = link.clogged_until.max(Some(end));
            }
            Fault::BadLink { .. }
            | Fault::Clog { .. }
            | Fault::Crash { .. }
            | Fault::Leave { .. }
            | Fault::Pause { .. }
            | Fault::Suspend { .. }
            | Fault::Disk { .. } => {}
        }
    }
}
