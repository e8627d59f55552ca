//! Numbers that follow from others: what every call adds to is kept once, and a scrape does the sums.

use std::sync::{Arc, OnceLock};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::Counter},
};

use super::{durations::Durations, metrics::Often};

/// How many calls wait for their end: those that began, less those that ended or were dropped.
/// Clones are handles to the same number.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<Flights>);

#[derive(Debug, Default)]
struct Flights {
    dropped: Counter,
    /// The calls that began, and how long those that ended took.
    known: OnceLock<(Often, Durations)>,
}

impl InFlight {
    /// Says what it follows from.
    pub(super) fn follows(&self, began: &Often, took: &Durations) {
        self.0.known.get_or_init(|| (began.clone(), took.clone()));
    }

    /// Counts a call that was dropped.
    pub(super) fn dropped(&self) {
        self.0.dropped.inc();
    }

    fn get(&self) -> i64 {
        let Some((began, took)) = self.0.known.get() else {
            return 0;
        };
        // The ends are read BEFORE the beginnings: a call that ends meanwhile is not below zero.
        let over = self.0.dropped.get() + took.count();
        i64::try_from(began.get().saturating_sub(over)).unwrap_or(i64::MAX)
    }
}

impl EncodeMetric for InFlight {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_gauge(&self.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for InFlight {
    const TYPE: MetricType = MetricType::Gauge;
}

/// How many calls ended on their host: those that had a turn, whose duration is noted, and those that
/// had none. Clones are handles to the same number.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    without_turn: Counter,
    turns: OnceLock<Durations>,
}

impl Ends {
    /// Says what it follows from.
    pub(super) fn follows(&self, turns: &Durations) {
        self.0.turns.get_or_init(|| turns.clone());
    }

    /// Counts a call that ended without a turn.
    pub(super) fn without_turn(&self) {
        self.0.without_turn.inc();
    }

    fn get(&self) -> u64 {
        self.0.without_turn.get() + self.0.turns.get().map_or(0, Durations::count)
    }
}

impl EncodeMetric for Ends {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Ends {
    const TYPE: MetricType = MetricType::Counter;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn calls_are_in_flight_from_their_beginning_to_their_end_or_drop() {
        let (began, took, in_flight) =
            (Often::default(), Durations::default(), InFlight::default());
        assert_eq!(in_flight.get(), 0);
        in_flight.follows(&began, &took);
        began.inc_by(3);
        assert_eq!(in_flight.get(), 3);
        took.observe(Duration::from_millis(1));
        in_flight.dropped();
        assert_eq!(in_flight.get(), 1);
    }

    #[test]
    fn calls_with_and_without_a_turn_have_ended() {
        let (turns, ends) = (Durations::default(), Ends::default());
        ends.without_turn();
        assert_eq!(ends.get(), 1);
        ends.follows(&turns);
        turns.observe(Duration::from_millis(1));
        assert_eq!(ends.get(), 2);
    }
}
