//! The events of the model: messages, timers, faults.

use std::collections::{BTreeMap, BTreeSet};

use super::log::Log;
use super::node::{AGAIN, Leaving, Node, profile};
use crate::garbage::Random;
use crate::id::{DiskId, Incarnation};
use crate::membership::{
    HolderAction, LeaseAction, LeaseRefusal, ProbeNumber, ReadNumber, RenewalNumber,
};
use crate::placement;
use crate::plant::Plant;
use crate::slots::{
    Arrivals, ArrivalsAction, Command, Delta, Epoch, Event, Handoff, HandoffAction, JoinRefusal,
    Member, Outcome, Owner, Refusal, SequenceNumber, SlotId, Standing, State, Version, samples,
};
use crate::time::Time;

/// Everything there is.
pub(super) struct World {
    pub(super) now: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) log: Log,
    pub(super) elected_at: u64,
    pub(super) epochs: BTreeMap<SlotId, Epoch>,
    pub(super) ran: BTreeSet<u64>,
    /// When somebody last acted on a slot.
    pub(super) acted_at: BTreeMap<SlotId, u64>,
    pub(super) reached: BTreeMap<&'static str, u64>,
    random: Random,
    plant: Plant,
    events: BTreeMap<(u64, u64), Ev>,
    next_event: u64,
    next_send: u64,
    next_disk: u64,
    faulty: bool,
    violation: Option<String>,
}

/// What happens.
enum Ev {
    /// A timer of a node, if it is the one that counts.
    Tick(usize, u64),
    /// A message arrives; meant for a process of the node, or for whichever there is.
    Deliver(usize, Message),
    /// Something arrives at the log.
    Log(usize, u64, Request),
    /// The log's answer arrives.
    Answer(usize, u64, Answer),
    /// A probe has run in a node's pool.
    Probed(usize, u64, ProbeNumber),
    /// A turn ends.
    TurnEnds(usize, u64, SlotId, Epoch),
    /// Something breaks.
    Fault,
    /// A crashed node starts again, with its disk or without.
    Start(usize, bool),
    /// Somebody is elected, if there is no leader that runs.
    Elect,
    /// A leader learns that it is deposed.
    Depose(usize, u64),
}

#[derive(Clone)]
enum Message {
    Renew(usize, Incarnation, RenewalNumber),
    Granted(Incarnation, RenewalNumber),
    Refused(Incarnation),
    NotLeader(usize),
    Leader(usize),
    Join(usize, Box<Member>, Option<Incarnation>),
    Joined(Incarnation),
    JoinRefused(Incarnation, bool),
    Pull(usize, Version),
    Delta(Box<Delta>),
    Stopped(SlotId, Epoch, Owner),
    Stuck(SlotId, Epoch, Owner),
    Forward(usize, SlotId, Owner, Epoch, SequenceNumber, u64),
    Acknowledged(SlotId, Epoch, SequenceNumber),
}

enum Request {
    Read(ReadNumber),
    Propose(Command),
}

enum Answer {
    Read(ReadNumber, bool),
    Applied(Box<Command>, Result<Vec<Event>, Refusal>),
}

