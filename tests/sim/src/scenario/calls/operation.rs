//! The ways to call, each written down from its first line to its last.

use super::board::Board;
use super::hosted::{EchoRef, LogRef, numbers};
use crate::harness::sometimes::sometimes;
use crate::harness::trace;
use crate::ledger::{Event, MachineNumber, Outcome, Token, Work};
use callboard::prelude::*;
use callboard_protocol::code::Code;
use futures_util::StreamExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A call under way.
pub(super) type Operation = Pin<Box<dyn Future<Output = Option<Outcome>> + Send>>;

/// How a call is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The call's timeout.
    pub(super) timeout: Duration,
    /// The caller drops the call after this time.
    pub(super) drop_after: Option<Duration>,
}

/// Makes operations in the name of one machine.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) board: Arc<Board>,
    pub(super) machine: MachineNumber,
    pub(super) echo: EchoRef,
    /// Attaches a ref to the machine's node or client.
    pub(super) attach: Arc<dyn Fn(LogRef) -> LogRef + Send + Sync>,
}

/// A message to an actor, in the order of its sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) sender: u64,
    pub(super) sequence: u64,
    /// How long the actor is busy with it.
    pub(super) ms: u64,
    /// Bytes that travel with it.
    pub(super) bytes: usize,
    /// Nobody waits for a reply.
    pub(super) is_send: bool,
}

impl Caller {
    /// Returns the actors of all nodes, ready to be called.
    pub(super) fn logs(&self, stale: bool) -> Vec<LogRef> {
        self.board
            .logs(stale)
            .into_iter()
            .map(|log| (self.attach)(log))
            .collect()
    }

    pub(super) fn echo(&self, terms: Terms, bytes: usize) -> Operation {
        let (echo, pad) = (self.echo.clone(), "1".repeat(bytes));
        self.watch(
            "Echo/echo",
            Work::EndsWithCaller,
            true,
            terms,
            move |token| async move { echo.echo(token, pad).timeout(terms.timeout).await },
        )
    }

    pub(super) fn strict(&self, terms: Terms, bytes: usize) -> Operation {
        let (echo, pad) = (self.echo.clone(), "2".repeat(bytes));
        self.watch(
            "Echo/strict",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move { echo.strict(token, pad).timeout(terms.timeout).await },
        )
    }

    pub(super) fn padded(&self, terms: Terms, bytes: u32) -> Operation {
        let echo = self.echo.clone();
        self.watch(
            "Echo/padded",
            Work::EndsWithCaller,
            true,
            terms,
            move |token| async move {
                let reply = echo.padded(token, bytes).timeout(terms.timeout).await?;
                if reply.pad.len() > BULK_BYTES {
                    sometimes!("a-bulk-reply-arrived");
                }
                // A body that is cut or mixed up is as wrong as a foreign one.
                let is_whole =
                    reply.pad.len() == bytes as usize && reply.pad.bytes().all(|byte| byte == b'7');
                Ok(if is_whole { reply.token } else { 0 })
            },
        )
    }

    pub(super) fn slow(&self, terms: Terms, ms: u64) -> Operation {
        let echo = self.echo.clone();
        self.watch(
            "Echo/slow",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move { echo.slow(token, ms).timeout(terms.timeout).await },
        )
    }

    pub(super) fn hang(&self, terms: Terms) -> Operation {
        let echo = self.echo.clone();
        self.watch(
            "Echo/hang",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move { echo.hang(token).timeout(terms.timeout).await },
        )
    }

    pub(super) fn boom(&self, terms: Terms) -> Operation {
        let echo = self.echo.clone();
        self.watch(
            "Echo/boom",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move { echo.boom(token).timeout(terms.timeout).await },
        )
    }

    pub(super) fn append(&self, log: LogRef, terms: Terms, message: Message) -> Operation {
        let Message {
            sender,
            sequence,
            ms,
            bytes,
            is_send,
        } = message;
        let (what, work) = if is_send {
            ("Log/append (send)", Work::Sent)
        } else {
            ("Log/append", Work::RunsToItsEnd)
        };
        let pad = "3".repeat(bytes);
        self.watch(what, work, false, terms, move |token| async move {
            let call = log
                .append(token, sender, sequence, ms, pad)
                .timeout(terms.timeout);
            if is_send {
                call.send().await.map(|()| SENT)
            } else {
                call.await
            }
        })
    }

    pub(super) fn read(&self, log: LogRef, terms: Terms, ms: u64) -> Operation {
        self.watch(
            "Log/read",
            Work::EndsWithCaller,
            true,
            terms,
            move |token| async move { log.read(token, ms).timeout(terms.timeout).await },
        )
    }

    pub(super) fn hang_on(&self, log: LogRef, terms: Terms) -> Operation {
        self.watch(
            "Log/hang",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move { log.hang(token).timeout(terms.timeout).await },
        )
    }

    pub(super) fn break_down(&self, log: LogRef, terms: Terms) -> Operation {
        self.watch(
            "Log/boom",
            Work::RunsToItsEnd,
            false,
            terms,
            move |token| async move { log.boom(token).timeout(terms.timeout).await },
        )
    }

    pub(super) fn halt(&self, log: LogRef, terms: Terms, ms: u64) -> Operation {
        self.watch(
            "Log/halt",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move { log.halt(token, ms).timeout(terms.timeout).await },
        )
    }

