//! The clocks of a node.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the monotonic time.
    ///
    /// It has to agree with `tokio::time`: a timer set for `now() + d` fires when `now()` has
    /// advanced by `d`. Under virtual time that is `tokio::time::Instant::now().into_std()`.
    fn now(&self) -> Instant;

    /// Returns how much time has passed since some moment before the node started, which is always the
    /// same one: on a clock that also runs while the machine is suspended, and never goes back.
    ///
    /// Leases go by it. The machine that a node is on may be suspended and go on a day later; by the
    /// [monotonic time](Self::now), which may stand still meanwhile, its lease would be as good as
    /// before, and others have had its slots since. Nothing sleeps by it. It is read at the beginning and
    /// at the end of each turn of an actor that is placed, so it has to be cheap.
    fn since_boot(&self) -> Duration;

    /// Returns the time of day. It may jump, in both directions.
    ///
    /// It is used for certificates, for a new node's incarnation and in logs, never to order
    /// events or to measure a span.
    fn wall(&self) -> SystemTime;
}
