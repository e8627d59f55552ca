//! The load generator: a client that calls the Greeter at a steady rate, keeps a Room busy, and lets
//! the shoppers call their carts (`shoppers.rs`).
//!
//! The rate does not depend on the answers (an open loop): a slow cluster does not slow the
//! generator down and so hide it. Latency runs from when a call was due. Every call that is begun is
//! counted once, by the [`Tally`] of its kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard::Code;
use callboard::prelude::*;
use callboard_examples::pacing::{all_have_ended, paced};
use callboard_examples::report::{Named, Second, Summary};
use callboard_examples::tally::{Ending, Tally};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::driver::Happening;
use crate::services::{Greeter, GreeterRef, Lobby, LobbyRef, Posted, RoomRef};
use crate::shoppers::Shoppers;

/// How long a call may take, retries included. Longer than the time in which a dead peer is noticed
/// (3 s), so that a call to a killed node can still be made elsewhere.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    client: Client,
    counts: Arc<Counts>,
    pub(crate) shoppers: Arc<Shoppers>,
    /// Turns true when no more calls are to be begun.
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
    retries_told: u64,
}

/// How much load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Calls to the Greeter a second.
    pub(crate) rate: u64,
    /// Calls of one kind that may be in flight at once.
    pub(crate) in_flight_max: u64,
}

/// What calls are that have not ended when the load is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unended {
    /// Past their deadline: the framework has broken its promise.
    Hung,
    /// Given up, because the run was ended early.
    CutOff,
}

#[derive(Debug, Default)]
struct Counts {
    greeter: Mutex<Tally>,
    room: Mutex<Tally>,
    skipped: Mutex<u64>,
}

