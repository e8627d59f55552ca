//! The perfect log: what is committed, by whom, in which term.

use crate::slots::{Command, Event, Refusal, State};

/// The log and the state that it makes.
pub(super) struct Log {
    pub(super) state: State,
    pub(super) term: u64,
    pub(super) leader: Option<usize>,
}

impl Log {
    /// Appends and applies a command, if it is proposed in the term that the log is in.
    pub(super) fn append(
        &mut self,
        term: u64,
        command: &Command,
    ) -> Option<Result<Vec<Event>, Refusal>> {
        (term == self.term).then(|| self.state.apply(command))
    }

    /// Starts a term: from now on nothing of the one before is taken.
    pub(super) fn elect(&mut self, node: usize) -> u64 {
        self.term += 1;
        self.leader = Some(node);
        self.term
    }
}
