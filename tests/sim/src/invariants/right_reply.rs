//! No reply reaches the wrong call: every reply echoes the token of the call.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, Outcome};

#[derive(Debug)]
pub(super) struct RightReply;

impl Invariant for RightReply {
    fn name(&self) -> &'static str {
        "no-reply-reaches-the-wrong-call"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Ended {
                token,
                outcome: Outcome::Answered { echo },
            } if echo != token => Err(format!("call {token} got the reply of call {echo}")),
            _ => Ok(()),
        }
    }
}
