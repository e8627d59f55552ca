//! UDP sockets with segmentation and receive offload.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn_udp::{EcnCodepoint, UdpSockRef, UdpSocketState};
use tokio::io::Interest;

use crate::env::{self, Ecn, RecvMeta, Transmit, Writable};

/// The system's UDP.
#[derive(Debug)]
pub(crate) struct Udp;

impl env::Udp for Udp {
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn env::UdpSocket>> {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // A burst must fit while the endpoint's task is busy, and the default (212 kB) does not
        // hold one congestion window. The kernel caps what it does not allow; that is fine.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER_BYTES);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER_BYTES);
        Ok(Arc::new(Socket {
            io: tokio::net::UdpSocket::from_std(socket)?,
            state,
        }))
    }
}

#[derive(Debug)]
struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
}

impl env::UdpSocket for Socket {
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: transmit.to,
            ecn: transmit.ecn.map(|ecn| match ecn {
                Ecn::Ect0 => EcnCodepoint::Ect0,
                Ecn::Ect1 => EcnCodepoint::Ect1,
                Ecn::Ce => EcnCodepoint::Ce,
            }),
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.io.try_io(Interest::WRITABLE, || {
            self.state.send((&self.io).into(), &transmit)
        })
    }

    fn writable(self: Arc<Self>) -> Writable {
        Box::pin(async move { self.io.writable().await })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut raw = [quinn_udp::RecvMeta::default(); quinn_udp::BATCH_SIZE];
        let batch = meta.len().min(raw.len());
        let mut count = 0;
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || {
                count = self
                    .state
                    .recv((&self.io).into(), bufs, &mut raw[..batch])?;
                // Less than there was place for is all there was. Said like this, the next look waits for
                // an event, and does not ask the system for nothing; what has come since is one.
                match count < batch {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => Ok(()),
                }
            });
            match received {
                Ok(()) => break,
                Err(_) if count > 0 => break,
                Err(error) if is_passing(error.kind()) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        for (ours, theirs) in meta.iter_mut().zip(&raw[..count]) {
            *ours = RecvMeta {
                from: theirs.addr,
                len: theirs.len,
                stride: theirs.stride,
                ecn: theirs.ecn.map(|ecn| match ecn {
                    EcnCodepoint::Ect0 => Ecn::Ect0,
                    EcnCodepoint::Ect1 => Ecn::Ect1,
                    EcnCodepoint::Ce => Ecn::Ce,
                }),
                dst_ip: theirs.dst_ip,
            };
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// The readiness was stale, or the network answered an earlier datagram: another peer's packets
/// may still be there.
fn is_passing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, WouldBlock,
    };
    matches!(
        kind,
        WouldBlock
            | Interrupted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
    )
}

const SOCKET_BUFFER_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use env::Udp as _;

    use super::*;

    /// Returns a socket once it has said that there is room to send.
    async fn socket() -> Arc<dyn env::UdpSocket> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = Udp.bind(any).expect("an address of this machine");
        Arc::clone(&socket).writable().await.expect("watched");
        socket
    }

    /// Receives until `count` datagrams of one byte are here.
    async fn receive(socket: &dyn env::UdpSocket, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let mut places = [[0; 8]; 4];
            let mut meta = [RecvMeta::default(); 4];
            let filled = poll_fn(|cx| {
                let mut bufs = places.each_mut().map(|place| IoSliceMut::new(place));
                socket.poll_recv(cx, &mut bufs, &mut meta)
            });
            let filled = filled.await.expect("received");
            for (place, meta) in places.iter().zip(&meta[..filled]) {
                bytes.extend_from_slice(&place[..meta.len]);
            }
        }
        bytes
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_that_comes_while_one_receives_is_left_lying() {
        let (here, there) = (socket().await, socket().await);
        let (to_here, to_there) = (here.local_addr(), there.local_addr());
        let (to_here, to_there) = (to_here.expect("bound"), to_there.expect("bound"));
        let rounds = 5000_usize;
        let echo = tokio::spawn(async move {
            for round in 0..rounds {
                for byte in receive(&*there, 1 + round % 7).await {
                    let sent = there.try_send(&Transmit::new(to_here, &[byte]));
                    sent.expect("room for a byte");
                }
            }
        });
        let all = async {
            for round in 0..rounds {
                for at in 0..1 + round % 7 {
                    let sent = here.try_send(&Transmit::new(to_there, &[at as u8]));
                    sent.expect("room for a byte");
                }
                let back = receive(&*here, 1 + round % 7).await;
                assert!(
                    back.iter().copied().eq(0..1 + (round % 7) as u8),
                    "{back:?}"
                );
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
        in_time.expect("a datagram was left lying");
        echo.await.expect("echoed");
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_of_it() {
        let socket = socket().await;
        for _ in 0..3 {
            let room =
                tokio::time::timeout(Duration::from_secs(10), Arc::clone(&socket).writable());
            room.await.expect("there is room").expect("watched");
        }
    }
}
