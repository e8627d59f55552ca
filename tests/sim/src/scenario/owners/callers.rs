//! Who calls the actors: on every machine a worker that calls whatever the seed says, and one that asks
//! all keys when that is to be known.

use super::board::{Board, Phase};
use super::cart::{CartRef, Stamp, TillRef};
use crate::harness::sometimes::sometimes;
use crate::harness::trace::{self, event};
use crate::ledger::{Event, MachineNumber, Outcome, Token, Work};
use callboard::{CallError, Code};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use rand::Rng;
use rand::rngs::SmallRng;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Calls in the name of one machine.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) board: Arc<Board>,
    pub(super) machine: MachineNumber,
    pub(super) carts: Arc<[CartRef]>,
    pub(super) tills: Arc<[TillRef]>,
}

type Operation = Pin<Box<dyn Future<Output = bool> + Send>>;

impl Caller {
    /// Calls whatever comes, until the machine leaves.
    pub(super) async fn work(self, mut rng: SmallRng) {
        let mut running = FuturesUnordered::new();
        loop {
            let pause = self.board.setup.gap.mul_f64(rng.random::<f64>());
            let mut wake = std::pin::pin!(tokio::time::sleep(pause));
            // Cancel safe: an operation stays in `running` when the pause ends first.
            loop {
                tokio::select! {
                    biased;
                    Some(_) = running.next() => {}
                    () = &mut wake => break,
                }
            }
            if self.board.is_leaving(self.machine) {
                break;
            }
            let phase = self.board.state().phase;
            let timeout = match phase {
                Phase::Storm => Duration::from_millis(rng.random_range(200..4000)),
                Phase::Asking => continue,
                Phase::Orderly => ORDERLY_TIMEOUT,
            };
            running.push(self.draw(&mut rng, phase, timeout));
        }
        while running.next().await.is_some() {}
    }

    /// Sends numbered messages to carts, some to one in a row, until the machine leaves.
    pub(super) async fn post(self, mut rng: SmallRng) {
        let sender = self.board.ledger.token();
        let mut sequence = 0;
        loop {
            tokio::time::sleep(self.board.setup.gap.mul_f64(rng.random::<f64>())).await;
            if self.board.is_leaving(self.machine) {
                return;
            }
            let phase = self.board.state().phase;
            let timeout = match phase {
                Phase::Storm => Duration::from_millis(rng.random_range(200..4000)),
                Phase::Asking => continue,
                Phase::Orderly => LETTER_TIMEOUT,
            };
            let key = rng.random_range(0..self.board.setup.keys);
            for _ in 0..rng.random_range(1..=LETTERS_MAX) {
                sequence += 1;
                // Where no call may fail, no key has more to do than it can.
                let most = if phase == Phase::Orderly { 5 } else { 10 };
                let ms = rng.random_range(0..most);
                self.note(key, (sender, sequence), ms, timeout).await;
            }
        }
    }

    async fn note(&self, key: usize, (sender, sequence): (u64, u64), ms: u64, timeout: Duration) {
        let (ledger, by) = (&self.board.ledger, self.machine);
        let token = ledger.token();
        ledger.record(Event::Issued {
            token,
            what: "Cart/note (send)",
            by,
            deadline: trace::now() + self.board.setup.of_world(by, timeout),
            is_idempotent: false,
            work: Work::Sent,
        });
        let call = self.carts[key].note((token, sender, sequence), ms);
        let outcome = match call.timeout(timeout).send().await {
            Ok(()) => Outcome::Sent,
            Err(error) => {
                event!("send {token}: {error}");
                Outcome::Failed { code: error.code() }
            }
        };
        ledger.record(Event::Ended { token, outcome });
    }

