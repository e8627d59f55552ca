//! Mistakes that tests plant, to see whether they find them.
//!
//! A part that could make one holds a [`Plant`] and asks it at the place in question. In the
//! product a plant is empty and says no; a test can put one [`Mistake`] into it. Depends on
//! nothing.

#[cfg(not(test))]
mod empty;
#[cfg(test)]
mod sown;

#[cfg(not(test))]
pub(crate) use empty::Plant;
#[cfg(test)]
pub(crate) use sown::Plant;

/// What a part does wrong when it is told to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mistake {
    /// The leader answers renewals without asking a quorum whether it still leads.
    AnswerWithoutRead,
    /// The leader takes a lease for ended while its holder may still act on it.
    EndLeaseEarly,
    /// The leader goes on renewing a lease after it has asked for its end.
    RenewAfterLapse,
    /// The holder counts its lease from the receipt of the answer instead of from the sending.
    CountFromReceipt,
    /// A slot that gets a new owner keeps its epoch.
    ReuseEpoch,
    /// An owner is told from another by its node alone, whatever its incarnation.
    ForgetIncarnation,
    /// The target of a move takes the slot before the old owner has stopped.
    StartBeforeStop,
}
