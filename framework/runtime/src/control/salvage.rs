//! What is left of a group on the disk of one member, and a group of that member alone made of it.
//!
//! For a group that most of its voters are lost of, which can commit nothing any more. Which entries were
//! committed at last is not known then: a majority may have had them without this member's hearing of it.
//! So all that it has count, in the order of its log. Reads files while no group has them open, and
//! changes nothing of what it reads. Depends on `disk` and `record`.

use std::collections::BTreeSet;
use std::path::Path;

use callboard_protocol::id::DiskId;
use callboard_protocol::slots::{Command, State};
use raft::eraftpb::{ConfState, Entry, EntryType, HardState};

use super::disk;
use super::error::Error;
use super::group::Proposal;
use super::record::{self, Change};
use crate::env::{Env, Files};

/// What the files of one member hold.
#[derive(Clone, Debug)]
pub(crate) struct Salvage {
    /// The disk, which is the member.
    pub(crate) disk: DiskId,
    /// The latest term that it has heard of.
    pub(crate) term: u64,
    /// Up to where it knows the entries for committed.
    pub(crate) committed: u64,
    /// Its last entry. Of two members the one whose last entry is greater, by term first, has all that
    /// was committed which the other one has.
    pub(crate) last: Proposal,
    /// The state after all of its entries.
    pub(crate) state: State,
    /// Who votes, after all of its entries.
    pub(crate) voters: BTreeSet<DiskId>,
    /// Whether it votes itself, by what is committed or by an entry behind that.
    pub(crate) votes: bool,
    /// Whether it is the only voter, by what is committed and by every entry behind that: it needs nobody.
    pub(crate) is_alone: bool,
}

impl Salvage {
    /// Reads the files in a folder; nothing when there are none, or they are of no group yet. Blocks.
    ///
    /// # Errors
    /// As opening a group: a file is damaged, or was written by a later version, or the disk failed.
    pub(crate) fn read(files: &dyn Files, folder: &Path) -> Result<Option<Self>, Error> {
        let Some((disk, read)) = disk::look(files, folder)? else {
            return Ok(None);
        };
        let about = read.snapshot.get_metadata();
        let last = read.entries.last();
        let last = Proposal {
            index: last.map_or(about.index, |entry| entry.index),
            term: last.map_or(about.term, |entry| entry.term),
        };
        if last.index == 0 {
            return Ok(None);
        }
        let voters = about.get_conf_state().get_voters();
        let mut salvage = Self {
            disk,
            term: read.hard.term.max(last.term),
            committed: read.hard.commit,
            last,
            state: read.state,
            voters: voters.iter().copied().map(DiskId).collect(),
            votes: false,
            is_alone: true,
        };
        for entry in &read.entries {
            if entry.index > salvage.committed {
                salvage.count_votes();
            }
            salvage.apply(entry)?;
        }
        salvage.count_votes();
        Ok(Some(salvage))
    }

    /// Takes in who votes at this place of the log, which is not before what is committed.
    fn count_votes(&mut self) {
        let votes = self.voters.contains(&self.disk);
        self.votes |= votes;
        self.is_alone &= votes && self.voters.len() == 1;
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Error> {
        let unknown = |why: String| Error::UnknownEntry {
            index: entry.index,
            why,
        };
        if entry.get_entry_type() != EntryType::EntryNormal {
            let change = Change::decode(&entry.context);
            match change.map_err(|error| unknown(error.to_string()))? {
                Change::Voter(disk) => self.voters.insert(disk),
                Change::Learner(disk) | Change::Removed(disk) => self.voters.remove(&disk),
            };
        } else if !entry.data.is_empty() {
            let command = Command::decode(&entry.data);
            let command = command.map_err(|error| unknown(error.to_string()))?;
            // One that is refused changes nothing, here as on every member.
            let _ = self.state.apply(&command);
        }
        Ok(())
    }

    /// Writes a group whose one member has `disk`, with this state after this log, into a folder that no
    /// group has. It is on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// `Io`. What was written so far is of no use, and in nobody's way.
    pub(crate) fn begin_anew(
        &self,
        env: &Env,
        folder: &Path,
        disk: DiskId,
        state: &State,
    ) -> Result<(), Error> {
        let (index, term) = (self.last.index + 1, self.term + 1);
        let members: ConfState = (vec![disk.0], Vec::new()).into();
        let snapshot = record::snapshot(index, term, members, state.encode());
        let hard = HardState {
            term,
            commit: index,
            ..HardState::default()
        };
        disk::write_new(env, folder, disk, &snapshot, &hard)
    }
}
