//! The one who makes faults: a plan drawn from the seed, carried out step by step, and taken back.
//!
//! ```text
//! Plan::draw(seed) ─> [(when, fault, for how long)] ─> Nemesis::act(world), every step ─> Nemesis::calm
//! ```
//!
//! Which kinds of faults a seed has at all is drawn first ("swarm testing", Groce et al. 2012): a world
//! in which everything happens at once reaches fewer states than many worlds with a few kinds each.
//! It decides nothing about what is right; that is for the invariants.

mod fault;
mod plan;

pub(crate) use fault::Fault;
pub(crate) use plan::{Planned, Targets, draw};

use crate::harness::sometimes::sometimes;
use crate::harness::trace::event;
use crate::ledger::Event;
use crate::world::{Conditions, World};
use std::collections::VecDeque;
use std::time::Duration;

/// Carries out a plan.
#[derive(Debug)]
pub(crate) struct Nemesis {
    planned: VecDeque<Planned>,
    /// Faults of links and disks that are on, with their end.
    active: Vec<(Duration, Fault)>,
    /// Machines that are down, with the time of their restart.
    down: Vec<(Duration, usize)>,
    machines: usize,
}

impl Nemesis {
    /// Takes a plan for a world with this many machines, in any order of time.
    pub(crate) fn new(mut plan: Vec<Planned>, machines: usize) -> Self {
        plan.sort_by_key(|planned| planned.at);
        Self {
            planned: plan.into(),
            active: Vec::new(),
            down: Vec::new(),
            machines,
        }
    }

    /// Starts and ends what is due; returns what the ledger has to know.
    pub(crate) fn act(&mut self, world: &mut World) -> Vec<Event> {
        let mut events = Vec::new();
        let now = world.now();
        let before = self.active.len();
        self.active.retain(|(end, _)| *end > now);
        let mut changed = before != self.active.len();
        while self
            .planned
            .front()
            .is_some_and(|planned| planned.at <= now)
        {
            let Some(Planned { fault, span, .. }) = self.planned.pop_front() else {
                break;
            };
            changed |= self.begin(world, fault, now + span, &mut events);
        }
        let due = self
            .down
            .iter()
            .filter(|(end, _)| *end <= now)
            .map(|&(_, host)| host);
        for host in due.collect::<Vec<_>>() {
            start_anew(world, host, &mut events);
        }
        self.down.retain(|(end, _)| *end > now);
        if changed {
            self.apply(world);
        }
        events
    }

    /// Takes every fault back: links are healthy, and all machines run.
    pub(crate) fn calm(&mut self, world: &mut World) -> Vec<Event> {
        event!("calm");
        let mut events = Vec::new();
        self.planned.clear();
        self.active.clear();
        for (_, host) in std::mem::take(&mut self.down) {
            start_anew(world, host, &mut events);
        }
        world.calm();
        self.apply(world);
        events
    }

    /// Returns whether a machine runs and stays.
    fn is_up(&self, world: &World, host: usize) -> bool {
        world.is_up(host) && self.down.iter().all(|&(_, down)| down != host)
    }

    /// Begins a fault; returns whether the conditions have to be set anew.
    fn begin(
        &mut self,
        world: &mut World,
        fault: Fault,
        end: Duration,
        events: &mut Vec<Event>,
    ) -> bool {
        match fault {
            Fault::Crash { host } => {
                if self.is_up(world, host) {
                    sometimes!("a-machine-crashed");
                    world.crash(host);
                    events.push(Event::Crashed { machine: host });
                    self.down.push((end, host));
                }
                false
            }
            Fault::Leave { host } => {
                if self.is_up(world, host) {
                    event!("leave {host} until {} ms", end.as_millis());
                    events.push(Event::Leaving { machine: host });
                    self.down.push((end, host));
                }
                false
            }
            Fault::Pause { host } => {
                if self.is_up(world, host) {
                    sometimes!("a-machine-was-paused");
                    world.pause(host, end - world.now());
                    events.push(Event::Paused {
                        machine: host,
                        until: end,
                    });
                }
                false
            }
            Fault::Suspend { host } => {
                if self.is_up(world, host) {
                    sometimes!("a-machine-was-suspended");
                    let span = end - world.now();
                    world.suspend(host, span);
                    events.push(Event::Suspended {
                        machine: host,
                        span,
                    });
                }
                false
            }
            fault => {
                event!("begin {fault:?} until {} ms", end.as_millis());
                self.active.push((end, fault));
                true
            }
        }
    }

    /// Sets the conditions of every link and disk from the faults that are on.
    fn apply(&self, world: &World) {
        for from in 0..self.machines {
            let mut faults = self.active.iter();
            let trouble = faults.find_map(|(_, fault)| fault.disk_trouble(from));
            world.set_disk(from, trouble);
            for to in 0..self.machines {
                let mut conditions = Conditions::healthy();
                for (end, fault) in &self.active {
                    fault.apply(&mut conditions, from, to, *end);
                }
                world.network.set(world.ip(from), world.ip(to), conditions);
            }
        }
    }
}

/// Starts a machine that crashed, or that left: of that one, what is still there is cut off.
fn start_anew(world: &mut World, host: usize, events: &mut Vec<Event>) {
    if world.is_up(host) {
        world.crash(host);
        events.push(Event::Crashed { machine: host });
    }
    world.restart(host);
}
