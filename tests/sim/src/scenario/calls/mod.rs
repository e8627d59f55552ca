//! A cluster that is called in every way there is, by its own nodes and by clients, under faults.
//!
//! | phase | what goes on | what is judged |
//! | --- | --- | --- |
//! | warm | the cluster forms on a healthy network | |
//! | storm | everything is called; the nemesis makes faults | all promises of safety, at every step |
//! | calm | no faults; well-behaved calls only | all machines answer each other within the bound, then no call fails |
//! | quiet | nobody calls | everything that was held is given back |
//!
//! The workload writes into the [`Ledger`], and the invariants read it. Nothing here judges.

mod board;
mod hosted;
mod operation;
mod probe;
mod program;
mod setup;
mod watcher;
mod worker;

use crate::harness::{Failure, Run, Verdict};
use crate::invariants::Court;
use crate::ledger::{Event, Ledger};
use crate::nemesis::{Nemesis, Targets, draw};
use crate::world::{Machine, World};
use board::{Board, Phase};
use setup::Setup;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Runs the world of a seed.
pub(super) fn run(run: Run) -> Verdict {
    let setup = Setup::draw(&mut run.seed.stream("setup"));
    let mut world = World::new(run, usize::from(setup.datagram_bytes_max));
    let ledger = Ledger::default();
    let board = Board::new(ledger.clone(), run.seed, setup.clone());
    for number in 0..setup.machines() {
        add_machine(&mut world, &board, number);
    }
    let targets = Targets {
        machines: setup.machines(),
        start: WARM,
        end: WARM + STORM,
    };
    let nemesis = Nemesis::new(
        draw(&mut run.seed.stream("nemesis"), &targets),
        setup.machines(),
    );
    let mut story = Story {
        run,
        world,
        nemesis,
        ledger,
        board,
        court: Court::new(setup.machines()),
    };
    let failure = story.tell().err();
    Verdict {
        failure,
        totals: story.totals(),
    }
}

fn add_machine(world: &mut World, board: &Arc<Board>, number: usize) {
    let setup = &board.setup;
    let name = setup.name(number);
    let mut machine = Machine::new(name.clone(), u8::try_from(number + 1).unwrap_or(u8::MAX));
    machine.segments_max = setup.segments_max;
    machine.unread_max = setup.unread_max;
    machine.wall_ahead = setup.wall_ahead[number];
    machine.plant = world.plant(&name);
    let board = board.clone();
    world.add(
        machine,
        Box::new(move |boot| Box::pin(program::run(board.clone(), number, boot))),
    );
}

/// A world with all that watches it.
struct Story {
    run: Run,
    world: World,
    nemesis: Nemesis,
    ledger: Ledger,
    board: Arc<Board>,
    court: Court,
}

impl Story {
    /// Goes through all phases.
    ///
    /// # Errors
    /// The first promise that is broken.
    fn tell(&mut self) -> Result<(), Failure> {
        self.until(WARM)?;
        self.board.set_phase(Phase::Storm);
        self.until(WARM + STORM)?;
        let events = self.nemesis.calm(&mut self.world);
        self.record(events);
        self.ledger.record(Event::Calmed);
        self.board.set_phase(Phase::Calm);
        while !self.board.all_recovered() {
            self.step()?;
        }
        self.for_another(CALM)?;
        self.board.set_phase(Phase::Quiet);
        // The last calls end by their own deadlines; only then is the world quiet.
        self.for_another(setup::CALM_TIMEOUT)?;
        self.ledger.record(Event::Quiet);
        self.for_another(QUIET)
    }

    fn for_another(&mut self, span: Duration) -> Result<(), Failure> {
        self.until(self.world.now() + span)
    }

    fn until(&mut self, end: Duration) -> Result<(), Failure> {
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
        match self.run.panicked() {
            Some(failure) => Err(failure),
            None => self.court.judge(&self.ledger, self.world.now()),
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

    fn totals(&self) -> BTreeMap<String, u64> {
        self.court.totals()
    }
}

/// Time for the cluster to form before anything goes wrong.
const WARM: Duration = Duration::from_millis(1500);

/// How long there are faults.
const STORM: Duration = Duration::from_secs(10);

/// How long the world is watched after its recovery.
const CALM: Duration = Duration::from_secs(1);

/// How long nothing happens at the end.
const QUIET: Duration = Duration::from_millis(2500);