impl Load {
    /// Begins to call.
    pub(crate) fn start(
        client: Client,
        shoppers: Arc<Shoppers>,
        pace: Pace,
        inbox: mpsc::Sender<Happening>,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let (ending, _) = watch::channel(false);
        let (room, _) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_a_room(
            client.service::<Lobby>(),
            room.clone(),
            ending.subscribe(),
            inbox,
        ));
        tasks.spawn(greet(
            client.service::<Greeter>(),
            pace,
            counts.clone(),
            ending.subscribe(),
        ));
        tasks.spawn(chatter(
            client.service::<Greeter>(),
            room.subscribe(),
            pace,
            counts.clone(),
            ending.subscribe(),
        ));
        tasks.spawn(shoppers.clone().shop(pace, ending.subscribe()));
        Self {
            client,
            counts,
            shoppers,
            ending,
            tasks,
            retries_told: 0,
        }
    }

    /// Begins no more calls; those in flight go on.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Calls of all kinds that have not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        let Counts { greeter, room, .. } = &*self.counts;
        let tallies = [greeter, room, &self.shoppers.tally];
        tallies.iter().map(|tally| locked(tally).in_flight()).sum()
    }

    /// Calls to the Greeter and the carts that have ended with an error or a refusal so far.
    pub(crate) fn not_ok(&self) -> u64 {
        let tallies = [&self.counts.greeter, &self.shoppers.tally];
        let not_ok = |tally: &&Mutex<Tally>| {
            let tally = locked(tally);
            tally.total().failed + tally.total().refused
        };
        tallies.iter().map(not_ok).sum()
    }

    /// A node is killed at this moment. Returns how many carts it has had.
    pub(crate) fn killed(&mut self, node: &str) -> usize {
        self.shoppers.killed(node, &mut self.tasks, &self.ending)
    }

    /// Whether it has ended: nobody is about to begin a call, and none is in flight.
    pub(crate) fn has_ended(&self) -> bool {
        all_have_ended(&self.ending)
    }

    /// How many calls to the Greeter a node has answered so far.
    pub(crate) fn answered(&self, node: &str) -> u64 {
        locked(&self.counts.greeter)
            .total()
            .by
            .get(node)
            .copied()
            .unwrap_or_default()
    }

    /// What happened since this was last called. `answering` names the nodes and says which run.
    pub(crate) fn second(&mut self, nodes: &[(String, bool)]) -> Second {
        let retries = retries(&self.client);
        let retried = retries - std::mem::replace(&mut self.retries_told, retries);
        let room = locked(&self.counts.room).take_recent();
        let carts = locked(&self.shoppers.tally).take_recent();
        let mut greeter = locked(&self.counts.greeter);
        let recent = greeter.take_recent();
        let answered = nodes.iter().map(|(node, runs)| {
            let count = recent.by.get(node).copied();
            (
                node.clone(),
                if *runs {
                    Some(count.unwrap_or_default())
                } else {
                    count
                },
            )
        });
        Second {
            ok: recent.ok,
            failed: recent.failed,
            refused: recent.refused,
            retried,
            in_flight: greeter.in_flight(),
            p50_us: recent.quantile_us(0.50),
            p99_us: recent.quantile_us(0.99),
            actor_ok: room.ok,
            actor_failed: room.failed + room.refused,
            keyed_ok: carts.ok,
            keyed_failed: carts.failed + carts.refused,
            answered: Named(answered.collect()),
        }
    }

    /// Ends what still runs, closes the client, and writes the totals into `summary`. Calls that
    /// have not ended by now are counted as failed.
    pub(crate) async fn finish(mut self, unended: Unended, summary: &mut Summary) {
        self.end();
        self.tasks.shutdown().await;
        let Counts { greeter, room, .. } = &*self.counts;
        let tallies = [greeter, room, &self.shoppers.tally];
        let left = tallies.iter().map(|tally| give_up(tally, unended)).sum();
        summary.calls_hung = if unended == Unended::Hung { left } else { 0 };
        summary.calls_retried = retries(&self.client);
        summary.calls_skipped = *locked(&self.counts.skipped);
        self.client.close().await;
        let greeter = locked(&self.counts.greeter);
        let total = greeter.total();
        summary.calls_issued = total.issued;
        summary.calls_ok = total.ok;
        summary.calls_failed = total.failed;
        summary.calls_refused = total.refused;
        summary.p50_us = total.quantile_us(0.50);
        summary.p99_us = total.quantile_us(0.99);
        summary.slowest_us = total.slowest_us();
        summary.errors = errors(&greeter);
        for (name, count) in &mut summary.answered.0 {
            let node = name.strip_prefix(Summary::ANSWERED).unwrap_or(name);
            *count = total.by.get(node).copied().unwrap_or_default();
        }
        let room = locked(&self.counts.room);
        let total = room.total();
        summary.actor_calls_issued = total.issued;
        summary.actor_calls_ok = total.ok;
        summary.actor_calls_failed = total.failed;
        summary.actor_calls_refused = total.refused;
        summary.actor_p50_us = total.quantile_us(0.50);
        summary.actor_p99_us = total.quantile_us(0.99);
        summary.actor_errors = errors(&room);
        self.shoppers.sum_up(summary);
    }
}

/// Calls the Greeter at the rate asked for.
async fn greet(
    greeter: GreeterRef,
    pace: Pace,
    counts: Arc<Counts>,
    ending: watch::Receiver<bool>,
) {
    let begin = |due: Instant, calls: &mut JoinSet<()>| {
        if !begun(&counts.greeter, pace.in_flight_max) {
            *locked(&counts.skipped) += 1;
            return;
        }
        // ANCHOR: call
        let (greeter, counts) = (greeter.clone(), counts.clone());
        calls.spawn(async move {
            let answer = greeter.say_hello("Ada").timeout(DEADLINE).await;
            let ending = ending_of(answer.map(|greeting| greeting.node), due);
            locked(&counts.greeter).end(ending);
        });
        // ANCHOR_END: call
    };
    paced(pace.rate as f64, ending, begin).await;
}

