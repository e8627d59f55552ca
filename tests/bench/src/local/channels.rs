//! A task and a bounded channel of tokio, read many at a time; a call brings a oneshot channel.

use std::error::Error;

use tokio::sync::{mpsc, oneshot};

use super::Target;
use crate::job::Job;

pub(super) struct Home;

pub(super) enum Message {
    Send(u64),
    Call(u64, oneshot::Sender<u64>),
}

impl super::Home for Home {
    type Target = mpsc::Sender<Message>;

    async fn open(_: &Job) -> Result<Self, Box<dyn Error>> {
        Ok(Self)
    }

    async fn spawn(&self) -> Result<Self::Target, Box<dyn Error>> {
        let (target, mut messages) = mpsc::channel(MAILBOX);
        tokio::spawn(async move {
            let mut sum = 0;
            let mut batch = Vec::with_capacity(BATCH);
            while messages.recv_many(&mut batch, BATCH).await > 0 {
                for message in batch.drain(..) {
                    match message {
                        Message::Send(number) => sum += number,
                        Message::Call(number, reply) => {
                            sum += number;
                            // Who does not wait any more has gone.
                            let _ = reply.send(sum);
                        }
                    }
                }
            }
        });
        Ok(target)
    }

    async fn close(self) {}
}

impl Target for mpsc::Sender<Message> {
    async fn send(&self, number: u64) -> bool {
        Self::send(self, Message::Send(number)).await.is_ok()
    }

    async fn call(&self, number: u64) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        Self::send(self, Message::Call(number, reply)).await.ok()?;
        answer.await.ok()
    }
}

/// As Callboard's mailboxes.
const MAILBOX: usize = 1024;
const BATCH: usize = 128;
