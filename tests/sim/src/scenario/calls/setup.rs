//! What differs from seed to seed, besides the faults.

use callboard::net::{Authority, Config, Identity, StartError};
use callboard::{CallLimits, Strategy};
use callboard_protocol::id::{ClusterName, NodeId, NodeName};
use callboard_protocol::wire::hello::PeerKind;
use rand::Rng;
use rand::rngs::SmallRng;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The shape of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// Machines with nodes come first, then those with clients.
    pub(super) nodes: usize,
    pub(super) clients: usize,
    /// How many nodes, from the first, host the service. The others call it like clients.
    pub(super) hosts: usize,
    pub(super) lanes: u8,
    /// Spawned actors on each node.
    pub(super) actors: usize,
    /// Who is restarted with an actor that failed.
    pub(super) strategy: Strategy,
    /// Tasks that call, on each machine.
    pub(super) workers: usize,
    /// The longest pause of a worker between two calls.
    pub(super) gap: Duration,
    pub(super) in_flight_max: usize,
    pub(super) lane_buffer_bytes_max: usize,
    pub(super) datagram_bytes_max: u16,
    pub(super) segments_max: usize,
    pub(super) unread_max: usize,
    pub(super) wall_ahead: Vec<Duration>,
    /// How long after the start of the world each machine is switched on.
    pub(super) first_boot: Vec<Duration>,
    identities: Vec<Identity>,
}

impl Setup {
    pub(super) fn draw(rng: &mut SmallRng) -> Self {
        let nodes = rng.random_range(3..=5);
        let clients = rng.random_range(1..=2);
        Self {
            nodes,
            clients,
            hosts: rng.random_range(2..=nodes),
            lanes: rng.random_range(1..=4),
            actors: rng.random_range(1..=3),
            strategy: *pick(
                rng,
                &[
                    Strategy::OneForOne,
                    Strategy::OneForAll,
                    Strategy::RestForOne,
                ],
            ),
            workers: rng.random_range(1..=2),
            gap: Duration::from_millis(*pick(rng, &[30, 70, 140])),
            in_flight_max: *pick(rng, &[16, 64, 65_536]),
            lane_buffer_bytes_max: *pick(rng, &[128 << 10, 512 << 10, 4 << 20]),
            datagram_bytes_max: *pick(rng, &[1280, 1500, 6400]),
            segments_max: *pick(rng, &[1, 4, 10]),
            unread_max: *pick(rng, &[24, 256]),
            wall_ahead: (0..nodes + clients)
                .map(|_| Duration::from_millis(rng.random_range(0..5000)))
                .collect(),
            first_boot: (0..nodes + clients)
                .map(|_| Duration::from_millis(rng.random_range(0..400)))
                .collect(),
            identities: issue(nodes, nodes + clients)
                .expect("the seeded generator gives random bytes"),
        }
    }

    pub(super) fn machines(&self) -> usize {
        self.nodes + self.clients
    }

    pub(super) fn is_node(&self, machine: usize) -> bool {
        machine < self.nodes
    }

    pub(super) fn name(&self, machine: usize) -> String {
        if self.is_node(machine) {
            format!("n{}", machine + 1)
        } else {
            format!("c{}", machine + 1 - self.nodes)
        }
    }

    /// Returns the machine that the node of this id runs on.
    pub(super) fn machine(&self, node: NodeId) -> Option<usize> {
        (0..self.nodes).find(|&machine| NodeId::of(self.identities[machine].name()) == node)
    }

    pub(super) fn addr(&self, machine: usize) -> SocketAddr {
        let last = u8::try_from(machine + 1).unwrap_or(u8::MAX);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), PORT)
    }

    /// Returns the settings of every link.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::default();
        config.lanes = self.lanes;
        config.lane_buffer_bytes_max = self.lane_buffer_bytes_max;
        // Larger ones vanish on the path, as the discovery of its limit has to find out.
        config.datagram_bytes_max = 6400;
        config
    }

    /// Returns the limits of calls: low enough that a burst reaches them.
    pub(super) fn call_limits(&self) -> CallLimits {
        let mut limits = CallLimits::default();
        limits.in_flight_max = self.in_flight_max;
        limits.served_max = self.in_flight_max;
        limits
    }

    /// Returns the identity of a machine. It is the same at every boot.
    pub(super) fn identity(&self, machine: usize) -> Identity {
        self.identities[machine].clone()
    }
}

fn issue(nodes: usize, machines: usize) -> Result<Vec<Identity>, StartError> {
    let authority = Authority::throw_away(ClusterName::new("sim").expect("the name is valid"))?;
    (0..machines)
        .map(|machine| {
            let (kind, text) = if machine < nodes {
                (PeerKind::Node, format!("n{}", machine + 1))
            } else {
                (PeerKind::Client, format!("c{}", machine + 1 - nodes))
            };
            authority.issue(NodeName::new(text).expect("the name is valid"), kind)
        })
        .collect()
}

/// Returns one of several values, each equally likely.
pub(super) fn pick<'a, T>(rng: &mut SmallRng, values: &'a [T]) -> &'a T {
    &values[rng.random_range(0..values.len())]
}

/// The port of every node.
const PORT: u16 = 7100;

/// The timeout of calls that nothing disturbs.
pub(super) const CALM_TIMEOUT: Duration = Duration::from_millis(1500);
