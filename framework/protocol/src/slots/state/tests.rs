use std::collections::BTreeMap;

use super::*;
use crate::garbage::{Random, mutate};
use crate::slots::samples::{self, assign, cluster, join, member, owner, slot};
use crate::slots::{Assembly, Delta, View, chunks};

/// Applies a command that must be accepted.
fn accept(state: &mut State, command: &Command) -> Vec<Event> {
    let events = state.apply(command);
    events.unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"))
}

/// Applies a command that must be refused, and checks that nothing has changed.
fn refuse(state: &mut State, command: &Command) -> String {
    let before = state.clone();
    let refusal = state.apply(command).expect_err("refused");
    assert_eq!(*state, before, "a refused command has changed the state");
    refusal.to_string()
}

fn begin(state: &mut State, number: u32, epoch: u64, to: u64) {
    let command = Command::Move {
        id: slot(number),
        epoch: Epoch(epoch),
        to: owner(to),
    };
    accept(state, &command);
}

fn stopped(number: u32, epoch: u64, by: u64) -> Command {
    Command::Stopped {
        id: slot(number),
        epoch: Epoch(epoch),
        by: owner(by),
    }
}

fn owned(state: &State, number: u32) -> (Option<Owner>, u64, Option<Owner>) {
    let entry = state.entry(slot(number)).expect("there is");
    (entry.owner, entry.epoch.0, entry.moving)
}

#[test]
fn a_cluster_is_formed_once() {
    let mut state = State::new();
    assert_eq!(
        refuse(&mut state, &Command::Lapse(owner(1))),
        "the cluster is not formed yet"
    );
    accept(&mut state, &samples::form(8));
    let again = refuse(&mut state, &samples::form(8));
    assert!(
        again.starts_with("the cluster is formed, as 0000"),
        "{again}"
    );
}

#[test]
fn a_slot_moves_under_the_next_epoch_once_its_owner_has_stopped() {
    let mut state = cluster(2, 8);
    accept(&mut state, &assign([0], 0, 1));
    begin(&mut state, 0, 1, 2);
    assert_eq!(owned(&state, 0), (Some(owner(1)), 1, Some(owner(2))));
    accept(&mut state, &stopped(0, 1, 1));
    assert_eq!(owned(&state, 0), (Some(owner(2)), 2, None));
    let late = refuse(&mut state, &stopped(0, 1, 1));
    assert_eq!(late, "slot g1:0 has epoch 2, the command is for 1");
}

#[test]
fn a_slot_comes_back_under_a_higher_epoch_and_late_words_of_a_stop_are_refused() {
    let mut state = cluster(2, 8);
    accept(&mut state, &assign([0], 0, 1));
    begin(&mut state, 0, 1, 2);
    let (id, epoch) = (slot(0), Epoch(1));
    accept(&mut state, &Command::Abort { id, epoch });
    assert_eq!(owned(&state, 0), (Some(owner(1)), 2, None));
    refuse(&mut state, &stopped(0, 1, 1));
    // The target is lost: the stop gives the slot back.
    begin(&mut state, 0, 2, 2);
    accept(&mut state, &Command::Lapse(owner(2)));
    accept(&mut state, &stopped(0, 2, 1));
    assert_eq!(owned(&state, 0), (Some(owner(1)), 3, None));
}

#[test]
fn slots_of_whom_one_is_unknown_are_not_assigned_in_part() {
    let mut state = cluster(1, 8);
    let refusal = refuse(&mut state, &assign([1, 2, 64], 0, 1));
    assert!(refusal.contains("64"), "{refusal}");
    accept(&mut state, &assign([1, 2], 0, 1));
}

#[test]
fn a_slot_that_has_lost_both_is_an_orphan_and_is_assigned() {
    let mut state = cluster(3, 8);
    accept(&mut state, &assign([0], 0, 1));
    begin(&mut state, 0, 1, 2);
    accept(&mut state, &Command::Lapse(owner(1)));
    accept(&mut state, &Command::Lapse(owner(2)));
    let (id, epoch) = (slot(0), Epoch(1));
    let events = accept(&mut state, &Command::Abort { id, epoch });
    assert_eq!(events, [Event::Orphaned(id)]);
    accept(&mut state, &assign([0], 1, 3));
    assert_eq!(owned(&state, 0), (Some(owner(3)), 2, None));
}

#[test]
fn the_mistake_that_tests_can_plant_is_one() {
    use crate::plant::Mistake;
    let mut state = cluster(1, 8).with_plant(Plant::of(Some(Mistake::ReuseEpoch)));
    accept(&mut state, &assign([0], 0, 1));
    assert_eq!(owned(&state, 0), (Some(owner(1)), 0, None));
}

