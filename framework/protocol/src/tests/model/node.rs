//! A node of the model: the pure parts, and the clock that they are given.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{DiskId, Incarnation, NodeId};
use crate::membership::{Holder, Leases, Profile};
use crate::plant::Plant;
use crate::slots::{Arrivals, Handoff, Member, Mover, Owner, SlotId, State, View, samples};
use crate::time::Time;

/// One machine, over all its lives.
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) id: NodeId,
    pub(super) up: bool,
    /// Tells the processes of the machine apart: what was meant for one before comes to nothing.
    pub(super) process: u64,
    pub(super) suspended_until: u64,
    /// No message comes or goes.
    pub(super) cut_until: u64,
    /// It reaches the nodes and not the log.
    pub(super) log_cut_until: u64,
    pub(super) wedged_until: u64,
    /// What the clock gains, in millionths.
    rate_ppm: u64,
    offset: u64,
    pub(super) disk: Option<DiskId>,
    pub(super) incarnation: u64,
    pub(super) heir_of: Option<Incarnation>,
    pub(super) joined: bool,
    pub(super) holder: Holder,
    pub(super) was_fenced: bool,
    pub(super) view: View,
    pub(super) believes: usize,
    pub(super) heard_at: Time,
    pub(super) ask_at: Time,
    /// The term in which it takes itself for the leader.
    pub(super) leads: Option<u64>,
    pub(super) leases: Leases,
    pub(super) mover: Mover,
    pub(super) replica: State,
    /// When it has seen all of the log that was answered: entries come in order, and a read's answer
    /// after those before it.
    pub(super) applied_at: u64,
    pub(super) plan_at: Time,
    pub(super) handoffs: BTreeMap<SlotId, Leaving>,
    pub(super) arrivals: BTreeMap<SlotId, Arrivals<u64, u64>>,
    /// Which of the ticks that were set counts.
    pub(super) tick: u64,
}

/// A slot that goes, and whether a turn of it still runs.
pub(super) struct Leaving {
    pub(super) handoff: Handoff<u64, u64>,
    pub(super) turn_runs: bool,
    pub(super) turn_yields: bool,
}

impl Node {
    pub(super) fn new(number: usize, rate_ppm: u64, offset: u64, plant: Plant) -> Self {
        let now = local(offset, rate_ppm, 0);
        Self {
            number,
            id: samples::owner(number as u64).node,
            up: true,
            process: 0,
            suspended_until: 0,
            cut_until: 0,
            log_cut_until: 0,
            wedged_until: 0,
            rate_ppm,
            offset,
            disk: Some(DiskId(number as u64)),
            incarnation: 1,
            heir_of: None,
            joined: false,
            holder: holder(1, now, plant),
            was_fenced: false,
            view: View::new().with_plant(plant),
            believes: 0,
            heard_at: now,
            ask_at: now,
            leads: None,
            leases: Leases::new(profile()).with_plant(plant),
            mover: mover(),
            replica: State::new(),
            applied_at: 0,
            plan_at: Time::MAX,
            handoffs: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            tick: 0,
        }
    }

    /// Starts a process on the machine, with what its disk has kept.
    pub(super) fn start(&mut self, now: u64, with_disk: Option<DiskId>, plant: Plant) {
        let mut next = Self::new(self.number, self.rate_ppm, self.offset, plant);
        let proof = with_disk == self.disk && with_disk.is_some();
        next.heir_of = proof.then_some(Incarnation(self.incarnation));
        next.disk = with_disk;
        next.process = self.process + 1;
        next.cut_until = self.cut_until;
        next.log_cut_until = self.log_cut_until;
        next.believes = self.believes;
        next.tick = self.tick + 1;
        *self = next.at(now, self.incarnation + 1, plant);
    }

    /// Drops what was active and begins the next incarnation, in the same process.
    pub(super) fn begin_again(&mut self, now: u64, plant: Plant) {
        // The process knows that its life before acts no more, and has the lock that shows it.
        self.heir_of = self.disk.map(|_| Incarnation(self.incarnation));
        self.handoffs.clear();
        self.arrivals.clear();
        self.joined = false;
        let local = self.local(now);
        self.incarnation += 1;
        self.holder = holder(self.incarnation, local, plant);
        self.was_fenced = false;
        self.ask_at = local;
    }

    fn at(mut self, now: u64, incarnation: u64, plant: Plant) -> Self {
        let local = self.local(now);
        self.incarnation = incarnation;
        self.holder = holder(incarnation, local, plant);
        (self.heard_at, self.ask_at) = (local, local);
        self
    }

    pub(super) fn local(&self, real: u64) -> Time {
        local(self.offset, self.rate_ppm, real)
    }

    /// Returns when its clock will show this, in microseconds of real time.
    pub(super) fn real(&self, local: Time) -> u64 {
        let micros = (local.as_nanos() / 1000).saturating_sub(self.offset);
        let real = u128::from(micros) * 1_000_000 / u128::from(self.rate_ppm);
        u64::try_from(real).unwrap_or(u64::MAX / 2) + 1
    }

    pub(super) fn me(&self) -> Owner {
        Owner {
            node: self.id,
            incarnation: Incarnation(self.incarnation),
        }
    }

    pub(super) fn member(&self) -> Member {
        let mut member = samples::member(self.number as u64);
        member.incarnation = Incarnation(self.incarnation);
        member.disk = self.disk;
        member
    }

    pub(super) fn runs(&self, now: u64) -> bool {
        self.up && now >= self.suspended_until
    }

    pub(super) fn next_deadline(&self, now: Time) -> Option<Time> {
        let holder = if self.joined {
            self.holder.next_deadline(now)
        } else {
            None
        };
        let leader = if self.leads.is_some() {
            [
                self.leases.next_deadline(),
                self.mover.next_deadline(),
                Some(self.plan_at),
            ]
        } else {
            [None; 3]
        };
        let handoffs = self.handoffs.values();
        let handoffs = handoffs.filter_map(|it| it.handoff.next_deadline());
        let others = [holder, Some(self.ask_at)].into_iter().chain(leader);
        others.flatten().chain(handoffs).min()
    }

    /// Returns whether a turn of the slot may be acting, or may start to.
    pub(super) fn acts_on(&self, id: SlotId, now: u64) -> bool {
        let local = self.local(now);
        if !self.runs(now) || !self.joined || !self.holder.may_answer(local) {
            return false;
        }
        let leaving = self.handoffs.get(&id);
        self.view.may_act(self.me(), id).is_some() || leaving.is_some_and(|it| it.turn_runs)
    }
}

fn local(offset: u64, rate_ppm: u64, real: u64) -> Time {
    let gone = u128::from(real) * u128::from(rate_ppm) / 1_000_000;
    Time::from_nanos((offset + u64::try_from(gone).unwrap_or(u64::MAX / 4)) * 1000)
}

fn holder(incarnation: u64, now: Time, plant: Plant) -> Holder {
    Holder::new(profile(), Incarnation(incarnation), now).with_plant(plant)
}

fn mover() -> Mover {
    Mover::new(AGAIN, profile().lease * 2)
}

pub(super) fn profile() -> Profile {
    Profile::fast()
}

/// After what time messages are sent again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);
