//! A cluster of groups under faults from a seed, and what must hold of it.

use std::collections::BTreeMap;

use callboard_protocol::id::DiskId;
use callboard_protocol::membership::ReadNumber;

use super::disk::TestDisk;
use super::{Random, env, folder, form, set};
use crate::control::{Action, Change, Config, Error, Group, Proposal};
use crate::env::Bug;

/// What was seen of the rare states.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) committed: u64,
    pub(super) elections: u64,
    pub(super) reads: u64,
    pub(super) installs: u64,
    pub(super) replaced: u64,
    pub(super) disk_errors: u64,
    pub(super) crashes: u64,
}

struct Machine {
    disk: TestDisk,
    id: DiskId,
    group: Option<Group>,
    down_until: u64,
    stalled_until: u64,
}

struct Flight {
    due: u64,
    from: DiskId,
    to: DiskId,
    bytes: Vec<u8>,
}

/// The cluster.
pub(super) struct Cluster {
    random: Random,
    bug: Option<Bug>,
    now: u64,
    machines: Vec<Machine>,
    network: Vec<Flight>,
    cut: Vec<(usize, usize)>,
    faults: bool,
    /// What is committed at each index, and what came of it.
    history: BTreeMap<u64, (u64, String)>,
    proposed: BTreeMap<Proposal, usize>,
    acknowledged: u64,
    /// The highest term of a leader when a read was asked for.
    reads: BTreeMap<u64, u64>,
    reads_asked: u64,
    elected: u64,
    seen: Seen,
}

