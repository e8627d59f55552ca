//! A task that watches actors, one after the other.

use super::board::Phase;
use super::operation::Caller;
use super::setup::pick;
use crate::ledger::Event;
use callboard::prelude::*;
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// Watches an actor until it is down or until the patience for it is over, then another one.
pub(super) async fn run(caller: Caller, mut rng: SmallRng) {
    while caller.board.phase() < Phase::Quiet {
        tokio::time::sleep(PAUSE).await;
        let logs = caller.logs(false);
        if logs.is_empty() {
            continue;
        }
        let log = pick(&mut rng, &logs);
        let node = Reference::as_raw(log).node();
        let Some(on) = node.and_then(|node| caller.board.setup.machine(node)) else {
            continue;
        };
        let watch = caller.board.ledger.token();
        let patience = PATIENCE.mul_f64(rng.random::<f64>());
        let by = caller.machine;
        caller
            .board
            .ledger
            .record(Event::Watching { watch, by, on });
        // Cancel safe: dropping the watch is how it is given up.
        let is_down = tokio::select! {
            biased;
            _ = callboard::watch(log) => true,
            () = tokio::time::sleep(patience) => false,
            () = quiet(&caller) => false,
        };
        caller
            .board
            .ledger
            .record(Event::Watched { watch, is_down });
    }
}

/// Waits until nothing may be held any more.
async fn quiet(caller: &Caller) {
    while caller.board.phase() < Phase::Quiet {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Longer than it takes to notice that a machine is lost.
const PATIENCE: Duration = Duration::from_secs(9);
const PAUSE: Duration = Duration::from_millis(70);
