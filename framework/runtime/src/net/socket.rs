//! Adapts the environment's UDP, timers and tasks to what quinn asks for.
//!
//! Nothing is decided here. It may depend on `env` and `task`.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{self, EcnCodepoint};
use quinn::{AsyncTimer, AsyncUdpSocket, UdpPoller};
use tokio::time::Sleep;

use crate::env::{Clock, Ecn, RecvMeta, Transmit, UdpSocket, Writable};
use crate::task::Tasks;

/// quinn's view of a socket of the environment.
#[derive(Debug)]
pub(super) struct Socket {
    inner: Arc<dyn UdpSocket>,
    /// The last datagram found no room, and nobody has heard of room since. quinn asks for room before
    /// each datagram; without this a wait would be made for each.
    is_full: AtomicBool,
}

impl Socket {
    pub(super) fn new(inner: Arc<dyn UdpSocket>) -> Self {
        Self {
            inner,
            is_full: AtomicBool::new(false),
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            socket: self,
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
        let sent = self.inner.try_send(&ours);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.is_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [udp::RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut ours = [RecvMeta::default(); udp::BATCH_SIZE];
        let batch = meta.len().min(bufs.len()).min(ours.len());
        let count = ready!(
            self.inner
                .poll_recv(cx, &mut bufs[..batch], &mut ours[..batch])
        )?;
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
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// One task's wait for room to send.
struct Poller {
    socket: Arc<Socket>,
    waiting: Option<Writable>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None if !self.socket.is_full.load(Ordering::Relaxed) => return Poll::Ready(Ok(())),
            None => Arc::clone(&self.socket.inner).writable(),
        };
        let polled = waiting.as_mut().poll(cx);
        match polled.is_pending() {
            true => self.waiting = Some(waiting),
            // Others that wait hear of it by themselves.
            false => self.socket.is_full.store(false, Ordering::Relaxed),
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::task::noop_waker_ref;
    use tokio::sync::Notify;

    use super::*;

    /// Has room for as many datagrams as it has permits.
    #[derive(Debug, Default)]
    struct Narrow {
        room: std::sync::Mutex<usize>,
        more: Notify,
        waits: std::sync::atomic::AtomicUsize,
    }

    impl Narrow {
        fn add_room(&self) {
            *self.room.lock().expect("whole") += 1;
            self.more.notify_waiters();
        }
    }

    impl UdpSocket for Narrow {
        fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
            let mut room = self.room.lock().expect("whole");
            *room = room.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
            Ok(())
        }

        fn writable(self: Arc<Self>) -> Writable {
            self.waits.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                loop {
                    let more = self.more.notified();
                    if *self.room.lock().expect("whole") > 0 {
                        return Ok(());
                    }
                    more.await;
                }
            })
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
        }
    }

    fn send(socket: &Socket) -> io::Result<()> {
        socket.try_send(&udp::Transmit {
            destination: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            ecn: None,
            contents: b"a",
            segment_size: None,
            src_ip: None,
        })
    }

    #[test]
    fn senders_wait_only_when_there_was_no_room_and_all_of_them_hear_of_it() {
        let narrow = Arc::new(Narrow::default());
        let socket = Arc::new(Socket::new(narrow.clone()));
        let mut pollers = [(); 2].map(|()| Arc::clone(&socket).create_io_poller());
        let cx = &mut Context::from_waker(noop_waker_ref());
        narrow.add_room();
        assert!(pollers[0].as_mut().poll_writable(cx).is_ready());
        send(&socket).expect("room for one");
        assert!(
            pollers[0].as_mut().poll_writable(cx).is_ready(),
            "not tried"
        );
        assert_eq!(narrow.waits.load(Ordering::Relaxed), 0, "no wait was made");
        let full = send(&socket).expect_err("room for one only");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        for poller in &mut pollers {
            assert!(poller.as_mut().poll_writable(cx).is_pending());
        }
        narrow.add_room();
        for poller in &mut pollers {
            assert!(poller.as_mut().poll_writable(cx).is_ready());
        }
        send(&socket).expect("room again");
        send(&socket).expect_err("room for one only");
        assert!(
            pollers[0].as_mut().poll_writable(cx).is_pending(),
            "full again"
        );
    }
}
