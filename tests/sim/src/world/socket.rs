//! UDP sockets of the simulated network, as the environment of a node wants them.

use super::network::{Attachment, Network};
use bytes::Bytes;
use callboard::env::{Ecn, RecvMeta, Transmit, Udp, UdpSocket, Writable};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::harness::sometimes::sometimes;

/// Binds sockets on one machine.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) network: Network,
    pub(super) attachment: Attachment,
    /// How many datagrams one send may hold.
    pub(super) segments_max: usize,
    /// How many datagrams wait unread; more are dropped, as a kernel does.
    pub(super) unread_max: usize,
}

/// A bound socket.
#[derive(Debug)]
struct Socket {
    network: Network,
    attachment: Attachment,
    segments_max: usize,
    local: SocketAddr,
    inbox: Arc<Inbox>,
}

/// What has arrived at a socket and was not read yet.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    unread_max: usize,
}

#[derive(Debug, Default)]
struct InboxState {
    arrived: VecDeque<Arrived>,
    reader: Option<Waker>,
}

/// A datagram at its destination.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) ecn: Option<Ecn>,
    pub(super) bytes: Bytes,
}

impl Inbox {
    /// Adds a datagram, or drops it if the reader is too far behind.
    pub(super) fn push(&self, arrived: Arrived) {
        let mut state = self.state();
        if state.arrived.len() >= self.unread_max {
            sometimes!("a-socket-buffer-overflowed");
            return;
        }
        state.arrived.push_back(arrived);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, InboxState> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Udp for Sockets {
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        if !addr.ip().is_unspecified() && addr.ip() != self.attachment.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let inbox = Arc::new(Inbox {
            state: Mutex::default(),
            unread_max: self.unread_max,
        });
        let local = self
            .network
            .bind(self.attachment, addr.port(), inbox.clone())?;
        Ok(Arc::new(Socket {
            network: self.network.clone(),
            attachment: self.attachment,
            segments_max: self.segments_max,
            local,
            inbox,
        }))
    }
}

impl UdpSocket for Socket {
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        for datagram in transmit.datagrams() {
            self.network.send(
                self.attachment,
                self.local,
                transmit.to,
                transmit.ecn,
                datagram,
            );
        }
        Ok(())
    }

    fn writable(self: Arc<Self>) -> Writable {
        Box::pin(std::future::ready(Ok(())))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.inbox.state();
        let mut filled = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(arrived) = state.arrived.pop_front() else {
                break;
            };
            let len = arrived.bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&arrived.bytes[..len]);
            *meta = RecvMeta::new(arrived.from, len);
            meta.ecn = arrived.ecn;
            meta.dst_ip = Some(arrived.to.ip());
            filled += 1;
        }
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_transmit_segments(&self) -> usize {
        self.segments_max
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.network.unbind(self.local, &self.inbox);
    }
}
