use std::collections::{BTreeMap, BTreeSet};

use callboard_protocol::{
    id::InterfaceId,
    slots::{
        Command, EPOCH_LEAP, Epoch, Group as Placed, GroupId, Owner, Settings, Slot, SlotCount,
        SlotId,
    },
};

use super::*;
use crate::control::{
    Change, Config, Group,
    tests::{Behind, Random, disk::TestDisk, elect, env, write_member},
};

const OLD: ClusterId = ClusterId(42);
const CART: InterfaceId = InterfaceId(7);
const GROUP: GroupId = GroupId(1);

/// The disk of a voter of three, n1, whose node does not run.
struct Survivor {
    disk: TestDisk,
    env: Env,
    id: DiskId,
}

fn data() -> PathBuf {
    PathBuf::from("/data")
}

fn member_of(name: &str, disk: DiskId, incarnation: u64) -> Member {
    Member {
        name: NodeName::new(name).expect("a name"),
        incarnation: Incarnation(incarnation),
        disk: Some(disk),
        addr: "127.0.0.1:1".parse().expect("an address"),
        zone: String::new(),
        roles: BTreeSet::new(),
        labels: BTreeMap::new(),
        hosts: BTreeSet::from([CART]),
        movable: BTreeSet::new(),
        lacks: BTreeMap::new(),
        version: 1,
        weight: 100,
    }
}

fn join(cluster: ClusterId, member: Member, heir_of: Option<u64>) -> Command {
    Command::Join {
        cluster,
        member: Box::new(member),
        heir_of: heir_of.map(Incarnation),
    }
}

fn owner(name: &str, incarnation: u64) -> Owner {
    member_of(name, DiskId(1), incarnation).owner()
}

fn assign(slot: u32, epoch: u64, to: Owner) -> Command {
    Command::Assign {
        group: GROUP,
        slots: vec![(Slot(slot), Epoch(epoch))],
        to,
    }
}

fn slot(slot: u32) -> SlotId {
    SlotId {
        group: GROUP,
        slot: Slot(slot),
    }
}

/// The state of n1, n2 and n3, of which n2 owns slot 0.
fn state(disk: DiskId) -> State {
    let mut state = State::new();
    let commands = [
        Command::Form {
            cluster: OLD,
            slots: SlotCount::new(8).expect("a power of two"),
            settings: Settings::default(),
        },
        join(OLD, member_of("n1", disk, 1), None),
        join(OLD, member_of("n2", DiskId(902), 1), None),
        join(OLD, member_of("n3", DiskId(903), 1), None),
        Command::Place(Placed::of(GROUP, [CART])),
        assign(0, 0, owner("n2", 1)),
    ];
    for command in commands {
        state.apply(&command).expect("in order");
    }
    state
}

/// What the log has behind its snapshot: n3 owns slot 1 is committed, n1 owns slot 2 is not known to be.
fn tail() -> Vec<Behind> {
    vec![
        Behind::Told(assign(1, 0, owner("n3", 1))),
        Behind::Told(assign(2, 0, owner("n1", 1))),
    ]
}

impl Survivor {
    fn new() -> Self {
        Self::with(|id| [vec![id.0, 902, 903], Vec::new()], tail(), 1)
    }

    fn with(
        members: impl FnOnce(DiskId) -> [Vec<u64>; 2],
        behind: Vec<Behind>,
        committed: u64,
    ) -> Self {
        let disk = TestDisk::default();
        let env = env(&disk, 7, None);
        let mut dir = DataDir::open(&env, &data()).expect("new");
        dir.begin(&env, &data(), "n1").expect("a sound disk");
        let memory = FormingMemory {
            cluster: Some(OLD),
            ..FormingMemory::default()
        };
        write_memory(&env, &data(), &memory).expect("a sound disk");
        let made = |id| (state(id), members(id));
        let id = write_member(&env, &data().join("control"), made, behind, committed);
        Self { disk, env, id }
    }

