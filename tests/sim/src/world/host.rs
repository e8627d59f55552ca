//! One machine: a tokio runtime under virtual time, a disk, and a place on the network.
//!
//! | what happens | how |
//! | --- | --- |
//! | time passes | the runtime sleeps for a tick, and runs all that becomes ready meanwhile |
//! | crash | unplugged **first**, so that no goodbye leaves, then the runtime is dropped |
//! | restart | a new runtime under a new incarnation, with the disk that is left |
//! | pause | ticks are left out while the network goes on; later the clock jumps, as after SIGSTOP |
//! | suspend | the same, but only the clock that runs in suspend jumps; timers have stood still |

use super::disk::{Disk, DiskTrouble};
use super::jobs::Jobs;
use super::network::Network;
use super::senses::{SeededEntropy, VirtualClock};
use super::socket::Sockets;
use crate::harness::Seed;
use callboard::env::{Env, Plant};
use rand::rngs::SmallRng;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The program of a machine: started once at every boot.
pub(crate) type Program = Box<dyn Fn(Boot) -> Pin<Box<dyn Future<Output = ()> + Send>>>;

/// What a program is started with.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    /// The machine's name.
    pub(crate) name: String,
    /// The machine's address.
    pub(crate) ip: IpAddr,
    /// How often it was started before.
    pub(crate) restarts: u64,
    /// What the node is to run on.
    pub(crate) env: Env,
}

/// What is the same at every boot.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    /// How far its wall clock is ahead.
    pub(crate) wall_ahead: Duration,
    /// How fast its clocks run, in thousandths of the world's time.
    pub(crate) rate: u32,
    /// How many datagrams its sockets send at once.
    pub(crate) segments_max: usize,
    /// How many datagrams wait unread at a socket. Linux keeps some 250 full ones by default.
    pub(crate) unread_max: usize,
    /// What is planted in it.
    pub(crate) plant: Plant,
}

/// A machine and what runs on it.
pub(super) struct Host {
    pub(super) machine: Machine,
    seed: Seed,
    network: Network,
    disk: Disk,
    program: Program,
    runtime: Option<Runtime>,
    restarts: u64,
    /// Time that has passed for the world and not for this machine.
    missed: Duration,
    /// Whether what is missed is missed by the machine's timers too.
    is_suspended: bool,
    /// For how long it was suspended since its boot, in nanoseconds.
    suspended: Arc<AtomicU64>,
    paused_until: Option<Duration>,
    /// By how much its clocks are behind what their rate says, in thousandths of a tick; less than
    /// nothing, where they are ahead.
    behind: i64,
}

impl Machine {
    /// Describes the machine number `number` of a world; the first is 10.0.0.1.
    pub(crate) fn new(name: String, number: u8) -> Self {
        Self {
            name,
            ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
            wall_ahead: Duration::ZERO,
            rate: RATE_EXACT,
            segments_max: 1,
            unread_max: 256,
            plant: Plant::none(),
        }
    }
}

impl Host {
    pub(super) fn new(machine: Machine, seed: Seed, network: Network, program: Program) -> Self {
        Self {
            machine,
            seed,
            network,
            disk: Disk::default(),
            program,
            runtime: None,
            restarts: 0,
            missed: Duration::ZERO,
            is_suspended: false,
            suspended: Arc::default(),
            paused_until: None,
            behind: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.runtime.is_some()
    }

    /// Starts the program in a new runtime.
    pub(super) fn boot(&mut self) {
        assert!(self.runtime.is_none(), "a machine that is up is not booted");
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing from the system");
        // The machine's time begins with the runtime's.
        let entered = runtime.enter();
        self.suspended = Arc::default();
        let env = self.env();
        drop(entered);
        let boot = Boot {
            name: self.machine.name.clone(),
            ip: self.machine.ip,
            restarts: self.restarts,
            env,
        };
        runtime.spawn((self.program)(boot));
        self.runtime = Some(runtime);
        self.missed = Duration::ZERO;
        self.go_on();
    }

    /// Stops until a time; with `suspended` its timers stand still too.
    pub(super) fn pause(&mut self, until: Duration, suspended: bool) {
        self.paused_until = Some(until);
        self.is_suspended = suspended;
    }

    /// Ends a pause.
    pub(super) fn go_on(&mut self) {
        self.paused_until = None;
        self.is_suspended = false;
    }

    /// Begins a trouble of the disk, or ends it.
    pub(super) fn set_disk(&self, trouble: Option<DiskTrouble>) {
        self.disk.set_trouble(trouble);
    }

    /// Puts an empty disk into a machine that is off.
    pub(super) fn replace_disk(&self) {
        assert!(
            self.runtime.is_none(),
            "a machine that is up needs its disk"
        );
        self.disk.replace();
    }

    /// Cuts the power.
    pub(super) fn crash(&mut self, rng: &mut SmallRng) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // BEFORE the runtime is dropped: whatever its tasks say while they are dropped goes nowhere.
        self.network.detach(self.machine.ip);
        let handle = runtime.handle().clone();
        let entered = handle.enter();
        drop(runtime);
        drop(entered);
        self.disk.crash(rng);
        self.restarts += 1;
    }

    /// Lets a tick pass.
    pub(super) fn tick(&mut self, now: Duration, tick: Duration) {
        if self.runtime.is_none() {
            return;
        }
        let ticks = self.ticks_due();
        if self.paused_until.is_some_and(|end| now < end) {
            if self.is_suspended {
                let nanos = u64::try_from((tick * ticks).as_nanos()).unwrap_or(u64::MAX);
                self.suspended.fetch_add(nanos, Ordering::Relaxed);
            } else {
                self.missed += tick * ticks;
            }
            return;
        }
        self.paused_until = None;
        self.is_suspended = false;
        let Some(runtime) = self.runtime.as_ref().filter(|_| ticks > 0) else {
            return;
        };
        let missed = std::mem::take(&mut self.missed);
        runtime.block_on(async {
            if !missed.is_zero() {
                tokio::time::advance(missed).await;
            }
            tokio::time::sleep(tick * ticks).await;
        });
    }

    /// Returns how many ticks its own clocks make in one of the world's.
    fn ticks_due(&mut self) -> u32 {
        self.behind += i64::from(self.machine.rate) - i64::from(RATE_EXACT);
        // One that is slow rests for a tick as soon as it is a whole one ahead.
        let more = self.behind / i64::from(RATE_EXACT);
        self.behind -= more * i64::from(RATE_EXACT);
        u32::try_from(1 + more).unwrap_or(0)
    }

    fn env(&self) -> Env {
        let Machine {
            name,
            ip,
            wall_ahead,
            segments_max,
            unread_max,
            plant,
            ..
        } = &self.machine;
        let chance = self
            .seed
            .stream(&format!("entropy of {name}, boot {}", self.restarts));
        let mut env = Env::new(
            Arc::new(Sockets {
                network: self.network.clone(),
                attachment: self.network.attach(*ip),
                segments_max: *segments_max,
                unread_max: *unread_max,
            }),
            Arc::new(VirtualClock {
                wall_ahead: *wall_ahead,
                suspended: self.suspended.clone(),
                boot: tokio::time::Instant::now().into_std(),
            }),
            Arc::new(SeededEntropy(Mutex::new(chance))),
            Arc::new(self.disk.clone()),
            Arc::new(Jobs(self.disk.clone())),
        );
        env.plant = plant.clone();
        env
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("machine", &self.machine)
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

/// The rate of a clock that is right.
pub(crate) const RATE_EXACT: u32 = 1000;
