//! Packets.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Opens UDP sockets.
pub trait Udp: Debug + Send + Sync + 'static {
    /// Binds a socket; port 0 takes any free one.
    ///
    /// # Errors
    /// Those of the system: the address is not here, or is taken.
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn UdpSocket>>;
}

/// A future that is ready when a socket may be written again.
pub type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync + 'static>>;

/// A bound UDP socket that sends and receives in batches.
///
/// Several tasks use one socket: one receives, and every connection sends. That is why waiting
/// for room to send is a future per waiting task ([`writable`](Self::writable)) and not a `poll`
/// method with place for one waker. The future is made only after a send did not fit, so its
/// allocation is not on the hot path.
pub trait UdpSocket: Debug + Send + Sync + 'static {
    /// Sends one datagram, or several of equal size where `segment_size` is set.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room; the caller then waits for
    /// [`writable`](Self::writable). Other errors are of the socket: a datagram that could not be
    /// delivered is not an error.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()>;

    /// Returns a future that is ready when [`try_send`](Self::try_send) is worth another try.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    fn writable(self: Arc<Self>) -> Writable;

    /// Receives up to `bufs.len()` batches, and returns how many.
    ///
    /// Element `i` of `meta` describes what was written to element `i` of `bufs`. Only one task
    /// receives, so one waker is enough.
    ///
    /// # Errors
    /// Those of the socket.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>>;

    /// Returns the address the socket is bound to.
    ///
    /// # Errors
    /// Those of the socket.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Returns how many datagrams one [`Transmit`] may hold. 1 without segmentation offload.
    fn max_transmit_segments(&self) -> usize {
        1
    }

    /// Returns how many datagrams one [`RecvMeta`] may describe. 1 without receive offload.
    fn max_receive_segments(&self) -> usize {
        1
    }

    /// Returns whether a datagram may be cut on its way; path MTU discovery is off then.
    fn may_fragment(&self) -> bool {
        true
    }
}

/// Datagrams to send to one address.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Transmit<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// The congestion mark to set.
    pub ecn: Option<Ecn>,
    /// The bytes of all datagrams, one after the other.
    pub contents: &'a [u8],
    /// The bytes of each datagram but the last, which may be shorter; `None` for one datagram.
    pub segment_size: Option<usize>,
    /// The address to send from, where the socket has several.
    pub src_ip: Option<IpAddr>,
}

impl<'a> Transmit<'a> {
    /// Describes one datagram without marks.
    pub fn new(to: SocketAddr, contents: &'a [u8]) -> Self {
        Self {
            to,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        }
    }

    /// Returns the datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        self.contents
            .chunks(self.segment_size.unwrap_or(self.contents.len()).max(1))
    }
}

/// What was received into one buffer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RecvMeta {
    /// Where from.
    pub from: SocketAddr,
    /// The bytes in the buffer.
    pub len: usize,
    /// The bytes of each datagram in the buffer but the last, which may be shorter.
    pub stride: usize,
    /// The congestion mark that was set.
    pub ecn: Option<Ecn>,
    /// The own address it was sent to, where the socket has several.
    pub dst_ip: Option<IpAddr>,
}

impl RecvMeta {
    /// Describes one datagram without marks.
    pub fn new(from: SocketAddr, len: usize) -> Self {
        Self {
            from,
            len,
            stride: len,
            ecn: None,
            dst_ip: None,
        }
    }
}

impl Default for RecvMeta {
    /// Describes nothing: a place for a socket to write to.
    fn default() -> Self {
        Self::new(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0), 0)
    }
}

/// An explicit congestion notification mark (RFC 3168), as its two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ecn {
    /// Capable, codepoint ECT(1).
    Ect1 = 0b01,
    /// Capable, codepoint ECT(0).
    Ect0 = 0b10,
    /// Congestion was experienced.
    Ce = 0b11,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_into_its_datagrams() {
        let to = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut transmit = Transmit::new(to, b"aabbc");
        assert_eq!(transmit.datagrams().collect::<Vec<_>>(), [b"aabbc"]);
        transmit.segment_size = Some(2);
        assert_eq!(
            transmit.datagrams().collect::<Vec<_>>(),
            [&b"aa"[..], b"bb", b"c"]
        );
    }
}
