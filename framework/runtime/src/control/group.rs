//! One member of the control group.
//!
//! Depends on `disk`, `memory`, `message` and the library.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use callboard_protocol::id::DiskId;
use callboard_protocol::membership::ReadNumber;
use callboard_protocol::slots::{Command, Event, Refusal, State};
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot};
use raft::{RawNode, Ready, SnapshotStatus, StateRole, Storage};

use super::config::{Config, library};
use super::disk::Disk;
use super::error::{Error, MessageError, Refused};
use super::memory::Memory;
use super::message;
use super::record::{self, Change, ENTRY_BYTES_MAX};
use super::timeout::Timeout;
use crate::env::{Bug, Env};

/// The place of a command or a change in the log. It is committed if an action says so of the same
/// index and term, and lost if one says another term of the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Proposal {
    /// The index in the log.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
}

/// What the driver has to carry out, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Sends a message to a member. It may be lost, doubled or late.
    Send {
        /// To whom.
        to: DiskId,
        /// The message, of at most [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX) bytes.
        bytes: Vec<u8>,
    },
    /// A command is committed, and applied to the state.
    Applied {
        /// Which.
        proposal: Proposal,
        /// What it has changed, or why it has changed nothing. The same on every member.
        outcome: Result<Vec<Event>, Refusal>,
    },
    /// The members have changed.
    Changed {
        /// By which entry.
        proposal: Proposal,
        /// How.
        change: Change,
    },
    /// The state was replaced by the leader's: what led to it is not told one by one.
    Installed {
        /// Up to which entry.
        index: u64,
    },
    /// A quorum has confirmed, after the read was asked for, that this member leads, and everything
    /// that was committed before is applied.
    Read(ReadNumber),
}

/// One member of the control group, on one disk.
///
/// It has to be told of time with [`handle_tick`](Self::handle_tick). What it is told has no effect
/// outside before [`flush`](Self::flush), which writes it to the disk; call it when a batch has been
/// handed in, then take the actions.
pub struct Group {
    env: Env,
    config: Config,
    disk: Disk,
    node: RawNode<Memory>,
    state: State,
    timeout: Timeout,
    actions: VecDeque<Action>,
    /// Reads that a quorum has confirmed, and the index that has to be applied first.
    confirmed: Vec<(u64, ReadNumber)>,
    /// To whom a snapshot is on its way, and for how many ticks it is waited for.
    sending: BTreeMap<u64, usize>,
    failed: Option<Error>,
}

impl Group {
    /// Opens the group's files in `folder`, which is made if it is missing, and reads them.
    ///
    /// A group without files gets a disk id of its own, and waits to be formed or to be made a
    /// member by another. This reads and writes files, and takes as long as the disk does.
    ///
    /// # Errors
    ///
    /// * [`Error::Locked`]: another group has the folder.
    /// * [`Error::Io`]: the disk failed.
    /// * [`Error::Unreadable`]: a file is damaged where it was whole once. Nothing is changed.
    /// * [`Error::Contradiction`]: the times in `config` contradict each other.
    pub fn open(env: &Env, folder: &Path, config: Config) -> Result<Self, Error> {
        let (disk, recovered) = Disk::open(env, folder)?;
        let memory = Memory::new(recovered.hard, recovered.snapshot, recovered.entries);
        Ok(Self {
            env: env.clone(),
            config,
            node: library(config, disk.id(), memory)?,
            disk,
            state: recovered.state,
            timeout: Timeout::new(config.election_ticks, &*env.entropy),
            actions: VecDeque::new(),
            confirmed: Vec::new(),
            sending: BTreeMap::new(),
            failed: None,
        })
    }

    /// Forms the group with this member alone, which is durable when this returns. Others are added
    /// by [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// * [`Refused::AlreadyFormed`]: it has a log.
    /// * [`Refused::NotForming`]: `first` is no [`Command::Form`], or one that is out of range.
    /// * [`Refused::Stopped`]: the disk failed; see [`flush`](Self::flush).
    pub fn form(&mut self, first: &Command) -> Result<(), Refused> {
        if self.failed.is_some() {
            return Err(Refused::Stopped);
        }
        if self.last_index() > 0 || self.node.raft.term > 0 {
            return Err(Refused::AlreadyFormed);
        }
        let mut state = State::new();
        if state.apply(first).is_err() {
            return Err(Refused::NotForming);
        }
        let members: ConfState = (vec![self.id().0], Vec::new()).into();
        let snapshot = record::snapshot(1, 1, members, state.encode());
        let hard = HardState {
            term: 1,
            commit: 1,
            ..HardState::default()
        };
        let written = self.disk.replace(&snapshot, &hard, &[]);
        let memory = Memory::new(hard, snapshot, Vec::new());
        let formed = written.and_then(|()| library(self.config, self.id(), memory));
        match formed {
            Ok(node) => (self.node, self.state) = (node, state),
            Err(error) => {
                self.failed = Some(error);
                return Err(Refused::Stopped);
            }
        }
        Ok(())
    }

