//! quinn, set as Callboard sets it.
//!
//! This file repeats `framework/runtime/src/net/{config,congestion,endpoint,tls}.rs` and
//! `framework/runtime/src/env/real/udp.rs`. Whoever changes a setting there changes it here: a rival
//! with other settings says nothing about the work above QUIC.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    ServerConfig, TransportConfig, VarInt,
};

use super::congestion::Bounded;
use crate::credentials;

/// Opens an endpoint that is dialled.
pub(crate) fn server(directory: &Path, ip: IpAddr) -> Result<Endpoint, Box<dyn Error>> {
    let tls = credentials::server(directory, ALPN)?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport()?));
    config.migration(false);
    config.max_incoming(256);
    open(Some(config), ip)
}

/// Opens an endpoint that dials, and dials.
pub(crate) async fn connect(
    directory: &Path,
    server: SocketAddr,
) -> Result<(Endpoint, quinn::Connection), Box<dyn Error>> {
    let endpoint = client(directory)?;
    let connection = endpoint.connect(server, credentials::SERVER_NAME)?.await?;
    Ok((endpoint, connection))
}

fn client(directory: &Path) -> Result<Endpoint, Box<dyn Error>> {
    let tls = credentials::client(directory, ALPN)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport()?));
    let mut endpoint = open(None, Ipv4Addr::UNSPECIFIED.into())?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

fn open(server: Option<ServerConfig>, ip: IpAddr) -> Result<Endpoint, Box<dyn Error>> {
    let socket = std::net::UdpSocket::bind((ip, 0))?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    options.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(DATAGRAM_BYTES_MAX)?;
    Ok(Endpoint::new(
        config,
        server,
        socket,
        Arc::new(quinn::TokioRuntime),
    )?)
}

fn transport() -> Result<TransportConfig, Box<dyn Error>> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10))
        .max_ack_delay(Some(Duration::from_millis(5)));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(128))
        .max_concurrent_uni_streams(VarInt::from_u32(17))
        .max_idle_timeout(Some(IdleTimeout::try_from(Duration::from_secs(3))?))
        .keep_alive_interval(Some(Duration::from_secs(1)))
        .initial_rtt(Duration::from_millis(100))
        .stream_receive_window(VarInt::from_u32(256 << 10))
        .receive_window(VarInt::from_u32(72 << 20))
        .send_window(8 << 20)
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(Arc::new(Bounded::default()))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(acks))
        .allow_spin(false);
    Ok(transport)
}

const ALPN: &[u8] = b"bench/1";
const DATAGRAM_BYTES_MAX: u16 = 6400;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