#[test]
fn a_slot_is_taken_from_nobody_who_lives() {
    let mut state = cluster(2, 8);
    accept(&mut state, &assign([0], 0, 1));
    assert_eq!(
        refuse(&mut state, &assign([0], 1, 2)),
        "none of the slots could be given"
    );
    let leave = refuse(&mut state, &Command::Leave(owner(1)));
    assert!(leave.contains("still owns 1 slots"), "{leave}");
    accept(&mut state, &Command::Drain(owner(1)));
    refuse(&mut state, &assign([0], 1, 2));
    refuse(&mut state, &assign([1], 0, 1));
    accept(&mut state, &Command::Lapse(owner(1)));
    accept(&mut state, &assign([0, 0, 1], 1, 2));
    assert_eq!(owned(&state, 0), (Some(owner(2)), 2, None));
    assert_eq!(owned(&state, 1).1, 0, "the epoch was another one");
}

#[test]
fn joining_is_refused_with_reasons() {
    let mut state = cluster(2, 8);
    let mut refusal = |change: fn(&mut Member), heir_of| {
        let mut joiner = member(1);
        change(&mut joiner);
        refuse(&mut state, &join(joiner, heir_of))
    };
    let again = |it: &mut Member| it.incarnation.0 = 2;
    assert!(refusal(|_| {}, None).contains("joins as incarnation 1, and has been"));
    assert!(refusal(again, None).contains("nothing shows that it has ended"));
    let other_disk: fn(&mut Member) = |it| (it.incarnation.0, it.disk) = (2, Some(DiskId(99)));
    assert!(refusal(other_disk, Some(1)).contains("nothing shows"));
    assert!(
        refusal(again, Some(0)).contains("nothing shows"),
        "an older life"
    );
    assert!(refusal(|it| it.weight = 0, None).contains("weight out of range"));
    let foreign = Command::Join {
        cluster: ClusterId(5),
        member: Box::new(member(3)),
        heir_of: None,
    };
    assert!(refuse(&mut state, &foreign).contains("this is cluster 0000"));
}

#[test]
fn a_successor_with_the_lock_need_not_wait_and_takes_over_no_slot_by_itself() {
    let mut state = cluster(2, 8);
    accept(&mut state, &assign([0], 0, 1));
    let mut second_life = member(1);
    second_life.incarnation.0 = 7;
    accept(&mut state, &join(second_life.clone(), Some(1)));
    assert!(!state.is_live(owner(1)) && state.is_live(second_life.owner()));
    assert_eq!(owned(&state, 0).0, Some(owner(1)), "that life is gone");
    accept(&mut state, &assign([0], 1, 2));
    // Stale words of the first life come to nothing.
    refuse(&mut state, &Command::Lapse(owner(1)));
    refuse(&mut state, &join(member(1), Some(7)));
}

#[test]
fn a_voter_that_has_lost_its_log_does_not_come_back_as_one() {
    let mut state = cluster(3, 8);
    let seats = BTreeMap::from([(owner(1).node, DiskId(1))]);
    accept(&mut state, &Command::Seats(seats));
    accept(&mut state, &Command::Lapse(owner(1)));
    let mut emptied = member(1);
    (emptied.incarnation.0, emptied.disk) = (2, None);
    let refused = refuse(&mut state, &join(emptied.clone(), None));
    assert!(refused.contains("with none: its log is lost"), "{refused}");
    accept(&mut state, &Command::Seats(BTreeMap::new()));
    accept(&mut state, &join(emptied, None));
}

#[test]
fn no_life_of_before_comes_back_after_leaving() {
    let mut state = cluster(2, 8);
    let mut later = member(2);
    later.incarnation.0 = 5;
    accept(&mut state, &Command::Lapse(owner(2)));
    accept(&mut state, &join(later.clone(), None));
    accept(&mut state, &Command::Leave(later.owner()));
    later.incarnation.0 = 4;
    assert!(refuse(&mut state, &join(later, None)).contains("has been a member as 5"));
}

/// A cluster that has been told anything at all, and the commands that it took.
fn storm(seed: u64, steps: usize, each: impl FnMut(&State, &[Event])) -> State {
    let (mut state, mut each) = (cluster(5, 64), each);
    let mut random = Random::new(seed);
    let mut lives = [1u64; 6];
    for _ in 0..steps {
        let number = 1 + random.below(5);
        let of = |random: &mut Random, lives: &[u64; 6]| {
            let number = 1 + random.below(5);
            let mut owner = owner(number as u64);
            owner.incarnation.0 = lives[number] - (random.below(8) == 0) as u64;
            owner
        };
        let at = slot(random.below(64) as u32);
        let current = state.entry(at).expect("there is").epoch;
        let epoch = Epoch(current.0.saturating_sub((random.below(6) == 0) as u64));
        let command = match random.below(12) {
            0 => Command::Lapse(of(&mut random, &lives)),
            1 => Command::Drain(of(&mut random, &lives)),
            2 => Command::Leave(of(&mut random, &lives)),
            3..=5 => {
                let mut joiner = member(number as u64);
                joiner.incarnation.0 = lives[number] + 1;
                join(joiner, (random.below(2) == 0).then_some(lives[number]))
            }
            6 | 7 => Command::Assign {
                group: samples::GROUP,
                slots: vec![(at.slot, epoch)],
                to: of(&mut random, &lives),
            },
            8 | 9 => Command::Move {
                id: at,
                epoch,
                to: of(&mut random, &lives),
            },
            10 => Command::Stopped {
                id: at,
                epoch,
                by: of(&mut random, &lives),
            },
            _ => Command::Abort { id: at, epoch },
        };
        if let Ok(events) = state.apply(&command) {
            if let Command::Join { .. } = command {
                lives[number] += 1;
            }
            each(&state, &events);
        }
    }
    state
}

