//! The items of a stream arrive in order, without gaps or doubles; a stream that ends without an
//! error had all of them.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, Token};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct StreamsHaveNoGaps {
    next: BTreeMap<Token, u64>,
}

impl Invariant for StreamsHaveNoGaps {
    fn name(&self) -> &'static str {
        "streams-have-no-gaps"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Item { token, index } => {
                let next = self.next.entry(token).or_default();
                if index != *next {
                    return Err(format!(
                        "stream {token} gave item {index}, item {next} was due"
                    ));
                }
                *next += 1;
            }
            Event::StreamEnded {
                token,
                items,
                wanted,
            } if items != wanted => {
                return Err(format!(
                    "stream {token} ended after {items} of {wanted} items"
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