    /// Lets actors call each other along a path.
    pub(super) fn visit(&self, mut path: Vec<LogRef>, terms: Terms) -> Option<Operation> {
        let first = path.pop()?;
        Some(self.watch(
            "Log/visit",
            Work::RunsToItsEnd,
            false,
            terms,
            move |token| async move {
                match first.visit(token, path).timeout(terms.timeout).await {
                    Ok(echo) => Ok(echo),
                    Err(HandlerError::Call(error)) => Err(error),
                    Err(HandlerError::App(error)) => {
                        if error.code() == Code::CallCycle {
                            sometimes!("a-call-cycle-was-refused");
                        }
                        // The visit itself came back; one further on did not.
                        Ok(token)
                    }
                }
            },
        ))
    }

    /// Reads a stream, and perhaps drops it in the middle.
    pub(super) fn count(&self, terms: Terms, count: u64, ms: u64) -> Operation {
        let (echo, caller) = (self.echo.clone(), self.clone());
        self.watch(
            "Echo/count",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move {
                let items = echo.count(token, count, ms).timeout(terms.timeout).await?;
                caller.read_items(token, items, count).await
            },
        )
    }

    /// Streams numbers there.
    pub(super) fn tally(&self, terms: Terms, count: u64, ms: u64) -> Operation {
        let echo = self.echo.clone();
        self.watch(
            "Echo/tally",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move {
                match echo
                    .tally(token, numbers(count, ms))
                    .timeout(terms.timeout)
                    .await
                {
                    Ok(counted) if counted == count => Ok(token),
                    // Fewer items than were sent came to a regular end: as wrong as a foreign reply.
                    Ok(_) => Ok(0),
                    Err(HandlerError::Call(error)) => Err(error),
                    // The handler saw its items break off, and its answer got through nevertheless.
                    Err(HandlerError::App(_)) => Ok(token),
                }
            },
        )
    }

    /// Streams numbers there and back.
    pub(super) fn mirror(&self, terms: Terms, count: u64, ms: u64) -> Operation {
        let (echo, caller) = (self.echo.clone(), self.clone());
        self.watch(
            "Echo/mirror",
            Work::EndsWithCaller,
            false,
            terms,
            move |token| async move {
                let items = echo
                    .mirror(token, numbers(count, ms))
                    .timeout(terms.timeout)
                    .await?;
                caller.read_items(token, items, count).await
            },
        )
    }

    async fn read_items(
        self,
        token: Token,
        items: Streaming<u64>,
        wanted: u64,
    ) -> Result<Token, CallError> {
        let ledger = &self.board.ledger;
        let mut items = std::pin::pin!(items);
        let mut count = 0;
        while let Some(item) = items.next().await {
            match item? {
                super::hosted::LAST_ITEM => break,
                index => ledger.record(Event::Item { token, index }),
            }
            count += 1;
        }
        ledger.record(Event::StreamEnded {
            token,
            items: count,
            wanted,
        });
        Ok(token)
    }

    /// Writes a call down: its start at once, its end when it ends.
    fn watch<F, R>(
        &self,
        what: &'static str,
        work: Work,
        is_idempotent: bool,
        terms: Terms,
        call: F,
    ) -> Operation
    where
        F: FnOnce(Token) -> R + Send + 'static,
        R: Future<Output = Result<Token, CallError>> + Send + 'static,
    {
        let (ledger, by) = (self.board.ledger.clone(), self.machine);
        Box::pin(async move {
            let token = ledger.token();
            let deadline = trace::now() + terms.timeout;
            ledger.record(Event::Issued {
                token,
                what,
                by,
                deadline,
                is_idempotent,
                work,
            });
            let result = match terms.drop_after {
                None => Some(call(token).await),
                Some(span) => tokio::time::timeout(span, call(token)).await.ok(),
            };
            let Some(result) = result else {
                sometimes!("a-call-was-dropped");
                ledger.record(Event::Dropped { token });
                return None;
            };
            let outcome = match result {
                Ok(SENT) => Outcome::Sent,
                Ok(echo) => Outcome::Answered { echo },
                Err(error) => {
                    note_code(error.code());
                    Outcome::Failed { code: error.code() }
                }
            };
            ledger.record(Event::Ended {
                token,
                outcome: outcome.clone(),
            });
            Some(outcome)
        })
    }
}

/// Counts the errors that a batch has to have seen.
fn note_code(code: Code) {
    match code {
        Code::DeadlineExceeded => sometimes!("a-deadline-passed"),
        Code::PeerLost => sometimes!("a-peer-was-lost-with-a-call"),
        Code::PeerUnreachable => sometimes!("a-peer-was-unreachable"),
        Code::MailboxFull => sometimes!("a-mailbox-was-full"),
        Code::ActorGone => sometimes!("an-actor-of-an-earlier-incarnation-was-called"),
        Code::Panicked => sometimes!("a-handler-panicked"),
        Code::StreamBroken => sometimes!("a-stream-broke"),
        Code::NoHost => sometimes!("nobody-hosted-the-service"),
        _ => {}
    }
}

/// Stands for the token of a send, which has no reply.
const SENT: Token = Token::MAX;

/// A body of more bytes travels on a stream of its own.
pub(super) const BULK_BYTES: usize = 64 << 10;