#[test]
fn whatever_is_applied_epochs_only_grow_and_replicas_agree() {
    for seed in 1..=50 {
        let mut epochs = BTreeMap::new();
        let (mut moved, mut joined) = (0, 0);
        let state = storm(seed, 2000, |state, events| {
            for event in events {
                match event {
                    Event::Owned { id, epoch, owner } => {
                        let before = epochs.insert(*id, *epoch);
                        assert!(before.is_none_or(|before| before < *epoch), "{id}");
                        assert!(state.is_live(*owner));
                        moved += 1;
                    }
                    Event::Joined(_) => joined += 1,
                    _ => {}
                }
            }
        });
        assert!(moved > 50 && joined > 20, "{moved} {joined}");
        assert_eq!(state, storm(seed, 2000, |_, _| {}));
    }
}

#[test]
fn a_state_reads_as_it_was_written_and_a_damaged_one_not_at_all() {
    let state = storm(3, 2000, |_, _| {});
    let bytes = state.encode();
    assert_eq!(State::decode(&bytes).as_ref(), Ok(&state));
    assert_eq!(State::decode(&bytes).expect("whole").encode(), bytes);
    let mut random = Random::new(5);
    for _ in 0..500 {
        let damaged = mutate(&bytes, &mut random);
        assert!(damaged == bytes || State::decode(&damaged).is_err());
    }
    let mut assembly = Assembly::default();
    let parts = chunks(&bytes, 1000).map(|it| assembly.handle_chunk(it));
    let whole = parts.last().expect("some").expect("fits");
    assert_eq!(whole, Some(bytes));
}

#[test]
fn hostile_states_behind_a_good_checksum_are_refused_or_can_be_written() {
    use xxhash_rust::xxh3::xxh3_64;
    let bytes = storm(3, 500, |_, _| {}).encode();
    let plain = &bytes[..bytes.len() - 8];
    let mut random = Random::new(9);
    let mut read = 0;
    for _ in 0..2000 {
        let mut damaged = mutate(plain, &mut random);
        damaged.extend(xxh3_64(&damaged).to_le_bytes());
        if let Ok(state) = State::decode(&damaged) {
            assert_eq!(State::decode(&state.encode()), Ok(state));
            read += 1;
        }
    }
    assert!(read > 10, "{read}: some damage is to values only");
}

#[test]
fn the_bytes_of_a_state_are_stable() {
    let mut state = State::new();
    accept(&mut state, &samples::form(8));
    let bytes: String = state
        .encode()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    // Golden: version, cluster, slots, settings, version of the state, horizon, checksum.
    let fields = concat!(
        "01",
        "011004030201000000000000000000000000",
        "020108",
        "03070101000202c801",
        "040101",
        "050100"
    );
    assert_eq!(&bytes[..bytes.len() - 16], fields);
}

#[test]
fn a_view_follows_by_deltas_from_wherever_it_is() {
    for seed in 1..=20 {
        let mut views = vec![View::new(), View::new(), View::new()];
        let mut random = Random::new(seed);
        let state = storm(seed, 1500, |state, _| {
            for (at, view) in views.iter_mut().enumerate() {
                // The first follows closely, the others now and then.
                if at == 0 || random.below(40) == 0 {
                    let delta = state.since(view.version(), 0).expect("formed");
                    let read = Delta::decode(&delta.encode()).expect("whole");
                    assert_eq!(read, delta);
                    view.handle_delta(&read).expect("follows");
                }
            }
        });
        for view in &mut views {
            while view.version() < state.version() {
                let delta = state.since(view.version(), 0).expect("formed");
                assert!(delta.to() > view.version(), "no progress");
                view.handle_delta(&delta).expect("follows");
            }
            for number in 0..64 {
                let ours = view.entry(slot(number)).copied().unwrap_or_default();
                assert_eq!(Ok(&ours), state.entry(slot(number)));
            }
            for (member, standing) in state.members() {
                assert_eq!(view.member(member.id()), Some((member, standing)));
            }
        }
    }
}
