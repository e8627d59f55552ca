//! Callboard as its users have it: the defaults, with mutual TLS, deadlines, metrics and bounded
//! queues on.

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use callboard::prelude::*;

use crate::credentials;
use crate::job::{Contender, Job, Ready};
use crate::load::{Caller, Link};

/// Answers calls; every node may.
#[derive(Default, Service)]
pub(crate) struct Answers {
    /// Its own node, once that has started.
    node: Arc<OnceLock<Node>>,
}

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

    /// Spawns a slow actor on this node.
    pub fn open_slow(&self, ctx: &Ctx<Self>) -> SlowRef {
        ctx.spawn::<Slow>()
    }

    /// Returns how many sends this node has refused, as its metrics say.
    pub fn sends_refused(&self) -> u64 {
        let metrics = self.node.get().map(Node::metrics).unwrap_or_default();
        let lines = metrics.lines();
        let refused = lines.filter(|line| line.starts_with("callboard_sends_refused_total"));
        refused
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

/// Answers calls; lives on one node.
#[derive(Debug, Default, Actor)]
pub(crate) struct Echo {
    taken: u64,
}

#[handlers]
impl Echo {
    /// Returns the body.
    pub fn echo(&mut self, body: Bytes) -> Bytes {
        body
    }

    /// Returns the length of the body.
    pub fn put(&mut self, body: Bytes) -> u64 {
        body.len() as u64
    }

    /// Takes a message.
    pub fn take(&mut self, _body: Bytes) {
        self.taken += 1;
    }

    /// Takes a message and rests now and then, so that it takes about 20,000 a second.
    pub async fn take_slowly(&mut self, _body: Bytes) {
        self.taken += 1;
        if self.taken.is_multiple_of(TAKEN_BETWEEN_RESTS) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns how many messages it has taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

/// Answers calls; wherever its key is owned.
#[derive(Debug, Default, Actor)]
#[actor(key = u32)]
pub(crate) struct Keyed;

#[handlers]
impl Keyed {
    /// Returns the body.
    pub fn echo(&mut self, body: Bytes) -> Bytes {
        body
    }

    /// Returns the length of the body.
    pub fn put(&mut self, body: Bytes) -> u64 {
        body.len() as u64
    }
}

/// Takes about a hundred messages a second and lets few wait.
#[derive(Debug, Default, Actor)]
#[actor(mailbox = 16)]
pub(crate) struct Slow {
    taken: u64,
}

#[handlers]
impl Slow {
    /// Takes a message and rests.
    pub async fn take(&mut self, _body: Bytes) {
        self.taken += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    /// Returns how many messages it has taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

/// Eight turns of 20 ms beside each other: 400 calls a second.
#[derive(Debug, Default, Service)]
#[service(concurrency = 8, wait = "40ms")]
pub(crate) struct Desk;

#[handlers]
impl Desk {
    /// Takes its time.
    pub async fn work(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client and the actor that was spawned for it.
pub(crate) struct Connected {
    pub(crate) client: Client,
    target: Target,
}

#[derive(Clone)]
enum Target {
    Actor(EchoRef),
    Service(AnswersRef),
    Keyed(KeyedRef),
}

/// Calls the actor, or the service.
#[derive(Clone)]
pub(crate) struct Calls {
    target: Target,
    put: bool,
}

impl Link for Connected {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let client = connect(job).await?;
        let service = client.service::<Answers>();
        let target = match job.contender {
            Contender::OursService => Target::Service(service),
            Contender::OursKeyed => Target::Keyed(client.actor::<Keyed>(0u32)),
            _ => Target::Actor(service.open().await?),
        };
        Ok(Self { client, target })
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            target: self.target.clone(),
            put,
        }
    }

    async fn caller_of_another(&self) -> Result<Calls, Box<dyn Error>> {
        let another = self.client.service::<Answers>().open().await?;
        Ok(Calls {
            target: Target::Actor(another),
            put: true,
        })
    }

    async fn close(self) {
        self.client.close().await;
    }
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
            (Target::Keyed(key), false) => key.echo(body).await.is_ok_and(|b| b.len() == len),
            (Target::Keyed(key), true) => key.put(body).await.is_ok_and(|n| n == len as u64),
        }
    }

    async fn send(&self, body: Bytes, slow: bool) -> bool {
        match &self.target {
            Target::Actor(actor) if slow => actor.take_slowly(body).send().await.is_ok(),
            Target::Actor(actor) => actor.take(body).send().await.is_ok(),
            Target::Service(_) | Target::Keyed(_) => false,
        }
    }

    async fn handled(&self) -> Option<u64> {
        match &self.target {
            Target::Actor(actor) => actor.taken().await.ok(),
            Target::Service(_) | Target::Keyed(_) => None,
        }
    }
}

/// Starts a node that answers.
pub(crate) async fn serve(
    contender: Contender,
    credentials: &Path,
    ip: IpAddr,
) -> Result<(Ready, Arc<OnceLock<Node>>), Box<dyn Error>> {
    let held = Arc::new(OnceLock::new());
    let own = Arc::clone(&held);
    let mut builder = Node::builder();
    if contender == Contender::OursKeyed {
        // Gone with the certificates; another server of this run begins anew.
        let data = tempfile::Builder::new().tempdir_in(credentials)?.keep();
        builder = builder.data_dir(data).bootstrap_expect(1);
    }
    let node = builder
        .name("server")
        .listen((ip, 0))
        .identity(credentials::ours(credentials, "server")?)
        .config(config(contender))
        .host_with(move |_: &Ctx<Answers>| Answers {
            node: Arc::clone(&own),
        })
        .host::<Desk>()
        .host::<Keyed>()
        .start()
        .await?;
    if contender == Contender::OursKeyed {
        node.joined(FORMS_WITHIN).await?;
    }
    let ready = Ready::here(node.local_addr());
    // It was empty.
    let _ = held.set(node);
    Ok((ready, held))
}

/// Connects to it.
pub(crate) async fn connect(job: &Job) -> Result<Client, Box<dyn Error>> {
    let client = Client::builder()
        .seed(job.server()?.addr)
        .identity(credentials::ours(&job.credentials, "client")?)
        .config(config(job.contender))
        .connect()
        .await?;
    Ok(client)
}

/// The defaults; only the lanes are varied.
fn config(contender: Contender) -> callboard::net::Config {
    let mut config = callboard::net::Config::default();
    config.lanes = match contender {
        Contender::OursLanes4 => 4,
        Contender::OursLanes8 => 8,
        _ => config.lanes,
    };
    config
}

const FORMS_WITHIN: Duration = Duration::from_secs(10);

/// A rest is between one and two milliseconds: the grain of the timer.
const TAKEN_BETWEEN_RESTS: u64 = 32;
