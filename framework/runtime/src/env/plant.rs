//! Planted bugs and provoked rare paths: how the simulator proves that it would notice.
//!
//! A [`Plant`] is a value carried in the environment. Outside the simulator it is [`Plant::none`],
//! which answers every question with `false` after one comparison, so the hooks cost a predictable
//! branch. The simulator hands in a plant of its own, and then
//!
//! * [`Plant::strikes`] makes a hook do the **wrong** thing: the harness has to find it;
//! * [`Plant::buggify`] makes a hook take a **rare but right** path: a full buffer, a late wake-up,
//!   a dial that gives up. The product has to survive it.
//!
//! ```text
//! let lane = pick(sender, target);
//! let lane = if plant.strikes(Bug::ReorderedLane) { other(lane) } else { lane };
//! ```
//!
//! It is not a fault injector for the network or the disk (those are the other traits of the
//! environment) and not a feature flag: nothing outside the simulator can build a plant that
//! answers `true`, short of naming the hidden constructor. May depend on `std` alone.

use std::fmt;
use std::sync::Arc;

/// A bug that can be planted in the product, to prove that the simulator finds it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Bug {
    /// A reply is sent under the id of another call that is in flight on the same link.
    WrongReply,
    /// Dropping a call frees the caller's slot and tells the callee nothing.
    LostCancel,
    /// A call that may have run is tried again although its method is not idempotent.
    UnsafeRetry,
    /// A message of a pair takes another lane than the ones before it.
    ReorderedLane,
    /// The entry of a finished call stays in the in-flight table.
    LeakedSlot,
    /// A call is sent without being entered in the deadline wheel.
    ForgottenDeadline,
    /// A member of the control group answers for entries that its disk has not synced.
    UnsyncedAck,
    /// The leader of the control group answers a read without asking a quorum.
    RenewalWithoutRead,
    /// What a turn has made leaves although the lease has ended meanwhile.
    SkippedFence,
    /// A call that was answered `Moved` fails instead of being made again.
    MovedFails,
    /// A node starts turns on a slot that is still on its way to it.
    EarlyStart,
    /// A call whose turn has run, and may not answer, is answered `Moved`, so that it is made again.
    RanAndMoved,
    /// A send that waits when its slot goes is taken along twice.
    ForwardedTwice,
    /// A send that waits when its slot goes is forgotten.
    ForgottenSend,
}

impl Bug {
    /// Every bug that can be planted, in the order of the declaration.
    pub const ALL: [Bug; 14] = [
        Bug::WrongReply,
        Bug::LostCancel,
        Bug::UnsafeRetry,
        Bug::ReorderedLane,
        Bug::LeakedSlot,
        Bug::ForgottenDeadline,
        Bug::UnsyncedAck,
        Bug::RenewalWithoutRead,
        Bug::SkippedFence,
        Bug::MovedFails,
        Bug::EarlyStart,
        Bug::RanAndMoved,
        Bug::ForwardedTwice,
        Bug::ForgottenSend,
    ];

    /// The name the simulator's command line uses, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::WrongReply => "wrong-reply",
            Bug::LostCancel => "lost-cancel",
            Bug::UnsafeRetry => "unsafe-retry",
            Bug::ReorderedLane => "reordered-lane",
            Bug::LeakedSlot => "leaked-slot",
            Bug::ForgottenDeadline => "forgotten-deadline",
            Bug::UnsyncedAck => "unsynced-ack",
            Bug::RenewalWithoutRead => "renewal-without-read",
            Bug::SkippedFence => "skipped-fence",
            Bug::MovedFails => "moved-fails",
            Bug::EarlyStart => "early-start",
            Bug::RanAndMoved => "ran-and-moved",
            Bug::ForwardedTwice => "forwarded-twice",
            Bug::ForgottenSend => "forgotten-send",
        }
    }
}

/// Decides from a seed whether a hook fires; the simulator implements it.
#[doc(hidden)]
pub trait Dice: Send + Sync + 'static {
    /// Whether the planted `bug` strikes at this visit of its hook.
    fn strikes(&self, bug: Bug) -> bool;

    /// Whether the rare path called `place` is taken at this visit.
    fn provokes(&self, place: &'static str) -> bool;
}

/// What is planted in a node; nothing, outside the simulator. Cheap to clone.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Plant {
    dice: Option<Arc<dyn Dice>>,
}

impl Plant {
    /// A plant that never does anything: what every real node has.
    pub const fn none() -> Self {
        Self { dice: None }
    }

    /// A plant that asks `dice` at every hook. For the simulator only.
    pub fn with_dice(dice: Arc<dyn Dice>) -> Self {
        Self { dice: Some(dice) }
    }

    /// Whether the hook of `bug` has to do the wrong thing now.
    #[inline]
    pub fn strikes(&self, bug: Bug) -> bool {
        match &self.dice {
            None => false,
            Some(dice) => dice.strikes(bug),
        }
    }

    /// Whether the rare path called `place` (kebab case, unique in the product) is to be taken now.
    #[inline]
    pub fn buggify(&self, place: &'static str) -> bool {
        match &self.dice {
            None => false,
            Some(dice) => dice.provokes(place),
        }
    }
}

impl fmt::Debug for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.dice.is_some() {
            "Plant(simulated)"
        } else {
            "Plant(none)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(Bug);

    impl Dice for Always {
        fn strikes(&self, bug: Bug) -> bool {
            bug == self.0
        }

        fn provokes(&self, place: &'static str) -> bool {
            place == "here"
        }
    }

    #[test]
    fn a_real_node_has_nothing_planted() {
        let plant = Plant::none();
        assert!(Bug::ALL.iter().all(|&bug| !plant.strikes(bug)));
        assert!(!plant.buggify("here"));
    }

    #[test]
    fn a_simulated_node_asks_its_dice() {
        let plant = Plant::with_dice(Arc::new(Always(Bug::LostCancel)));
        assert!(plant.strikes(Bug::LostCancel));
        assert!(!plant.strikes(Bug::WrongReply));
        assert!(plant.buggify("here") && !plant.buggify("there"));
    }
}
