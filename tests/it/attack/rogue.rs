//! A peer that speaks QUIC, TLS and the protocol as it should, and lies where a test wants it to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard::{Code, NodeName, net::PeerKind};
use callboard_protocol::{
    code::CallError,
    id::{CallId, ClusterName, Incarnation, InterfaceId, MethodId, NodeId},
    wire::{
        Limits,
        control::Control,
        header::{Body, Call, Chain, Frame, Target as CallTarget},
        hello::{About, Hello, ProtocolRange},
    },
};
use quinn::{
    ConnectionError, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::sync::mpsc;

use super::{
    forge::Shown,
    target::{CLUSTER, Target},
};

/// Far longer than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The first byte of the control stream, and of a lane before its number.
pub const CONTROL: u8 = 0;
pub const LANE: u8 = 1;

/// A connection after TLS, before any hello.
pub struct Rogue {
    _endpoint: quinn::Endpoint,
    pub connection: quinn::Connection,
}

/// How a connection ended, as the rogue sees it: a code of ours, or a TLS alert, and a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Closed(Code, String),
    Alert(u8),
    /// The port has no room.
    Refused,
    /// The node closed before it had seen the end of the handshake: then no reason is told (RFC 9000,
    /// section 10.2.3).
    Early,
    /// Nothing came any more.
    Silent,
    /// The node knows the connection no more. One that still sends when the node is done with it is told
    /// so, and this may be what its QUIC remembers.
    Forgotten,
}

/// How a rogue dials.
pub struct Dial<'a> {
    pub shown: Option<&'a Shown>,
    pub alpn: &'static [u8],
    /// What it takes in of each stream before it reads.
    pub window: u32,
}

impl<'a> Dial<'a> {
    pub fn with(shown: &'a Shown) -> Self {
        Self {
            shown: Some(shown),
            alpn: b"callboard/1",
            window: 1 << 20,
        }
    }

    pub async fn to(self, addr: SocketAddr) -> Result<Rogue, ConnectionError> {
        let tls = client_tls(self.shown, self.alpn);
        let tls = QuicClientConfig::try_from(tls).expect("suites");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(VarInt::from_u32(self.window));
        transport.max_concurrent_uni_streams(VarInt::from_u32(64));
        config.transport_config(Arc::new(transport));
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = quinn::Endpoint::client(local).expect("a socket");
        let connecting = endpoint.connect_with(config, addr, "callboard");
        let connection = connecting.expect("an address").await?;
        Ok(Rogue {
            _endpoint: endpoint,
            connection,
        })
    }

    /// Dials, and waits for the node to end it.
    pub async fn refused(self, addr: SocketAddr) -> Seen {
        match self.to(addr).await {
            Ok(rogue) => rogue.closed().await,
            Err(error) => seen(&error),
        }
    }
}

/// A rogue that waits to be dialled.
pub struct Listener(quinn::Endpoint);

impl Listener {
    pub fn of(shown: &Shown) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(shown.chain.clone(), shown.key.clone_key())
            .expect("a key");
        tls.alpn_protocols = vec![b"callboard/1".to_vec()];
        let tls = QuicServerConfig::try_from(tls).expect("suites");
        let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        Self(quinn::Endpoint::server(config, local).expect("a socket"))
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// Says hello to the next one who dials, and returns how that ended.
    pub async fn meets(&self, hello: Hello) -> Seen {
        let dialler = tokio::time::timeout(PATIENCE, self.0.accept()).await;
        match dialler.expect("in time").expect("it is open").await {
            Ok(connection) => {
                let rogue = Rogue {
                    _endpoint: self.0.clone(),
                    connection,
                };
                let _control = rogue.stream(&opening(hello)).await;
                rogue.closed().await
            }
            Err(error) => seen(&error),
        }
    }
}

impl Rogue {
    /// Opens a one-way stream with these bytes, unless the node has closed.
    pub async fn stream(&self, bytes: &[u8]) -> Option<quinn::SendStream> {
        let mut stream = self.connection.open_uni().await.ok()?;
        stream.write_all(bytes).await.ok()?;
        Some(stream)
    }

