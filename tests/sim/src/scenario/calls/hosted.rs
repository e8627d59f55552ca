//! What the nodes of the world host: a service and a spawned actor with every kind of handler.
//!
//! Every handler takes the token of its call, writes its run into the ledger, and gives the token
//! back.

use super::board::Board;
use crate::harness::PLANNED_PANIC;
use crate::harness::sometimes::sometimes;
use crate::ledger::{Event, MachineNumber, Token, Turn};
use callboard::prelude::*;
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;

/// A reply with a body of any size.
#[derive(Debug, Clone, Wire)]
pub(super) struct Padded {
    pub(super) token: Token,
    pub(super) pad: String,
}

/// A service: any node answers.
#[derive(Debug, Service)]
#[service(mailbox = 64, concurrency = 32)]
pub(super) struct Echo {
    pub(super) board: Arc<Board>,
    pub(super) on: MachineNumber,
}

impl Echo {
    fn turn(&self, token: Token) -> Turn {
        Turn::start(&self.board.ledger, token, self.on)
    }
}

#[handlers]
impl Echo {
    /// Gives the token back; may run twice.
    #[handler(idempotent)]
    pub async fn echo(&self, token: Token, pad: String) -> Token {
        let turn = self.turn(token);
        drop(pad);
        turn.finish();
        token
    }

    /// Gives the token back; must not run twice.
    pub async fn strict(&self, token: Token, pad: String) -> Token {
        let turn = self.turn(token);
        drop(pad);
        turn.finish();
        token
    }

    /// Gives back as many bytes as asked for.
    #[handler(idempotent)]
    pub async fn padded(&self, token: Token, bytes: u32) -> Padded {
        let turn = self.turn(token);
        let pad = "7".repeat(bytes as usize);
        turn.finish();
        Padded { token, pad }
    }

    /// Takes its time.
    pub async fn slow(&self, token: Token, ms: u64) -> Token {
        let turn = self.turn(token);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        turn.finish();
        token
    }

    /// Never answers.
    pub async fn hang(&self, token: Token) -> Token {
        let turn = self.turn(token);
        std::future::pending::<()>().await;
        turn.finish();
        token
    }

    /// Panics.
    pub async fn boom(&self, token: Token) -> Token {
        let turn = self.turn(token);
        if token > 0 {
            panic!("{PLANNED_PANIC} of Echo");
        }
        turn.finish();
        token
    }

    /// Streams the numbers below `count`, one every `ms`.
    pub fn count(&self, token: Token, count: u64, ms: u64) -> impl Stream<Item = u64> + use<> {
        let turn = self.turn(token);
        let end = stream::once(async move {
            turn.finish();
            LAST_ITEM
        });
        numbers(count, ms).chain(end)
    }

    /// Takes a stream of numbers from 0 and returns how many there were.
    pub async fn tally(&self, token: Token, mut items: Inbound<u64>) -> Result<u64, String> {
        let turn = self.turn(token);
        let mut due = 0;
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| error.to_string())?;
            if item != due {
                return Err(format!("got item {item}, and {due} was due"));
            }
            due += 1;
        }
        turn.finish();
        Ok(due)
    }

    /// Streams back what it is streamed, as long as that is whole.
    pub fn mirror(&self, token: Token, items: Inbound<u64>) -> impl Stream<Item = u64> + use<> {
        let turn = self.turn(token);
        let items = items.take_while(|item| std::future::ready(item.is_ok()));
        let items = items.filter_map(|item| std::future::ready(item.ok()));
        items.chain(stream::once(async move {
            turn.finish();
            LAST_ITEM
        }))
    }
}

/// Returns a stream of the numbers below `count`, one every `ms`.
pub(super) fn numbers(count: u64, ms: u64) -> impl Stream<Item = u64> + Send + 'static {
    stream::iter(0..count).then(move |number| async move {
        match ms {
            0 => tokio::task::yield_now().await,
            ms => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        number
    })
}

