//! The log in memory, as the library reads it.
//!
//! It mirrors what the files hold, and keeps some entries that the snapshot covers, for members
//! that are a little behind. Depends on the library.

use std::sync::atomic::{AtomicBool, Ordering};

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::util::limit_size;
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

/// The entries, behind the one with this index and term.
#[derive(Debug)]
pub(super) struct Memory {
    base: (u64, u64),
    entries: Vec<Entry>,
    hard: HardState,
    snapshot: Snapshot,
    /// Somebody needs a newer snapshot than the last.
    wants_snapshot: AtomicBool,
}

impl Memory {
    pub(super) fn new(hard: HardState, snapshot: Snapshot, entries: Vec<Entry>) -> Self {
        let about = snapshot.get_metadata();
        Self {
            base: (about.index, about.term),
            entries,
            hard,
            snapshot,
            wants_snapshot: AtomicBool::new(false),
        }
    }

    pub(super) fn set_hard(&mut self, hard: HardState) {
        self.hard = hard;
    }

    /// Appends entries, in the place of those that have their indexes.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else {
            return;
        };
        let at = self.position(first.index);
        let at = at.expect("the library appends to what it has read here");
        assert!(at <= self.entries.len(), "a log has no gaps");
        self.entries.truncate(at);
        self.entries.extend_from_slice(entries);
    }

    /// Takes a snapshot that came from the leader: nothing of the log is left.
    pub(super) fn install(&mut self, snapshot: Snapshot) {
        let about = snapshot.get_metadata();
        self.base = (about.index, about.term);
        self.hard.commit = self.hard.commit.max(about.index);
        self.entries.clear();
        self.snapshot = snapshot;
    }

    /// Takes a snapshot of our own, and keeps `kept` entries that it covers.
    pub(super) fn compact(&mut self, snapshot: Snapshot, kept: usize) {
        self.wants_snapshot.store(false, Ordering::Relaxed);
        let covered = self.position(snapshot.get_metadata().index + 1);
        let drop = covered.unwrap_or(0).saturating_sub(kept);
        if let Some(last) = drop.checked_sub(1).and_then(|at| self.entries.get(at)) {
            self.base = (last.index, last.term);
            self.entries.drain(..drop);
        }
        self.snapshot = snapshot;
    }

    pub(super) const fn hard(&self) -> &HardState {
        &self.hard
    }

    pub(super) const fn snapshot_of(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the entries behind the last snapshot.
    pub(super) fn uncovered(&self) -> &[Entry] {
        let at = self.position(self.snapshot.get_metadata().index + 1);
        self.entries.get(at.unwrap_or(0)..).unwrap_or_default()
    }

    pub(super) fn wants_snapshot(&self) -> bool {
        self.wants_snapshot.load(Ordering::Relaxed)
    }

    fn position(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.base.0 + 1)?).ok()
    }

    fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }
}

impl Storage for Memory {
    fn initial_state(&self) -> Result<RaftState> {
        let members: ConfState = self.snapshot.get_metadata().get_conf_state().clone();
        Ok(RaftState::new(self.hard.clone(), members))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let low = self
            .position(low)
            .ok_or(Error::Store(StorageError::Compacted))?;
        let high = self
            .position(high)
            .ok_or(Error::Store(StorageError::Compacted))?;
        let range = self.entries.get(low..high);
        let mut entries = range
            .ok_or(Error::Store(StorageError::Unavailable))?
            .to_vec();
        limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        let at = self
            .position(index)
            .ok_or(Error::Store(StorageError::Compacted))?;
        let entry = self.entries.get(at);
        let entry = entry.ok_or(Error::Store(StorageError::Unavailable))?;
        Ok(entry.term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    /// A member takes a snapshot only if it is named in it. A newer one is made with the next flush.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let about = self.snapshot.get_metadata();
        let members = about.get_conf_state();
        let named = members.get_voters().contains(&to) || members.get_learners().contains(&to);
        if !named || about.index < request_index.max(self.base.0) {
            self.wants_snapshot.store(true, Ordering::Relaxed);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot.clone())
    }
}
