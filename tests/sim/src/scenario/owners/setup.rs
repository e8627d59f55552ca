//! What differs from seed to seed, besides the faults.

use super::super::cluster::{EXPECT, PORT, address, pick};
use crate::ledger::MachineNumber;
use callboard::net::{Authority, Identity, PeerKind, StartError};
use callboard::{ClusterName, NodeName, Profile};
use callboard_protocol::slots::SlotCount;
use rand::Rng;
use rand::rngs::SmallRng;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The shape of a cluster. Machines with nodes come first, then one with a client.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) nodes: usize,
    /// How long there are faults.
    pub(super) storm: Duration,
    pub(super) profile: Profile,
    pub(super) slots: SlotCount,
    pub(super) keys: usize,
    /// After what time a voter that is gone, or has no log, loses its seat.
    pub(super) gone_max: Duration,
    /// Whether somebody chooses who votes.
    pub(super) chooses: bool,
    /// The longest pause of a caller between two calls.
    pub(super) gap: Duration,
    /// How fast the clocks of each machine run, in thousandths.
    pub(super) rates: Vec<u32>,
    /// How long after the start of the world each machine is switched on.
    pub(super) first_boot: Vec<Duration>,
    identities: Vec<Identity>,
}

impl Setup {
    /// # Errors
    /// What issuing certificates says.
    pub(super) fn draw(rng: &mut SmallRng, is_long: bool) -> Result<Self, StartError> {
        let nodes = match (*pick(rng, &[3, 3, 4, 5]), is_long) {
            (_, true) => 5,
            (nodes, false) => nodes,
        };
        let machines = nodes + 1;
        let has_drift = rng.random_bool(0.5);
        let rate = |rng: &mut SmallRng| match has_drift {
            true => rng.random_range(990..=1010),
            false => crate::world::RATE_EXACT,
        };
        Ok(Self {
            nodes,
            storm: if is_long { STORM_LONG } else { STORM },
            profile: *pick(rng, &[Profile::lan(), Profile::fast()]),
            slots: SlotCount::new(*pick(rng, &[8, 16, 64])).unwrap_or_default(),
            keys: rng.random_range(3..=12),
            gone_max: GONE_MAX,
            chooses: false,
            gap: Duration::from_millis(*pick(rng, &[60, 150, 300])),
            rates: (0..machines).map(|_| rate(rng)).collect(),
            first_boot: (0..machines)
                .map(|machine| match machine < EXPECT {
                    true => Duration::ZERO,
                    false => Duration::from_millis(rng.random_range(0..8000)),
                })
                .collect(),
            identities: issue(nodes)?,
        })
    }

    /// Lets voters that are gone lose their seats soon, in some worlds.
    pub(super) fn with_gone_max(mut self, rng: &mut SmallRng) -> Self {
        self.gone_max = *pick(rng, &[GONE_MAX, Duration::from_secs(3)]);
        self
    }

    /// Lets somebody choose who votes, in some worlds.
    pub(super) fn with_choices(mut self, rng: &mut SmallRng) -> Self {
        self.chooses = rng.random_bool(0.4);
        self
    }

    pub(super) fn machines(&self) -> usize {
        self.nodes + 1
    }

    pub(super) fn is_node(&self, machine: MachineNumber) -> bool {
        machine < self.nodes
    }

    pub(super) fn name(&self, machine: MachineNumber) -> String {
        match self.is_node(machine) {
            true => format!("n{}", machine + 1),
            false => "c1".to_owned(),
        }
    }

    pub(super) fn addr(&self, machine: MachineNumber) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::new(10, 0, 0, address(machine)).into(), PORT)
    }

    /// Returns the identity of a machine. It is the same at every boot.
    pub(super) fn identity(&self, machine: MachineNumber) -> Identity {
        self.identities[machine].clone()
    }

    /// Returns for how long of the world's time a machine's clocks show so much.
    pub(super) fn of_world(&self, machine: MachineNumber, span: Duration) -> Duration {
        span * crate::world::RATE_EXACT / self.rates[machine]
    }
}

fn issue(nodes: usize) -> Result<Vec<Identity>, StartError> {
    let authority = Authority::throw_away(ClusterName::new("sim").expect("the name is valid"))?;
    let named = (1..=nodes).map(|number| (PeerKind::Node, format!("n{number}")));
    let named = named.chain([(PeerKind::Client, "c1".to_owned())]);
    named
        .map(|(kind, name)| {
            let name = NodeName::new(name).expect("the name is valid");
            authority.issue(name, kind)
        })
        .collect()
}

/// Longer than a world lasts.
const GONE_MAX: Duration = Duration::from_secs(60);

const STORM: Duration = Duration::from_secs(15);

/// With all that follows it, a world of this lasts for half a minute.
const STORM_LONG: Duration = Duration::from_secs(26);
