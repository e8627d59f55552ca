//! What a crash leaves, and what is refused.

use callboard_protocol::code::Code;
use callboard_protocol::slots::State;
use raft::eraftpb::{ConfState, Entry, HardState};

use super::disk::TestDisk;
use super::{Random, elect, folder, form, open, set};
use crate::control::disk::Disk;
use crate::control::frames::{self, FRAME_HEAD_BYTES, HEAD_BYTES};
use crate::control::{Error, Group, record};

/// A disk with a log of some frames, the last of which sets 4.
fn written() -> TestDisk {
    let disk = TestDisk::default();
    let mut group = open(&disk).expect("new");
    group.form(&form()).expect("empty");
    elect(&mut group);
    for moves in 2..=4 {
        group.propose(&set(moves)).expect("it leads");
        group.flush().expect("a sound disk");
    }
    disk
}

fn moves(group: &Group) -> u32 {
    group.state().settings().moves_per_second
}

#[test]
fn what_was_synced_is_there_after_a_restart() {
    let disk = written();
    let mut group = open(&disk).expect("sound");
    elect(&mut group);
    assert_eq!(moves(&group), 4);
}

/// What a sync that failed was to write is read back from the cache as if it were on the disk: who relies on
/// it loses it with the power, unless it is written once more.
#[test]
fn what_was_read_on_opening_is_on_the_disk_from_then_on() {
    for seed in 0..16 {
        let disk = written();
        let (mut log, recovered) =
            Disk::open(&super::env(&disk, 7, None), &folder()).expect("sound");
        let last = recovered.entries.last().expect("some").clone();
        let next = Entry {
            index: last.index + 1,
            ..last
        };
        log.append(&recovered.hard, std::slice::from_ref(&next), false)
            .expect("a sound disk");
        drop(log);
        let read = || {
            let opened = Disk::open(&super::env(&disk, 7, None), &folder());
            opened.expect("sound").1.entries
        };
        assert_eq!(read().last(), Some(&next));
        disk.crash(&mut Random(seed));
        assert_eq!(read().last(), Some(&next), "seed {seed}");
    }
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let log = folder().join("log");
    let whole = written().contents(&log);
    let last = last_frame(&whole);
    for cut in last + 1..whole.len() {
        let disk = written();
        disk.damage(&log, |bytes| bytes.truncate(cut));
        let mut group = open(&disk).expect("a torn end is no damage");
        let left = disk.contents(&log);
        let parsed = frames::parse(&left).expect("whole");
        assert_eq!(parsed.end, left.len(), "cut at {cut}");
        elect(&mut group);
        assert_eq!(moves(&group), 3);
        group.propose(&set(9)).expect("it leads");
        group.flush().expect("a sound disk");
        drop(group);
        let mut group = open(&disk).expect("sound");
        elect(&mut group);
        assert_eq!(moves(&group), 9);
    }
}

#[test]
fn damage_before_the_end_is_refused_and_left_as_it_is() {
    let log = folder().join("log");
    let whole = written().contents(&log);
    let last = last_frame(&whole);
    for at in 0..last {
        let disk = written();
        disk.damage(&log, |bytes| bytes[at] ^= 0x10);
        let damaged = disk.contents(&log);
        let error = open(&disk).expect_err("it is damaged");
        assert!(matches!(error, Error::Unreadable { .. }), "{at}: {error}");
        assert_eq!(error.code(), Code::LogUnreadable);
        assert_eq!(disk.contents(&log), damaged, "byte {at}");
    }
}

#[test]
fn a_damaged_or_foreign_snapshot_and_a_missing_log_are_refused() {
    let snapshot = folder().join("snapshot");
    let length = written().contents(&snapshot).len();
    for at in 0..length {
        let disk = written();
        disk.damage(&snapshot, |bytes| bytes[at] ^= 1);
        let error = open(&disk).expect_err("it is damaged");
        assert_eq!(error.code(), Code::LogUnreadable, "byte {at}");
    }
    let (disk, other) = (written(), TestDisk::default());
    let mut group = super::Group::open(
        &super::env(&other, 99, None),
        &folder(),
        super::Config::default(),
    )
    .expect("new");
    group.form(&form()).expect("empty");
    let foreign = other.contents(&snapshot);
    disk.damage(&snapshot, |bytes| *bytes = foreign);
    let error = open(&disk).expect_err("it is of another disk");
    assert!(error.to_string().contains("another disk"), "{error}");
    let disk = written();
    let files: &dyn crate::env::Files = &disk;
    files.remove(&folder().join("log")).expect("it is there");
    let error = open(&disk).expect_err("it is missing");
    assert!(error.to_string().contains("missing"), "{error}");
}

/// Every step of a snapshot of our own and of forming, with the disk failing after it and the power
/// going: what was committed is there.
#[test]
fn a_crash_at_any_step_of_a_snapshot_loses_nothing() {
    for good in 0..12 {
        for seed in 0..12 {
            let disk = TestDisk::default();
            let env = super::env(&disk, 7, None);
            let mut config = super::Config::default();
            (config.snapshot_entries, config.kept_entries) = (4, 0);
            let mut group = Group::open(&env, &folder(), config).expect("new");
            group.form(&form()).expect("empty");
            elect(&mut group);
            group.propose(&set(2)).expect("it leads");
            group.flush().expect("a sound disk");
            disk.fail_after(good);
            for moves in 3..=8 {
                if group.propose(&set(moves)).is_ok() {
                    let _ = group.flush();
                }
            }
            let kept = moves(&group);
            drop(group);
            disk.crash(&mut super::Random(seed));
            let mut group = Group::open(&env, &folder(), config).expect("sound");
            elect(&mut group);
            // One more may have reached the disk before it failed.
            let found = moves(&group);
            assert!(
                (kept..=kept + 1).contains(&found),
                "{good} good writes, seed {seed}: {found} after {kept}"
            );
        }
    }
}

/// The power goes between the two steps of taking the leader's snapshot.
#[test]
fn a_log_that_the_snapshot_has_overtaken_is_written_anew() {
    let disk = TestDisk::default();
    let env = super::env(&disk, 7, None);
    let log = folder().join("log");
    let entry = |index, term| Entry {
        index,
        term,
        ..Entry::default()
    };
    let hard = HardState {
        term: 3,
        ..HardState::default()
    };
    let (mut files, _) = Disk::open(&env, &folder()).expect("new");
    let old = [entry(1, 1), entry(2, 1)];
    files.append(&hard, &old, true).expect("a sound disk");
    let before = disk.contents(&log);
    let members: ConfState = (vec![files.id().0], Vec::new()).into();
    let snapshot = record::snapshot(20, 2, members, State::new().encode());
    files.replace(&snapshot, &hard, &[]).expect("a sound disk");
    drop(files);
    disk.damage(&log, |bytes| *bytes = before);
    let (mut files, found) = Disk::open(&env, &folder()).expect("sound");
    assert!(found.entries.is_empty());
    assert_eq!((found.hard.term, found.hard.commit), (3, 20));
    let next = [entry(21, 3)];
    files.append(&hard, &next, true).expect("a sound disk");
    drop(files);
    let (_, found) = Disk::open(&env, &folder()).expect("there is no gap");
    assert_eq!(found.entries, next);
}

/// Returns where the last frame begins.
fn last_frame(log: &[u8]) -> usize {
    let mut at = HEAD_BYTES;
    loop {
        let length = log[at + 8..at + 12].try_into().expect("four bytes");
        let next = at + FRAME_HEAD_BYTES + u32::from_le_bytes(length) as usize;
        if next >= log.len() {
            return at;
        }
        at = next;
    }
}
