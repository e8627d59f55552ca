//! Callboard as its users have it: the defaults, with mutual TLS, deadlines, metrics and bounded
//! queues on.

use std::error::Error;

use bytes::Bytes;
use callboard::prelude::*;

use crate::credentials;
use crate::job::{Contender, Figures, Job, Ready, Work};
use crate::load::{Caller, closed_loop};

/// Answers calls; every node may.
#[derive(Debug, Default, Service)]
pub(crate) struct Answers;

#[handlers]
impl Answers {
    /// Returns the body.
    pub fn echo(&self, body: Bytes) -> Bytes {
        body
    }

    /// Returns the length of the body.
    pub fn put(&self, body: Bytes) -> u64 {
        body.len() as u64
    }

    /// Spawns an actor on this node.
    pub fn open(&self, ctx: &Ctx<Self>) -> EchoRef {
        ctx.spawn::<Echo>()
    }
}

/// Answers calls; lives on one node.
#[derive(Debug, Default, Actor)]
pub(crate) struct Echo {
    calls: u64,
}

#[handlers]
impl Echo {
    /// Returns the body.
    pub fn echo(&mut self, body: Bytes) -> Bytes {
        self.calls += 1;
        body
    }

    /// Returns the length of the body.
    pub fn put(&mut self, body: Bytes) -> u64 {
        self.calls += 1;
        body.len() as u64
    }
}

#[derive(Clone)]
enum Target {
    Actor(EchoRef),
    Service(AnswersRef),
}

#[derive(Clone)]
struct Calls {
    target: Target,
    put: bool,
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let len = body.len();
        match (&self.target, self.put) {
            (Target::Actor(actor), false) => actor.echo(body).await.is_ok_and(|b| b.len() == len),
            (Target::Actor(actor), true) => actor.put(body).await.is_ok_and(|n| n == len as u64),
            (Target::Service(service), false) => {
                service.echo(body).await.is_ok_and(|b| b.len() == len)
            }
            (Target::Service(service), true) => {
                service.put(body).await.is_ok_and(|n| n == len as u64)
            }
        }
    }
}

/// Starts a node that answers.
pub(crate) async fn serve(credentials: &std::path::Path) -> Result<(Ready, Node), Box<dyn Error>> {
    let node = Node::builder()
        .name("server")
        .identity(credentials::ours(credentials, "server")?)
        .host::<Answers>()
        .start()
        .await?;
    let ready = Ready {
        addr: node.local_addr(),
        pid: std::process::id(),
    };
    Ok((ready, node))
}

/// Calls it.
pub(crate) async fn load(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let client = Client::builder()
        .seed(job.server.addr)
        .identity(credentials::ours(&job.credentials, "client")?)
        .connect()
        .await?;
    let service = client.service::<Answers>();
    let target = match job.contender {
        Contender::OursService => Target::Service(service),
        _ => Target::Actor(service.open().await?),
    };
    let put = matches!(job.work, Work::Put { .. });
    let figures = closed_loop(Calls { target, put }, job).await?;
    client.close().await;
    Ok(figures)
}
