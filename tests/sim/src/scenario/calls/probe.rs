//! Finds out when a machine gets answers from everywhere again.

use super::board::Phase;
use super::operation::{Caller, Terms};
use crate::ledger::Outcome;
use std::time::Duration;

/// Waits for the calm, then calls every actor of every node and the service until all of them have
/// answered in one round.
pub(super) async fn run(caller: Caller) {
    while caller.board.phase() < Phase::Calm {
        tokio::time::sleep(PAUSE).await;
    }
    while !everything_answers(&caller).await {
        tokio::time::sleep(PAUSE).await;
    }
    caller.board.recovered(caller.machine);
}

async fn everything_answers(caller: &Caller) -> bool {
    let terms = Terms {
        timeout: TIMEOUT,
        drop_after: None,
    };
    for log in caller.logs(false) {
        if !is_answer(caller.read(log, terms, 0).await) {
            return false;
        }
    }
    is_answer(caller.echo(terms, 10).await) && is_answer(caller.strict(terms, 10).await)
}

fn is_answer(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Answered { .. }))
}

const PAUSE: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_millis(500);
