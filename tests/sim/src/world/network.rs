//! The simulated network: what becomes of every datagram.
//!
//! ```text
//! socket.try_send ─> fate(conditions of from>to, chance) ─┬─> lost, cut, too big
//!                                                         └─> in flight, 1 or 2 copies, each with a delay
//! deliver_due(now) ─> in the order of arrival ─> inbox of the socket, or nobody
//! ```
//!
//! A datagram is in flight on its own: it still arrives after its sender has crashed, and it reaches
//! whatever is bound to the address by then. That, duplication, one-way cuts and clogging are why
//! the network is not a library's. Nothing here knows of QUIC. May depend on `rand` and the trace.

use super::conditions::Conditions;
use super::socket::{Arrived, Inbox};
use crate::harness::sometimes::sometimes;
use crate::harness::trace;
use bytes::Bytes;
use callboard::env::Ecn;
use rand::Rng;
use rand::rngs::SmallRng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A cloneable handle to the one network of a world.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
}

/// A machine's right to use the network, until it is detached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The machine's address.
    pub(crate) ip: IpAddr,
    generation: u64,
}

#[derive(Debug)]
struct State {
    rng: SmallRng,
    now: Duration,
    /// Datagrams with more bytes vanish, as on a path that does not fragment.
    bytes_max: usize,
    normal: Conditions,
    links: BTreeMap<(IpAddr, IpAddr), Conditions>,
    generations: BTreeMap<IpAddr, u64>,
    bound: BTreeMap<SocketAddr, Arc<Inbox>>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    sent: u64,
    last_arrival: BTreeMap<(IpAddr, IpAddr), u64>,
}

/// A datagram on its way. Ordered by arrival, then by number.
#[derive(Debug)]
struct InFlight {
    arrives: Duration,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    ecn: Option<Ecn>,
    bytes: Bytes,
}

