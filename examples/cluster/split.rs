//! A node's socket that loses packets when told to: how a network that is split looks from inside.
//!
//! It stands where the environment hands a node its UDP, below QUIC. While addresses are cut off, what
//! is sent to them is thrown away, and what comes from them too.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use callboard::env::{Env, RecvMeta, Transmit, Udp, UdpSocket, Writable};

/// Whom this process cannot reach.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// Whether there is anybody, so that packets of an undivided network cost no lock.
    any: AtomicBool,
    from: RwLock<BTreeSet<SocketAddr>>,
}

impl Split {
    /// Cuts these addresses off, and no others.
    pub(crate) fn set(&self, from: impl IntoIterator<Item = SocketAddr>) {
        let mut cut = self.from.write().unwrap_or_else(PoisonError::into_inner);
        *cut = from.into_iter().collect();
        self.any.store(!cut.is_empty(), Ordering::Release);
    }

    fn loses(&self, addr: SocketAddr) -> bool {
        let any = self.any.load(Ordering::Acquire);
        let cut = || self.from.read().unwrap_or_else(PoisonError::into_inner);
        any && cut().contains(&addr)
    }
}

/// Returns the environment of the operating system, over a network that `split` divides.
pub(crate) fn env(split: Arc<Split>) -> Env {
    let mut env = Env::real();
    env.udp = Arc::new(Lossy {
        real: env.udp.clone(),
        split,
    });
    env
}

#[derive(Debug)]
struct Lossy {
    real: Arc<dyn Udp>,
    split: Arc<Split>,
}

impl Udp for Lossy {
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        Ok(Arc::new(Socket {
            real: self.real.bind(addr)?,
            split: self.split.clone(),
        }))
    }
}

#[derive(Debug)]
struct Socket {
    real: Arc<dyn UdpSocket>,
    split: Arc<Split>,
}

impl UdpSocket for Socket {
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.split.loses(transmit.to) {
            return Ok(());
        }
        self.real.try_send(transmit)
    }

    fn writable(self: Arc<Self>) -> Writable {
        self.real.clone().writable()
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.real.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &polled {
            for meta in meta.iter_mut().take(*count) {
                if self.split.loses(meta.from) {
                    // A buffer with nothing in it holds no packet.
                    meta.len = 0;
                }
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.real.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.real.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.real.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.real.may_fragment()
    }
}
