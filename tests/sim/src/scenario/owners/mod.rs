//! Nodes of a cluster that own keyed actors, and callers of these, under faults.
//!
//! | phase | what goes on | what is judged |
//! | --- | --- | --- |
//! | storm | nodes form a cluster, join it, are drained and lost, while every machine calls keys | all promises of safety, at every step |
//! | calm | no faults; every machine asks every key | all answer within the bound |
//! | orderly | one node after the other is drained and starts anew, or | no call fails, and no state is lost |
//! | loss | what was called in the storm ends; then the power of one node fails, and nothing else; it comes back with its disk or an empty one | all keys answer within the profile's bound and a second; the node is a member again |
//! | end | nothing | all nodes know the same slots, and have their share of them |
//!
//! The workload writes into the [`Ledger`], and the invariants read it, along with what each node says of
//! itself at every tick. What the control group has decided is the newest of what the nodes know.

mod board;
mod callers;
mod cart;
mod program;
mod setup;

use super::cluster::{Judge, disk_troubles, power_cuts, suspensions};
use crate::harness::sometimes::sometimes;
use crate::harness::{Failure, Run, Verdict};
use crate::invariants::Court;
use crate::ledger::{Event, Ledger, MachineNumber};
use crate::nemesis::{Fault, Nemesis, Planned, Targets, draw};
use crate::world::{Machine, World};
use board::{Board, Phase};
use callboard_protocol::slots::Entry;
use rand::Rng;
use setup::Setup;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Runs the world of a seed.
pub(super) fn run(run: Run) -> Verdict {
    let mut rng = run.seed.stream("owners");
    let setup = match Setup::draw(&mut rng, run.is_long) {
        Ok(setup) => {
            let setup = setup.with_gone_max(&mut run.seed.stream("gone"));
            setup.with_choices(&mut run.seed.stream("choices"))
        }
        Err(error) => {
            let failure = Failure::now("setup", error.to_string());
            return Verdict {
                failure: Some(failure),
                ..Verdict::default()
            };
        }
    };
    let mut world = World::new(run, 1500);
    let ledger = Ledger::default();
    let board = Board::new(ledger.clone(), run.seed, setup.clone());
    for number in 0..setup.machines() {
        add_machine(&mut world, &board, number);
    }
    let targets = Targets {
        machines: setup.machines(),
        start: Duration::from_millis(100),
        end: setup.storm,
    };
    let mut plan = draw(&mut rng, &targets);
    if rng.random_bool(0.3) {
        plan.extend(power_cuts(&mut rng, setup.nodes));
    }
    if rng.random_bool(0.5) {
        plan.extend(suspensions(&mut rng, setup.nodes));
    }
    // A stream of its own: the rest of a world stays as it was before.
    let mut stalls = run.seed.stream("stalls");
    if stalls.random_bool(0.3) {
        plan.extend(stalled_sides(&mut stalls, setup.nodes));
    }
    let mut disks = run.seed.stream("disks");
    if disks.random_bool(0.5) {
        plan.extend(disk_troubles(&mut disks, setup.nodes, setup.storm));
    }
    let mut story = Story {
        run,
        nemesis: Nemesis::new(plan, setup.machines()),
        world,
        ledger,
        board,
        cluster: Judge::default(),
        court: Court::of_owners(),
    };
    let failure = match rng.random_bool(0.5) {
        true => story.tell(Ending::Orderly).err(),
        false => {
            // A voter without its log is let in again when its seat has gone.
            let is_let_in_soon = setup.gone_max < RECOVERY;
            let disk = match is_let_in_soon && run.seed.stream("replaced").random_bool(0.5) {
                true => DiskThen::Empty,
                false => DiskThen::Kept,
            };
            story
                .tell(Ending::Loss(rng.random_range(0..setup.nodes), disk))
                .err()
        }
    };
    Verdict {
        failure,
        totals: story.totals(),
    }
}

fn add_machine(world: &mut World, board: &Arc<Board>, number: MachineNumber) {
    let name = board.setup.name(number);
    let mut machine = Machine::new(name.clone(), super::cluster::address(number));
    machine.rate = board.setup.rates[number];
    machine.plant = world.plant(&name);
    let board = board.clone();
    world.add(
        machine,
        Box::new(move |boot| Box::pin(program::run(board.clone(), number, boot))),
    );
}

