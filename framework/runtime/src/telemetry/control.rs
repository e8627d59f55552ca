//! What a node's part in the cluster looks like in the metrics.
//!
//! Depends on `prometheus_client`.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

/// A node's part in the cluster at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ControlSample {
    pub(crate) term: u64,
    pub(crate) is_leader: bool,
    pub(crate) applied: u64,
    pub(crate) voters: u64,
    pub(crate) sync: Duration,
    pub(crate) lease_left: Duration,
}

/// What became of the state of an actor, or of a send to one, in a move.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handed {
    /// The new owner has the state.
    Given,
    /// The key begins anew.
    Lost,
    /// The new owner has the send.
    Forwarded,
}

/// The gauges of a node's part in the cluster.
#[derive(Debug, Default)]
pub(super) struct ControlGauges {
    term: Gauge,
    is_leader: Gauge,
    applied: Gauge,
    voters: Gauge,
    sync: Gauge<f64, AtomicU64>,
    lease_left: Gauge<f64, AtomicU64>,
    states_given: Counter,
    states_lost: Counter,
    sends_forwarded: Counter,
}

impl ControlGauges {
    pub(super) fn register(&self, r: &mut Registry) {
        let help = "The term of the control group, 0 on a node without a log of it";
        r.register("control_term", help, self.term.clone());
        let help = "Whether this node leads the control group";
        r.register("control_is_leader", help, self.is_leader.clone());
        let help = "The last entry of the control group that is applied here";
        r.register("control_applied", help, self.applied.clone());
        let help = "Nodes that vote in the control group, as known here";
        r.register("control_voters", help, self.voters.clone());
        let help = "How long the last write to the log of the control group took";
        r.register_with_unit("control_sync", help, Unit::Seconds, self.sync.clone());
        let help = "How long this node's lease lasts from its last renewal, 0 without one";
        r.register_with_unit("lease_left", help, Unit::Seconds, self.lease_left.clone());
        let help = "States of actors that the next owners of their slots have";
        r.register("states_given", help, self.states_given.clone());
        let help = "States of actors that were to go along with their slots and did not";
        r.register("states_lost", help, self.states_lost.clone());
        let help = "Sends that waited here and that the next owners of their slots have";
        r.register("sends_forwarded", help, self.sends_forwarded.clone());
    }

    pub(super) fn handed(&self, what: Handed, count: usize) {
        let counter = match what {
            Handed::Given => &self.states_given,
            Handed::Lost => &self.states_lost,
            Handed::Forwarded => &self.sends_forwarded,
        };
        counter.inc_by(count as u64);
    }

    pub(super) fn set(&self, sample: &ControlSample) {
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.term.set(count(sample.term));
        self.is_leader.set(i64::from(sample.is_leader));
        self.applied.set(count(sample.applied));
        self.voters.set(count(sample.voters));
        self.sync.set(sample.sync.as_secs_f64());
        self.lease_left.set(sample.lease_left.as_secs_f64());
    }
}