/// Calls the Room: every other time directly, else through a Greeter that is given the room's ref
/// and may run on any node.
async fn chatter(
    greeter: GreeterRef,
    room: watch::Receiver<Option<RoomRef>>,
    pace: Pace,
    counts: Arc<Counts>,
    ending: watch::Receiver<bool>,
) {
    let mut direct = false;
    let begin = |due: Instant, calls: &mut JoinSet<()>| {
        let Some(room) = room.borrow().clone() else {
            return;
        };
        if !begun(&counts.room, pace.in_flight_max) {
            return;
        }
        direct = !direct;
        let (greeter, counts) = (greeter.clone(), counts.clone());
        calls.spawn(async move {
            let posted = if direct {
                room.post("Ada", "hello").timeout(DEADLINE).await
            } else {
                greeter
                    .greet_in(room, "Ada")
                    .timeout(DEADLINE)
                    .await
                    .map_err(flat)
            };
            let ending = ending_of(posted.map(|Posted { node, .. }| node), due);
            locked(&counts.room).end(ending);
        });
    };
    paced((pace.rate as f64 / ROOM_SHARE).max(1.0), ending, begin).await;
}

// ANCHOR: room
/// Has a room opened, hands its ref to the callers, and has another one opened when its node is lost.
async fn keep_a_room(
    lobby: LobbyRef,
    room: watch::Sender<Option<RoomRef>>,
    mut ending: watch::Receiver<bool>,
    inbox: mpsc::Sender<Happening>,
) {
    let watching = async {
        loop {
            // A lobby's node may be lost between the call and the answer: then another is asked.
            let Ok(opened) = lobby.open().await else {
                tokio::time::sleep(ROOM_RETRY).await;
                continue;
            };
            room.send_replace(Some(opened.room.clone()));
            let node = opened.node;
            let _ = inbox
                .send(Happening::RoomOpened { node: node.clone() })
                .await;
            let down = callboard::watch(&opened.room).await;
            room.send_replace(None);
            let reason = down.reason.to_string();
            let _ = inbox.send(Happening::RoomLost { node, reason }).await;
        }
    };
    // The watch is dropped at the end, which ends it on the other side too.
    tokio::select! {
        () = watching => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
}
// ANCHOR_END: room

/// Counts a call as begun unless too many are in flight.
pub(crate) fn begun(tally: &Mutex<Tally>, in_flight_max: u64) -> bool {
    let mut tally = locked(tally);
    let room = tally.in_flight() < in_flight_max;
    if room {
        tally.issue();
    }
    room
}

pub(crate) fn ending_of(answer: Result<String, CallError>, due: Instant) -> Ending {
    let us = due.elapsed().as_micros() as u64;
    match answer {
        Ok(by) => Ending::Ok { by, us },
        Err(error) if is_a_bound(&error) => Ending::Refused {
            code: code_of(&error),
        },
        Err(error) => Ending::Failed {
            code: code_of(&error),
        },
    }
}

/// Whether a full mailbox, a full buffer or a limit on calls in flight said no, before the handler ran.
fn is_a_bound(error: &CallError) -> bool {
    matches!(
        error.code(),
        Code::MailboxFull | Code::SendBufferFull | Code::TooManyInFlight
    )
}

fn code_of(error: &CallError) -> String {
    format!("{} {}", error.code(), error.code().name())
}

/// A handler that passes a call's error on has it inside its own; for the count both are one.
fn flat(error: HandlerError<CallError>) -> CallError {
    match error {
        HandlerError::App(error) | HandlerError::Call(error) => error,
    }
}

pub(crate) fn errors(tally: &Tally) -> Named<u64> {
    Named(
        tally
            .errors()
            .iter()
            .map(|(code, count)| (code.clone(), *count))
            .collect(),
    )
}

/// Counts what has not ended as failed, and says how many they are.
fn give_up(tally: &Mutex<Tally>, unended: Unended) -> u64 {
    let mut tally = locked(tally);
    let code = match unended {
        Unended::Hung => "outlived its deadline",
        Unended::CutOff => "cut off by the end of the run",
    };
    let left = tally.in_flight();
    for _ in 0..left {
        tally.end(Ending::Failed {
            code: code.to_owned(),
        });
    }
    left
}

/// The attempts that the client has made again, from its metrics.
fn retries(client: &Client) -> u64 {
    let metrics = client.metrics();
    let values = metrics
        .lines()
        .filter(|line| line.starts_with("callboard_call_retries_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts stay true whatever a task that held them did.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call to the Room for this many to the Greeter.
const ROOM_SHARE: f64 = 20.0;

/// The pause before a lobby is asked again.
const ROOM_RETRY: Duration = Duration::from_millis(200);