    /// Lets a tick pass.
    pub fn handle_tick(&mut self) {
        if self.failed.is_some() {
            return;
        }
        self.node.tick();
        let raft = &mut self.node.raft;
        let waits = raft.state != StateRole::Leader && raft.promotable();
        if waits && self.timeout.has_passed(raft.election_elapsed) {
            raft.election_elapsed = 0;
            self.timeout.draw(&*self.env.entropy);
            // It says no while a change of the members is not applied yet, and is asked again.
            let _ = self.node.campaign();
        }
        // The library waits for word of a snapshot for good. Without any, it is sent once more.
        let overdue: Vec<u64> = self
            .sending
            .iter_mut()
            .filter_map(|(id, ticks)| {
                *ticks = ticks.saturating_sub(1);
                (*ticks == 0).then_some(*id)
            })
            .collect();
        for id in overdue {
            self.sending.remove(&id);
            self.node.report_snapshot(id, SnapshotStatus::Failure);
        }
    }

    /// Takes a message that came from the member with this disk.
    ///
    /// The driver has made sure that it did; members trust each other's word about their own logs,
    /// as in all of Raft.
    ///
    /// # Errors
    ///
    /// [`MessageError`]: why it was not taken.
    pub fn handle_message(&mut self, from: DiskId, bytes: &[u8]) -> Result<(), MessageError> {
        if self.failed.is_some() {
            return Err(MessageError::Stopped);
        }
        let message = message::decode(bytes)?;
        if message.from != from.0 || message.to != self.id().0 {
            return Err(MessageError::Misdirected);
        }
        if !self.is_sound(&message) {
            return Err(MessageError::Contradiction);
        }
        // What it says no to, an answer of somebody who is no member, changes nothing.
        let _ = self.node.step(message);
        Ok(())
    }

