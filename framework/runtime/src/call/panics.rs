//! What the log says of a handler that panicked: which method, whose, who called, and what comes of it.
//!
//! A handler that panics may do so at every call. So each method is told of once in a while, with how
//! many of its panics were left out since. It counts nothing and answers nobody: `scope`, `port` and `stream` do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use callboard_protocol::{
    code::Code,
    id::{ActorAddr, NodeId},
    time::Time,
};
use tracing::field::display;

use super::{face::Face, hub::Hub, interface::MethodSpec};

/// Which panics of one method the log is told of.
#[derive(Debug, Default)]
pub(crate) struct Panics {
    /// From when on it is told of the next one.
    told_until: AtomicU64,
    /// How many came since it was told.
    left_out: AtomicU64,
}

impl Panics {
    /// Takes in a panic. Returns how many were left out before it if it is to be told, and nothing if it is
    /// left out too.
    fn handle(&self, now: Time) -> Option<u64> {
        let (now, until) = (now.as_nanos(), (now + TOLD_EVERY).as_nanos());
        let is_due = |told: u64| (told <= now).then_some(until);
        if self
            .told_until
            .fetch_update(Relaxed, Relaxed, is_due)
            .is_ok()
        {
            return Some(self.left_out.swap(0, Relaxed));
        }
        self.left_out.fetch_add(1, Relaxed);
        None
    }
}

/// Knows of a turn what the log is told when its handler panics.
pub(crate) struct Witness {
    pub(super) hub: Arc<Hub>,
    pub(super) spec: &'static MethodSpec,
    /// The interface, and the row of the method in it.
    pub(super) face: Arc<Face>,
    pub(super) row: usize,
    /// Nothing for a service.
    pub(super) actor: Option<ActorAddr>,
    pub(super) caller: NodeId,
    pub(super) comes: &'static str,
}

impl Witness {
    /// Writes what the panic said, unless the same method was told of just now.
    pub(super) fn tell(&self, text: &str) {
        let method = self.face.methods.get(self.row);
        let Some(left_out) = method.and_then(|it| it.panics.handle(self.hub.now())) else {
            return;
        };
        let (code, method) = (Code::Panicked.text(), self.spec.path());
        let (address, comes) = (self.actor.map(display), self.comes);
        tracing::error!(
            code,
            method,
            address,
            caller = caller_name(&self.hub, self.caller),
            panic = cut(text),
            left_out = (left_out > 0).then_some(left_out),
            "a handler panicked: {comes}; mend what it panics for; more of this method within {TOLD_EVERY:?} are \
             counted, and told with the next one"
        );
    }
}

/// Returns who made a call, as the log names it.
fn caller_name(hub: &Hub, id: NodeId) -> String {
    match hub.session(id) {
        Some(session) => {
            let peer = session.link.peer();
            format!("{} {}", peer.kind, peer.name)
        }
        None => hub.node_name(id),
    }
}

/// Cuts what a panic said to a length that a line of a log bears.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// How often the log is told of panics of one method.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Some screens wide: the values that an assertion shows are often long.
const TEXT_BYTES_MAX: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_panic_is_told_and_the_next_ones_are_counted_for_a_while() {
        let panics = Panics::default();
        let told: Vec<_> = (0..25)
            .filter_map(|second| panics.handle(Time::from_millis(second * 1000)))
            .collect();
        assert_eq!(told, [0, 9, 9]);
        let other = Time::from_millis(3_600_000);
        assert_eq!(panics.handle(other), Some(4));
    }

    #[test]
    fn what_a_panic_said_is_cut_between_two_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(TEXT_BYTES_MAX);
        assert_eq!(cut(&long), "ä".repeat(TEXT_BYTES_MAX / 2));
        let odd = format!("x{long}");
        assert_eq!(cut(&odd).len(), TEXT_BYTES_MAX - 1);
    }
}
