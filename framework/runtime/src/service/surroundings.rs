//! What guardians need from their node.

use std::sync::Arc;

use callboard_protocol::time::Time;

use crate::{
    actor::{Child, Surroundings},
    call::Hub,
};

/// A node, as its guardians see it.
#[derive(Debug)]
pub(super) struct NodeSurroundings(pub(super) Arc<Hub>);

impl Surroundings for NodeSurroundings {
    fn now(&self) -> Time {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn restarted(&self, child: &'static str) {
        self.0.metrics().restarted(child);
    }

    fn gave_up(&self, child: &'static str) {
        self.0.metrics().gave_up(child);
    }

    fn to_end(&self) -> Vec<Arc<dyn Child>> {
        self.0.to_end()
    }
}
