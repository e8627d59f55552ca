//! What a close needs in order to leave: both ends of one connection in memory, packet by packet.

use std::time::Instant;

use bytes::BytesMut;
use callboard_protocol::code::Code;
use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, Dir, EndpointConfig, Event};

use super::*;

/// One end of the connection.
struct End {
    endpoint: quinn_proto::Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    addr: SocketAddr,
}

impl End {
    fn new(server: Option<quinn::ServerConfig>, port: u16) -> Self {
        let (config, server) = (Arc::new(EndpointConfig::default()), server.map(Arc::new));
        Self {
            endpoint: quinn_proto::Endpoint::new(config, server, false, Some([7; 32])),
            connection: None,
            addr: loopback(port),
        }
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.connection.as_mut().expect("it was made").1
    }

    /// Returns the next packet that this end has to send.
    fn packet(&mut self, now: Instant) -> Option<BytesMut> {
        let (handle, connection) = self.connection.as_mut()?;
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        let mut packet = Vec::new();
        let _ = connection.poll_transmit(now, 1, &mut packet)?;
        Some(packet.as_slice().into())
    }

    fn take(&mut self, now: Instant, from: SocketAddr, packet: BytesMut) {
        let mut answer = Vec::new();
        let event = self
            .endpoint
            .handle(now, from, None, None, packet, &mut answer);
        match event {
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut answer, None);
                self.connection = Some(accepted.map_err(|error| error.cause).expect("accepted"));
            }
            Some(DatagramEvent::ConnectionEvent(_, event)) => self.connection().handle_event(event),
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// Sends until it is held up, and returns how many packets that were. They come to nobody.
    fn pour(&mut self, now: &mut Instant) -> usize {
        let mut packets = 0;
        // Pacing lets more out later; what is on its way is lost only long after that.
        for _ in 0..20 {
            *now += Duration::from_micros(100);
            packets += std::iter::from_fn(|| self.packet(*now)).count();
        }
        packets
    }
}

/// Carries packets both ways until neither end has any more.
fn carry(now: Instant, ends: &mut [End; 2]) {
    let mut quiet = 0;
    for turn in 0.. {
        let (from, to) = (turn % 2, (turn + 1) % 2);
        let addr = ends[from].addr;
        quiet = match ends[from].packet(now) {
            Some(packet) => {
                ends[to].take(now, addr, packet);
                0
            }
            None => quiet + 1,
        };
        if quiet == 2 {
            return;
        }
    }
}

/// Two ends that have said hello in TLS, and a stream of the first with far more than may be on its way.
fn connected(tasks: &Tasks) -> ([End; 2], Instant) {
    let bank = authority("bank");
    let (env, config) = (Env::real(), quick());
    let open = |identity: &Identity| {
        endpoint::open(&config, &env, identity, loopback(0), false, tasks).expect("an endpoint")
    };
    let (client, node) = (client(&bank, "c1"), node(&bank, "n1"));
    let server = open(&node).handshakes.server(&node).expect("settings");
    let mut ends = [End::new(None, 1), End::new(Some(server), 2)];
    let mut now = Instant::now();
    let addr = ends[1].addr;
    let dialled = ends[0]
        .endpoint
        .connect(now, open(&client).client, addr, "callboard");
    ends[0].connection = Some(dialled.expect("an address"));
    for _ in 0..10 {
        carry(now, &mut ends);
        now += Duration::from_millis(1);
    }
    assert!(!ends[0].connection().is_handshaking());
    let stream = ends[0].connection().streams().open(Dir::Bi);
    let stream = stream.expect("the node allows streams");
    let mut stream = ends[0].connection().send_stream(stream);
    assert_eq!(stream.write(&vec![7; 128 << 10]), Ok(128 << 10));
    (ends, now)
}

fn open_window(end: &mut End) {
    let controller = end.connection().congestion_state().clone_box();
    congestion::traffic(controller).close();
    let window = end.connection().congestion_state().window();
    assert_eq!(window, congestion::OPEN_BYTES);
}

#[tokio::test]
async fn a_close_leaves_however_much_is_on_its_way() {
    let tasks = Tasks::new("test");
    let (mut ends, mut now) = connected(&tasks);
    assert!(ends[0].pour(&mut now) > 5, "the window is full");
    let why = LinkDown::new(Code::PeerDenied, "denied in a test");
    ends[0]
        .connection()
        .close(now, close::number(why.code), why.detail.clone().into());
    open_window(&mut ends[0]);
    let (from, said) = (ends[0].addr, ends[0].packet(now));
    ends[1].take(now, from, said.expect("the close leaves"));
    assert!(ends[0].packet(now).is_none(), "and nothing else");
    let lost = std::iter::from_fn(|| ends[1].connection().poll()).find_map(|event| match event {
        Event::ConnectionLost { reason } => Some(close::reason(&reason)),
        _ => None,
    });
    assert_eq!(lost, Some(why));
    tasks.stop(Duration::ZERO).await;
}

/// Why the window is opened after the close: whoever sends may be at it in between, on another thread.
#[tokio::test]
async fn what_waits_leaves_in_one_burst_where_the_window_is_opened_before_the_close() {
    let tasks = Tasks::new("test");
    let (mut ends, mut now) = connected(&tasks);
    let windowful = ends[0].pour(&mut now);
    open_window(&mut ends[0]);
    let burst = std::iter::from_fn(|| ends[0].packet(now)).count();
    assert!(burst > 2 * windowful, "{burst} after {windowful}");
    tasks.stop(Duration::ZERO).await;
}

/// Once this fails, the window need not be opened any more.
#[tokio::test]
async fn quinn_holds_a_close_up_where_the_window_is_full() {
    let tasks = Tasks::new("test");
    let (mut ends, mut now) = connected(&tasks);
    assert!(ends[0].pour(&mut now) > 5, "the window is full");
    ends[0]
        .connection()
        .close(now, 1_u32.into(), bytes::Bytes::new());
    assert!(ends[0].packet(now).is_none(), "the close leaves");
    tasks.stop(Duration::ZERO).await;
}
