//! ractor: actors linked to a supervisor. Their mailboxes are unbounded.

use std::error::Error;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use ractor_cluster::RactorMessage;

use super::Target;
use crate::job::Job;

#[derive(RactorMessage)]
pub(super) enum Message {
    Send(u64),
    Call(u64, RpcReplyPort<u64>),
}

struct Sum;

impl Actor for Sum {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Send(number) => *sum += number,
            Message::Call(number, reply) => {
                *sum += number;
                // Who does not wait any more has gone.
                let _ = reply.send(*sum);
            }
        }
        Ok(())
    }
}

struct Supervisor;

impl Actor for Supervisor {
    type Msg = Message;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Message>,
        _event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

pub(super) struct Home(ActorRef<Message>);

impl super::Home for Home {
    type Target = ActorRef<Message>;

    async fn open(_: &Job) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Actor::spawn(None, Supervisor, ()).await?.0))
    }

    async fn spawn(&self) -> Result<ActorRef<Message>, Box<dyn Error>> {
        Ok(Actor::spawn_linked(None, Sum, (), self.0.get_cell())
            .await?
            .0)
    }

    async fn close(self) {
        self.0.stop(None);
    }
}

impl Target for ActorRef<Message> {
    async fn send(&self, number: u64) -> bool {
        self.cast(Message::Send(number)).is_ok()
    }

    async fn call(&self, number: u64) -> Option<u64> {
        let build = |reply| Message::Call(number, reply);
        let answer = Self::call(self, build, DEADLINE).await.ok()?;
        answer.is_success().then(|| answer.unwrap())
    }
}

const DEADLINE: Option<Duration> = Some(Duration::from_secs(10));
