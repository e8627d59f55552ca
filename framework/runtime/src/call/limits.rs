//! The bounds of the call layer.

use std::time::Duration;

use crate::net::{StartError, at_least};

/// How many calls may be under way, and how often one is tried again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallLimits {
    /// Calls from this node to one peer that wait for their replies. Default 65,536; each costs
    /// about 200 bytes. One more is refused with `TooManyInFlight`.
    pub in_flight_max: usize,
    /// Calls from one peer that wait or run here, or whose replies wait to leave. Default 65,536;
    /// each costs about 300 bytes and its decoded arguments or its encoded reply. One more is
    /// refused with `MailboxFull`. A peer that leaves as many refusals unread loses its link.
    pub served_max: usize,
    /// Bytes of replies to one peer that wait: for room on their lane, or on a stream of their own
    /// for a caller that reads slowly. Default 256 MiB; one reply may wait whatever its length. A
    /// reply over it is dropped, and its caller gets `ReplyDropped`.
    pub reply_bytes_max: usize,
    /// Bytes of frames from one peer that wait behind a large body of the same sender to the same
    /// target, or behind a send that finds its target's mailbox full. Default 4 MiB. From half of it
    /// on the peer's lanes pause, up to a second for each MiB that is read, so that its sends wait where
    /// they are made; a frame over it is refused with `MailboxFull`. With 0 nothing waits, and no lane
    /// pauses.
    pub held_bytes_max: usize,
    /// Bytes of large arguments and replies, and of streams' items over 64 KiB, that are being received
    /// from one peer. Default 64 MiB; one may come whatever its length. More are left in the network,
    /// first come, first served, until there is room, their deadline comes or their writer gives up. It
    /// costs this much memory for each peer, and 64 KiB for each stream. A call or a stream of which a
    /// part has come keeps its room until somebody awaits the rest or drops it.
    pub bodies_bytes_max: usize,
    /// Arguments and replies up to this many encoded bytes travel on a lane, larger ones on a
    /// stream of their own. Default 65 KiB, so that a payload of 64 KiB and what is around it do. Larger
    /// values let one body delay its neighbours.
    pub inline_bytes_max: usize,
    /// Activations of one keyed actor type on this node. Default 100,000; each costs about 8 KiB
    /// and its state. A call that would make one more has another one make room, or is refused with
    /// `MailboxFull`; see [`CallLimits::eviction`]. While those that make room end there are so many more, at most
    /// as many again and 256.
    pub activations_max: usize,
    /// Whether actors that have nothing to do make room when there are `activations_max` of them. Default
    /// [`Eviction::Idle`].
    pub eviction: Eviction,
    /// How long an actor that was given up is known as such, so that its callers get `Quarantined`.
    /// Default 10 minutes. After that a spawned one is forgotten (callers on other nodes get
    /// `ActorGone`) and the next call of a key activates it anew. [`Node::stop_actor`] ends it at
    /// once. Each costs about 2 KiB until then.
    ///
    /// [`Node::stop_actor`]: crate::Node::stop_actor
    pub quarantine: Duration,
    /// Names that the actors of this node have or ask for. Default 10,000; each costs about 300 bytes, and is told to
    /// each node with a higher id that a link comes up with. One more is refused with `TooManyNames`.
    pub names_max: usize,
    /// Actors of this node that are there because they were [placed](crate::Node::spawn_placed) here. Default 100,000; each
    /// costs about 8 KiB and its state. One more is refused with `TooManyActors`, and made on another node if the caller has
    /// not named this one. Those that were spawned here by `spawn` do not count.
    pub placed_max: usize,
    /// How long a turn of a keyed actor may go on after the actor's slot has begun to move to another
    /// node; then it is dropped at its next await. Default 2 s. Until then nobody answers for the keys
    /// of the slot.
    pub turn_limit: Duration,
    /// How often one call is tried at most, the first time included. Default 4.
    pub attempts_max: u32,
    /// The wait before the second attempt; it doubles with each further one and is drawn between
    /// half and all of it. Default 10 ms.
    pub retry_backoff: Duration,
}

/// What a call does that would make one activation more than a node may hold of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// An actor that has nothing to do is deactivated, with the reason
    /// [`Evicted`](crate::Deactivation::Evicted): no turn of it runs, no message waits, and no stream is open. It is
    /// the one that was used least recently of 64 that are looked at, each time the next ones. If none of them may go,
    /// or 256 are on their way (or `activations_max`, if that is less), the call is refused with `MailboxFull`.
    #[default]
    Idle,
    /// The call is refused with `MailboxFull`.
    Never,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 65_536,
            served_max: 65_536,
            reply_bytes_max: 256 << 20,
            held_bytes_max: 4 << 20,
            bodies_bytes_max: 64 << 20,
            inline_bytes_max: 65 << 10,
            activations_max: 100_000,
            eviction: Eviction::Idle,
            quarantine: Duration::from_secs(600),
            names_max: 10_000,
            placed_max: 100_000,
            turn_limit: Duration::from_secs(2),
            attempts_max: 4,
            retry_backoff: Duration::from_millis(10),
        }
    }
}

impl CallLimits {
    /// Checks that every value is in its range: those of which zero would let no call through.
    ///
    /// # Errors
    /// `ConfigInvalid` with the first limit that is not, its value and its range.
    pub fn validate(&self) -> Result<(), StartError> {
        at_least("in_flight_max", self.in_flight_max, 1)?;
        at_least("served_max", self.served_max, 1)?;
        at_least("activations_max", self.activations_max, 1)?;
        at_least("attempts_max", self.attempts_max, 1)
    }
}

#[cfg(test)]
mod tests {
    use callboard_protocol::wire::Limits;

    use super::*;

    #[test]
    fn a_payload_of_64_kib_fits_on_a_lane_and_its_frame_into_the_longest() {
        let inline = CallLimits::default().inline_bytes_max;
        // With the length of a byte string, and some numbers beside it.
        assert!(inline >= (64 << 10) + 256);
        assert!(inline <= Limits::inline_body_bytes_max(Limits::default().frame_bytes_max));
    }
}