    /// Proposes a command. It takes effect when it is committed; see [`Proposal`].
    ///
    /// # Errors
    ///
    /// * [`Refused::NotLeader`]: this member does not lead.
    /// * [`Refused::TooLarge`]: the command has more than [`ENTRY_BYTES_MAX`] bytes.
    /// * [`Refused::Busy`]: 16 MiB of commands are not committed yet, or the leadership is being
    ///   handed over.
    /// * [`Refused::Stopped`]: the group has stopped.
    pub fn propose(&mut self, command: &Command) -> Result<Proposal, Refused> {
        self.check_leader()?;
        let bytes = command.encode();
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(Refused::TooLarge {
                max: ENTRY_BYTES_MAX,
            });
        }
        let proposed = self.node.propose(Vec::new(), bytes);
        proposed.map_err(|_| Refused::Busy)?;
        Ok(self.last_proposal())
    }

    /// Proposes a change of the members. One is made at a time.
    ///
    /// # Errors
    ///
    /// As [`propose`](Self::propose), and [`Refused::NotReady`] until the leader has committed an
    /// entry of its term: before that, two changes could be on their way (Ongaro, "bug in
    /// single-server membership changes", raft-dev, 2015).
    pub fn change(&mut self, change: Change) -> Result<Proposal, Refused> {
        self.check_leader()?;
        if !self.node.raft.commit_to_current_term() {
            return Err(Refused::NotReady);
        }
        if self.node.raft.has_pending_conf() || self.would_empty(change) {
            return Err(Refused::Busy);
        }
        let proposed = self
            .node
            .propose_conf_change(change.encode(), change.to_library());
        proposed.map_err(|_| Refused::Busy)?;
        Ok(self.last_proposal())
    }

    /// Asks a quorum whether this member still leads. [`Action::Read`] says that it did after this
    /// was called; if it does not, nothing comes. A number is used once.
    ///
    /// # Errors
    ///
    /// [`Refused::NotLeader`], [`Refused::NotReady`] until the leader has committed an entry of its
    /// term, [`Refused::Busy`] when 1024 reads are waiting, [`Refused::Stopped`].
    pub fn read(&mut self, number: ReadNumber) -> Result<(), Refused> {
        self.check_leader()?;
        if self.env.plant.strikes(Bug::RenewalWithoutRead) {
            self.actions.push_back(Action::Read(number));
            return Ok(());
        }
        if !self.node.raft.commit_to_current_term() {
            return Err(Refused::NotReady);
        }
        if self.node.raft.pending_read_count() >= READS_MAX {
            return Err(Refused::Busy);
        }
        self.node.read_index(number.0.to_le_bytes().to_vec());
        Ok(())
    }

    /// Hands the leadership to another voter, if it has the whole log within an election's time.
    ///
    /// # Errors
    ///
    /// [`Refused::NotLeader`], [`Refused::Stopped`].
    pub fn hand_over(&mut self, to: DiskId) -> Result<(), Refused> {
        self.check_leader()?;
        self.node.transfer_leader(to.0);
        Ok(())
    }

    /// Writes what was handed in since the last time, with one sync for all of it, and finds what
    /// there is to do.
    ///
    /// # Errors
    ///
    /// [`Error`]: the disk failed, or an entry is not known. The group has stopped for good and
    /// gives no action any more; what it has acknowledged before is on the disk.
    pub fn flush(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let flushed = self.write_and_apply();
        if let Err(error) = &flushed {
            self.actions.clear();
            self.failed = Some(error.clone());
        }
        flushed
    }

    /// Returns the next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns the id of the disk, which is the member's.
    #[must_use]
    pub fn id(&self) -> DiskId {
        self.disk.id()
    }

    /// Returns what is committed and applied here. It may be behind the leader's.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns who leads, as far as this member knows.
    #[must_use]
    pub fn leader(&self) -> Option<DiskId> {
        Some(self.node.raft.leader_id)
            .filter(|id| *id != 0)
            .map(DiskId)
    }

    /// Returns whether this member leads, as far as it knows. Only [`read`](Self::read) makes sure.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Returns whether this member leads, and has committed an entry of its term: it knows all that
    /// was committed before it was elected.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_leader() && self.node.raft.commit_to_current_term()
    }

    /// Returns the term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Returns the index of the last entry that is applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.node.raft.raft_log.applied()
    }

    /// Returns who votes.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<DiskId> {
        let members = self.members();
        members.get_voters().iter().copied().map(DiskId).collect()
    }

    /// Returns who gets the log and does not vote.
    #[must_use]
    pub fn learners(&self) -> BTreeSet<DiskId> {
        let members = self.members();
        members.get_learners().iter().copied().map(DiskId).collect()
    }

    /// Returns whether a member has everything that is committed, as far as this leader knows: a
    /// learner may become a voter then. No member is, for one that does not lead.
    #[must_use]
    pub fn has_caught_up(&self, member: DiskId) -> bool {
        let raft = &self.node.raft;
        let progress = raft.prs().get(member.0);
        self.is_leader() && progress.is_some_and(|it| it.matched >= raft.raft_log.committed)
    }

    fn check_leader(&self) -> Result<(), Refused> {
        if self.failed.is_some() {
            return Err(Refused::Stopped);
        }
        if !self.is_leader() {
            let leader = self.leader();
            return Err(Refused::NotLeader { leader });
        }
        Ok(())
    }

    /// Whether nobody would vote after this change, or there would be too many members.
    fn would_empty(&self, change: Change) -> bool {
        let (voters, learners) = (self.voters(), self.learners());
        let disk = change.disk();
        let is_last = voters.len() == 1 && voters.contains(&disk);
        match change {
            Change::Voter(_) => voters.len() >= record::MEMBERS_MAX,
            Change::Learner(_) => is_last || learners.len() >= record::MEMBERS_MAX,
            Change::Removed(_) => is_last,
        }
    }

    /// Whether the library can take a message. It panics on some that contradict its log, which a
    /// sound member never sends.
    fn is_sound(&self, message: &Message) -> bool {
        let log = &self.node.raft.raft_log;
        let last = log.last_index();
        match message.get_msg_type() {
            MessageType::MsgHeartbeat => message.commit <= last,
            MessageType::MsgAppend => message
                .get_entries()
                .first()
                .is_none_or(|entry| entry.index == message.index + 1),
            MessageType::MsgAppendResponse => message.reject || message.index <= last,
            MessageType::MsgTimeoutNow => message.from == self.node.raft.leader_id,
            MessageType::MsgSnapshot => message.get_snapshot().get_metadata().term <= message.term,
            _ => true,
        }
    }

    fn write_and_apply(&mut self) -> Result<(), Error> {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            self.write(&ready)?;
            // AFTER the write: nobody hears of what could still be lost. A leader might send its
            // entries before (section 10.2.1 of Ongaro's thesis); the write is in line here.
            let mut messages = ready.take_messages();
            messages.append(&mut ready.take_persisted_messages());
            for read in ready.take_read_states() {
                let number = <[u8; 8]>::try_from(read.request_ctx.as_slice());
                let number = number.expect("only `read` asks, with eight bytes");
                let number = ReadNumber(u64::from_le_bytes(number));
                self.confirmed.push((read.index, number));
            }
            self.apply(ready.take_committed_entries())?;
            self.send(messages);
            let mut light = self.node.advance(ready);
            let hard = self.node.raft.hard_state();
            self.node.mut_store().set_hard(hard);
            self.apply(light.take_committed_entries())?;
            self.send(light.take_messages());
            self.node.advance_apply();
        }
        self.answer_reads();
        self.compact_if_due()
    }

    /// Makes what is new durable, and gives it to the library's view of the disk.
    fn write(&mut self, ready: &Ready) -> Result<(), Error> {
        let hard = ready.hs().cloned();
        let hard = hard.unwrap_or_else(|| self.node.store().hard().clone());
        let snapshot = ready.snapshot();
        if !snapshot.is_empty() {
            self.install(snapshot, &hard, ready.entries())?;
        } else if ready.must_sync() {
            let synced = !self.env.plant.strikes(Bug::UnsyncedAck);
            self.disk.append(&hard, ready.entries(), synced)?;
        }
        let store = self.node.mut_store();
        store.append(ready.entries());
        store.set_hard(hard);
        Ok(())
    }

    fn install(
        &mut self,
        snapshot: &Snapshot,
        hard: &HardState,
        entries: &[Entry],
    ) -> Result<(), Error> {
        let index = snapshot.get_metadata().index;
        self.state = State::decode(snapshot.get_data()).map_err(|error| Error::UnknownEntry {
            index,
            why: error.to_string(),
        })?;
        self.disk.replace(snapshot, hard, entries)?;
        self.node.mut_store().install(snapshot.clone());
        self.actions.push_back(Action::Installed { index });
        Ok(())
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        for entry in entries {
            let (index, term) = (entry.index, entry.term);
            let proposal = Proposal { index, term };
            let unknown = |why: String| Error::UnknownEntry { index, why };
            if entry.get_entry_type() != EntryType::EntryNormal {
                let change = Change::decode(&entry.context);
                let change = change.map_err(|error| unknown(error.to_string()))?;
                let changed = self.node.apply_conf_change(&change.to_library());
                changed.map_err(|error| Error::Contradiction(error.to_string()))?;
                self.step_down_if_removed();
                self.actions.push_back(Action::Changed { proposal, change });
            } else if !entry.data.is_empty() {
                let command = Command::decode(&entry.data);
                let command = command.map_err(|error| unknown(error.to_string()))?;
                let outcome = self.state.apply(&command);
                self.actions
                    .push_back(Action::Applied { proposal, outcome });
            }
        }
        Ok(())
    }

    /// Leads no more, if this member has just lost its vote: one that is elected between the question for
    /// its removal and the commit of that finds it in its log. The library leaves that to whoever drives it,
    /// and panics over the next entry of such a leader.
    fn step_down_if_removed(&mut self) {
        if self.is_leader() && !self.node.raft.promotable() {
            let term = self.term();
            self.node.raft.become_follower(term, 0);
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let wait = self.config.election_ticks * SNAPSHOT_ELECTIONS;
                self.sending.insert(message.to, wait);
            }
            if let Some(bytes) = message::encode(&message) {
                let to = DiskId(message.to);
                self.actions.push_back(Action::Send { to, bytes });
            }
        }
    }

    fn answer_reads(&mut self) {
        let applied = self.applied();
        for (index, number) in std::mem::take(&mut self.confirmed) {
            if index <= applied {
                self.actions.push_back(Action::Read(number));
            } else {
                self.confirmed.push((index, number));
            }
        }
    }

    fn compact_if_due(&mut self) -> Result<(), Error> {
        let applied = self.applied();
        let store = self.node.store();
        let covered = store.snapshot_of().get_metadata().index;
        let due = applied - covered >= self.config.snapshot_entries
            || self.disk.log_bytes() >= self.config.log_bytes
            || store.wants_snapshot();
        if !due || applied == covered {
            return Ok(());
        }
        let term = store.term(applied);
        let term = term.map_err(|error| Error::Contradiction(error.to_string()))?;
        let snapshot = record::snapshot(applied, term, self.members(), self.state.encode());
        let hard = store.hard().clone();
        let uncovered = store.uncovered();
        let behind = uncovered.iter().filter(|entry| entry.index > applied);
        let behind: Vec<Entry> = behind.cloned().collect();
        self.disk.replace(&snapshot, &hard, &behind)?;
        let kept = self.config.kept_entries;
        self.node.mut_store().compact(snapshot, kept);
        Ok(())
    }

    fn members(&self) -> ConfState {
        let mut members = self.node.raft.prs().conf().to_conf_state();
        members.mut_voters().sort_unstable();
        members.mut_learners().sort_unstable();
        members
    }

    fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    fn last_proposal(&self) -> Proposal {
        Proposal {
            index: self.last_index(),
            term: self.term(),
        }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.id())
            .field("term", &self.term())
            .field("leader", &self.leader())
            .field("applied", &self.applied())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// How many reads wait for a quorum. The driver batches renewals, so one or two are usual.
const READS_MAX: usize = 1024;

/// How many elections' time a snapshot is waited for before it is sent once more.
const SNAPSHOT_ELECTIONS: usize = 3;