/// Draws some splits that cut one or two nodes off, one of which stands still at the beginning: if it leads,
/// it goes on when another one has been elected, and does not know.
fn stalled_sides(rng: &mut impl Rng, nodes: usize) -> Vec<Planned> {
    let mut plan = Vec::new();
    for _ in 0..rng.random_range(1..=2) {
        let at = Duration::from_millis(rng.random_range(2000..9000));
        let host = rng.random_range(0..nodes);
        let mut side = BTreeSet::from([host]);
        if nodes > 3 {
            side.insert(rng.random_range(0..nodes));
        }
        let split = Fault::Partition {
            side,
            one_way: false,
        };
        for (fault, least, most) in [(split, 3000, 5500), (Fault::Pause { host }, 200, 1200)] {
            let span = Duration::from_millis(rng.random_range(least..most));
            plan.push(Planned { at, span, fault });
        }
    }
    plan
}

/// What comes after the faults.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// One node after the other is drained and starts anew.
    Orderly,
    /// The power of this machine fails.
    Loss(MachineNumber, DiskThen),
}

/// What a machine that was lost comes back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DiskThen {
    Kept,
    Empty,
}

/// A world with all that watches it.
struct Story {
    run: Run,
    nemesis: Nemesis,
    world: World,
    ledger: Ledger,
    board: Arc<Board>,
    cluster: Judge,
    court: Court,
}

impl Story {
    /// Goes through all phases.
    ///
    /// # Errors
    /// The first promise that is broken.
    fn tell(&mut self, ending: Ending) -> Result<(), Failure> {
        while self.world.now() < self.board.setup.storm {
            self.step()?;
        }
        let events = self.nemesis.calm(&mut self.world);
        self.record(events);
        self.ledger.record(Event::Calmed);
        self.board.set_phase(Phase::Asking);
        self.until("a-cluster-comes-back", RECOVERY, Self::is_whole)?;
        match ending {
            Ending::Orderly => self.roll()?,
            Ending::Loss(machine, disk) => self.lose(machine, disk)?,
        }
        self.until("slots-are-shared-alike", RECOVERY, Self::is_settled)
    }

    /// Drains one node after the other, and starts it anew.
    fn roll(&mut self) -> Result<(), Failure> {
        self.until("slots-are-shared-alike", RECOVERY, Self::is_settled)?;
        self.board.set_phase(Phase::Orderly);
        self.ledger.record(Event::Orderly);
        self.rest(CALLS)?;
        for machine in 0..self.board.setup.nodes {
            self.board.set_leaving(machine, true);
            self.ledger.record(Event::Leaving { machine });
            let has_left = |it: &Self| it.board.state().left.contains(&machine);
            self.until("a-node-that-is-drained-leaves", LEAVING, has_left)?;
            self.world.crash(machine);
            self.ledger.record(Event::Crashed { machine });
            self.world.restart(machine);
            self.until(
                "a-node-that-has-left-comes-back",
                RECOVERY,
                Self::is_settled,
            )?;
            self.rest(CALLS)?;
        }
        // What was sent before the last node had left is known to have run, or to be lost.
        self.rest(callers::LETTER_TIMEOUT)?;
        self.ledger.record(Event::Disturbed);
        Ok(())
    }

    /// Cuts the power of a machine for good, and asks all keys; then starts it anew.
    fn lose(&mut self, machine: MachineNumber, disk: DiskThen) -> Result<(), Failure> {
        // A turn of the storm holds its key for seconds, as its author wants: that is no loss's doing.
        let is_idle = |it: &Self| it.board.is_idle();
        self.until("what-was-called-in-the-storm-ends", RECOVERY, is_idle)?;
        let is_leader = {
            let state = self.board.state();
            let said = state.said.get(&machine);
            said.is_some_and(|it| it.position.leads.is_some())
        };
        self.world.crash(machine);
        self.ledger.record(Event::Crashed { machine });
        self.board.set_phase(Phase::Asking);
        let bound = self.board.setup.profile.recovery_worst(is_leader) + SECOND;
        let is_answered = |it: &Self| it.has_answers(|other| other != machine);
        self.until("keys-of-a-lost-node-answer-again", bound, is_answered)?;
        if disk == DiskThen::Empty {
            self.world.replace_disk(machine);
        }
        self.world.restart(machine);
        self.board.set_phase(Phase::Asking);
        self.until("a-node-that-was-lost-comes-back", RECOVERY, Self::is_whole)?;
        if disk == DiskThen::Empty {
            sometimes!("a-node-came-back-with-an-empty-disk");
        }
        Ok(())
    }

