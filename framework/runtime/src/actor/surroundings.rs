//! What a guardian needs from its node. Implemented by `service`.

use std::{fmt, sync::Arc};

use callboard_protocol::time::Time;

use super::child::Child;

/// What a guardian needs from its node.
pub(crate) trait Surroundings: Send + Sync + fmt::Debug + 'static {
    /// Returns the time since the node's start.
    fn now(&self) -> Time;
    /// Returns a random number.
    fn random(&self) -> u64;
    /// Is told of each restart.
    fn restarted(&self, child: &'static str);
    /// Is told of each child that is given up.
    fn gave_up(&self, child: &'static str);
    /// Returns what has calls that run or wait, on a node that stops: all of it has to end.
    fn to_end(&self) -> Vec<Arc<dyn Child>>;
}
