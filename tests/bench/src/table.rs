//! The table of bounds.

use crate::bound::Against::{Nobody, Plus, Times};
use crate::bound::Limit::{AtLeast, AtMost};
use crate::bound::{Against, Bound, Limit};
use crate::job::Contender::{
    Channels, Kameo, Ours, OursKeyed, OursService, Ractor, Raw, TcpTls, TonicBidi, TonicUnary,
};

/// Every bound.
pub(crate) const BOUNDS: &[Bound] = &[
    bold(rate(
        "remote calls, 64 in flight",
        "calls-128-64",
        Times(Raw),
        0.6,
        Some(0.75),
    )),
    bold(rate(
        "remote calls, 64 in flight",
        "calls-128-64",
        Times(TonicUnary),
        6.0,
        Some(10.0),
    )),
    bold(rate(
        "remote calls, 64 in flight",
        "calls-128-64",
        Times(Ractor),
        5.0,
        None,
    )),
    bold(rate(
        "remote calls, 64 in flight",
        "calls-128-64",
        Times(Kameo),
        15.0,
        None,
    )),
    bold(rate(
        "remote calls, 64 in flight",
        "calls-128-64",
        Times(TonicBidi),
        0.8,
        Some(0.95),
    )),
    rate(
        "remote calls, 1024 in flight",
        "calls-128-1024",
        Times(Raw),
        0.55,
        Some(0.65),
    ),
    rate(
        "remote calls, 1024 in flight",
        "calls-128-1024",
        Times(TonicUnary),
        12.0,
        Some(20.0),
    ),
    rate(
        "remote calls, 1024 in flight",
        "calls-128-1024",
        Times(Ractor),
        8.0,
        None,
    ),
    Bound {
        of: OursKeyed,
        ..rate(
            "keyed call to a remote owner",
            "calls-128-64",
            Times(OursService),
            0.9,
            None,
        )
    },
    p50(Times(Raw), 1.4, Some(1.15)),
    p50(Times(TonicUnary), 0.7, None),
    p50(Times(Ractor), 0.8, None),
    bold(cpu(Times(Raw), 1.8, Some(1.35))),
    bold(cpu(Times(TonicUnary), 0.15, None)),
    sends("sends_per_s", Times(Raw), AtLeast(0.5), Some(AtLeast(0.7))),
    sends("sends_per_s", Times(Ractor), AtLeast(8.0), None),
    sends("lost", Nobody, AtMost(0.0), None),
    Bound {
        case: "sends-slow-128",
        ..sends("lost", Nobody, AtMost(0.0), None)
    },
    Bound {
        case: "sends-slow-128",
        ..sends("grown_bytes", Nobody, AtMost(GROWN_BYTES_MAX), None)
    },
    bandwidth("bulk-64k-16", Times(Raw), 0.8, Some(0.9)),
    bandwidth("bulk-64k-16", Times(TonicUnary), 1.0, Some(1.5)),
    bandwidth("bulk-64k-16", Times(Kameo), 7.0, None),
    bandwidth("bulk-1m-4", Times(Raw), 0.8, Some(0.9)),
    bandwidth("bulk-1m-4", Times(TonicUnary), 1.0, Some(1.5)),
    bandwidth("bulk-1m-4", Times(Kameo), 7.0, None),
    Bound {
        row: "a 1 MiB transfer beside small calls",
        bold: true,
        case: "beside-1m",
        figure: "p99_ratio",
        of: Ours,
        against: Nobody,
        must: AtMost(3.0),
        moonshot: Some(AtMost(1.5)),
    },
    Bound {
        row: "connect, hello and first reply",
        bold: false,
        case: "connect",
        figure: "p50_ns",
        of: Ours,
        against: Times(Raw),
        must: AtMost(2.0),
        moonshot: Some(AtMost(1.2)),
    },
    local_send("local-send-1", Times(Channels), 0.5, Some(0.6)),
    local_send("local-send-1", Times(Ractor), 4.0, Some(6.0)),
    local_send("local-send-1", Times(Kameo), 4.0, Some(6.0)),
    local_send("local-send-8", Times(Channels), 0.5, Some(0.6)),
    local_send("local-send-8", Times(Ractor), 4.0, Some(6.0)),
    local_send("local-send-8", Times(Kameo), 4.0, Some(6.0)),
    rate(
        "local call, 1 in flight",
        "local-call-1",
        Times(Channels),
        0.7,
        Some(0.8),
    ),
    rate(
        "local call, 1 in flight",
        "local-call-1",
        Times(Ractor),
        1.4,
        Some(1.8),
    ),
    rate(
        "local call, 1024 in flight",
        "local-call-1024",
        Times(Channels),
        0.7,
        Some(0.8),
    ),
    rate(
        "local call, 1024 in flight",
        "local-call-1024",
        Times(Ractor),
        1.4,
        Some(1.8),
    ),
    spawn(
        "spawns_per_s",
        Times(Ractor),
        AtLeast(0.9),
        Some(AtLeast(1.0)),
    ),
    spawn(
        "actor_bytes",
        Plus(Ractor),
        AtMost(1024.0),
        Some(AtMost(0.0)),
    ),
    loss("1 % loss, 64 in flight", "loss-1-64"),
    loss("2 % loss, 64 in flight", "loss-2-64"),
    slow("grown_bytes", GROWN_BYTES_MAX),
    slow("uncounted", 0.0),
    goodput("goodput_2x", 0.90),
    goodput("goodput_5x", 0.85),
    goodput("goodput_10x", 0.80),
    overload("p99_2x_ratio", 5.0),
    overload("p99_5x_ratio", 5.0),
    overload("p99_10x_ratio", 5.0),
    overload("refused_p99_2x_ns", REFUSED_NS_MAX),
    overload("refused_p99_5x_ns", REFUSED_NS_MAX),
    overload("refused_p99_10x_ns", REFUSED_NS_MAX),
    overload("grown_bytes", GROWN_BYTES_MAX),
    overload("abnormal_after_2s", 0.01),
];

