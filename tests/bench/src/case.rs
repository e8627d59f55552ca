//! What is measured: every case, and who takes part.

use crate::args::Group;
use crate::job::{Contender, SMALL_BYTES, Target, Work};

use Contender::{
    Assembled, Channels, Kameo, Ours, OursKeyed, OursLanes4, OursLanes8, OursService, OursThreads,
    Ractor, Raw, RawCallers, Tarpc, TcpTls, TonicBidi, TonicUnary,
};

/// One thing that is measured.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) work: Work,
    /// Whether each call is timed.
    pub(crate) timed: bool,
    /// Of a thousand packets between the processes, so many are lost; nothing is loopback.
    pub(crate) lost_permille: Option<u32>,
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
        quick: true,
        ..beside(
            "beside-1m",
            Target::Another,
            &[Ours, OursThreads, Raw, TonicUnary],
        )
    },
    beside("beside-1m-same", Target::Same, &[Ours, Raw]),
    bulk("bulk-64k-16", 64 << 10, 16),
    bulk("bulk-1m-4", 1 << 20, 4),
    Case {
        group: Group::Connect,
        work: Work::Connect,
        ..calls("connect", 0, 0, &[Ours, Raw, TonicUnary])
    },
    Case {
        work: Work::Send { bytes: SMALL_BYTES },
        quick: true,
        ..calls("sends-128", 0, 0, &[Ours, OursThreads, Raw, Ractor])
    },
    Case {
        work: Work::SendSlow { bytes: SMALL_BYTES },
        ..calls("sends-slow-128", 0, 0, &[Ours])
    },
    Case {
        group: Group::SlowConsumers,
        work: Work::SlowConsumers { consumers: 1000 },
        ..calls("slow-consumers", 0, 0, &[Ours])
    },
    Case {
        group: Group::Overload,
        work: Work::Overload,
        ..calls("overload", 0, 0, &[Ours])
    },
    lossy("loss-0-64", 0),
    lossy("loss-1-64", 10),
    lossy("loss-2-64", 20),
    local("local-send-1", Work::LocalSend { pairs: 1 }, IN_PROCESS),
    local("local-send-8", Work::LocalSend { pairs: 8 }, IN_PROCESS),
    local("local-call-1", Work::LocalCall { in_flight: 1 }, IN_PROCESS),
    local(
        "local-call-1024",
        Work::LocalCall { in_flight: 1024 },
        IN_PROCESS,
    ),
    local("spawn", Work::Spawn, &[Ours, Ractor, Kameo]),
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
        lost_permille: None,
        quick: false,
        contenders,
    }
}

const fn beside(name: &'static str, large_for: Target, contenders: &'static [Contender]) -> Case {
    Case {
        work: Work::Beside {
            bytes: 1 << 20,
            in_flight: 8,
            large_for,
        },
        ..calls(name, 0, 0, contenders)
    }
}

/// Over the lossy link, even where nothing is lost: that is what the others are compared with.
const fn lossy(name: &'static str, permille: u32) -> Case {
    Case {
        group: Group::Loss,
        timed: true,
        lost_permille: Some(permille),
        ..calls(
            name,
            SMALL_BYTES,
            64,
            &[Ours, OursLanes4, OursLanes8, Raw, TcpTls],
        )
    }
}

const fn local(name: &'static str, work: Work, contenders: &'static [Contender]) -> Case {
    Case {
        group: Group::Local,
        work,
        quick: true,
        ..calls(name, 0, 0, contenders)
    }
}

const fn bulk(name: &'static str, bytes: usize, in_flight: usize) -> Case {
    Case {
        group: Group::Bulk,
        work: Work::Put { bytes, in_flight },
        quick: true,
        ..calls(name, 0, 0, LARGE)
    }
}

const EVERYBODY: &[Contender] = &[
    Ours,
    OursService,
    OursKeyed,
    OursThreads,
    Raw,
    RawCallers,
    Assembled,
    TcpTls,
    TonicUnary,
    TonicBidi,
    Ractor,
    Kameo,
];

const IN_PROCESS: &[Contender] = &[Ours, Channels, Ractor, Kameo];

const LARGE: &[Contender] = &[
    Ours,
    OursThreads,
    Raw,
    Assembled,
    TonicUnary,
    TonicBidi,
    Tarpc,
    Ractor,
    Kameo,
];

const CLOSEST: &[Contender] = &[Ours, Raw, Assembled, TonicUnary, TonicBidi];
