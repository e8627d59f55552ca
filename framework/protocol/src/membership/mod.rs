//! Who is a member, and until when it may act: leases, forming, the voters.
//!
//! A node acts on its slots only while it holds a lease, which it renews with the leader of the
//! control group. [`Holder`] is the node's side, [`Leases`] the leader's. The two never compare
//! clocks; each measures a time of its own, and the leader's is longer by more than two clocks
//! can drift apart. What a member owns is the business of `slots`. This module knows no messages
//! on the wire and no Raft: its driver sends, and tells it what a quorum has confirmed. It may
//! depend on `id`, `time` and `plant`.
//!
//! ```text
//!  holder           sends at s                     may act until s + T
//!    ├── renewal ─────┐                                │
//!    │                │ receipt at r ≥ s               │
//!  leader             ├── batch ── quorum read ── grant│      may give the slots away
//!                     └────────── r + T × 1.03 + 50 ms ─────────┤ by the leader's clock
//! ```
//!
//! Leases are those of Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for
//! distributed file cache consistency", 1989: the holder must not trust what it cannot renew, the
//! grantor waits out what it cannot revoke. That a session stays alive over a change of leader,
//! because the new one takes all of them for just renewed, is Chubby's (Burrows, "The Chubby lock
//! service for loosely-coupled distributed systems", 2006, section 2.8).

mod choosing;
mod forming;
mod holder;
mod leases;
mod profile;
mod voters;

pub use choosing::{ChoiceRefusal, check_choice};
pub use forming::{
    Decision, EXPECT_MAX, Former, FormingAction, FormingError, FormingMemory, FormingMessage,
    FormingRefusal, Promise, Round, Sighting,
};
pub use holder::{Holder, HolderAction, ProbeNumber};
pub use leases::{LeaseAction, LeaseRefusal, Leases, ReadNumber};
pub use profile::Profile;
pub use voters::{
    GONE_MAX, SeatChange, Seated, VOTERS_MAX, VoterCandidate, VoterChoice, plan_voters,
    voters_wanted,
};

/// Numbers the renewals of one incarnation of a node. Numbers are not used again.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct RenewalNumber(pub u64);
