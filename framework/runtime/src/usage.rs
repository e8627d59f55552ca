//! What a node tells of itself: its metrics, and what it holds of everything that has a bound, which
//! the simulator checks after each fault.
//!
//! It reads, and decides nothing. It may depend on `call`, `net` and `telemetry`.

use crate::call::{Hub, SPAWN_REQUESTS_MAX, Session};
use crate::net::Net;
use crate::telemetry::{LinkSample, PortSample};

/// How much is held of one kind of thing, in the table or buffer that holds the most of it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What it is, in words.
    pub what: &'static str,
    /// How much is held now.
    pub now: u64,
    /// How much may be held.
    pub most: u64,
}

/// Returns the metrics of a node or a client in the OpenMetrics text format.
pub(crate) fn metrics(hub: &Hub, net: &Net) -> String {
    let links: Vec<_> = net
        .links()
        .iter()
        .map(|link| {
            let stats = link.stats();
            LinkSample {
                peer: link.peer().name.to_string(),
                rtt: link.rtt(),
                sent_bytes: stats.bytes_sent,
                received_bytes: stats.bytes_received,
                lost_packets: stats.packets_lost,
            }
        })
        .collect();
    let port = PortSample {
        refusals: net.refusals(),
        strays: net.strays(),
        asked: net.asked(),
    };
    hub.metrics().text(&links, &hub.depths(), &port)
}

/// Returns what a node or a client holds.
pub(crate) fn usage(hub: &Hub, net: &Net) -> Vec<Held> {
    let limits = hub.call_limits();
    let sessions = hub.sessions();
    let links = net.links();
    let lanes = links.iter().map(|link| link.held_bytes());
    let (lane_bytes, lane_bytes_max) = lanes.max().unwrap_or((0, 0));
    let in_sessions = |count: fn(&Session) -> usize| {
        sessions
            .iter()
            .map(|session| count(session) as u64)
            .max()
            .unwrap_or(0)
    };
    let in_flight = limits.in_flight_max as u64;
    let served = limits.served_max as u64;
    let requests = hub.spawn_requests_len() as u64;
    vec![
        held(
            "calls that wait for a peer",
            in_sessions(|s| s.pending.len()),
            in_flight,
        ),
        held("calls of a peer", in_sessions(Session::served_len), served),
        held(
            "bytes of replies that wait",
            in_sessions(Session::late_bytes),
            // One reply may wait whatever its length.
            limits
                .reply_bytes_max
                .max(hub.limits().body_bytes_max as usize) as u64,
        ),
        held(
            "bytes of large bodies and items that come",
            sessions
                .iter()
                .map(|session| session.bodies().taken_bytes().0)
                .max()
                .unwrap_or(0),
            limits.bodies_bytes_max.max(1 << 10) as u64,
        ),
        held(
            "streams without their call",
            in_sessions(|s| s.streams.len()),
            served,
        ),
        held(
            "replies without their stream",
            in_sessions(|s| s.reply_streams.len()),
            in_flight,
        ),
        held(
            "watches on a peer",
            in_sessions(|s| s.watches.len()),
            u64::MAX,
        ),
        held(
            "names of actors",
            hub.names_len() as u64,
            limits.names_max as u64,
        ),
        held(
            "actors that were placed here",
            hub.placed_len() as u64,
            limits.placed_max as u64,
        ),
        held("requests for actors", requests, SPAWN_REQUESTS_MAX as u64),
        held("bytes in a lane", lane_bytes, lane_bytes_max),
        held("deadlines", hub.deadlines().len() as u64, u64::MAX),
    ]
}

/// Returns how many messages wait in each mailbox, by the name of what is hosted.
pub(crate) fn mailboxes(hub: &Hub) -> Vec<(String, u64)> {
    hub.depths()
        .into_iter()
        .map(|(name, depth)| (name, depth as u64))
        .collect()
}

fn held(what: &'static str, now: u64, most: u64) -> Held {
    Held { what, now, most }
}
