//! `ractor_cluster` over TCP with TLS: an actor in a process group, found by the other node.

use std::error::Error;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use ractor_cluster::{
    IncomingEncryptionMode, NodeServer, NodeServerMessage, RactorClusterMessage, client_connect_enc,
};

use super::tcp;
use crate::job::{Job, Ready};
use crate::load::{Caller, Link};

/// What the actor takes.
#[derive(RactorClusterMessage)]
pub(crate) enum Message {
    #[rpc]
    Echo(Vec<u8>, RpcReplyPort<Vec<u8>>),
    #[rpc]
    Put(Vec<u8>, RpcReplyPort<u64>),
    Take(Vec<u8>),
    #[rpc]
    Taken(RpcReplyPort<u64>),
}

struct Answering;

impl Actor for Answering {
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
        taken: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // Who does not wait any more has gone.
            Message::Echo(body, reply) => drop(reply.send(body)),
            Message::Put(body, reply) => drop(reply.send(body.len() as u64)),
            Message::Take(_) => *taken += 1,
            Message::Taken(reply) => drop(reply.send(*taken)),
        }
        Ok(())
    }
}

/// Starts a node with the actor.
pub(crate) async fn serve(
    credentials: &Path,
    ip: IpAddr,
) -> Result<(Ready, ActorRef<NodeServerMessage>), Box<dyn Error>> {
    let (actor, _) = Actor::spawn(None, Answering, ()).await?;
    pg::join(GROUP.to_owned(), vec![actor.get_cell()]);
    let (addr, node) = node("server", credentials, ip).await?;
    Ok((Ready::here(addr), node))
}

/// Two nodes and what is known of the other's actor.
pub(crate) struct Connected {
    node: ActorRef<NodeServerMessage>,
    actor: ActorRef<Message>,
}

/// Makes calls.
#[derive(Clone)]
pub(crate) struct Calls {
    actor: ActorRef<Message>,
    put: bool,
}

impl Link for Connected {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let server = job.server()?.addr;
        let (_, node) = node("client", &job.credentials, server.ip()).await?;
        let connector = tcp::connector(&job.credentials)?;
        client_connect_enc(&node, server, connector, tcp::server_name()?).await?;
        // The group is told of after the handshake, without a way to wait for it.
        for _ in 0..LOOKS {
            if let Some(actor) = pg::get_members(&GROUP.to_owned()).pop() {
                let actor = actor.into();
                return Ok(Self { node, actor });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err("the other node's actor was not found".into())
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            actor: self.actor.clone(),
            put,
        }
    }

    async fn close(self) {
        self.node.stop(None);
    }
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let len = body.len();
        let body = Vec::from(body);
        if self.put {
            let made = self.actor.call(|reply| Message::Put(body, reply), DEADLINE);
            made.await
                .is_ok_and(|answer| answer.is_success() && answer.unwrap() == len as u64)
        } else {
            let made = self
                .actor
                .call(|reply| Message::Echo(body, reply), DEADLINE);
            made.await
                .is_ok_and(|answer| answer.is_success() && answer.unwrap().len() == len)
        }
    }

    async fn send(&self, body: Bytes, _slow: bool) -> bool {
        self.actor.cast(Message::Take(Vec::from(body))).is_ok()
    }

    async fn handled(&self) -> Option<u64> {
        let asked = self.actor.call(Message::Taken, DEADLINE).await.ok()?;
        asked.is_success().then(|| asked.unwrap())
    }
}

async fn node(
    name: &str,
    credentials: &Path,
    ip: IpAddr,
) -> Result<(SocketAddr, ActorRef<NodeServerMessage>), Box<dyn Error>> {
    // It cannot say which port it took, so it is given one that was free a moment ago.
    let addr = TcpListener::bind((ip, 0))?.local_addr()?;
    let server = NodeServer::new(
        addr.port(),
        "cookie".to_owned(),
        name.to_owned(),
        "localhost".to_owned(),
        Some(IncomingEncryptionMode::Tls(tcp::acceptor(credentials)?)),
        None,
    )
    .with_listen_addr(ip);
    let (node, _) = Actor::spawn(None, server, ()).await?;
    Ok((addr, node))
}

const GROUP: &str = "answers";

const DEADLINE: Option<Duration> = Some(Duration::from_secs(10));

/// How often the group is looked at, a millisecond apart.
const LOOKS: u32 = 5000;
