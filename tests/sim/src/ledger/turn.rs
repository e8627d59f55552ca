//! One run of a handler, written down from its first to its last line.

use super::{Event, Ledger, MachineNumber, Token};

/// Guards a run: dropped without [`Turn::finish`], it records that the run was abandoned.
#[derive(Debug)]
pub(crate) struct Turn {
    ledger: Ledger,
    token: Token,
    on: MachineNumber,
    is_finished: bool,
}

impl Turn {
    /// Records that the handler of `token` began to run.
    pub(crate) fn start(ledger: &Ledger, token: Token, on: MachineNumber) -> Self {
        ledger.record(Event::Started { token, on });
        Self {
            ledger: ledger.clone(),
            token,
            on,
            is_finished: false,
        }
    }

    /// Records that it ran to its end.
    pub(crate) fn finish(mut self) {
        self.is_finished = true;
        self.ledger.record(Event::Finished {
            token: self.token,
            on: self.on,
        });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_finished {
            self.ledger.record(Event::Abandoned {
                token: self.token,
                on: self.on,
            });
        }
    }
}