    /// Asks all keys until they have answered, whenever that is to be known.
    pub(super) async fn ask(self) {
        let mut asked = 0;
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let (phase, round) = {
                let state = self.board.state();
                (state.phase, state.round)
            };
            if phase != Phase::Asking || round == asked {
                continue;
            }
            let keys = 0..self.board.setup.keys;
            let all = keys.flat_map(|key| [(true, key), (false, key)]);
            join_all(all.map(|(is_cart, key)| self.ask_until_answered(is_cart, key, round))).await;
            asked = round;
            let mut state = self.board.state();
            if state.round == round {
                state.answered.insert(self.machine);
                event!("{} has all answers", self.machine);
            }
        }
    }

    async fn ask_until_answered(&self, is_cart: bool, key: usize, round: u64) {
        loop {
            let is_answered = match is_cart {
                true => self.put_cart(key, 0, ASK_TIMEOUT).await,
                false => self.put_till(key, 0, ASK_TIMEOUT).await,
            };
            if is_answered || self.board.state().round != round {
                return;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn draw(&self, rng: &mut SmallRng, phase: Phase, timeout: Duration) -> Operation {
        let key = rng.random_range(0..self.board.setup.keys);
        let ms = match (phase, rng.random_range(0..20)) {
            (Phase::Storm, 0) => rng.random_range(1000..5000),
            (Phase::Storm, 1..4) => rng.random_range(100..1000),
            (_, 0..12) => 0,
            _ => rng.random_range(1..30),
        };
        match rng.random_range(0..5) {
            0 => self.put_cart(key, ms, timeout),
            1 => self.look_at_cart(key, ms, timeout),
            2 => self.put_till(key, ms, timeout),
            3 => self.add_to_till(key, ms, timeout),
            _ => self.add_to_cart(key, ms, timeout),
        }
    }

    fn add_to_cart(&self, key: usize, ms: u64, timeout: Duration) -> Operation {
        let cart = self.carts[key].clone();
        let call = move |token| async move { cart.add(token, ms).timeout(timeout).await };
        self.watch("Cart/add", (Work::RunsToItsEnd, false), timeout, call)
    }

    fn put_cart(&self, key: usize, ms: u64, timeout: Duration) -> Operation {
        let cart = self.carts[key].clone();
        let call = move |token| async move { cart.put(token, ms).timeout(timeout).await };
        self.watch("Cart/put", (Work::RunsToItsEnd, true), timeout, call)
    }

    fn look_at_cart(&self, key: usize, ms: u64, timeout: Duration) -> Operation {
        let cart = self.carts[key].clone();
        let call = move |token| async move { cart.look(token, ms).timeout(timeout).await };
        self.watch("Cart/look", (Work::EndsWithCaller, true), timeout, call)
    }

    fn add_to_till(&self, key: usize, ms: u64, timeout: Duration) -> Operation {
        let till = self.tills[key].clone();
        let call = move |token| async move { till.add(token, ms).timeout(timeout).await };
        self.watch("Till/add", (Work::RunsToItsEnd, false), timeout, call)
    }

    fn put_till(&self, key: usize, ms: u64, timeout: Duration) -> Operation {
        let till = self.tills[key].clone();
        let call = move |token| async move { till.put(token, ms).timeout(timeout).await };
        self.watch("Till/put", (Work::RunsToItsEnd, true), timeout, call)
    }

    /// Writes a call down: its start at once, its end when it ends. Says whether it was answered.
    fn watch<F, R>(
        &self,
        what: &'static str,
        (work, is_idempotent): (Work, bool),
        timeout: Duration,
        call: F,
    ) -> Operation
    where
        F: FnOnce(Token) -> R + Send + 'static,
        R: Future<Output = Result<Stamp, CallError>> + Send + 'static,
    {
        let (board, by) = (self.board.clone(), self.machine);
        let under_way = board.begin();
        Box::pin(async move {
            let _under_way = under_way;
            let ledger = &board.ledger;
            let token = ledger.token();
            // The caller's clock decides when the call has to end.
            let deadline = trace::now() + board.setup.of_world(by, timeout);
            ledger.record(Event::Issued {
                token,
                what,
                by,
                deadline,
                is_idempotent,
                work,
            });
            let outcome = match call(token).await {
                Ok(stamp) => {
                    ledger.record(Event::Replied { turn: stamp.turn });
                    Outcome::Answered { echo: stamp.token }
                }
                Err(error) => {
                    event!("call {token}: {error}");
                    note_code(error.code());
                    Outcome::Failed { code: error.code() }
                }
            };
            let is_answered = matches!(outcome, Outcome::Answered { .. });
            ledger.record(Event::Ended { token, outcome });
            is_answered
        })
    }
}

/// Counts the errors that a batch has to have seen.
fn note_code(code: Code) {
    match code {
        Code::SlotUnowned => sometimes!("a-call-found-no-owner"),
        Code::LeaseLost => sometimes!("a-call-outlived-its-lease"),
        _ => {}
    }
}

/// How long a call may take where nothing fails: longer than any planned move.
const ORDERLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a message may take until it runs where nothing fails: longer than any planned move, and much less
/// than all that is planned, so that it is known before that is over that one was lost.
pub(super) const LETTER_TIMEOUT: Duration = Duration::from_secs(2);

/// How many messages are sent to one cart in a row, at most.
const LETTERS_MAX: u32 = 6;

/// How often it is looked whether all keys are to be asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long a key may take to answer whoever asks it until it does.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
