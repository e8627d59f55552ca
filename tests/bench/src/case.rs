//! What is measured: every case, and who takes part.

use crate::args::Group;
use crate::job::{Contender, SMALL_BYTES, Work};

use Contender::{
    Assembled, Ours, OursOneThread, OursService, Raw, RawCallers, TcpTls, TonicBidi, TonicUnary,
};

/// One thing that is measured.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) work: Work,
    /// Whether each call is timed.
    pub(crate) timed: bool,
    /// Of a thousand packets between the processes, so many are lost.
    pub(crate) lost_permille: u32,
    /// Whether it is part of a quick look.
    pub(crate) quick: bool,
    pub(crate) contenders: &'static [Contender],
}

/// Every case.
pub(crate) const CASES: &[Case] = &[
    Case {
        quick: true,
        ..calls("calls-128-64", SMALL_BYTES, 64, EVERYBODY)
    },
    Case {
        quick: true,
        ..calls("calls-128-1024", SMALL_BYTES, 1024, EVERYBODY)
    },
    Case {
        quick: true,
        timed: true,
        ..calls("calls-128-1", SMALL_BYTES, 1, EVERYBODY)
    },
    calls("calls-1k-64", 1 << 10, 64, CLOSEST),
    calls("calls-1k-1024", 1 << 10, 1024, CLOSEST),
    Case {
        timed: true,
        ..calls("calls-1k-1", 1 << 10, 1, CLOSEST)
    },
    Case {
        work: Work::Beside {
            bytes: 1 << 20,
            in_flight: 8,
        },
        quick: true,
        ..calls("beside-1m", 0, 0, &[Ours, RawCallers, TonicUnary])
    },
    bulk("bulk-64k-16", 64 << 10, 16),
    bulk("bulk-1m-4", 1 << 20, 4),
    Case {
        group: Group::Connect,
        work: Work::Connect,
        ..calls("connect", 0, 0, &[Ours, RawCallers, TonicUnary])
    },
];

const fn calls(
    name: &'static str,
    bytes: usize,
    in_flight: usize,
    contenders: &'static [Contender],
) -> Case {
    Case {
        name,
        group: Group::Remote,
        work: Work::Echo { bytes, in_flight },
        timed: false,
        lost_permille: 0,
        quick: false,
        contenders,
    }
}

const fn bulk(name: &'static str, bytes: usize, in_flight: usize) -> Case {
    Case {
        group: Group::Bulk,
        work: Work::Put { bytes, in_flight },
        quick: true,
        ..calls(name, 0, 0, &[Ours, Raw, Assembled, TonicUnary, TonicBidi])
    }
}

const EVERYBODY: &[Contender] = &[
    Ours,
    OursService,
    OursOneThread,
    Raw,
    RawCallers,
    Assembled,
    TcpTls,
    TonicUnary,
    TonicBidi,
];

const CLOSEST: &[Contender] = &[Ours, Raw, Assembled, TonicUnary, TonicBidi];
