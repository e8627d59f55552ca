//! kameo: actors with bounded mailboxes.

use std::error::Error;

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

use super::Target;
use crate::job::Job;

#[derive(Actor)]
pub(super) struct Sum {
    sum: u64,
}

struct Add(u64);

impl Message<Add> for Sum {
    type Reply = u64;

    async fn handle(&mut self, Add(number): Add, _: &mut Context<Self, u64>) -> u64 {
        self.sum += number;
        self.sum
    }
}

pub(super) struct Home;

impl super::Home for Home {
    type Target = ActorRef<Sum>;

    async fn open(_: &Job) -> Result<Self, Box<dyn Error>> {
        Ok(Self)
    }

    async fn spawn(&self) -> Result<ActorRef<Sum>, Box<dyn Error>> {
        Ok(Sum::spawn_with_mailbox(
            Sum { sum: 0 },
            mailbox::bounded(MAILBOX),
        ))
    }

    async fn close(self) {}
}

impl Target for ActorRef<Sum> {
    async fn send(&self, number: u64) -> bool {
        self.tell(Add(number)).await.is_ok()
    }

    async fn call(&self, number: u64) -> Option<u64> {
        self.ask(Add(number)).await.ok()
    }
}

/// As Callboard's mailboxes.
const MAILBOX: usize = 1024;