const fn bold(bound: Bound) -> Bound {
    Bound {
        bold: true,
        ..bound
    }
}

const fn rate(
    row: &'static str,
    case: &'static str,
    against: Against,
    must: f64,
    moonshot: Option<f64>,
) -> Bound {
    Bound {
        row,
        bold: false,
        case,
        figure: "calls_per_s",
        of: Ours,
        against,
        must: AtLeast(must),
        moonshot: match moonshot {
            Some(ratio) => Some(AtLeast(ratio)),
            None => None,
        },
    }
}

const fn bandwidth(
    case: &'static str,
    against: Against,
    must: f64,
    moonshot: Option<f64>,
) -> Bound {
    Bound {
        figure: "body_bytes_per_s",
        ..rate("64 KiB and 1 MiB bodies", case, against, must, moonshot)
    }
}

const fn local_send(
    case: &'static str,
    against: Against,
    must: f64,
    moonshot: Option<f64>,
) -> Bound {
    Bound {
        figure: "sends_per_s",
        ..rate("local send 1→1; 8→8", case, against, must, moonshot)
    }
}

const fn p50(against: Against, must: f64, moonshot: Option<f64>) -> Bound {
    at_most(
        "remote call, 1 in flight, p50",
        "calls-128-1",
        "p50_ns",
        against,
        must,
        moonshot,
    )
}

const fn cpu(against: Against, must: f64, moonshot: Option<f64>) -> Bound {
    let row = "CPU per call, both sides, 64 in flight";
    at_most(row, "calls-128-64", "cpu_ns", against, must, moonshot)
}

const fn loss(row: &'static str, case: &'static str) -> Bound {
    at_most(row, case, "p99_ns", Times(TcpTls), 1.0, None)
}

const fn slow(figure: &'static str, most: f64) -> Bound {
    let row = "1000 slow consumers, producer at full speed";
    at_most(row, "slow-consumers", figure, Nobody, most, None)
}

const fn overload(figure: &'static str, most: f64) -> Bound {
    let row = "up to ten times the peak";
    at_most(row, "overload", figure, Nobody, most, None)
}

const fn goodput(figure: &'static str, least: f64) -> Bound {
    Bound {
        must: AtLeast(least),
        ..overload(figure, 0.0)
    }
}

const fn at_most(
    row: &'static str,
    case: &'static str,
    figure: &'static str,
    against: Against,
    must: f64,
    moonshot: Option<f64>,
) -> Bound {
    Bound {
        row,
        bold: false,
        case,
        figure,
        of: Ours,
        against,
        must: AtMost(must),
        moonshot: match moonshot {
            Some(ratio) => Some(AtMost(ratio)),
            None => None,
        },
    }
}

const fn sends(
    figure: &'static str,
    against: Against,
    must: Limit,
    moonshot: Option<Limit>,
) -> Bound {
    Bound {
        row: "remote sends",
        bold: false,
        case: "sends-128",
        figure,
        of: Ours,
        against,
        must,
        moonshot,
    }
}

const fn spawn(
    figure: &'static str,
    against: Against,
    must: Limit,
    moonshot: Option<Limit>,
) -> Bound {
    Bound {
        row: "supervised spawn; bytes of an idle spawned actor",
        case: "spawn",
        ..sends(figure, against, must, moonshot)
    }
}

/// Whoever is refused has to know within 100 ms.
const REFUSED_NS_MAX: f64 = 1e8;

/// What both processes may grow by: the send buffers (8 MiB), the windows (8 MiB each way), a
/// mailbox of 1024, and what the allocator keeps of them.
const GROWN_BYTES_MAX: f64 = 64.0 * 1024.0 * 1024.0;