    /// Waits until the node closes.
    pub async fn closed(&self) -> Seen {
        let closed = tokio::time::timeout(PATIENCE, self.connection.closed()).await;
        seen(&closed.expect("the node closes"))
    }

    /// Says hello as it should, and opens a lane.
    ///
    /// # Errors
    /// Why the node closed.
    pub async fn link(self, hello: Hello) -> Result<Linked, Seen> {
        let (Some(control), Some(lane)) = (
            self.stream(&opening(hello)).await,
            self.stream(&[LANE, 0]).await,
        ) else {
            return Err(self.closed().await);
        };
        let (heard, replies) = mpsc::unbounded_channel();
        let connection = self.connection.clone();
        tokio::spawn(async move {
            while let Ok(stream) = connection.accept_uni().await {
                tokio::spawn(hear(stream, heard.clone()));
            }
        });
        Ok(Linked {
            rogue: self,
            control,
            lane,
            replies,
        })
    }
}

/// A rogue with a link.
pub struct Linked {
    pub rogue: Rogue,
    pub control: quinn::SendStream,
    pub lane: quinn::SendStream,
    replies: mpsc::UnboundedReceiver<Answer>,
}

/// Returns a name that nobody had before: the node may not be done yet with the link of the last blow,
/// and refuses a second one of its name.
pub fn unheard(attack: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{attack}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What came back for a call.
type Answer = (CallId, Result<Vec<u8>, CallError>);

impl Linked {
    /// Links as a client with a certificate and a name of its own.
    pub async fn client(target: &Target, attack: &str) -> Self {
        let linked = Self::attempt(target, attack).await;
        linked.unwrap_or_else(|seen| panic!("{seen:?}"))
    }

    /// Tries to link as such a client.
    ///
    /// # Errors
    /// Why the node did not let it.
    pub async fn attempt(target: &Target, attack: &str) -> Result<Self, Seen> {
        let name = &unheard(attack);
        let shown = target.client(name);
        let dialled = Dial::with(&shown).to(target.addr).await;
        let rogue = dialled.map_err(|error| seen(&error))?;
        rogue.link(hello(name, PeerKind::Client)).await
    }

    /// Writes frames to the lane.
    pub async fn say(&mut self, bytes: &[u8]) {
        // The node may have closed by now, which is what the test waits for.
        let _ = self.lane.write_all(bytes).await;
    }

    /// Waits for the next answer.
    pub async fn answer(&mut self) -> Answer {
        let next = self.next().await;
        next.unwrap_or_else(|| panic!("closed: {:?}", self.rogue.connection.close_reason()))
    }

    /// Waits for the next answer, or for the end of the link.
    pub async fn next(&mut self) -> Option<Answer> {
        let answer = tokio::time::timeout(PATIENCE, self.replies.recv()).await;
        answer.expect("in time")
    }

    /// Calls with these bytes as the body, and returns the code of the refusal.
    pub async fn refused(&mut self, id: u64, method: &str, body: &[u8]) -> Code {
        self.say(&frame(&call(id, method, Body::Inline(body))))
            .await;
        let (answered, outcome) = self.answer().await;
        assert_eq!(answered, CallId(id));
        outcome.expect_err("a refusal").code()
    }

    /// Opens a stream for a call, unless the node has closed.
    pub async fn open(&self) -> Option<(quinn::SendStream, quinn::RecvStream)> {
        self.rogue.connection.open_bi().await.ok()
    }

    /// Opens the stream of a call with these bytes.
    pub async fn call_stream(
        &self,
        id: u64,
        bytes: &[u8],
    ) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, recv) = self.open().await.expect("a stream");
        let preface = [&[0], &id.to_le_bytes()[..], bytes].concat();
        let _ = send.write_all(&preface).await;
        (send, recv)
    }
}

