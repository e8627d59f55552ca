//! Messages from one sender to one actor arrive in the order sent. Some may be missing, after a
//! fault; none comes before one that was sent earlier, and none comes twice.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct OrderPerPair {
    /// The last number that arrived, by sender and instance of the actor.
    last: BTreeMap<(u64, u64), u64>,
}

impl Invariant for OrderPerPair {
    fn name(&self) -> &'static str {
        "order-is-kept-per-pair"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        let Event::Arrived {
            token,
            actor,
            sender,
            sequence,
        } = entry.event
        else {
            return Ok(());
        };
        match self.last.insert((sender, actor), sequence) {
            Some(before) if sequence <= before => Err(format!(
                "message {sequence} (call {token}) of sender {sender} reached actor {actor} after message {before}"
            )),
            _ => Ok(()),
        }
    }
}