    fn inspect(&self) -> Result<Found, RecoverError> {
        inspect(&self.env, &data())
    }

    fn recover(&self) -> Result<Recovered, RecoverError> {
        recover(&self.env, &data())
    }

    /// Refuses, and leaves every byte as it is; returns why.
    fn refuses(&self) -> RecoverError {
        let before = self.disk.all();
        let error = self.recover().expect_err("refused");
        assert_eq!(self.disk.all(), before, "{error}");
        error
    }

    /// The group that the node opens when it starts.
    fn group(&self) -> Group {
        let memory = read_memory(&self.env, &data()).expect("whole");
        let folder = control_folder(&self.disk, &data(), memory.cluster).expect("a sound disk");
        Group::open(&self.env, &folder, Config::default()).expect("whole")
    }
}

#[test]
fn what_is_found_is_told_and_not_a_byte_changes() {
    let survivor = Survivor::new();
    let before = survivor.disk.all();
    let found = survivor.inspect().expect("whole");
    assert_eq!(survivor.disk.all(), before);
    assert_eq!((&*found.name, found.cluster), ("n1", OLD));
    assert_eq!((found.term, found.last_term), (5, 4));
    assert_eq!((found.committed, found.last_index), (11, 12));
    assert_eq!(found.disk, survivor.id.to_string());
    assert!(found.votes && found.check().is_ok());
    let mut voters: Vec<_> = found.voters.iter().map(|it| it.node.clone()).collect();
    voters.sort();
    assert_eq!(voters, ["n1", "n2", "n3"].map(|it| Some(it.to_owned())));
    let members = found
        .members
        .iter()
        .map(|it| (&*it.name, it.live, it.slots));
    let members: Vec<_> = members.collect();
    // The last entry counts, whether it is known to be committed or not.
    assert_eq!(members, [("n1", true, 1), ("n2", true, 1), ("n3", true, 1)]);
}

#[test]
fn the_survivor_votes_alone_in_another_cluster_in_which_epochs_begin_above_all_that_were_given() {
    let survivor = Survivor::new();
    let old = survivor.disk.all();
    let recovered = survivor.recover().expect("a voter of three");
    assert_ne!(recovered.cluster, OLD);

    let mut group = survivor.group();
    assert_ne!(group.id(), survivor.id, "the old disk votes no more");
    assert_eq!(group.voters(), BTreeSet::from([group.id()]));
    elect(&mut group);
    let state = group.state().clone();
    assert_eq!(state.cluster(), Some(recovered.cluster));
    let me = owner("n1", 1).node;
    assert_eq!(*state.seats(), BTreeMap::from([(me, group.id())]));
    assert_eq!(
        state.entry(slot(2)).expect("there is").owner,
        Some(owner("n1", 1)),
        "what was not known to be committed counts"
    );
    // The next life of the node joins at once, as the heir of the last, and gets a slot of one that is lost.
    let heir = member_of("n1", group.id(), 2);
    for command in [
        join(recovered.cluster, heir, Some(1)),
        Command::Lapse(owner("n2", 1)),
        assign(0, 1, owner("n1", 2)),
    ] {
        group.propose(&command).expect("it leads");
        group.flush().expect("a sound disk");
    }
    let entry = *group.state().entry(slot(0)).expect("there is");
    assert_eq!(entry.owner, Some(owner("n1", 2)));
    assert_eq!(entry.epoch, Epoch(1 + EPOCH_LEAP + 1));

    // What was there before is there, byte by byte, and in nobody's way.
    let now = survivor.disk.all();
    for name in ["cluster", "control/log", "control/snapshot"] {
        assert_eq!(now[&recovered.kept.join(name)], old[&data().join(name)]);
    }
    assert!(!now.contains_key(&data().join("control/log")));
}