async fn hear(mut stream: quinn::RecvStream, heard: mpsc::UnboundedSender<Answer>) {
    let mut kind = [0; 1];
    if stream.read_exact(&mut kind).await.is_err() || kind[0] != LANE {
        // The node's control stream: it is read to its end, and not looked at.
        let _ = stream.read_to_end(usize::MAX).await;
        return;
    }
    let mut length = [0; 4];
    if stream.read_exact(&mut kind).await.is_err() {
        return;
    }
    while stream.read_exact(&mut length).await.is_ok() {
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        if let Ok(Frame::Reply(reply)) = Frame::decode(&bytes) {
            let outcome = reply.outcome.map(|body| match body {
                Body::Inline(body) => body.to_vec(),
                Body::OnStream => Vec::new(),
            });
            let _ = heard.send((reply.id, outcome));
        }
    }
}

/// The rustls settings of a client that trusts anybody.
pub fn client_tls(shown: Option<&Shown>, alpn: &[u8]) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(provider)));
    let mut tls = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => builder
            .with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())
            .expect("a key"),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.enable_sni = false;
    tls
}

/// Returns an orderly hello.
pub fn hello(name: &str, kind: PeerKind) -> Hello {
    let name = NodeName::new(name).expect("a name");
    Hello {
        protocol: ProtocolRange::OURS,
        about: About {
            cluster: ClusterName::new(CLUSTER).expect("a name"),
            id: NodeId::of(&name),
            name,
            incarnation: Incarnation(1),
            kind,
            features: 0,
            lanes: 1,
            frame_bytes_max: 64 << 10,
            body_bytes_max: 1 << 20,
            listen: None,
            hosts: Vec::new(),
        },
    }
}

/// Returns the first bytes of a control stream: the hello, and that its sender is willing.
pub fn opening(hello: Hello) -> Vec<u8> {
    let (mut bytes, limits) = (vec![CONTROL], Limits::default());
    let hello = Control::Hello(Box::new(hello));
    hello.encode(&mut bytes, &limits).expect("a hello");
    let members = Control::Members(Vec::new());
    members.encode(&mut bytes, &limits).expect("members");
    bytes
}

/// Returns a call of the Bank.
pub fn call<'a>(id: u64, method: &str, body: Body<'a>) -> Call<'a> {
    Call {
        id: CallId(id),
        send: false,
        interface: InterfaceId::of("Bank"),
        method: MethodId::of("Bank", method),
        target: CallTarget::Service,
        epoch: 0,
        deadline_left: Duration::from_secs(3600),
        sender: 0,
        root: 0,
        chain: Chain::new(&[]),
        trace: None,
        request: None,
        streamed: false,
        body,
    }
}

/// Returns a call with its length in front.
pub fn frame(call: &Call<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    call.encode(&mut bytes).expect("a call");
    let length = u32::try_from(bytes.len() - 4).expect("short");
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Says how a connection ended.
pub fn seen(error: &ConnectionError) -> Seen {
    let code = |number: u64| u16::try_from(number).ok().and_then(Code::from_number);
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let text = String::from_utf8_lossy(&close.reason).into_owned();
            let code = code(close.error_code.into_inner());
            Seen::Closed(code.expect("a code of ours"), text)
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED =>
        {
            Seen::Refused
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == quinn::TransportErrorCode::APPLICATION_ERROR =>
        {
            Seen::Early
        }
        ConnectionError::ConnectionClosed(close) => alert(close.error_code, error),
        ConnectionError::TimedOut => Seen::Silent,
        ConnectionError::Reset => Seen::Forgotten,
        other => panic!("no reason: {other:?}"),
    }
}

/// TLS alerts are 0x100 and the alert (RFC 9001, section 4.8).
fn alert(code: quinn::TransportErrorCode, error: &ConnectionError) -> Seen {
    let alert = u64::from(code)
        .checked_sub(0x100)
        .and_then(|alert| u8::try_from(alert).ok());
    Seen::Alert(alert.unwrap_or_else(|| panic!("no alert: {error:?}")))
}

#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