    /// Goes on until something is so.
    ///
    /// # Errors
    /// That it is not within the time, under the name of the promise, and what breaks before.
    fn until(
        &mut self,
        promise: &str,
        within: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        let end = self.world.now() + within;
        while !is_so(self) {
            if self.world.now() > end {
                let shares = self.shares();
                let state = self.board.state();
                let said: Vec<_> = state.said.values().map(|it| &it.position).collect();
                let answered = &state.answered;
                let detail = format!("not within {within:?}: {answered:?} {shares:?} {said:?}");
                return Err(Failure::now(promise, detail));
            }
            self.step()?;
        }
        Ok(())
    }

    fn rest(&mut self, span: Duration) -> Result<(), Failure> {
        let end = self.world.now() + span;
        while self.world.now() < end {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.run.set_now(self.world.now());
        let events = self.nemesis.act(&mut self.world);
        self.record(events);
        self.world.step();
        if let Some(failure) = self.run.panicked() {
            return Err(failure);
        }
        self.look()?;
        self.court.judge(&self.ledger, self.world.now())
    }

    /// Takes in what the nodes say of themselves.
    ///
    /// # Errors
    /// The first promise that is broken by it.
    fn look(&mut self) -> Result<(), Failure> {
        let mut state = self.board.state();
        // What was said before a crash holds no more.
        state.said.retain(|machine, _| self.world.is_up(*machine));
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => self.cluster.judge(&state.said, self.world.now()),
        }
    }

    fn record(&self, events: Vec<Event>) {
        for event in events {
            if let Event::Leaving { machine } = event {
                self.board.set_leaving(machine, true);
            }
            self.ledger.record(event);
        }
    }

    /// Whether all hold a lease and have had an answer of every key.
    fn is_whole(&self) -> bool {
        self.all_hold_leases() && self.has_answers(|_| true)
    }

    /// Whether all hold a lease, know the same, and have their shares of what can be moved.
    fn is_settled(&self) -> bool {
        let versions: BTreeSet<_> = {
            let state = self.board.state();
            let said = state.said.values();
            said.map(|it| it.position.version).collect()
        };
        self.all_hold_leases() && versions.len() == 1 && self.is_balanced()
    }

    fn all_hold_leases(&self) -> bool {
        let state = self.board.state();
        let now = self.world.now();
        let lives = |it: &super::cluster::Said| it.lease_until.is_some_and(|until| until > now);
        state.said.len() == self.board.setup.nodes && state.said.values().all(lives)
    }

    fn has_answers(&self, of: impl Fn(MachineNumber) -> bool) -> bool {
        let state = self.board.state();
        let mut machines = (0..self.board.setup.machines()).filter(|machine| of(*machine));
        machines.all(|machine| state.answered.contains(&machine))
    }

    /// How many slots of each group each life of a node has.
    fn shares(&self) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for (id, entry) in &self.board.state().newest {
            let owner = entry.owner.map_or_else(String::new, |it| it.to_string());
            let on_its_way = if entry.moving.is_some() { " goes" } else { "" };
            let of = format!("{:?} {owner}{on_its_way}", id.group);
            *shares.entry(of).or_default() += 1;
        }
        shares
    }

    /// Whether nothing is on its way, every slot has an owner, and those of the type whose state goes
    /// along are shared alike.
    fn is_balanced(&self) -> bool {
        let is_at_rest = |it: &Entry| it.owner.is_some() && it.moving.is_none();
        let newest = &self.board.state().newest;
        if newest.is_empty() || !newest.values().all(is_at_rest) {
            return false;
        }
        let cart = cart::group();
        let mut shares = BTreeMap::new();
        for (_, entry) in newest.iter().filter(|(id, _)| id.group == cart) {
            *shares
                .entry(entry.owner.map(|it| it.node))
                .or_insert(0_usize) += 1;
        }
        let (least, most) = (shares.values().min(), shares.values().max());
        let is_alike = least
            .zip(most)
            .is_some_and(|(least, most)| most - least <= 1);
        shares.len() == self.board.setup.nodes && is_alike
    }

    fn totals(&self) -> BTreeMap<String, u64> {
        let mut totals = self.court.totals();
        totals.extend(self.cluster.totals());
        totals
    }
}

/// How long it takes until all hold a lease again and get answers: links that are dialled anew, an
/// election, the end of the leases of lives that were lost, and the seat of a log that was torn.
const RECOVERY: Duration = Duration::from_secs(20);

/// How long a node that is drained may take to leave.
const LEAVING: Duration = Duration::from_secs(12);

/// How long calls go on between two planned changes.
const CALLS: Duration = Duration::from_millis(500);

/// What is granted beyond the bound of a profile.
const SECOND: Duration = Duration::from_secs(1);
