//! What one group does, and three do for each other.

use std::collections::BTreeSet;

use callboard_protocol::id::DiskId;
use callboard_protocol::membership::ReadNumber;

use super::disk::TestDisk;
use super::{elect, form, open, set};
use crate::control::{Action, Change, Error, Group, Refused};

#[test]
fn a_group_that_was_formed_alone_commits_and_reads() {
    let disk = TestDisk::default();
    let mut group = open(&disk).expect("new");
    assert_eq!(
        group.propose(&set(1)),
        Err(Refused::NotLeader { leader: None })
    );
    assert_eq!(group.form(&set(1)), Err(Refused::NotForming));
    group.form(&form()).expect("empty");
    assert_eq!(group.form(&form()), Err(Refused::AlreadyFormed));
    elect(&mut group);
    let proposal = group.propose(&set(5)).expect("it leads");
    group.read(ReadNumber(9)).expect("it leads");
    group.flush().expect("a sound disk");
    let actions: Vec<Action> = std::iter::from_fn(|| group.poll_action()).collect();
    let is_applied = |action: &&Action| matches!(action, Action::Applied { proposal: of, outcome: Ok(_) } if *of == proposal);
    assert!(actions.iter().any(|action| is_applied(&action)));
    assert!(actions.contains(&Action::Read(ReadNumber(9))));
    assert_eq!(group.state().settings().moves_per_second, 5);
}

#[test]
fn a_batch_is_one_sync() {
    let disk = TestDisk::default();
    let mut group = open(&disk).expect("new");
    group.form(&form()).expect("empty");
    elect(&mut group);
    let before = disk.syncs();
    for moves in 1..=50 {
        group.propose(&set(moves)).expect("it leads");
    }
    group.flush().expect("a sound disk");
    assert_eq!(disk.syncs() - before, 1);
    assert_eq!(group.state().settings().moves_per_second, 50);
}

#[test]
fn a_failing_disk_stops_the_group_and_nothing_leaves() {
    for good in 0..2 {
        let disk = TestDisk::default();
        let mut group = open(&disk).expect("new");
        group.form(&form()).expect("empty");
        elect(&mut group);
        while group.poll_action().is_some() {}
        disk.fail_after(good);
        group.propose(&set(5)).expect("it leads");
        let error = group.flush().expect_err("the disk is broken");
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(group.poll_action(), None);
        assert_eq!(group.propose(&set(6)), Err(Refused::Stopped));
        disk.fail_after(100);
        group.flush().expect_err("it has stopped for good");
    }
}

#[test]
fn a_folder_has_one_group() {
    let disk = TestDisk::default();
    let held = open(&disk).expect("new");
    let error = open(&disk).expect_err("it is held");
    assert_eq!(error.code(), callboard_protocol::code::Code::DataDirLocked);
    drop(held);
    open(&disk).expect("free again");
}

#[test]
fn the_last_voter_stays_and_one_change_is_made_at_a_time() {
    let disk = TestDisk::default();
    let mut group = open(&disk).expect("new");
    group.form(&form()).expect("empty");
    elect(&mut group);
    let me = group.id();
    assert_eq!(group.change(Change::Removed(me)), Err(Refused::Busy));
    assert_eq!(group.change(Change::Learner(me)), Err(Refused::Busy));
    group.change(Change::Learner(DiskId(5))).expect("first");
    assert_eq!(group.change(Change::Learner(DiskId(6))), Err(Refused::Busy));
    group.flush().expect("a sound disk");
    assert_eq!(
        group.learners().into_iter().collect::<Vec<_>>(),
        [DiskId(5)]
    );
    assert!(!group.has_caught_up(DiskId(5)));
}

#[test]
fn a_learner_without_the_log_gets_the_snapshot_and_may_lead_later() {
    let (first_disk, second_disk) = (TestDisk::default(), TestDisk::default());
    let mut first = open(&first_disk).expect("new");
    let env = super::env(&second_disk, 8, None);
    let config = crate::control::Config::default();
    let mut second = Group::open(&env, &super::folder(), config).expect("new");
    first.form(&form()).expect("empty");
    elect(&mut first);
    first.propose(&set(77)).expect("it leads");
    first.change(Change::Learner(second.id())).expect("first");
    for tick in 0..100 {
        exchange(&mut first, &mut second);
        if first.has_caught_up(second.id()) && first.learners().contains(&second.id()) {
            first.change(Change::Voter(second.id())).ok();
        }
        if tick == 60 {
            first.hand_over(second.id()).expect("it leads");
        }
    }
    assert_eq!(second.state(), first.state());
    assert_eq!(second.state().settings().moves_per_second, 77);
    assert!(second.is_leader() && first.leader() == Some(second.id()));
}

/// A voter that is elected while its removal is in the log leads when that is committed.
#[test]
fn a_leader_that_commits_its_own_removal_leads_no_more() {
    let (first_disk, second_disk) = (TestDisk::default(), TestDisk::default());
    let mut first = open(&first_disk).expect("new");
    let env = super::env(&second_disk, 8, None);
    let config = crate::control::Config::default();
    let mut second = Group::open(&env, &super::folder(), config).expect("new");
    first.form(&form()).expect("empty");
    elect(&mut first);
    first.change(Change::Learner(second.id())).expect("first");
    while !first.voters().contains(&second.id()) {
        exchange(&mut first, &mut second);
        if first.has_caught_up(second.id()) {
            first.change(Change::Voter(second.id())).ok();
        }
    }
    while first.change(Change::Removed(first.id())) == Err(Refused::Busy) {
        exchange(&mut first, &mut second);
    }
    pass(&mut first, &mut second);
    pass(&mut second, &mut first);
    // It is written along with what is committed by then.
    first.propose(&set(77)).expect("it still leads");
    first.flush().expect("a sound disk");
    assert!(!first.is_leader() && !first.voters().contains(&first.id()));
    for _ in 0..100 {
        exchange(&mut first, &mut second);
    }
    assert!(second.is_leader());
    assert_eq!(second.voters(), BTreeSet::from([second.id()]));
}

fn exchange(a: &mut Group, b: &mut Group) {
    a.handle_tick();
    b.handle_tick();
    for _ in 0..3 {
        pass(a, b);
        pass(b, a);
    }
}

fn pass(from: &mut Group, to: &mut Group) {
    from.flush().expect("a sound disk");
    while let Some(action) = from.poll_action() {
        if let Action::Send { to: id, bytes } = action {
            assert_eq!(id, to.id());
            to.handle_message(from.id(), &bytes).expect("sound");
        }
    }
}
