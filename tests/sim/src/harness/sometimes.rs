//! Rare states that a batch of seeds must have reached.
//!
//! A simulation that never loses a reply proves nothing about lost replies. Each rare state that
//! matters has a name in [`CALLS`], [`CLUSTER`] or [`OWNERS`]; the code that sees it says `sometimes!("name")`, and a batch in
//! which nobody ever said it fails.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static REACHED: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts one visit; use `sometimes!`, which checks the name while compiling.
pub(crate) fn reached(name: &'static str) {
    REACHED.with_borrow_mut(|reached| *reached.entry(name).or_default() += 1);
}

/// Returns how often each state was reached, those never reached included.
pub(crate) fn counts(names: &[&'static str]) -> BTreeMap<String, u64> {
    REACHED.with_borrow(|reached| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), reached.get(name).copied().unwrap_or(0)))
            .collect()
    })
}

/// Returns whether `name` is in `names`; for use in constants.
pub(crate) const fn is_listed(names: &[&str], name: &str) -> bool {
    let mut at = 0;
    while at < names.len() {
        if same(names[at].as_bytes(), name.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Counts a rare state that some seed of every batch has to reach. The name has to be in a
/// list of this module.
macro_rules! sometimes {
    ($name:literal) => {{
        const {
            assert!(
                $crate::harness::sometimes::is_listed($crate::harness::sometimes::CALLS, $name)
                    || $crate::harness::sometimes::is_listed(
                        $crate::harness::sometimes::CLUSTER,
                        $name
                    )
                    || $crate::harness::sometimes::is_listed(
                        $crate::harness::sometimes::OWNERS,
                        $name
                    ),
                "add the name to a list of harness::sometimes"
            );
        }
        $crate::harness::sometimes::reached($name);
    }};
}
pub(crate) use sometimes;

/// The rare states that worlds of calls are expected to reach.
pub(crate) const CALLS: &[&str] = &[
    "a-bulk-reply-arrived",
    "a-call-cycle-was-refused",
    "a-call-was-dropped",
    "a-client-did-not-connect-at-once",
    "a-datagram-met-a-cut",
    "a-datagram-waited-in-a-clogged-link",
    "a-datagram-was-corrupted",
    "a-datagram-was-duplicated",
    "a-datagram-was-lost",
    "a-datagram-was-too-big-for-the-path",
    "a-deadline-passed",
    "a-handler-panicked",
    "a-machine-came-back",
    "a-machine-crashed",
    "a-machine-left-in-good-order",
    "a-machine-was-paused",
    "a-mailbox-was-full",
    "a-peer-was-lost-with-a-call",
    "a-peer-was-unreachable",
    "a-rare-path-was-provoked",
    "a-sibling-was-restarted",
    "a-socket-buffer-overflowed",
    "a-stream-broke",
    "a-turn-was-aborted",
    "a-watcher-heard-of-a-lost-machine",
    "an-actor-of-an-earlier-incarnation-was-called",
    "an-idempotent-call-ran-twice",
    "datagrams-were-reordered",
    "nobody-hosted-the-service",
];

/// The rare states that worlds of clusters are expected to reach.
pub(crate) const CLUSTER: &[&str] = &[
    "a-disk-stood-still",
    "a-disk-was-full",
    "a-disk-was-slow",
    "a-lease-was-lost",
    "a-machine-crashed",
    "a-machine-was-paused",
    "a-machine-was-suspended",
    "a-node-did-not-start-for-its-disk",
    "a-sync-failed",
    "a-voter-had-its-log-again",
    "a-voter-lost-its-log",
    "a-write-failed",
    "another-leader-was-elected",
];

/// The rare states that worlds of owners are expected to reach.
pub(crate) const OWNERS: &[&str] = &[
    "a-call-found-no-owner",
    "a-call-outlived-its-lease",
    "a-choice-was-refused",
    "a-disk-stood-still",
    "a-disk-was-full",
    "a-disk-was-slow",
    "a-lease-was-lost",
    "a-machine-crashed",
    "a-machine-left-in-good-order",
    "a-machine-was-paused",
    "a-machine-was-suspended",
    "a-node-came-back-with-an-empty-disk",
    "a-node-did-not-start-for-its-disk",
    "a-send-went-along",
    "a-state-was-lost-with-its-node",
    "a-state-went-along",
    "a-sync-failed",
    "a-turn-ended-without-a-lease",
    "a-turn-outlived-its-lease",
    "a-voter-was-chosen",
    "a-voter-had-its-log-again",
    "a-voter-lost-its-log",
    "a-write-failed",
    "an-idempotent-call-ran-twice",
    "another-leader-was-elected",
];
