//! A task that calls, all the time, in ways drawn from the seed.

use super::board::Phase;
use super::hosted::LogRef;
use super::operation::{BULK_BYTES, Caller, Message, Operation, Terms};
use super::setup::{CALM_TIMEOUT, pick};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// A caller with its own chance and its own numbers.
pub(super) struct Worker {
    caller: Caller,
    /// The actors it calls, and the edition of the board that they are from.
    logs: Vec<LogRef>,
    edition: (usize, Phase),
    rng: SmallRng,
    sender: u64,
    /// The next number of this sender, by actor.
    sequences: BTreeMap<String, u64>,
}

impl Worker {
    pub(super) fn new(caller: Caller, rng: SmallRng) -> Self {
        let sender = caller.board.number();
        Self {
            caller,
            logs: Vec::new(),
            edition: (0, Phase::Warm),
            rng,
            sender,
            sequences: BTreeMap::new(),
        }
    }

    /// Calls until the world is quiet.
    pub(super) async fn run(mut self) {
        let mut running = FuturesUnordered::new();
        loop {
            let pause = self.draw_pause();
            let wake = tokio::time::sleep(pause);
            let mut wake = std::pin::pin!(wake);
            // Cancel safe: an operation stays in `running` when the pause ends first.
            loop {
                tokio::select! {
                    biased;
                    Some(_) = running.next() => {}
                    () = &mut wake => break,
                }
            }
            let phase = self.caller.board.phase();
            let operations = match phase {
                Phase::Warm => Vec::new(),
                Phase::Storm => self.draw_burst(),
                Phase::Calm => self.draw_calm().into_iter().collect(),
                Phase::Quiet => break,
            };
            for mut operation in operations {
                // The first poll makes the call, so the order of these polls is the order of the calls.
                if futures_util::poll!(&mut operation).is_pending() {
                    running.push(operation);
                }
            }
        }
        while running.next().await.is_some() {}
    }

    fn draw_pause(&mut self) -> Duration {
        let most = match self.caller.board.phase() {
            Phase::Storm => self.caller.board.setup.gap,
            _ => CALM_GAP,
        };
        most.mul_f64(self.rng.random::<f64>())
    }

    /// Mostly one call; now and then many at once.
    fn draw_burst(&mut self) -> Vec<Operation> {
        let calls = if self.rng.random_ratio(1, 100) {
            self.rng.random_range(10..40)
        } else {
            1
        };
        (0..calls).filter_map(|_| self.draw_storm()).collect()
    }

    fn draw_storm(&mut self) -> Option<Operation> {
        let caller = self.caller.clone();
        let terms = self.draw_terms();
        let operation = match self.rng.random_range(0..100) {
            0..18 => caller.echo(terms, self.rng.random_range(0..600)),
            18..30 => caller.strict(terms, self.rng.random_range(0..600)),
            30..32 => caller.padded(terms, self.rng.random_range(0..150_000)),
            32..36 => caller.slow(terms, self.rng.random_range(0..1500)),
            36..40 => caller.hang(self.draw_drop()),
            40..41 => caller.boom(terms),
            41..67 => self.draw_append(terms)?,
            67..69 => {
                let ms = self.rng.random_range(0..2000);
                caller.halt(self.draw_log()?, self.draw_drop(), ms)
            }
            69..77 => caller.read(
                self.draw_log()?,
                terms,
                *pick(&mut self.rng, &[0, 0, 5, 200]),
            ),
            77..80 => caller.hang_on(self.draw_log()?, self.draw_drop()),
            80..82 => caller.break_down(self.draw_log()?, terms),
            82..86 => self.draw_visit(terms)?,
            86..91 => {
                let (count, ms) = self.draw_items();
                caller.count(self.draw_perhaps_drop(), count, ms)
            }
            91..95 => {
                let (count, ms) = self.draw_items();
                caller.tally(terms, count, ms)
            }
            95..98 => {
                let (count, ms) = self.draw_items();
                caller.mirror(self.draw_perhaps_drop(), count, ms)
            }
            _ => caller.strict(self.draw_drop(), 10),
        };
        Some(operation)
    }