impl World {
    pub(super) fn new(seed: u64, plant: Plant) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let count = 3 + random.below(3);
        let nodes = (0..count).map(|number| {
            let rate = 990_000 + random.below(20_001) as u64;
            let offset = random.below(10_000_000) as u64;
            Node::new(number, rate, offset, plant)
        });
        let nodes = nodes.collect();
        let mut state = State::new().with_plant(plant);
        state.apply(&samples::form(GROUP_SLOTS)).expect("first");
        let group = crate::slots::Group::of(samples::GROUP, [samples::CART]);
        state.apply(&Command::Place(group)).expect("first");
        let log = Log {
            state,
            term: 0,
            leader: None,
        };
        let mut world = Self {
            now: 0,
            nodes,
            log,
            elected_at: 0,
            epochs: BTreeMap::new(),
            ran: BTreeSet::new(),
            acted_at: BTreeMap::new(),
            reached: BTreeMap::new(),
            random,
            plant,
            events: BTreeMap::new(),
            next_event: 0,
            next_send: 0,
            next_disk: 1000,
            faulty: true,
            violation: None,
        };
        world.elect(0);
        for node in 0..count {
            world.schedule(node);
        }
        world.after(500_000, Ev::Fault);
        world
    }

    /// Runs with faults, then without, and demands recovery.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let faults_until = 1_000_000 * (4 + self.random.below(5) as u64);
        self.run_until(faults_until)?;
        self.heal();
        // The bound of the profile, and what joining anew and looking around takes beside.
        let bound = profile().recovery_worst(true) + profile().renew * 6;
        let slack = 1_000_000;
        let until = self.now + u64::try_from(bound.as_micros()).expect("short") + slack;
        self.run_until(until)?;
        self.check_recovered();
        self.violation.take().map_or(Ok(()), Err)
    }

    fn run_until(&mut self, until: u64) -> Result<(), String> {
        while let Some(entry) = self.events.first_entry().filter(|it| it.key().0 <= until) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
            self.check_owners();
            if let Some(violation) = self.violation.take() {
                return Err(format!("{violation}, at {at} µs"));
            }
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Tick(node, tick) if self.nodes[node].tick != tick => {}
            Ev::Tick(node, _) => self.step(node),
            Ev::Deliver(node, message) => self.deliver(node, message),
            Ev::Log(node, term, request) => self.at_log(node, term, request),
            Ev::Answer(node, process, answer) => {
                if self.is_here(node, process) {
                    self.answered(node, answer);
                    self.step(node);
                }
            }
            Ev::Probed(node, process, number) => {
                let wedged = self.nodes[node].wedged_until;
                if wedged > self.now {
                    self.at(wedged, Ev::Probed(node, process, number));
                } else if self.is_here(node, process) {
                    let local = self.nodes[node].local(self.now);
                    self.nodes[node].holder.handle_probe_returned(number, local);
                    self.step(node);
                }
            }
            Ev::TurnEnds(node, process, id, epoch) => {
                if self.is_here(node, process) {
                    let leaving = self.nodes[node].handoffs.get_mut(&id);
                    if let Some(it) = leaving.filter(|it| it.handoff.epoch() == epoch)
                        && std::mem::take(&mut it.turn_runs)
                    {
                        it.handoff.handle_turn_ended();
                    }
                    self.step(node);
                }
            }
            Ev::Fault => self.break_something(),
            Ev::Start(node, with_disk) => self.start(node, with_disk),
            Ev::Elect => self.elect_if_needed(),
            Ev::Depose(node, term) => {
                if self.nodes[node].leads == Some(term) {
                    self.depose(node);
                }
            }
        }
    }

    fn is_here(&self, node: usize, process: u64) -> bool {
        let node = &self.nodes[node];
        node.up && node.process == process
    }

    // Time and messages.

    fn at(&mut self, at: u64, event: Ev) {
        self.next_event += 1;
        self.events
            .insert((at.max(self.now), self.next_event), event);
    }

    fn after(&mut self, micros: u64, event: Ev) {
        self.at(self.now + micros, event);
    }

    fn schedule(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if !it.up {
            return;
        }
        it.tick += 1;
        let local = it.local(self.now);
        if let Some(deadline) = it.next_deadline(local) {
            let due = it
                .real(deadline)
                .max(self.now + 200)
                .max(it.suspended_until);
            let tick = it.tick;
            self.at(due, Ev::Tick(node, tick));
        }
    }

    fn delay(&mut self) -> u64 {
        if !self.faulty {
            return 200 + self.random.below(2_000) as u64;
        }
        match self.random.below(100) {
            0 => self.random.below(2_500_000) as u64,
            1..=4 => self.random.below(400_000) as u64,
            _ => 200 + self.random.below(8_000) as u64,
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        if self.nodes[from].cut_until > self.now {
            return;
        }
        if self.faulty && self.random.below(40) == 0 {
            return;
        }
        if self.faulty && self.random.below(40) == 0 {
            let delay = self.delay();
            self.after(delay, Ev::Deliver(to, message.clone()));
        }
        let delay = self.delay();
        self.after(delay, Ev::Deliver(to, message));
    }

    fn ask_log(&mut self, from: usize, term: u64, request: Request) {
        let node = &self.nodes[from];
        let cut = node.cut_until > self.now || node.log_cut_until > self.now;
        // A proposal may come to nothing for reasons of the log's own.
        let one_in = match request {
            Request::Read(_) => 50,
            Request::Propose(_) => 6,
        };
        if cut || (self.faulty && self.random.below(one_in) == 0) {
            return;
        }
        let delay = self.delay().min(1_000_000);
        self.after(delay, Ev::Log(from, term, request));
    }

    fn at_log(&mut self, node: usize, term: u64, request: Request) {
        let answer = match request {
            Request::Read(read) => {
                if term != self.log.term {
                    self.reach("a deposed leader asked for a quorum");
                }
                Answer::Read(read, term == self.log.term)
            }
            Request::Propose(command) => {
                let replaces = self.replaces_a_life(&command);
                let Some(result) = self.log.append(term, &command) else {
                    return;
                };
                if let Ok(events) = &result {
                    if replaces {
                        self.reach("a life without end was proven dead");
                    }
                    self.check_events(events);
                    self.count(&command, events);
                    // The leader's own state follows the log at once.
                    let it = &mut self.nodes[node];
                    if it.leads == Some(term) {
                        it.replica.apply(&command).expect("the log has taken it");
                    }
                }
                Answer::Applied(Box::new(command), result)
            }
        };
        let it = &self.nodes[node];
        let (process, resumes) = (it.process, it.suspended_until);
        let delay = if self.faulty {
            self.random.below(3_000)
        } else {
            500
        };
        let at = (self.now + delay as u64).max(resumes).max(it.applied_at);
        self.nodes[node].applied_at = at;
        // A read's answer may be lost. What is applied is not: the leader sees its log.
        let lost = self.nodes[node].cut_until > self.now;
        if !(lost && matches!(answer, Answer::Read(..))) {
            self.at(at, Ev::Answer(node, process, answer));
        }
    }

    fn answered(&mut self, node: usize, answer: Answer) {
        let now = self.now;
        let it = &mut self.nodes[node];
        let Some(_) = it.leads else {
            return;
        };
        let local = it.local(now);
        match answer {
            Answer::Read(read, true) => it.leases.handle_read_done(read),
            Answer::Read(read, false) => it.leases.handle_read_failed(read),
            Answer::Applied(command, Ok(events)) => {
                for event in events {
                    let it = &mut self.nodes[node];
                    match event {
                        Event::Joined(owner) => {
                            it.leases
                                .handle_member(owner.node, owner.incarnation, local);
                        }
                        Event::Lapsed(owner) | Event::Left(owner) => {
                            it.leases.handle_member_gone(owner.node);
                        }
                        _ => {}
                    }
                    let it = &mut self.nodes[node];
                    it.mover.handle_event(&event, &it.replica, local);
                    it.plan_at = it.plan_at.min(local);
                }
                if let Command::Join { member, .. } = *command {
                    let to = self.number_of(&member);
                    self.send(node, to, Message::Joined(member.incarnation));
                }
            }
            Answer::Applied(command, Err(refusal)) => {
                if let (Command::Join { member, .. }, Refusal::Join(refusal)) = (*command, refusal)
                {
                    let stale = matches!(refusal, JoinRefusal::StaleIncarnation { .. });
                    if matches!(refusal, JoinRefusal::StillAlive { .. }) {
                        self.reach("a join waited for the end of a lease");
                    }
                    let to = self.number_of(&member);
                    self.send(node, to, Message::JoinRefused(member.incarnation, stale));
                }
            }
        }
    }

    fn number_of(&self, member: &Member) -> usize {
        let name = member.name.as_str().trim_start_matches('n');
        name.parse().expect("the names are numbers")
    }

    // What a node does.

    fn deliver(&mut self, to: usize, message: Message) {
        let it = &self.nodes[to];
        if !it.up || it.cut_until > self.now {
            return;
        }
        if it.suspended_until > self.now {
            // The kernel keeps it until the machine wakes.
            let resumes = it.suspended_until;
            self.at(resumes, Ev::Deliver(to, message));
            return;
        }
        self.handle(to, message);
        self.step(to);
    }

    fn handle(&mut self, to: usize, message: Message) {
        let (now, count) = (self.now, self.nodes.len());
        let it = &mut self.nodes[to];
        let local = it.local(now);
        match message {
            Message::Renew(from, incarnation, number) => {
                self.handle_renewal(to, from, incarnation, number);
            }
            Message::Granted(incarnation, number) => {
                it.holder.handle_granted(incarnation, number, local);
                it.heard_at = local;
            }
            Message::Refused(incarnation) if incarnation.0 == it.incarnation => {
                it.holder.handle_refused(incarnation);
                it.begin_again(now, self.plant);
            }
            Message::NotLeader(from) if from == it.believes => it.believes = (from + 1) % count,
            Message::Leader(leader) => {
                it.believes = leader;
                it.holder.handle_leader(local);
            }
            Message::Join(from, member, heir_of) => self.handle_join(to, from, member, heir_of),
            Message::Joined(incarnation) if incarnation.0 == it.incarnation => {
                it.joined = true;
                it.heard_at = local;
            }
            Message::JoinRefused(incarnation, true) if incarnation.0 == it.incarnation => {
                it.begin_again(now, self.plant);
            }
            Message::NotLeader(_)
            | Message::Refused(_)
            | Message::Joined(_)
            | Message::JoinRefused(..) => {}
            Message::Pull(from, version) => {
                if it.leads.is_some() {
                    let delta = it.replica.since(version, 0).expect("formed");
                    self.send(to, from, Message::Delta(Box::new(delta)));
                } else {
                    self.send(to, from, Message::NotLeader(to));
                }
            }
            Message::Delta(delta) => self.handle_delta(to, &delta),
            Message::Stopped(id, epoch, by) => it.mover.handle_stopped(id, epoch, by, local),
            Message::Stuck(id, epoch, by) => it.mover.handle_stuck(id, epoch, by, local),
            Message::Forward(from, id, owner, epoch, sequence, send) => {
                let arrivals = it.arrivals.get_mut(&id);
                let before =
                    arrivals.and_then(|it| it.handle_forwarded(owner, epoch, sequence, send));
                if let Some(before) = before {
                    self.send(to, from, Message::Acknowledged(id, epoch, before));
                }
            }
            Message::Acknowledged(id, epoch, before) => {
                let leaving = it.handoffs.get_mut(&id);
                if let Some(it) = leaving.filter(|it| it.handoff.epoch() == epoch) {
                    it.handoff.handle_acknowledged(before);
                }
            }
        }
    }

    fn handle_renewal(
        &mut self,
        to: usize,
        from: usize,
        incarnation: Incarnation,
        number: RenewalNumber,
    ) {
        let id = samples::owner(from as u64).node;
        let local = self.nodes[to].local(self.now);
        let leases = &mut self.nodes[to].leases;
        match leases.handle_renewal(id, incarnation, number, local) {
            Ok(()) => {}
            Err(LeaseRefusal::NotLeader) => self.send(to, from, Message::NotLeader(to)),
            Err(LeaseRefusal::Lapsed { .. }) => {
                self.reach("a renewal came after the lapse was asked for");
                self.send(to, from, Message::Refused(incarnation));
            }
            Err(_) => self.send(to, from, Message::Refused(incarnation)),
        }
    }

    fn handle_join(
        &mut self,
        to: usize,
        from: usize,
        member: Box<Member>,
        heir_of: Option<Incarnation>,
    ) {
        let Some(term) = self.nodes[to].leads else {
            self.send(to, from, Message::NotLeader(to));
            return;
        };
        let cluster = samples::CLUSTER;
        let command = Command::Join {
            cluster,
            member,
            heir_of,
        };
        self.ask_log(to, term, Request::Propose(command));
    }

    fn handle_delta(&mut self, node: usize, delta: &Delta) {
        let now = self.now;
        let it = &mut self.nodes[node];
        let before = it.view.version();
        let Ok(changed) = it.view.handle_delta(delta) else {
            return;
        };
        let me = it.me();
        if it.view.version() > before {
            it.heard_at = it.local(now);
        }
        let seen = it.view.member(me.node);
        let live = seen.is_some_and(|(member, standing)| {
            member.incarnation == me.incarnation && standing != Standing::Lapsed
        });
        if live {
            it.joined = true;
        }
        for id in changed {
            self.handle_entry(node, id);
        }
    }

    fn handle_entry(&mut self, node: usize, id: SlotId) {
        let now = self.now;
        let it = &mut self.nodes[node];
        let (me, local) = (it.me(), it.local(now));
        let entry = *it.view.entry(id).expect("it has changed");
        let left = it.handoffs.get_mut(&id);
        match left.map(|it| it.handoff.handle_entry(&entry)) {
            None | Some(Outcome::Pending) => {}
            Some(Outcome::Gone) => {
                it.handoffs.remove(&id);
            }
            Some(Outcome::Back { sends, .. }) => {
                it.handoffs.remove(&id);
                // It may be fenced: what is queued runs when it may, here at once or never.
                if it.holder.may_start_turn(local) {
                    self.run_sends(sends);
                }
            }
        }
        let it = &mut self.nodes[node];
        let arrived = it.arrivals.get_mut(&id);
        if let Some(action) = arrived.and_then(|it| it.handle_entry(&entry)) {
            it.arrivals.remove(&id);
            // What goes on with the slot at once runs at its next owner.
            let may_start = it.holder.may_start_turn(local) && entry.moving.is_none();
            if let ArrivalsAction::Start { forwarded, .. } = action
                && may_start
            {
                self.run_sends(forwarded);
            }
        }
        let it = &self.nodes[node];
        if let (Some(from), Some(to)) = (entry.owner, entry.moving) {
            if from == me && !it.handoffs.contains_key(&id) {
                self.hand_off(node, id);
            } else if to == me && !it.arrivals.contains_key(&id) {
                let arrivals = Arrivals::new(id, me, from, entry.epoch, 16);
                self.nodes[node].arrivals.insert(id, arrivals);
            }
        }
    }

    fn hand_off(&mut self, node: usize, id: SlotId) {
        let turn_runs = self.random.below(3) == 0;
        let turn_yields = self.random.below(3) > 0;
        let sends = self.random.below(4) as u64;
        let lasts = self.random.below(1_500_000) as u64;
        let it = &mut self.nodes[node];
        let local = it.local(self.now);
        let entry = *it.view.entry(id).expect("it moves");
        let times = (AGAIN, AGAIN * 3);
        let mut handoff = Handoff::new((id, &entry), it.me(), turn_runs.into(), times, local);
        for _ in 0..sends {
            self.next_send += 1;
            handoff.handle_send(self.next_send).expect("few");
        }
        let leaving = Leaving {
            handoff,
            turn_runs,
            turn_yields,
        };
        it.handoffs.insert(id, leaving);
        let process = it.process;
        if turn_runs {
            self.after(lasts, Ev::TurnEnds(node, process, id, entry.epoch));
        }
    }

    /// Lets a node do all that is due, and sets its next timer.
    fn step(&mut self, node: usize) {
        if !self.nodes[node].runs(self.now) {
            self.schedule(node);
            return;
        }
        self.ask(node);
        if self.nodes[node].joined {
            self.step_holder(node);
        }
        self.step_handoffs(node);
        if let Some(term) = self.nodes[node].leads {
            self.step_leader(node, term);
        }
        self.schedule(node);
    }

    /// Asks the leader for what is new, or to be let in.
    fn ask(&mut self, node: usize) {
        let count = self.nodes.len();
        let it = &mut self.nodes[node];
        let local = it.local(self.now);
        if local < it.ask_at {
            return;
        }
        it.ask_at = local + profile().renew;
        if local.saturating_since(it.heard_at) > profile().renew * 4 {
            // Nobody has answered for long: another one may lead.
            it.heard_at = local;
            it.believes = (it.believes + 1) % count;
        }
        let it = &self.nodes[node];
        let (leader, version) = (it.believes, it.view.version());
        if !it.joined {
            let (member, heir_of) = (Box::new(it.member()), it.heir_of);
            self.send(node, leader, Message::Join(node, member, heir_of));
        }
        self.send(node, leader, Message::Pull(node, version));
    }

    fn step_holder(&mut self, node: usize) {
        let local = self.nodes[node].local(self.now);
        while let Some(action) = self.nodes[node].holder.poll_action(local) {
            let it = &mut self.nodes[node];
            match action {
                HolderAction::Probe(number) => {
                    let process = it.process;
                    let busy = self.random.below(5_000) as u64;
                    self.after(busy, Ev::Probed(node, process, number));
                }
                HolderAction::Renew(number) => {
                    let (leader, incarnation) = (it.believes, it.holder.incarnation());
                    self.send(node, leader, Message::Renew(node, incarnation, number));
                }
                HolderAction::Hold => {
                    if it.was_fenced {
                        self.reach("a holder held again after its fence");
                    }
                }
                HolderAction::Fence => {
                    it.was_fenced = true;
                    self.reach("a holder fenced itself");
                }
            }
        }
    }

    fn step_handoffs(&mut self, node: usize) {
        let ids: Vec<SlotId> = self.nodes[node].handoffs.keys().copied().collect();
        let (me, local) = (self.nodes[node].me(), self.nodes[node].local(self.now));
        for id in ids {
            while let Some(leaving) = self.nodes[node].handoffs.get_mut(&id) {
                let epoch = leaving.handoff.epoch();
                let Some(action) = leaving.handoff.poll_action(local) else {
                    break;
                };
                let yields = leaving.turn_yields;
                let leader = self.nodes[node].believes;
                match action {
                    HandoffAction::AnswerMoved(_) => {}
                    HandoffAction::Forward { sequence, send } => {
                        let entry = self.nodes[node].view.entry(id).copied();
                        let to = entry.and_then(|it| it.moving).expect("it moves");
                        let to = self.nodes.iter().position(|it| it.id == to.node);
                        let to = to.expect("a node");
                        if sequence.0 == 0 && self.random.below(4) == 0 {
                            self.reach("a send was forwarded twice");
                            let copy = Message::Forward(node, id, me, epoch, sequence, send);
                            self.send(node, to, copy);
                        }
                        let forward = Message::Forward(node, id, me, epoch, sequence, send);
                        self.send(node, to, forward);
                    }
                    HandoffAction::DropTurns if yields => {
                        let process = self.nodes[node].process;
                        self.after(100, Ev::TurnEnds(node, process, id, epoch));
                    }
                    HandoffAction::DropTurns => {}
                    HandoffAction::ReportStopped => {
                        self.send(node, leader, Message::Stopped(id, epoch, me));
                    }
                    HandoffAction::ReportStuck => {
                        self.reach("a turn was stuck");
                        self.send(node, leader, Message::Stuck(id, epoch, me));
                    }
                }
            }
        }
    }

    fn step_leader(&mut self, node: usize, term: u64) {
        let local = self.nodes[node].local(self.now);
        while let Some(action) = self.nodes[node].leases.poll_action(local) {
            match action {
                LeaseAction::Read(read) => self.ask_log(node, term, Request::Read(read)),
                LeaseAction::Grant {
                    to,
                    incarnation,
                    number,
                } => {
                    self.check_grant(node);
                    let to = self.nodes.iter().position(|it| it.id == to);
                    let to = to.expect("a node");
                    self.send(node, to, Message::Granted(incarnation, number));
                }
                LeaseAction::Lapse {
                    node: of,
                    incarnation,
                } => {
                    let lapse = Command::Lapse(Owner {
                        node: of,
                        incarnation,
                    });
                    self.ask_log(node, term, Request::Propose(lapse));
                }
            }
        }
        if local >= self.nodes[node].plan_at {
            self.nodes[node].plan_at = local + AGAIN;
            let plan = placement::plan(&self.nodes[node].replica, 4);
            self.nodes[node].mover.handle_plan(plan.moves);
            for command in plan.assign {
                self.ask_log(node, term, Request::Propose(command));
            }
        }
        while let Some(command) = self.nodes[node].mover.poll_command(local) {
            self.ask_log(node, term, Request::Propose(command));
        }
    }

    // Leaders.

    fn elect(&mut self, node: usize) {
        let before = self.log.leader;
        let term = self.log.elect(node);
        self.elected_at = self.now;
        self.nodes[node].log_cut_until = 0;
        if let Some(before) = before.filter(|it| *it != node) {
            self.reach("the leader changed");
            if let Some(term) = self.nodes[before].leads {
                let learns = self
                    .random
                    .below(if self.faulty { 4_000_000 } else { 20_000 });
                self.after(learns as u64, Ev::Depose(before, term));
            }
        }
        let state = self.log.state.clone();
        let it = &mut self.nodes[node];
        let local = it.local(self.now);
        it.leads = Some(term);
        it.replica = state;
        let members = it.replica.members();
        let live = members.filter(|(_, standing)| *standing != Standing::Lapsed);
        let live: Vec<_> = live.map(|(it, _)| (it.id(), it.incarnation)).collect();
        it.leases.handle_leading(live, local);
        it.mover.handle_leading(&it.replica, local);
        it.plan_at = local;
        for other in 0..self.nodes.len() {
            self.send(node, other, Message::Leader(node));
        }
        self.schedule(node);
    }

    fn depose(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.leads = None;
        it.leases.handle_deposed();
        it.mover.handle_deposed();
        it.plan_at = Time::MAX;
    }

    /// Says whether a node could lead: it runs and reaches the log.
    fn could_lead(&self, node: usize) -> bool {
        let it = &self.nodes[node];
        it.runs(self.now) && it.cut_until <= self.now && it.log_cut_until <= self.now
    }

    fn elect_if_needed(&mut self) {
        let leader = self.log.leader.filter(|it| self.could_lead(*it));
        let leads = leader.is_some_and(|it| self.nodes[it].leads == Some(self.log.term));
        if leads {
            return;
        }
        let count = self.nodes.len();
        let first = self.random.below(count);
        let mut candidates = (0..count).map(|at| (first + at) % count);
        match candidates.find(|it| self.could_lead(*it)) {
            Some(node) => self.elect(node),
            None => self.after(200_000, Ev::Elect),
        }
    }

    // Faults.

    fn break_something(&mut self) {
        if !self.faulty {
            return;
        }
        let next = 50_000 + self.random.below(800_000) as u64;
        self.after(next, Ev::Fault);
        let node = self.random.below(self.nodes.len());
        let lasts = match self.random.below(3) {
            0 => self.random.below(200_000) as u64,
            1 => self.random.below(1_500_000) as u64,
            _ => self.random.below(4_000_000) as u64,
        };
        let until = self.now + lasts;
        match self.random.below(8) {
            0 => self.crash(node, lasts),
            1 => {
                if lasts > 1_000_000 {
                    self.reach("a node was suspended beyond its lease");
                }
                self.nodes[node].suspended_until = until;
                self.schedule(node);
            }
            2 => self.nodes[node].cut_until = until,
            3 => self.nodes[node].log_cut_until = until,
            4 => {
                if lasts > 1_000_000 {
                    self.reach("a pool was wedged");
                }
                self.nodes[node].wedged_until = until;
            }
            5 => {
                // Somebody else stands and wins, though the leader is well.
                if self.could_lead(node) && self.log.leader != Some(node) {
                    self.elect(node);
                }
            }
            6 => {
                // The leader loses the log and keeps the nodes.
                if let Some(leader) = self.log.leader {
                    self.nodes[leader].log_cut_until = until;
                }
            }
            _ => {
                // A drain that is called off by nothing: it ends with the life.
                let owner = self.nodes[node].me();
                if let Some(leader) = self.log.leader {
                    let drain = Command::Drain(owner);
                    let term = self.log.term;
                    let others = self.log.state.members();
                    let live = others.filter(|it| it.1 == Standing::Live).count();
                    if live > 2 {
                        self.ask_log(leader, term, Request::Propose(drain));
                    }
                }
            }
        }
        let election = profile().election_worst().as_micros();
        let election = u64::try_from(election).expect("short");
        self.after(election, Ev::Elect);
    }

    fn crash(&mut self, node: usize, lasts: u64) {
        if !self.nodes[node].up {
            return;
        }
        self.nodes[node].up = false;
        self.nodes[node].leads = None;
        let with_disk = self.random.below(3) > 0;
        self.after(lasts, Ev::Start(node, with_disk));
    }

    fn start(&mut self, node: usize, with_disk: bool) {
        if self.nodes[node].up {
            return;
        }
        let disk = if with_disk {
            self.nodes[node].disk
        } else {
            self.reach("a disk was lost");
            self.next_disk += 1;
            Some(DiskId(self.next_disk))
        };
        let plant = self.plant;
        self.nodes[node].start(self.now, disk, plant);
        self.schedule(node);
    }

    /// Ends all faults.
    fn heal(&mut self) {
        self.faulty = false;
        for node in 0..self.nodes.len() {
            let it = &mut self.nodes[node];
            it.cut_until = 0;
            it.log_cut_until = 0;
            it.wedged_until = it.wedged_until.min(self.now);
            it.suspended_until = it.suspended_until.min(self.now);
            if let Some(term) = it.leads.filter(|term| *term != self.log.term) {
                self.events.insert(
                    (self.now + 50_000, u64::MAX - node as u64),
                    Ev::Depose(node, term),
                );
            }
            let it = &self.nodes[node];
            if it.up {
                self.schedule(node);
            } else {
                self.start(node, true);
            }
        }
        let election = profile().election_worst().as_micros();
        let election = u64::try_from(election).expect("short");
        self.after(election, Ev::Elect);
    }

    // Bookkeeping.

    fn count(&mut self, command: &Command, events: &[Event]) {
        for event in events {
            let name = match (command, event) {
                (Command::Lapse(owner), _) => {
                    let tables = self.log.state.groups();
                    let entries = tables.flat_map(|(_, table)| table.iter());
                    let moving = entries.filter(|(_, entry)| entry.moving.is_some());
                    let moving: Vec<_> = moving.map(|it| (it.1.owner, it.1.moving)).collect();
                    if moving.iter().any(|it| it.0 == Some(*owner)) {
                        self.reach("an old owner was lost while its slot moved");
                    }
                    if moving.iter().any(|it| it.1 == Some(*owner)) {
                        self.reach("a target was lost");
                    }
                    "a lease lapsed"
                }
                (Command::Stopped { .. }, Event::Owned { .. }) => "a move ended",
                (Command::Abort { .. }, Event::Owned { .. }) => "a move came back",
                _ => continue,
            };
            self.reach(name);
        }
    }

    /// Says whether a join would end a life whose lease has not ended.
    fn replaces_a_life(&self, command: &Command) -> bool {
        let Command::Join { member, .. } = command else {
            return false;
        };
        let mut members = self.log.state.members();
        let known = members.find(|(it, _)| it.name == member.name);
        known.is_some_and(|(_, standing)| standing != Standing::Lapsed)
    }

    fn reach(&mut self, name: &'static str) {
        *self.reached.entry(name).or_insert(0) += 1;
    }

    pub(super) fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }
}

/// How many slots the group has.
pub(super) const GROUP_SLOTS: u32 = 8;
