//! Groups in one thread, on disks that forget and a network that does what it likes.

mod cluster;
mod decoding;
pub(crate) mod disk;
mod group;
mod recovery;
mod seeds;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use callboard_protocol::id::{ClusterId, DiskId};
use callboard_protocol::slots::{Command, Settings, SlotCount, State};
use raft::eraftpb::{Entry, HardState};

use self::disk::TestDisk;
use super::disk::Disk;
use super::{Change, Config, Group, record};
use crate::env::{Bug, Dice, Entropy, Env, Plant};

/// A splitmix generator: <https://doi.org/10.1145/2660193.2660195>.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("fits")
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Debug)]
struct SeededEntropy(Mutex<Random>);

impl Entropy for SeededEntropy {
    fn fill(&self, buf: &mut [u8]) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in buf {
            *byte = random.next().to_le_bytes()[7];
        }
    }
}

struct Always(Bug);

impl Dice for Always {
    fn strikes(&self, bug: Bug) -> bool {
        bug == self.0
    }

    fn provokes(&self, _: &'static str) -> bool {
        false
    }
}

/// An environment with this disk, and chance from this seed.
pub(crate) fn env(disk: &TestDisk, seed: u64, bug: Option<Bug>) -> Env {
    let mut env = Env::real();
    env.files = Arc::new(disk.clone());
    env.entropy = Arc::new(SeededEntropy(Mutex::new(Random(seed))));
    if let Some(bug) = bug {
        env.plant = Plant::with_dice(Arc::new(Always(bug)));
    }
    env
}

fn folder() -> PathBuf {
    Path::new("/data/control").to_owned()
}

fn open(disk: &TestDisk) -> Result<Group, super::Error> {
    Group::open(&env(disk, 7, None), &folder(), Config::default())
}

fn form() -> Command {
    Command::Form {
        cluster: ClusterId(42),
        slots: SlotCount::new(8).expect("a power of two"),
        settings: Settings::default(),
    }
}

fn set(moves_per_second: u32) -> Command {
    let mut settings = Settings::default();
    settings.moves_per_second = moves_per_second;
    Command::Set(settings)
}

/// An entry behind a snapshot.
pub(crate) enum Behind {
    Told(Command),
    Changed(Change),
}

/// Writes the files of one member of a group, of which a snapshot covers ten entries of term 3: with this
/// state and these members, which are made for the member's disk. The entries behind are of term 4, and
/// `committed` of them are known to be. Returns the disk.
pub(crate) fn write_member(
    env: &Env,
    folder: &Path,
    made: impl FnOnce(DiskId) -> (State, [Vec<u64>; 2]),
    behind: Vec<Behind>,
    committed: u64,
) -> DiskId {
    let (mut files, _) = Disk::open(env, folder).expect("new");
    let (state, [voters, learners]) = made(files.id());
    let snapshot = record::snapshot(10, 3, (voters, learners).into(), state.encode());
    let entries = behind.into_iter().zip(11..).map(|(it, index)| {
        let mut entry = Entry {
            term: 4,
            index,
            ..Entry::default()
        };
        match it {
            Behind::Told(command) => entry.data = command.encode().into(),
            Behind::Changed(change) => {
                entry.set_entry_type(raft::eraftpb::EntryType::EntryConfChange);
                entry.context = change.encode().into();
            }
        }
        entry
    });
    let hard = HardState {
        term: 5,
        vote: 0,
        commit: 10 + committed,
        ..HardState::default()
    };
    files.replace(&snapshot, &hard, &[]).expect("a sound disk");
    let entries: Vec<Entry> = entries.collect();
    files.append(&hard, &entries, true).expect("a sound disk");
    files.id()
}

/// Lets a group that is alone elect itself.
pub(crate) fn elect(group: &mut Group) {
    for _ in 0..40 {
        group.handle_tick();
        group.flush().expect("a sound disk");
    }
    assert!(group.is_leader());
}
