use super::*;
use crate::slots::samples::{assign, cluster, member, owner, slot};
use crate::slots::{Settings, samples};

const AGAIN: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(9);

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// A leader with a state in which node 1 owns all slots.
struct Leader {
    state: State,
    mover: Mover,
}

impl Leader {
    fn new() -> Self {
        let mut state = cluster(3, 8);
        state.apply(&assign(0..8, 0, 1)).expect("free");
        let mut mover = Mover::new(AGAIN, LIMIT);
        mover.handle_leading(&state, at(0));
        Self { state, mover }
    }

    fn plan(&mut self, slots: impl IntoIterator<Item = u32>) {
        let planned = slots.into_iter().map(|number| PlannedMove {
            id: slot(number),
            epoch: self.state.entry(slot(number)).expect("there is").epoch,
            to: owner(2),
        });
        let planned = planned.collect();
        self.mover.handle_plan(planned);
    }

    fn apply(&mut self, command: &Command, now: u64) {
        for event in self.state.apply(command).expect("fits") {
            self.mover.handle_event(&event, &self.state, at(now));
        }
    }

    /// Applies what the mover proposes at this moment; returns it.
    fn run(&mut self, now: u64) -> Vec<Command> {
        let mut proposed = Vec::new();
        while let Some(command) = self.mover.poll_command(at(now)) {
            self.apply(&command, now);
            proposed.push(command);
        }
        proposed
    }

    fn owner_of(&self, number: u32) -> (Option<Owner>, u64) {
        let entry = self.state.entry(slot(number)).expect("there is");
        (entry.owner, entry.epoch.0)
    }
}

#[test]
fn moves_begin_at_their_rate_and_end_with_the_stop() {
    let mut leader = Leader::new();
    leader.apply(&Command::Set(settings(10)), 0);
    leader.plan([0, 1, 2]);
    assert_eq!(leader.run(0).len(), 1);
    assert_eq!(leader.mover.next_deadline(), Some(at(100)));
    assert_eq!(leader.run(99).len(), 0);
    assert_eq!(leader.run(100).len(), 1);
    let (id, epoch, by) = (slot(0), Epoch(1), owner(1));
    leader.mover.handle_stopped(id, epoch, by, at(150));
    assert_eq!(leader.run(150), [Command::Stopped { id, epoch, by }]);
    assert_eq!(leader.owner_of(0), (Some(owner(2)), 2));
    assert_eq!(leader.mover.under_way(), 1);
}

#[test]
fn a_stuck_slot_holds_up_no_other_and_rests_before_it_is_tried_again() {
    let mut leader = Leader::new();
    leader.plan(0..8);
    for now in (0..40).step_by(5) {
        leader.run(now);
    }
    assert_eq!(leader.mover.under_way(), 8);
    for number in 1..8 {
        leader
            .mover
            .handle_stopped(slot(number), Epoch(1), owner(1), at(50));
    }
    leader
        .mover
        .handle_stuck(slot(0), Epoch(1), owner(1), at(50));
    assert_eq!(leader.run(50).len(), 8);
    assert!((1..8).all(|number| leader.owner_of(number) == (Some(owner(2)), 2)));
    assert_eq!(leader.owner_of(0), (Some(owner(1)), 2));
    leader.plan([0]);
    assert_eq!(leader.run(60), []);
    leader.plan([0]);
    assert_eq!(leader.run(9051).len(), 1);
}

#[test]
fn what_is_lost_on_its_way_to_the_log_is_proposed_again() {
    let mut leader = Leader::new();
    leader.plan([0]);
    leader.run(0);
    leader
        .mover
        .handle_stopped(slot(0), Epoch(1), owner(1), at(10));
    let first = leader.mover.poll_command(at(10)).expect("proposed");
    assert_eq!(leader.mover.poll_command(at(10)), None);
    assert_eq!(leader.run(110), [first]);
    assert_eq!(leader.mover.next_deadline(), None);
}

#[test]
fn an_old_owner_that_is_gone_need_not_stop() {
    let mut leader = Leader::new();
    leader.plan([0]);
    leader.run(0);
    leader.apply(&Command::Lapse(owner(1)), 4000);
    assert_eq!(leader.run(4000).len(), 1);
    assert_eq!(leader.owner_of(0), (Some(owner(2)), 2));
}

#[test]
fn a_target_that_is_being_drained_still_inherits() {
    // Refusing it would leave the slot with nobody, as it counts as on its way.
    let mut leader = Leader::new();
    leader.plan([0]);
    leader.run(0);
    leader.apply(&Command::Drain(owner(2)), 10);
    leader.apply(&Command::Lapse(owner(1)), 4000);
    leader.run(4000);
    assert_eq!(leader.owner_of(0), (Some(owner(2)), 2));
    assert_eq!(leader.mover.under_way(), 0);
}

#[test]
fn a_target_that_is_gone_gives_the_slot_back() {
    let mut leader = Leader::new();
    leader.plan([0, 1]);
    leader.run(0);
    leader.run(5);
    leader.apply(&Command::Lapse(owner(2)), 4000);
    leader.run(4000);
    assert_eq!(leader.owner_of(0), (Some(owner(1)), 2));
    assert_eq!(leader.owner_of(1), (Some(owner(1)), 2));
}

#[test]
fn both_gone_makes_an_orphan() {
    let mut leader = Leader::new();
    leader.plan([0]);
    leader.run(0);
    for lost in [1, 2] {
        leader
            .state
            .apply(&Command::Lapse(owner(lost)))
            .expect("lives");
    }
    let lapsed = Event::Lapsed(owner(2));
    leader.mover.handle_event(&lapsed, &leader.state, at(10));
    leader.run(10);
    assert_eq!((leader.mover.under_way(), leader.owner_of(0).1), (0, 1));
}

#[test]
fn silence_ends_a_move_after_more_than_a_lease() {
    let mut leader = Leader::new();
    leader.plan([0]);
    leader.run(0);
    assert_eq!(leader.run(8999), []);
    leader.run(9000);
    assert_eq!(leader.owner_of(0), (Some(owner(1)), 2));
}

#[test]
fn a_new_leader_goes_on_with_what_has_begun() {
    let mut leader = Leader::new();
    leader.plan([0, 1]);
    leader.run(0);
    leader.run(5);
    let mut second_life = member(2);
    second_life.incarnation.0 = 2;
    let joined = samples::join(second_life, Some(1));
    leader.state.apply(&joined).expect("holds the lock");
    leader.mover.handle_deposed();
    assert_eq!(leader.mover.poll_command(at(10)), None);
    leader.mover.handle_leading(&leader.state, at(20));
    assert_eq!(leader.mover.under_way(), 2);
    // The target of both is a life that is gone.
    assert_eq!(leader.run(20).len(), 2);
    assert_eq!(leader.owner_of(1), (Some(owner(1)), 2));
}

fn settings(moves_per_second: u32) -> Settings {
    Settings {
        moves_per_second,
        ..Settings::default()
    }
}