#[test]
fn a_folder_put_back_as_it_was_kept_is_the_old_cluster_again() {
    let survivor = Survivor::new();
    let before = survivor.inspect().expect("whole");
    let recovered = survivor.recover().expect("a voter of three");
    let files: &dyn Files = &survivor.disk;
    for name in ["cluster", "control/log", "control/snapshot"] {
        let moved = files.rename(&recovered.kept.join(name), &data().join(name));
        moved.expect("it is there");
    }
    assert_eq!(survivor.inspect(), Ok(before));
}

/// Every write, rename and sync fails once, and the power goes.
#[test]
fn a_crash_at_any_step_leaves_the_old_cluster_or_the_new_one() {
    let (mut old, mut new, mut done) = (0, 0, 0);
    for good in 0..60 {
        for seed in 0..8 {
            let survivor = Survivor::new();
            let (before, files) = (survivor.inspect().expect("whole"), survivor.disk.all());
            survivor.disk.fail_after(good);
            let outcome = survivor.recover();
            survivor.disk.crash(&mut Random(seed));
            let what = format!("{good} good writes, seed {seed}: {outcome:?}");
            let found = survivor.inspect().expect(&what);
            if found.cluster == OLD {
                assert!(outcome.is_err(), "{what}");
                assert_eq!(found, before, "{what}");
                old += 1;
                // Nothing that was left behind is in the way of the next attempt.
                let again = survivor.recover().expect(&what);
                let found = survivor.inspect().expect(&what);
                assert_eq!(found.cluster, again.cluster, "{what}");
            } else {
                new += 1;
            }
            done += u32::from(outcome.is_ok());
            let mut group = survivor.group();
            elect(&mut group);
            assert_eq!(group.voters().len(), 1, "{what}");
            let kept = data().join(format!("before-{OLD}"));
            for name in ["cluster", "control/log", "control/snapshot"] {
                let there = survivor.disk.contents(&kept.join(name));
                assert_eq!(there, files[&data().join(name)], "{what}");
            }
        }
    }
    assert!(old > 0 && done > 0, "{old} {done}");
    assert!(new > done, "it failed too AFTER the new one was in force");
}

#[test]
fn damage_is_told_and_nothing_changes() {
    let files = Survivor::new().disk.all();
    for name in ["control/snapshot", "control/log", "cluster", "life"] {
        let path = data().join(name);
        for at in (0..files[&path].len()).step_by(3) {
            let survivor = Survivor::new();
            survivor.disk.damage(&path, |bytes| bytes[at] ^= 0x10);
            let before = survivor.disk.all();
            match survivor.inspect() {
                Err(error) => {
                    assert_eq!(error.code(), Code::LogUnreadable, "{name} {at}: {error}");
                    assert_eq!(survivor.refuses(), error);
                }
                // A last frame that rots looks like one that was torn, and the name and the life have no
                // checksum.
                Ok(found) => {
                    let is_life = name == "life";
                    assert!(is_life || found.last_index == 10, "{name} {at}: {found:?}");
                }
            }
            assert_eq!(survivor.disk.all(), before, "{name} {at}");
        }
    }
}

#[test]
fn a_log_that_lacks_its_snapshot_or_is_of_another_cluster_is_refused() {
    let survivor = Survivor::new();
    let files: &dyn Files = &survivor.disk;
    let gone = files.remove(&data().join("control/snapshot"));
    gone.expect("it is there");
    let error = survivor.refuses();
    assert_eq!(error.code(), Code::LogUnreadable, "{error}");

    let survivor = Survivor::new();
    let memory = FormingMemory {
        cluster: Some(ClusterId(43)),
        ..FormingMemory::default()
    };
    write_memory(&survivor.env, &data(), &memory).expect("a sound disk");
    let error = survivor.refuses();
    assert!(error.to_string().contains("another cluster"), "{error}");
}