    /// Calls that have no reason to fail.
    fn draw_calm(&mut self) -> Option<Operation> {
        let caller = self.caller.clone();
        let terms = Terms {
            timeout: CALM_TIMEOUT,
            drop_after: None,
        };
        let log = self.draw_log()?;
        let operation = match self.rng.random_range(0..6) {
            0 => caller.echo(terms, 100),
            1 => caller.strict(terms, 100),
            2 => caller.read(log, terms, 0),
            3 => caller.count(terms, 20, 1),
            4 => caller.hang(Terms {
                drop_after: Some(Duration::from_millis(30)),
                timeout: LONG,
            }),
            _ => {
                let message = self.next_message(&log, 0, 100, false);
                caller.append(log, terms, message)
            }
        };
        Some(operation)
    }

    fn draw_append(&mut self, terms: Terms) -> Option<Operation> {
        let log = self.draw_log()?;
        let bytes = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(BULK_BYTES..BULK_BYTES * 3 / 2),
            1..4 => self.rng.random_range(1000..20_000),
            _ => self.rng.random_range(0..200),
        };
        let ms = *pick(&mut self.rng, &[0, 0, 0, 0, 0, 1, 20]);
        let is_send = self.rng.random_ratio(1, 4);
        let message = self.next_message(&log, ms, bytes, is_send);
        Some(self.caller.append(log, terms, message))
    }

    fn next_message(&mut self, log: &LogRef, ms: u64, bytes: usize, is_send: bool) -> Message {
        let next = self.sequences.entry(format!("{log:?}")).or_default();
        *next += 1;
        Message {
            sender: self.sender,
            sequence: *next,
            ms,
            bytes,
            is_send,
        }
    }

    fn draw_visit(&mut self, terms: Terms) -> Option<Operation> {
        let path = (0..self.rng.random_range(1..5))
            .map(|_| self.draw_log())
            .collect::<Option<_>>()?;
        self.caller.visit(path, terms)
    }

    fn draw_log(&mut self) -> Option<LogRef> {
        let edition = (self.caller.board.edition(), self.caller.board.phase());
        if self.edition != edition {
            self.edition = edition;
            // In the calm nobody calls those who are gone.
            self.logs = self.caller.logs(edition.1 < Phase::Calm);
        }
        if self.logs.is_empty() {
            None
        } else {
            Some(pick(&mut self.rng, &self.logs).clone())
        }
    }

    /// How many items a stream has, and how many milliseconds lie between two.
    fn draw_items(&mut self) -> (u64, u64) {
        (
            self.rng.random_range(0..60),
            *pick(&mut self.rng, &[0, 0, 5, 60]),
        )
    }

    fn draw_terms(&mut self) -> Terms {
        let timeout = Duration::from_millis(*pick(&mut self.rng, &[30, 200, 1000, 2500, 7000]));
        Terms {
            timeout,
            drop_after: None,
        }
    }

    /// A call that is certain to be dropped, long before its deadline.
    fn draw_drop(&mut self) -> Terms {
        Terms {
            timeout: LONG,
            drop_after: Some(Duration::from_millis(self.rng.random_range(0..300))),
        }
    }

    fn draw_perhaps_drop(&mut self) -> Terms {
        let drop_after = Duration::from_millis(*pick(&mut self.rng, &[2, 10, 100, 9000]));
        Terms {
            drop_after: Some(drop_after),
            ..self.draw_terms()
        }
    }
}

/// Longer than any world lives: only dropping such a call ends its work.
const LONG: Duration = Duration::from_secs(600);

/// The longest pause between two calls when nothing is supposed to fail.
const CALM_GAP: Duration = Duration::from_millis(100);
