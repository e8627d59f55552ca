//! The QUIC endpoint of a node: one UDP socket that dials and is dialled.
//!
//! It turns [`Config`] into quinn's settings and takes every seed from the environment, so that
//! the same seed gives the same packets. What a connection is for is not known here. It may
//! depend on `env`, `task` and `tls`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use callboard_protocol::code::Code;
use callboard_protocol::wire::hello::LANES_MAX;
use quinn::crypto::HandshakeTokenKey;
use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout,
    MtuDiscoveryConfig, NoneTokenStore, TimeSource, TransportConfig, VarInt,
};
use ring::{hkdf, hmac};

use super::config::Config;
use super::congestion::Bounded;
use super::identity::Identity;
use super::socket::{Runtime, Socket};
use super::{LinkDown, StartError, reach, tls};
use crate::env::{Clock, Entropy, Env};
use crate::task::Tasks;

/// An endpoint, and what its handshakes are made of.
pub(super) struct Opened {
    pub(super) endpoint: quinn::Endpoint,
    /// The settings of the handshakes that it begins.
    pub(super) client: quinn::ClientConfig,
    pub(super) handshakes: Handshakes,
}

/// The endpoint, for as long as the port is open: the socket is freed with the last handle to it, and a node that has
/// stopped may be kept for long.
pub(super) struct Port {
    endpoint: Mutex<Option<quinn::Endpoint>>,
    local_addr: SocketAddr,
}

impl Port {
    pub(super) fn new(endpoint: quinn::Endpoint, local_addr: SocketAddr) -> Self {
        Self {
            endpoint: Mutex::new(Some(endpoint)),
            local_addr,
        }
    }

    /// Returns the address that it is bound to.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the endpoint, while it is open. Whoever keeps it keeps the port.
    pub(super) fn endpoint(&self) -> Option<quinn::Endpoint> {
        self.lock().clone()
    }

    /// Begins a connection.
    pub(super) fn dial(
        &self,
        client: quinn::ClientConfig,
        addr: SocketAddr,
    ) -> Result<quinn::Connecting, LinkDown> {
        let failed = |detail: String| LinkDown::new(Code::PeerUnreachable, detail);
        let endpoint = self.endpoint();
        let endpoint = endpoint.ok_or_else(|| failed("the own port is closed".to_owned()))?;
        let connecting = endpoint.connect_with(client, addr, SERVER_NAME);
        connecting.map_err(|error| failed(error.to_string()))
    }

    /// Shows other settings to those who dial from now on.
    pub(super) fn set_server(&self, server: quinn::ServerConfig) {
        if let Some(endpoint) = self.endpoint() {
            endpoint.set_server_config(Some(server));
        }
    }

    /// Closes all connections, with this as the reason.
    pub(super) fn close(&self, reason: &str) {
        if let Some(endpoint) = self.endpoint() {
            endpoint.close(super::close::number(Code::NodeLeaving), reason.as_bytes());
        }
    }