/// A spawned actor: one writer at a time, many readers.
#[derive(Debug, Actor)]
#[actor(
    mailbox = 32,
    readers = 8,
    restart = "always",
    intensity = "10000 in 1s",
    backoff = "1ms..20ms"
)]
pub(super) struct Log {
    pub(super) board: Arc<Board>,
    pub(super) on: MachineNumber,
    /// The number of the actor; the same after a restart, because its messages wait for it.
    pub(super) number: u64,
}

impl Log {
    /// Begins an incarnation.
    pub(super) fn new(board: Arc<Board>, on: MachineNumber, number: u64, place: usize) -> Self {
        board.ledger.record(Event::Began {
            actor: number,
            on,
            place,
            strategy: board.setup.strategy,
        });
        Self { board, on, number }
    }

    fn turn(&self, token: Token) -> Turn {
        Turn::start(&self.board.ledger, token, self.on)
    }

    fn arrived(&self, token: Token, sender: u64, sequence: u64) {
        self.board.ledger.record(Event::Arrived {
            token,
            actor: self.number,
            sender,
            sequence,
        });
    }
}

#[handlers]
impl Log {
    /// Notes a message of a sender, after a while.
    pub async fn append(
        &mut self,
        token: Token,
        sender: u64,
        sequence: u64,
        ms: u64,
        pad: String,
    ) -> Token {
        self.arrived(token, sender, sequence);
        let turn = self.turn(token);
        drop(pad);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        turn.finish();
        token
    }

    /// Reads, beside other readers.
    #[handler(idempotent)]
    pub async fn read(&self, token: Token, ms: u64) -> Token {
        let turn = self.turn(token);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        turn.finish();
        token
    }

    /// Never answers, and bars nobody but writers.
    pub async fn hang(&self, token: Token) -> Token {
        let turn = self.turn(token);
        std::future::pending::<()>().await;
        turn.finish();
        token
    }

    /// Panics, and is restarted.
    pub async fn boom(&mut self, token: Token) -> Token {
        let turn = self.turn(token);
        if token > 0 {
            let actor = self.number;
            self.board.ledger.record(Event::Failing { actor });
            panic!("{PLANNED_PANIC} of Log");
        }
        turn.finish();
        token
    }

    /// Takes its time, alone; dropping the call ends it, and the incarnation with it.
    #[handler(abort)]
    pub async fn halt(&mut self, token: Token, ms: u64) -> Token {
        let turn = self.turn(token);
        let aborts = Aborts(Some((self.board.clone(), self.number)));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        aborts.disarm();
        turn.finish();
        token
    }

    /// Goes on to the next actor of the path, which may be one that waits already.
    pub async fn visit(&mut self, token: Token, mut path: Vec<LogRef>) -> Result<Token, CallError> {
        let turn = self.turn(token);
        if let Some(next) = path.pop() {
            match next.visit(self.board.ledger.token(), path).await {
                Ok(_) => {}
                Err(HandlerError::App(error) | HandlerError::Call(error)) => return Err(error),
            }
        }
        turn.finish();
        Ok(token)
    }
}

/// Dropped before it is disarmed, it records that a turn was aborted.
struct Aborts(Option<(Arc<Board>, u64)>);

impl Aborts {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Aborts {
    fn drop(&mut self) {
        if let Some((board, actor)) = self.0.take() {
            sometimes!("a-turn-was-aborted");
            board.ledger.record(Event::Aborted { actor });
        }
    }
}

/// Ends a mirrored stream: the handler saw the end of its items.
pub(super) const LAST_ITEM: u64 = u64::MAX;

/// The mailbox of `Echo`, as its attribute says.
pub(super) const ECHO_MAILBOX: usize = 64;

/// The mailbox of `Log`, as its attribute says.
pub(super) const LOG_MAILBOX: usize = 32;
