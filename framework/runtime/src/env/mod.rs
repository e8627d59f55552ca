//! What a node gets from outside: packets, files, clocks, randomness, blocking work and the names of hosts.
//!
//! A node never asks the operating system directly. It is handed an [`Env`], so that the
//! simulator can run many real nodes on one thread under virtual time, and the same seed gives
//! the same run, byte for byte. Production passes [`Env::real`].
//!
//! | part | trait | in production | in simulation |
//! | --- | --- | --- | --- |
//! | packets | [`Udp`], [`UdpSocket`] | a socket with segmentation offload | a simulated network |
//! | time | [`Clock`] | the system's clocks | virtual time |
//! | randomness | [`Entropy`] | the kernel's generator | a seeded generator |
//! | disk | [`Files`], [`File`] | the file system | one that loses unsynced data |
//! | blocking work | [`Blocking`] | a thread | inline |
//! | names of hosts | [`Names`] | the system's resolver | none |
//!
//! Sleeping is not here: `tokio::time` is used in both worlds, and a [`Clock`] has to agree with
//! it.
//!
//! This module decides nothing and knows no protocol. It may depend on `std`, `tokio`, `task`
//! and, in `real`, on the crates that talk to the kernel (`quinn-udp`, `getrandom`). `quinn-udp`
//! is a crate of its own, below quinn, so using it here keeps `net` the only module that names
//! quinn and keeps this module below `net`.

mod blocking;
mod clock;
mod entropy;
mod files;
mod names;
mod plant;
mod real;
mod udp;

use std::sync::Arc;

pub use blocking::{Blocking, Job};
pub use clock::Clock;
pub use entropy::Entropy;
pub use files::{File, FileLock, Files, OpenMode};
pub use names::{Lookup, Names};
#[doc(hidden)]
pub use plant::{Bug, Dice, Plant};
pub use udp::{Ecn, RecvMeta, Transmit, Udp, UdpSocket, Writable};

/// Everything a node gets from outside, as one value that is cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Env {
    /// Opens the node's UDP socket.
    pub udp: Arc<dyn Udp>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Reads and writes files.
    pub files: Arc<dyn Files>,
    /// Runs work that blocks a thread.
    pub blocking: Arc<dyn Blocking>,
    /// Finds hosts by their names. [`Env::new`] gives an environment without names.
    pub names: Arc<dyn Names>,
    /// Bugs and rare paths that a simulator plants; nothing, elsewhere.
    #[doc(hidden)]
    pub plant: Plant,
}

impl Env {
    /// Joins the parts of an environment.
    pub fn new(
        udp: Arc<dyn Udp>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        files: Arc<dyn Files>,
        blocking: Arc<dyn Blocking>,
    ) -> Self {
        Self {
            udp,
            clock,
            entropy,
            files,
            blocking,
            names: Arc::new(names::NoNames),
            plant: Plant::none(),
        }
    }

    /// Returns the environment of the operating system.
    ///
    /// The UDP sockets and the blocking work need a tokio runtime with I/O and time enabled when
    /// they are used; making the value does not.
    pub fn real() -> Self {
        let mut env = Self::new(
            Arc::new(real::Udp),
            Arc::new(real::Clock),
            Arc::new(real::Entropy::default()),
            Arc::new(real::Files),
            Arc::new(real::Blocking),
        );
        env.names = Arc::new(real::Names);
        env
    }
}
