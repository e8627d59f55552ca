//! The two clocks of a node.

use std::fmt::Debug;
use std::time::{Instant, SystemTime};

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the monotonic time.
    ///
    /// It has to agree with `tokio::time`: a timer set for `now() + d` fires when `now()` has
    /// advanced by `d`. Under virtual time that is `tokio::time::Instant::now().into_std()`.
    fn now(&self) -> Instant;

    /// Returns the time of day. It may jump, in both directions.
    ///
    /// It is used for certificates, for a new node's incarnation and in logs, never to order
    /// events or to measure a span.
    fn wall(&self) -> SystemTime;
}
