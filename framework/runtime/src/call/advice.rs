//! What to do about an error of a call, where the kind of its target says more than its code does.
//!
//! The code's advice is for all kinds, and stays that of an error that is sent on. Depends on `kind`.

use callboard_protocol::code::{CallError, Code};

use super::kind::Kind;

/// Gives an error the advice for the kind of actor that was called.
pub(super) fn advised(error: CallError, kind: Kind) -> CallError {
    match (error.code(), kind) {
        (Code::Quarantined, Kind::Spawned) => error.with_advice(SPAWN_ANEW),
        (Code::Quarantined, Kind::Keyed) => error.with_advice(RELEASE),
        (Code::TurnAborted, Kind::Spawned) => error.with_advice(ABORTED),
        _ => error,
    }
}

const SPAWN_ANEW: &str = "mend the cause, which the detail and the node's log name; then spawn a new one and hand out \
                          its ref";

const RELEASE: &str = "mend the cause, which the detail and the node's log name; then release it on its node, by \
                       `node.stop_actor(&actor, grace).await`, which no client can do";

const ABORTED: &str = "read the log of the node that ran it; effects outside the actor may be partial; the actors of a \
                       node that stops are gone: get a fresh ref";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_an_actor_speaks_of_its_kind_alone() {
        let advice = |code, kind| advised(CallError::new(code, "actor Till"), kind).advice();
        let spawned = advice(Code::Quarantined, Kind::Spawned);
        assert!(
            spawned.ends_with("; then spawn a new one and hand out its ref"),
            "{spawned}"
        );
        let keyed = advice(Code::Quarantined, Kind::Keyed);
        assert!(
            keyed.contains("release it on its node") && !keyed.contains("spawn"),
            "{keyed}"
        );
        let aborted = advice(Code::TurnAborted, Kind::Spawned);
        assert!(aborted.ends_with("get a fresh ref"), "{aborted}");
        for kind in [Kind::Service, Kind::Keyed] {
            assert_eq!(advice(Code::TurnAborted, kind), Code::TurnAborted.advice());
        }
        let late = advice(Code::DeadlineExceeded, Kind::Spawned);
        assert_eq!(late, Code::DeadlineExceeded.advice());
    }
}