    /// Lets go of the socket. What still runs on it keeps it until it ends.
    pub(super) fn let_go(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<quinn::Endpoint>> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is the same in all handshakes of an endpoint, whatever identity they show.
pub(super) struct Handshakes {
    transport: Arc<TransportConfig>,
    /// Kept, so that an address that was proven before a rotation is so after it.
    token_key: Arc<dyn HandshakeTokenKey>,
    pending_max: usize,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Opens the endpoint. `accepts` is whether it may be dialled.
pub(super) fn open(
    config: &Config,
    env: &Env,
    identity: &Identity,
    listen: SocketAddr,
    accepts: bool,
    tasks: &Tasks,
) -> Result<Opened, StartError> {
    let handshakes = Handshakes::new(config, env)?;
    let server = match accepts {
        true => Some(handshakes.server(identity)?),
        false => None,
    };
    let client = handshakes.client(identity)?;

    let failed = |error: std::io::Error| reach::not_bound(listen, &error);
    let socket = env.udp.bind(listen).map_err(failed)?;
    let runtime = Runtime {
        tasks: tasks.clone(),
        clock: Arc::clone(&env.clock),
    };
    let endpoint = quinn::Endpoint::new_with_abstract_socket(
        endpoint(config, env, identity)?,
        server,
        Arc::new(Socket::new(socket)),
        Arc::new(runtime),
    );
    Ok(Opened {
        endpoint: endpoint.map_err(failed)?,
        client,
        handshakes,
    })
}

impl Handshakes {
    fn new(config: &Config, env: &Env) -> Result<Self, StartError> {
        let mut token_secret = [0; 32];
        env.entropy.fill(&mut token_secret);
        let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&token_secret);
        Ok(Self {
            transport: Arc::new(transport(config)?),
            token_key: Arc::new(token_key),
            pending_max: config.pending_max,
            clock: Arc::clone(&env.clock),
            entropy: Arc::clone(&env.entropy),
        })
    }

    /// Returns the settings of the handshakes that this side begins.
    pub(super) fn client(&self, identity: &Identity) -> Result<quinn::ClientConfig, StartError> {
        let crypto = Arc::new(tls::client(identity, &self.clock)?);
        let mut client = quinn::ClientConfig::new(crypto);
        client.transport_config(Arc::clone(&self.transport));
        client.token_store(Arc::new(NoneTokenStore));
        let entropy = Arc::clone(&self.entropy);
        client.initial_dst_cid_provider(Arc::new(move || random_id::<INITIAL_ID_BYTES>(&*entropy)));
        Ok(client)
    }

    /// Returns the settings of the handshakes that others begin.
    pub(super) fn server(&self, identity: &Identity) -> Result<quinn::ServerConfig, StartError> {
        let crypto = Arc::new(tls::server(identity, &self.clock)?);
        let mut server = quinn::ServerConfig::new(crypto, Arc::clone(&self.token_key));
        server.transport_config(Arc::clone(&self.transport));
        // A node that changes its address dials anew; a stranger cannot move a link elsewhere.
        server.migration(false);
        server.max_incoming(self.pending_max);
        server.incoming_buffer_size(INCOMING_BYTES_MAX);
        server.incoming_buffer_size_total(INCOMING_BYTES_MAX * self.pending_max as u64);
        server.time_source(Arc::new(WallTime(Arc::clone(&self.clock))));
        Ok(server)
    }
}

fn endpoint(config: &Config, env: &Env, identity: &Identity) -> Result<EndpointConfig, StartError> {
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, identity.reset_secret());
    let mut endpoint = EndpointConfig::new(Arc::new(reset_key));
    let mut seed = [0; 32];
    env.entropy.fill(&mut seed);
    endpoint.rng_seed(Some(seed));
    let entropy = Arc::clone(&env.entropy);
    endpoint.cid_generator(move || Box::new(RandomIds(Arc::clone(&entropy))));
    endpoint
        .max_udp_payload_size(config.datagram_bytes_max)
        .map_err(|error| out_of_range("datagram_bytes_max", &error))?;
    Ok(endpoint)
}

fn transport(config: &Config) -> Result<TransportConfig, StartError> {
    let idle = IdleTimeout::try_from(config.peer_timeout)
        .map_err(|error| out_of_range("peer_timeout", &error))?;
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(config.datagram_bytes_max);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK))
        .max_ack_delay(Some(ACK_DELAY_MAX));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(config.streams_max))
        // The lanes that a peer may ask for, and its control stream.
        .max_concurrent_uni_streams(VarInt::from_u32(u32::from(LANES_MAX) + 1))
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(config.keep_alive))
        .initial_rtt(config.initial_rtt)
        .stream_receive_window(VarInt::from_u32(config.stream_window_bytes))
        .receive_window(VarInt::from_u32(config.receive_window_bytes))
        .send_window(config.send_window_bytes)
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(Arc::new(Bounded::default()))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(acks))
        .allow_spin(false);
    Ok(transport)
}

fn out_of_range(setting: &str, error: &dyn std::fmt::Display) -> StartError {
    StartError::new(Code::ConfigInvalid, format!("setting {setting}"))
        .with_detail(error.to_string())
}

/// Connection ids of eight random bytes, from the environment's entropy.
struct RandomIds(Arc<dyn Entropy>);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        random_id::<ID_BYTES>(&*self.0)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn random_id<const N: usize>(entropy: &dyn Entropy) -> ConnectionId {
    let mut id = [0; N];
    entropy.fill(&mut id);
    ConnectionId::new(&id)
}

struct WallTime(Arc<dyn Clock>);

impl TimeSource for WallTime {
    fn now(&self) -> SystemTime {
        self.0.wall()
    }
}

const ID_BYTES: usize = 8;

/// RFC 9000, section 7.2: at least 8 unpredictable bytes; quinn's own choice is 20.
const INITIAL_ID_BYTES: usize = 20;

/// What one connection may have sent before it is accepted: a first flight is a few packets.
const INCOMING_BYTES_MAX: u64 = 64 << 10;

/// One acknowledgement for so many packets, not for every second one. With 64 calls in flight on
/// loopback this saved a quarter of the CPU time of a call; most acknowledgements ride on replies
/// anyway.
const PACKETS_PER_ACK: u32 = 10;

/// When fewer packets come, they are acknowledged after this. quinn's default of 25 ms would slow
/// down the recovery from a loss on a fast path.
const ACK_DELAY_MAX: Duration = Duration::from_millis(5);

/// TLS wants a name. Nodes are known by their certificate's URI name, so it is the same for all.
const SERVER_NAME: &str = "callboard";