impl Cluster {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random(seed);
        let size = 3 + 2 * random.below(2);
        let mut cluster = Self {
            random,
            bug,
            now: 0,
            machines: Vec::new(),
            network: Vec::new(),
            cut: Vec::new(),
            faults: false,
            history: BTreeMap::new(),
            proposed: BTreeMap::new(),
            acknowledged: 0,
            reads: BTreeMap::new(),
            reads_asked: 0,
            elected: 0,
            seen: Seen::default(),
        };
        for _ in 0..size {
            let disk = TestDisk::default();
            let group = cluster.open(&disk).expect("a sound disk");
            cluster.machines.push(Machine {
                id: group.id(),
                disk,
                group: Some(group),
                down_until: 0,
                stalled_until: 0,
            });
        }
        let first = cluster.machines[0].group.as_mut().expect("it is up");
        first.form(&form()).expect("nothing is there");
        cluster
    }

    /// Runs with faults, then without, and says what is wrong.
    pub(super) fn run(mut self) -> Result<Seen, String> {
        while !self.is_whole() {
            self.tick()?;
            if self.now > 600 {
                return Err("it did not come together".into());
            }
        }
        self.faults = true;
        for _ in 0..1500 {
            self.tick()?;
        }
        self.faults = false;
        self.cut.clear();
        for machine in &mut self.machines {
            machine.stalled_until = 0;
            machine.disk.fail_after(u64::MAX);
            machine.down_until = machine.down_until.min(self.now);
        }
        for _ in 0..600 {
            self.tick()?;
        }
        self.check_recovery()?;
        self.seen.committed = self.history.len() as u64;
        Ok(self.seen)
    }

    fn open(&mut self, disk: &TestDisk) -> Result<Group, Error> {
        let mut config = Config::default();
        // Small, so that members often need a snapshot.
        (config.snapshot_entries, config.kept_entries) = (20, 5);
        let env = env(disk, self.random.next(), self.bug);
        Group::open(&env, &folder(), config)
    }

    fn tick(&mut self) -> Result<(), String> {
        self.now += 1;
        if self.faults {
            self.make_faults();
        }
        self.restart()?;
        self.deliver();
        for at in 0..self.machines.len() {
            if self.machines[at].stalled_until > self.now {
                continue;
            }
            self.work(at);
            self.carry_out(at)?;
        }
        Ok(())
    }

    fn make_faults(&mut self) {
        let size = self.machines.len();
        let at = self.random.below(size);
        if self.random.one_in(60) {
            // One way or both.
            let other = self.random.below(size);
            self.cut.push((at, other));
            if self.random.one_in(2) {
                self.cut.push((other, at));
            }
        }
        if self.random.one_in(90) {
            for other in 0..size {
                self.cut.extend([(at, other), (other, at)]);
            }
        }
        if self.random.one_in(70) {
            self.cut.clear();
        }
        if self.random.one_in(100) {
            self.machines[at].stalled_until = self.now + 5 + self.random.next() % 40;
        }
        if self.random.one_in(150) {
            let good = self.random.next() % 6;
            self.machines[at].disk.fail_after(good);
        }
        if self.random.one_in(50) {
            let erase = self.random.one_in(4) && self.is_whole();
            self.crash(at);
            if erase {
                self.seen.replaced += 1;
                self.machines[at].disk = TestDisk::default();
            }
        }
    }

    fn crash(&mut self, at: usize) {
        self.seen.crashes += 1;
        let down = self.now + 1 + self.random.next() % 60;
        let machine = &mut self.machines[at];
        machine.group = None;
        machine.disk.crash(&mut self.random);
        machine.down_until = machine.down_until.max(down);
    }

    fn restart(&mut self) -> Result<(), String> {
        for at in 0..self.machines.len() {
            let machine = &self.machines[at];
            if machine.group.is_some() || machine.down_until > self.now {
                continue;
            }
            let disk = machine.disk.clone();
            match self.open(&disk) {
                Ok(group) => {
                    self.machines[at].id = group.id();
                    self.machines[at].group = Some(group);
                }
                // A fault that was made while it was down.
                Err(Error::Io { .. }) => self.crash(at),
                Err(error) => return Err(format!("machine {at} does not open: {error}")),
            }
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<Flight> = self.network.extract_if(.., |it| it.due <= now).collect();
        for flight in due {
            let index = |id| self.machines.iter().position(|it| it.id == id);
            let (Some(from), Some(to)) = (index(flight.from), index(flight.to)) else {
                continue;
            };
            if self.cut.contains(&(from, to)) {
                continue;
            }
            if self.machines[to].stalled_until > now {
                // It waits in the buffers of a machine that stands still.
                self.network.push(Flight {
                    due: self.machines[to].stalled_until,
                    ..flight
                });
                continue;
            }
            if let Some(group) = &mut self.machines[to].group {
                // Bytes of a member that was removed may contradict the log of this one.
                let _ = group.handle_message(flight.from, &flight.bytes);
            }
        }
    }

    fn work(&mut self, at: usize) {
        let ids: Vec<DiskId> = self.machines.iter().map(|it| it.id).collect();
        let Some(group) = &mut self.machines[at].group else {
            return;
        };
        group.handle_tick();
        if !group.is_leader() {
            return;
        }
        if self.random.one_in(3) {
            let moves = 1 + u32::try_from(self.random.below(10_000)).expect("fits");
            if let Ok(proposal) = group.propose(&set(moves)) {
                self.proposed.insert(proposal, at);
            }
        }
        if self.random.one_in(3) {
            self.reads_asked += 1;
            self.reads.insert(self.reads_asked, self.elected);
            if group.read(ReadNumber(self.reads_asked)).is_err() {
                self.reads.remove(&self.reads_asked);
            }
        }
        let (voters, learners) = (group.voters(), group.learners());
        let is_member = |id: &DiskId| voters.contains(id) || learners.contains(id);
        let joined = ids.iter().find(|id| !is_member(id));
        let ready = learners.iter().find(|id| group.has_caught_up(**id));
        let gone = voters.iter().chain(&learners).find(|id| !ids.contains(id));
        let change = joined
            .map(|id| Change::Learner(*id))
            .or(ready.map(|id| Change::Voter(*id)))
            .or(gone.map(|id| Change::Removed(*id)));
        if let Some(change) = change {
            let _ = group.change(change);
        } else if self.faults && self.random.one_in(200) {
            let to = ids[self.random.below(ids.len())];
            let _ = group.hand_over(to);
        }
    }

    fn carry_out(&mut self, at: usize) -> Result<(), String> {
        let Some(group) = &mut self.machines[at].group else {
            return Ok(());
        };
        if let Err(error) = group.flush() {
            if !matches!(error, Error::Io { .. }) {
                return Err(format!("machine {at}: {error}"));
            }
            if group.poll_action().is_some() {
                return Err(format!("machine {at} acts after its disk failed"));
            }
            self.seen.disk_errors += 1;
            self.crash(at);
            return Ok(());
        }
        let (id, term) = (group.id(), group.term());
        if group.is_leader() && term > self.elected {
            self.elected = term;
            self.seen.elections += 1;
        }
        while let Some(action) = self.machines[at]
            .group
            .as_mut()
            .and_then(Group::poll_action)
        {
            self.carry_out_one(at, id, term, action)?;
        }
        Ok(())
    }

    fn carry_out_one(
        &mut self,
        at: usize,
        id: DiskId,
        term: u64,
        action: Action,
    ) -> Result<(), String> {
        match action {
            Action::Send { to, bytes } => self.post(id, to, &bytes),
            Action::Applied { proposal, outcome } => {
                self.commit(at, proposal, format!("{outcome:?}"))?;
            }
            Action::Changed { proposal, change } => {
                self.commit(at, proposal, format!("{change:?}"))?;
            }
            Action::Installed { .. } => self.seen.installs += 1,
            Action::Read(ReadNumber(number)) => {
                let elected = self.reads.remove(&number);
                let elected = elected.ok_or("a read is answered that nobody asked for")?;
                if elected > term {
                    return Err(format!(
                        "machine {at} answers a read in term {term} that was asked for when \
                         term {elected} had a leader"
                    ));
                }
                self.seen.reads += 1;
            }
        }
        Ok(())
    }

    fn post(&mut self, from: DiskId, to: DiskId, bytes: &[u8]) {
        let copies = match self.random.below(20) {
            0 if self.faults => 0,
            1 if self.faults => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let late = self.faults && self.random.one_in(10);
            let delay = self.random.next() % if late { 15 } else { 2 };
            self.network.push(Flight {
                due: self.now + 1 + delay,
                from,
                to,
                bytes: bytes.to_vec(),
            });
        }
    }

    fn commit(&mut self, at: usize, proposal: Proposal, outcome: String) -> Result<(), String> {
        let Proposal { index, term } = proposal;
        let entry = (term, outcome);
        let known = self.history.entry(index).or_insert_with(|| entry.clone());
        if *known != entry {
            return Err(format!(
                "machine {at} applies {entry:?} at {index}, another has applied {known:?}"
            ));
        }
        if self.proposed.get(&proposal) == Some(&at) {
            self.acknowledged = self.acknowledged.max(index);
        }
        Ok(())
    }

    /// Whether all disks vote, and no others do.
    fn is_whole(&self) -> bool {
        let leader = self.machines.iter().filter_map(|it| it.group.as_ref());
        let leader = leader
            .filter(|it| it.is_leader())
            .max_by_key(|it| it.term());
        leader.is_some_and(|leader| {
            let voters = leader.voters();
            let ids = self.machines.iter().map(|it| &it.id);
            voters.len() == self.machines.len()
                && ids.clone().all(|id| voters.contains(id))
                && self.machines.iter().all(|it| it.group.is_some())
        })
    }

    fn check_recovery(&self) -> Result<(), String> {
        if !self.is_whole() {
            let groups = self.machines.iter().map(|it| {
                let of = it.group.as_ref();
                let members = of.map(|of| (of, of.voters(), of.learners()));
                format!("{:?}: {members:?}", it.id)
            });
            let groups = groups.collect::<Vec<_>>().join("\n");
            return Err(format!("it did not come together again:\n{groups}"));
        }
        let last = self.history.keys().next_back().copied().unwrap_or(0);
        let groups: Vec<&Group> = self
            .machines
            .iter()
            .filter_map(|it| it.group.as_ref())
            .collect();
        let newest = groups.iter().max_by_key(|it| it.applied());
        let newest = newest.ok_or("nobody is there")?;
        if newest.applied() < last.max(self.acknowledged) {
            return Err(format!("entries up to {last} were committed, and are gone"));
        }
        for group in &groups {
            if group.applied() + 20 < newest.applied() {
                return Err(format!("{group:?} is far behind {newest:?}"));
            }
            if group.applied() == newest.applied() && group.state() != newest.state() {
                return Err(format!("{group:?} and {newest:?} have different states"));
            }
        }
        Ok(())
    }
}
