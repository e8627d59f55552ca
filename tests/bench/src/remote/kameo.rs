//! kameo's remote actors: libp2p over TCP with noise and yamux, as its own bootstrap has it.
//!
//! The limits are raised where a case needs more; the peers know each other instead of looking for
//! each other by mDNS.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use kameo::actor::{RemoteActorRef, Spawn};
use kameo::message::{Context, Message};
use kameo::remote::{Behaviour, messaging};
use kameo::{Actor, RemoteActor, Reply, remote_message};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};

use crate::job::{Job, Ready};
use crate::load::{Caller, Link};

/// The actor.
#[derive(Actor, RemoteActor)]
pub(crate) struct Answering {
    taken: u64,
}

/// Asks for the body.
#[derive(Serialize, Deserialize)]
pub(crate) struct Echo(Bytes);

/// Is the body.
#[derive(Reply, Serialize, Deserialize)]
pub(crate) struct Echoed(Bytes);

/// Asks for the length of the body.
#[derive(Serialize, Deserialize)]
pub(crate) struct Put(Bytes);

/// Asks for nothing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Take(Bytes);

/// Asks how many asked for nothing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Taken;

#[remote_message]
impl Message<Echo> for Answering {
    type Reply = Echoed;

    async fn handle(&mut self, Echo(body): Echo, _: &mut Context<Self, Echoed>) -> Echoed {
        Echoed(body)
    }
}

#[remote_message]
impl Message<Put> for Answering {
    type Reply = u64;

    async fn handle(&mut self, Put(body): Put, _: &mut Context<Self, u64>) -> u64 {
        body.len() as u64
    }
}

#[remote_message]
impl Message<Take> for Answering {
    type Reply = ();

    async fn handle(&mut self, _: Take, _: &mut Context<Self, ()>) {
        self.taken += 1;
    }
}

#[remote_message]
impl Message<Taken> for Answering {
    type Reply = u64;

    async fn handle(&mut self, _: Taken, _: &mut Context<Self, u64>) -> u64 {
        self.taken
    }
}

/// Starts a node with the actor.
pub(crate) async fn serve(ip: IpAddr) -> Result<Ready, Box<dyn Error>> {
    let mut swarm = swarm(server_key()?)?;
    swarm.listen_on(multiaddr(SocketAddr::new(ip, 0))?)?;
    let port = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            let port = address.iter().find_map(|part| match part {
                libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
                _ => None,
            });
            break port.ok_or("no port")?;
        }
    };
    tokio::spawn(run(swarm));
    let actor = Answering::spawn(Answering { taken: 0 });
    actor.register(NAME).await?;
    // The ref keeps the actor alive.
    tokio::spawn(async move { actor.wait_for_shutdown().await });
    Ok(Ready::here(SocketAddr::new(ip, port)))
}

/// The other node's actor.
pub(crate) struct Connected(RemoteActorRef<Answering>);

/// Makes calls to it.
#[derive(Clone)]
pub(crate) struct Calls {
    actor: RemoteActorRef<Answering>,
    put: bool,
}

impl Link for Connected {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let mut swarm = swarm(Keypair::generate_ed25519())?;
        let addr = multiaddr(job.server()?.addr)?;
        swarm.add_peer_address(PeerId::from(server_key()?.public()), addr.clone());
        swarm.dial(addr)?;
        tokio::spawn(run(swarm));
        for _ in 0..LOOKS {
            if let Ok(Some(actor)) = RemoteActorRef::<Answering>::lookup(NAME).await {
                return Ok(Self(actor));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("the other node's actor was not found".into())
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            actor: self.0.clone(),
            put,
        }
    }

    async fn close(self) {}
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let len = body.len();
        if self.put {
            let answer = self.actor.ask(&Put(body)).await;
            answer.is_ok_and(|bytes| bytes == len as u64)
        } else {
            let answer = self.actor.ask(&Echo(body)).await;
            answer.is_ok_and(|Echoed(body)| body.len() == len)
        }
    }

    async fn send(&self, body: Bytes, _slow: bool) -> bool {
        self.actor.tell(&Take(body)).send().is_ok()
    }

    async fn handled(&self) -> Option<u64> {
        self.actor.ask(&Taken).await.ok()
    }
}

fn swarm(key: Keypair) -> Result<Swarm<Behaviour>, Box<dyn Error>> {
    let config = messaging::Config::default()
        .with_max_concurrent_streams(STREAMS_MAX)
        .with_request_size_maximum(16 << 20);
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, multiplexing)?
        .with_behaviour(|key| Behaviour::new(key.public().to_peer_id(), config))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    swarm.behaviour().try_init_global()?;
    Ok(swarm)
}

async fn run(mut swarm: Swarm<Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}

/// Its default of 512 streams refuses the calls of the largest case.
fn multiplexing() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_MAX);
    config
}

/// The same in both processes, so that the load knows whom it looks for.
fn server_key() -> Result<Keypair, Box<dyn Error>> {
    Ok(Keypair::ed25519_from_bytes([7; 32])?)
}

fn multiaddr(addr: SocketAddr) -> Result<Multiaddr, Box<dyn Error>> {
    let family = if addr.is_ipv4() { "ip4" } else { "ip6" };
    Ok(format!("/{family}/{}/tcp/{}", addr.ip(), addr.port()).parse()?)
}

const NAME: &str = "answers";

const STREAMS_MAX: usize = 4096;

/// How often it is looked for, ten milliseconds apart.
const LOOKS: u32 = 1000;
