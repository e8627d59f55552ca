//! A world: machines, the network between them, and one virtual time for all.
//!
//! ```text
//! step: set the clocks ─> deliver what arrives ─> every machine runs for one tick, in order
//! ```
//!
//! A tick is 1 ms, which is also the resolution of tokio's timers. Within a tick machines do not see
//! each other, because a datagram takes at least until the next one; so their order does not matter.
//! Machines are tokio runtimes of our own and not those of the turmoil crate: with that, a single
//! machine cannot be paused, and a datagram cannot be duplicated or outlive its sender.
//!
//! This module knows nothing of nodes and calls. May depend on `callboard::env` and on tokio.

mod conditions;
mod dice;
mod disk;
mod host;
mod jobs;
mod network;
mod senses;
mod socket;

pub(crate) use conditions::Conditions;
pub(crate) use disk::DiskTrouble;
pub(crate) use host::{Boot, Machine, Program, RATE_EXACT};
pub(crate) use network::Network;

use crate::harness::Run;
use crate::harness::trace::event;
use callboard::env::Plant;
use host::Host;
use rand::rngs::SmallRng;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The machines and the network of one seed.
#[derive(Debug)]
pub(crate) struct World {
    run: Run,
    /// The network; its conditions may be changed at any time.
    pub(crate) network: Network,
    hosts: Vec<Host>,
    now: Duration,
    crash_rng: SmallRng,
    stormy: Arc<AtomicBool>,
}

impl World {
    /// Makes an empty world. Links are healthy until they are set.
    pub(crate) fn new(run: Run, datagram_bytes_max: usize) -> Self {
        Self {
            run,
            network: Network::new(
                run.seed.stream("network"),
                datagram_bytes_max,
                Conditions::healthy(),
            ),
            hosts: Vec::new(),
            now: Duration::ZERO,
            crash_rng: run.seed.stream("crash"),
            stormy: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Returns what is planted in a machine of this world.
    pub(crate) fn plant(&self, name: &str) -> Plant {
        dice::plant(self.run, name, self.stormy.clone())
    }

    /// Adds a machine and boots it. Returns its number in this world.
    pub(crate) fn add(&mut self, machine: Machine, program: Program) -> usize {
        event!("boot {}", machine.name);
        let mut host = Host::new(machine, self.run.seed, self.network.clone(), program);
        host.boot();
        self.hosts.push(host);
        self.hosts.len() - 1
    }

    /// Returns the virtual time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Returns the address of a machine.
    pub(crate) fn ip(&self, host: usize) -> IpAddr {
        self.hosts[host].machine.ip
    }

    /// Returns whether a machine is running.
    pub(crate) fn is_up(&self, host: usize) -> bool {
        self.hosts[host].is_up()
    }

    /// Cuts the power of a machine; nothing of it gets out any more.
    pub(crate) fn crash(&mut self, host: usize) {
        event!("crash {}", self.hosts[host].machine.name);
        self.hosts[host].crash(&mut self.crash_rng);
    }

    /// Starts a machine that has crashed.
    pub(crate) fn restart(&mut self, host: usize) {
        event!("restart {}", self.hosts[host].machine.name);
        self.hosts[host].boot();
    }

    /// Stops a machine for a while without it noticing, until its clock jumps.
    pub(crate) fn pause(&mut self, host: usize, span: Duration) {
        event!("pause {} for {span:?}", self.hosts[host].machine.name);
        self.hosts[host].pause(self.now + span, false);
    }

    /// Suspends a machine for a while: its timers stand still, and one of its clocks jumps.
    pub(crate) fn suspend(&mut self, host: usize, span: Duration) {
        event!("suspend {} for {span:?}", self.hosts[host].machine.name);
        self.hosts[host].pause(self.now + span, true);
    }

    /// Begins a trouble of a machine's disk, or ends it.
    pub(crate) fn set_disk(&self, host: usize, trouble: Option<DiskTrouble>) {
        self.hosts[host].set_disk(trouble);
    }

    /// Puts an empty disk into a machine that has crashed.
    pub(crate) fn replace_disk(&self, host: usize) {
        event!("another disk for {}", self.hosts[host].machine.name);
        self.hosts[host].replace_disk();
    }

    /// Lets every machine that is paused go on, and provokes no rare path any more.
    pub(crate) fn calm(&mut self) {
        self.stormy.store(false, Ordering::Relaxed);
        for host in &mut self.hosts {
            host.go_on();
        }
    }

    /// Lets one tick pass.
    pub(crate) fn step(&mut self) {
        self.run.set_now(self.now);
        self.network.deliver_due(self.now);
        for host in &mut self.hosts {
            host.tick(self.now, TICK);
        }
        self.now += TICK;
    }
}

/// How much time a step takes.
const TICK: Duration = Duration::from_millis(1);
