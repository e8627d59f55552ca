//! Adapts the environment's UDP, timers and tasks to what quinn asks for.
//!
//! Nothing is decided here. It may depend on `env` and `task`.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{self, EcnCodepoint};
use quinn::{AsyncTimer, AsyncUdpSocket, UdpPoller};
use tokio::time::Sleep;

use crate::env::{Clock, Ecn, RecvMeta, Transmit, UdpSocket, Writable};
use crate::task::Tasks;

/// quinn's view of a socket of the environment.
#[derive(Debug)]
pub(super) struct Socket(pub(super) Arc<dyn UdpSocket>);

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            socket: Arc::clone(&self.0),
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &udp::Transmit<'_>) -> io::Result<()> {
        let mut ours = Transmit::new(transmit.destination, transmit.contents);
        ours.ecn = transmit.ecn.map(|ecn| match ecn {
            EcnCodepoint::Ect0 => Ecn::Ect0,
            EcnCodepoint::Ect1 => Ecn::Ect1,
            EcnCodepoint::Ce => Ecn::Ce,
        });
        ours.segment_size = transmit.segment_size;
        ours.src_ip = transmit.src_ip;
        self.0.try_send(&ours)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [udp::RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut ours = [RecvMeta::default(); udp::BATCH_SIZE];
        let batch = meta.len().min(bufs.len()).min(ours.len());
        let count = ready!(self.0.poll_recv(cx, &mut bufs[..batch], &mut ours[..batch]))?;
        for (theirs, ours) in meta.iter_mut().zip(&ours[..count.min(batch)]) {
            theirs.addr = ours.from;
            theirs.len = ours.len;
            theirs.stride = ours.stride;
            theirs.dst_ip = ours.dst_ip;
            theirs.ecn = ours.ecn.map(|ecn| match ecn {
                Ecn::Ect0 => EcnCodepoint::Ect0,
                Ecn::Ect1 => EcnCodepoint::Ect1,
                Ecn::Ce => EcnCodepoint::Ce,
            });
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

/// One task's wait for room to send.
struct Poller {
    socket: Arc<dyn UdpSocket>,
    waiting: Option<Writable>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => Arc::clone(&self.socket).writable(),
        };
        let polled = waiting.as_mut().poll(cx);
        if polled.is_pending() {
            self.waiting = Some(waiting);
        }
        polled
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

/// quinn's view of tasks, timers and the clock.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) tasks: Tasks,
    pub(super) clock: Arc<dyn Clock>,
}

impl quinn::Runtime for Runtime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer {
            sleep: Box::pin(tokio::time::sleep_until(at.into())),
        })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tasks.spawn("quic", future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "sockets come from the environment",
        ))
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }
}

#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.sleep.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Named in full: with quinn's own tokio runtime in the build, a `Sleep` is an `AsyncTimer` too.
        Future::poll(self.sleep.as_mut(), cx)
    }
}