#[test]
fn only_a_voter_that_is_not_alone_can_be_recovered_from() {
    // A learner, and one that was taken out.
    let learner = Survivor::with(|id| [vec![902, 903], vec![id.0]], tail(), 1);
    let error = learner.refuses();
    assert_eq!(error.code(), Code::NotRecoverable);
    let text = error.to_string();
    assert!(
        text.starts_with("node n1 is no voter; ") && text.ends_with("of the voters: n2, n3"),
        "{text}"
    );
    let alone = Survivor::with(|id| [vec![id.0], Vec::new()], tail(), 2);
    let error = alone.refuses();
    let name = "n1".to_owned();
    assert_eq!(error, RecoverError::NothingLost { name });
    assert_eq!(error.code(), Code::NotRecoverable);
    // After a recovery it is one that is alone.
    let survivor = Survivor::new();
    survivor.recover().expect("a voter of three");
    assert_eq!(survivor.refuses(), error);
}

#[test]
fn changes_of_the_voters_that_are_in_the_log_count() {
    let out = |id: DiskId| vec![Behind::Changed(Change::Removed(id))];
    let made = |id: DiskId| [vec![id.0, 902, 903], Vec::new()];
    let id = Survivor::new().id;
    // Not known to be committed: it may be one still, and its log is as good as before.
    let maybe = Survivor::with(made, out(id), 0);
    assert_eq!(maybe.id, id, "the same chance");
    assert_eq!(maybe.inspect().expect("whole").voters.len(), 2);
    maybe.recover().expect("it may still vote");
    let gone = Survivor::with(made, out(id), 1);
    assert!(matches!(gone.refuses(), RecoverError::NoVoter { .. }));
    // The seat of the other one is to go, which that one's loss has kept from being committed.
    let pair = |id: DiskId| [vec![id.0, 902], Vec::new()];
    let unseat = || vec![Behind::Changed(Change::Removed(DiskId(902)))];
    let stuck = Survivor::with(pair, unseat(), 0);
    stuck.recover().expect("it needs the other one's vote");
    let alone = Survivor::with(pair, unseat(), 1);
    assert!(matches!(alone.refuses(), RecoverError::NothingLost { .. }));
    // And the other way round: nobody may have heard of the second seat, or most of two.
    let seat = vec![Behind::Changed(Change::Voter(DiskId(902)))];
    let second = Survivor::with(|id| [vec![id.0], Vec::new()], seat, 0);
    second.recover().expect("it will need the other one's vote");
    // One that is to vote counts too.
    let voter = vec![Behind::Changed(Change::Voter(id))];
    let learner = |id: DiskId| [vec![902, 903], vec![id.0]];
    let voter = Survivor::with(learner, voter, 0);
    voter.recover().expect("it may vote already");
}

#[test]
fn a_folder_in_use_an_empty_one_and_one_without_a_cluster_are_refused() {
    let survivor = Survivor::new();
    let running = DataDir::open(&survivor.env, &data()).expect("nobody has it");
    let error = survivor.refuses();
    assert_eq!(error, RecoverError::InUse(data()));
    assert_eq!(error.code(), Code::DataDirLocked);
    drop(running);

    let disk = TestDisk::default();
    let env = env(&disk, 7, None);
    let error = recover(&env, &data()).expect_err("there is nothing");
    assert_eq!(error, RecoverError::NoNode(data()));
    assert!(disk.all().is_empty());
    let mut dir = DataDir::open(&env, &data()).expect("new");
    dir.begin(&env, &data(), "n1").expect("a sound disk");
    drop(dir);
    let error = recover(&env, &data()).expect_err("it has met nobody");
    assert!(matches!(error, RecoverError::NoLog { .. }), "{error}");
    let memory = FormingMemory {
        cluster: Some(OLD),
        ..FormingMemory::default()
    };
    write_memory(&env, &data(), &memory).expect("a sound disk");
    let group = Group::open(&env, &data().join("control"), Config::default());
    drop(group.expect("new"));
    let error = recover(&env, &data()).expect_err("a log without an entry");
    assert!(matches!(error, RecoverError::NoLog { .. }), "{error}");
}
