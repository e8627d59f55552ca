//! What a node tells of itself: metrics in the OpenMetrics text format. The only module that names
//! `prometheus-client`. Spans are made where the work is, with `tracing`.
//!
//! Labels are bounded: methods and actors are names from definitions, codes come from the error
//! table, peers are those linked at the moment of a scrape.

mod control;
mod durations;
mod metrics;
mod reckoned;
mod shards;

pub(crate) use control::{ControlSample, Handed};
pub(crate) use metrics::{LinkSample, MethodMetrics, Metrics, PortSample, Waits};
pub(crate) use shards::shard;
