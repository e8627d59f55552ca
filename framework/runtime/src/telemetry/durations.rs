//! A histogram of durations that is cheap to add to: two atomic additions and no lock.
//!
//! prometheus-client's own takes a lock and searches a list of floating-point bounds; a call adds
//! to three of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

use super::shards::Sharded;

/// A histogram. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(Arc<Sharded<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    nanos: AtomicU64,
    /// How many durations were not longer than each bound, and not than the one before it; the
    /// last is for those that are longer than all.
    counts: [AtomicU64; BOUNDS.len() + 1],
}

impl Durations {
    pub(super) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let index = BOUNDS.iter().take_while(|bound| nanos > **bound).count();
        let own = self.0.own();
        own.nanos.fetch_add(nanos, Ordering::Relaxed);
        if let Some(count) = own.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many durations were noted.
    pub(super) fn count(&self) -> u64 {
        let counts = self.0.all().flat_map(|part| &part.counts);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut counts = [0; BOUNDS.len() + 1];
        let mut nanos = 0_u64;
        for part in self.0.all() {
            nanos = nanos.wrapping_add(part.nanos.load(Ordering::Relaxed));
            for (sum, count) in counts.iter_mut().zip(&part.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        let bounds = BOUNDS
            .iter()
            .map(|nanos| seconds(*nanos))
            .chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = seconds(nanos);
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// From a local call to a deadline, in steps of about three; nanoseconds.
const BOUNDS: [u64; 13] = [
    10_000,
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
];

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn durations_fall_into_the_buckets_of_their_bounds() {
        let durations = Durations::default();
        for micros in [10, 11, 1_000, 60_000_000] {
            durations.observe(Duration::from_micros(micros));
        }
        let mut registry = Registry::default();
        registry.register("it", "Took", durations);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        for line in [
            "it_sum 60.001021",
            "it_count 4",
            "it_bucket{le=\"0.00001\"} 1",
            "it_bucket{le=\"0.00003\"} 2",
            "it_bucket{le=\"0.0003\"} 2",
            "it_bucket{le=\"0.001\"} 3",
            "it_bucket{le=\"10.0\"} 3",
            "it_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
