//! Begins calls at a steady rate until it is told to end, and says when all of it is over.
//!
//! It does not know what a call is: it is handed what begins one.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Begins calls at `rate` a second until `ending` turns true, then waits for those in flight.
///
/// `begin` is told when the call was due and spawns it on the set.
///
/// # Cancel safety
/// Dropping it drops the calls in flight.
pub async fn paced(
    rate: f64,
    mut ending: watch::Receiver<bool>,
    mut begin: impl FnMut(Instant, &mut JoinSet<()>),
) {
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(GRAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let mut count = 0u64;
    while !*ending.borrow_and_update() {
        // Both branches are cancel safe. The sender lives as long as this task does.
        tokio::select! {
            _ = ticks.tick() => {}
            _ = ending.changed() => continue,
        }
        let now = Instant::now();
        while count < ((now - start).as_secs_f64() * rate) as u64 {
            count += 1;
            let due = start + Duration::from_secs_f64(count as f64 / rate);
            // The timer's own grain is not the cluster's latency; more lateness than that is.
            let late = now.saturating_duration_since(due);
            begin(if late <= 2 * GRAIN { now } else { due }, &mut calls);
        }
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
}

/// Whether everybody who has listened to `ending` is done.
///
/// That nothing is in flight says less: whoever has not heard of the end yet, because it was about to
/// begin a call, will have one in flight in a moment.
#[must_use]
pub fn all_have_ended(ending: &watch::Sender<bool>) -> bool {
    ending.receiver_count() == 0
}

/// How exactly calls are begun: the grain of the runtime's timer.
const GRAIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    };

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_call_that_begins_while_the_end_is_told_is_waited_for() {
        let (ending, _) = watch::channel(false);
        let (answered, answer) = watch::channel(false);
        let (is_at_it, at_it) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicU64::new(0));
        let count = begun.clone();
        let begin = move |_, calls: &mut JoinSet<()>| {
            let _ = is_at_it.send(());
            // Returns when the other end is gone.
            let _ = may_go_on.recv();
            count.fetch_add(1, Ordering::SeqCst);
            let mut answer = answer.clone();
            calls.spawn(async move {
                let _ = answer.wait_for(|answered| *answered).await;
            });
        };
        let pacing = tokio::spawn(paced(1000.0, ending.subscribe(), begin));
        let waiting = tokio::task::spawn_blocking(move || at_it.recv());
        waiting.await.expect("no panic").expect("a first call");

        ending.send_replace(true);
        assert_eq!(begun.load(Ordering::SeqCst), 0, "nothing is in flight");
        assert!(!all_have_ended(&ending), "and it is not over");

        drop(go_on);
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!all_have_ended(&ending), "a call is in flight");
        answered.send_replace(true);
        pacing.await.expect("no panic");
        assert!(all_have_ended(&ending));
    }
}
