//! The events of a world of calls.

use super::{MachineNumber, Token};
use callboard_protocol::code::{Code, Ran};
use callboard_protocol::slots::{self, Epoch, Owner, SlotId};
use callboard_protocol::supervision::Strategy;
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A call was made. It has to end by `deadline`, as time since the start of the world.
    Issued {
        token: Token,
        /// The method, for readers.
        what: &'static str,
        by: MachineNumber,
        deadline: Duration,
        /// The author of the method says that running it twice is harmless.
        is_idempotent: bool,
        work: Work,
    },
    /// A call has ended: its reply is there, its stream has ended, or it has failed.
    Ended { token: Token, outcome: Outcome },
    /// The workload dropped the future of a call before it was ready.
    Dropped { token: Token },
    /// A handler began to run.
    Started { token: Token, on: MachineNumber },
    /// A handler ran to its end.
    Finished { token: Token, on: MachineNumber },
    /// A handler's future was dropped before its end, or it panicked.
    Abandoned { token: Token, on: MachineNumber },
    /// An actor ran message number `sequence` of one sender. Every instance of an actor has its own
    /// number: a restarted one starts a new order.
    Arrived {
        token: Token,
        actor: u64,
        sender: u64,
        sequence: u64,
    },
    /// An incarnation of an actor began. Its number is the same after a restart; its place is its
    /// order among the actors of its machine, which are one group.
    Began {
        actor: u64,
        on: MachineNumber,
        place: usize,
        strategy: Strategy,
    },
    /// An actor is about to panic.
    Failing { actor: u64 },
    /// A turn that ends its incarnation with it was dropped in the middle.
    Aborted { actor: u64 },
    /// An item of a stream was received. The sender numbers the items of a stream from 0.
    Item { token: Token, index: u64 },
    /// A stream ended without an error after `items` items, of which there should be `wanted`.
    StreamEnded {
        token: Token,
        items: u64,
        wanted: u64,
    },
    /// A machine watches an actor of another one, from now on.
    Watching {
        watch: Token,
        by: MachineNumber,
        on: MachineNumber,
    },
    /// The watcher was told that the actor is down, or gave its watch up.
    Watched { watch: Token, is_down: bool },
    /// A life of a machine's node holds its lease until this time of the world. Said when it changes.
    Leased {
        machine: MachineNumber,
        life: Owner,
        until: Duration,
    },
    /// The newest state of the control group that any node knows has this entry for a slot.
    Owned { slot: SlotId, entry: slots::Entry },
    /// A keyed actor began a turn of a call, and found this much in its state.
    Acting { turn: Token, of: Acting, found: u64 },
    /// It ended the turn, and left this much in its state; nothing if the turn was dropped.
    Acted { turn: Token, left: Option<u64> },
    /// What a turn has answered reached its caller.
    Replied { turn: Token },
    /// From here on nothing fails, and what changes is planned: nodes are drained, and join.
    Orderly,
    /// Here that ends.
    Disturbed,
    /// The power of a machine failed.
    Crashed { machine: MachineNumber },
    /// A machine was asked to leave in good order. What is left of it is cut off later.
    Leaving { machine: MachineNumber },
    /// A machine stands still until this time.
    Paused {
        machine: MachineNumber,
        until: Duration,
    },
    /// A machine is suspended for so long: it stands still, and so do its timers.
    Suspended {
        machine: MachineNumber,
        span: Duration,
    },
    /// The last fault was taken back.
    Calmed,
    /// A machine got an answer from every target it is supposed to reach.
    Recovered { machine: MachineNumber },
    /// From here on no call is made any more.
    Quiet,
    /// What a machine holds at the moment.
    Held {
        machine: MachineNumber,
        usage: Usage,
    },
}

/// Who runs a turn of a keyed actor, and on what right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acting {
    /// The type and the key.
    pub(crate) actor: String,
    /// The state goes along when the slot moves.
    pub(crate) is_handed_over: bool,
    /// The turn is beside others of its activation.
    pub(crate) is_shared: bool,
    pub(crate) slot: SlotId,
    pub(crate) epoch: Epoch,
    pub(crate) on: MachineNumber,
    /// The life of the machine's node.
    pub(crate) life: Owner,
}

/// When the turn of a call ends if its caller does not wait for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// In the middle.
    EndsWithCaller,
    /// When it is done: it has its actor for itself. It does not begin without its caller.
    RunsToItsEnd,
    /// When it is done: nobody has ever waited for it. It does not begin after its deadline.
    Sent,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// A reply came, and it echoed this token.
    Answered { echo: Token },
    /// A send was handed over.
    Sent,
    /// The error of a call.
    Failed { code: Code },
}

impl Event {
    /// Returns the name under which the event is counted, if it is.
    pub(crate) fn counted_as(&self) -> Option<String> {
        match self {
            Event::Issued { .. } => Some("calls".to_owned()),
            Event::Ended {
                outcome: Outcome::Failed { code },
                ..
            } => Some(format!("calls failed, {}", code.name())),
            Event::Ended { .. } => Some("calls ended well".to_owned()),
            Event::Dropped { .. } => Some("calls dropped".to_owned()),
            _ => None,
        }
    }
}

impl Outcome {
    /// Whether the caller was told for certain that no handler ran.
    pub(crate) fn says_not_run(&self) -> bool {
        match self {
            Outcome::Answered { .. } | Outcome::Sent => false,
            Outcome::Failed { code } => match code.ran() {
                Ran::NotSent | Ran::Refused => true,
                Ran::MayHaveRun => false,
            },
        }
    }
}

/// What a machine holds of everything that has a bound, and the bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage {
    /// Name, how much is held, the bound.
    pub(crate) gauges: Vec<(&'static str, u64, u64)>,
}