impl Network {
    /// Makes a network that treats every link by `normal` until told otherwise.
    pub(crate) fn new(rng: SmallRng, bytes_max: usize, normal: Conditions) -> Self {
        let state = State {
            rng,
            now: Duration::ZERO,
            bytes_max,
            normal,
            links: BTreeMap::new(),
            generations: BTreeMap::new(),
            bound: BTreeMap::new(),
            in_flight: BinaryHeap::new(),
            sent: 0,
            last_arrival: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Plugs a machine in.
    pub(crate) fn attach(&self, ip: IpAddr) -> Attachment {
        let generation = *self.state().generations.entry(ip).or_default();
        Attachment { ip, generation }
    }

    /// Unplugs a machine: from now on nothing leaves it, and nothing arrives.
    pub(crate) fn detach(&self, ip: IpAddr) {
        let mut state = self.state();
        *state.generations.entry(ip).or_default() += 1;
        state.bound.retain(|addr, _| addr.ip() != ip);
    }

    /// Sets the conditions from one machine to another; the other direction stays.
    pub(crate) fn set(&self, from: IpAddr, to: IpAddr, conditions: Conditions) {
        self.state().links.insert((from, to), conditions);
    }

    /// Binds a socket; port 0 takes the first free one from 49152 on.
    pub(super) fn bind(
        &self,
        attachment: Attachment,
        port: u16,
        inbox: Arc<Inbox>,
    ) -> io::Result<SocketAddr> {
        let mut state = self.state();
        if !state.is_attached(attachment) {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let addr = match port {
            0 => (EPHEMERAL_PORT_MIN..=u16::MAX)
                .map(|port| SocketAddr::new(attachment.ip, port))
                .find(|addr| !state.bound.contains_key(addr))
                .ok_or(io::ErrorKind::AddrInUse)?,
            port => SocketAddr::new(attachment.ip, port),
        };
        if state.bound.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.bound.insert(addr, inbox);
        Ok(addr)
    }

    /// Gives an address free, if `inbox` is still what is bound to it.
    pub(super) fn unbind(&self, addr: SocketAddr, inbox: &Arc<Inbox>) {
        let mut state = self.state();
        if state
            .bound
            .get(&addr)
            .is_some_and(|bound| Arc::ptr_eq(bound, inbox))
        {
            state.bound.remove(&addr);
        }
    }

    /// Decides what becomes of a datagram.
    pub(super) fn send(
        &self,
        by: Attachment,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<Ecn>,
        bytes: &[u8],
    ) {
        self.state().send(by, from, to, ecn, bytes);
    }

    /// Hands out everything that arrives up to `now`.
    pub(super) fn deliver_due(&self, now: Duration) {
        self.state().now = now;
        loop {
            // The lock is given back before the inbox wakes a task, which may send.
            let Some((inbox, arrived)) = self.state().next_due() else {
                return;
            };
            if let Some(inbox) = inbox {
                inbox.push(arrived);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock has failed the seed already; go on so that the report gets out.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn is_attached(&self, attachment: Attachment) -> bool {
        self.generations.get(&attachment.ip) == Some(&attachment.generation)
    }

    fn send(
        &mut self,
        by: Attachment,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<Ecn>,
        bytes: &[u8],
    ) {
        if !self.is_attached(by) {
            // A crashed machine says no goodbye.
            return;
        }
        let conditions = self
            .links
            .get(&(from.ip(), to.ip()))
            .unwrap_or(&self.normal)
            .clone();
        trace::datagram("send", from, to, bytes);
        if bytes.len() > self.bytes_max {
            sometimes!("a-datagram-was-too-big-for-the-path");
            return trace::datagram("too-big", from, to, &[]);
        }
        if conditions.is_cut {
            sometimes!("a-datagram-met-a-cut");
            return trace::datagram("cut", from, to, &[]);
        }
        if self.rng.random_bool(conditions.loss) {
            sometimes!("a-datagram-was-lost");
            return trace::datagram("lost", from, to, &[]);
        }
        let copies = if self.rng.random_bool(conditions.duplication) {
            sometimes!("a-datagram-was-duplicated");
            2
        } else {
            1
        };
        for _ in 0..copies {
            let bytes = self.perhaps_corrupted(&conditions, bytes);
            let arrives = self.now + conditions.delay(self.now, &mut self.rng);
            self.sent += 1;
            let number = self.sent;
            self.in_flight.push(Reverse(InFlight {
                arrives,
                number,
                from,
                to,
                ecn,
                bytes,
            }));
        }
    }

    fn perhaps_corrupted(&mut self, conditions: &Conditions, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() || !self.rng.random_bool(conditions.corruption) {
            return Bytes::copy_from_slice(bytes);
        }
        sometimes!("a-datagram-was-corrupted");
        let mut bytes = bytes.to_vec();
        let bit = self.rng.random_range(0..bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.into()
    }

    /// Takes the next datagram that is due, with the inbox it is for, if there is one.
    fn next_due(&mut self) -> Option<(Option<Arc<Inbox>>, Arrived)> {
        if self.in_flight.peek()?.0.arrives > self.now {
            return None;
        }
        let Reverse(InFlight {
            number,
            from,
            to,
            ecn,
            bytes,
            ..
        }) = self.in_flight.pop()?;
        let link = (from.ip(), to.ip());
        let is_cut = self.links.get(&link).unwrap_or(&self.normal).is_cut;
        let inbox = self.bound.get(&to).filter(|_| !is_cut).cloned();
        trace::datagram(
            if inbox.is_some() { "arrive" } else { "nobody" },
            from,
            to,
            &number.to_le_bytes(),
        );
        let last = self.last_arrival.entry(link).or_default();
        if number < *last {
            sometimes!("datagrams-were-reordered");
        }
        *last = number.max(*last);
        Some((
            inbox,
            Arrived {
                from,
                to,
                ecn,
                bytes,
            },
        ))
    }
}

impl InFlight {
    fn key(&self) -> (Duration, u64) {
        (self.arrives, self.number)
    }
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for InFlight {}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The first port of the range that IANA keeps for dynamic use (RFC 6335, section 6).
const EPHEMERAL_PORT_MIN: u16 = 49152;
