//! The names of this node's spawned actors: its [`Register`], with what is known of the actors.
//!
//! An actor that has ended has no name. That is seen when somebody asks for the name, and nobody waits for it.
//! Whom to ask, and what to tell, is in `service::naming`. Depends on `hub`.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use callboard_protocol::{
    id::{ActorAddr, InterfaceId, NodeId},
    naming::{Claim, Meeting, Register, Unclaimed},
};
use futures_util::FutureExt;
use tokio::sync::watch;

use super::hub::Hub;

/// The names of one node's actors.
pub(crate) struct Named(Mutex<Register<Seat>>);

/// What is kept with a name.
#[derive(Debug)]
struct Seat {
    /// Tells whoever holds the claim that it is over. It is dropped when the actor ends.
    lost: watch::Sender<Option<NameLost>>,
    /// The actor has begun. Before that it is not known by its number.
    has_begun: bool,
}

/// A claim that has begun.
pub(crate) struct Begun {
    pub(crate) number: u64,
    /// Tells that it is over.
    pub(crate) told: watch::Receiver<Option<NameLost>>,
    /// The actor has the name already.
    pub(crate) is_held: bool,
}

/// Who has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) actor: ActorAddr,
    pub(crate) interface: InterfaceId,
    /// The name of its definition.
    pub(crate) kind: &'static str,
}

/// Which actor has a name, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameHolder {
    /// The actor. Its field `node` is the id of the node that it runs on.
    pub actor: ActorAddr,
    /// The node as errors name it: `node n2`.
    pub node: String,
}

/// Why an actor has a name no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameLost {
    /// The actor has ended, by itself or with its node.
    Ended,
    /// The name was released.
    Released,
    /// Another actor has held it for longer, on a node that this one was not linked with. This one goes on
    /// without a name. `NameLost` in the log.
    Outheld(NameHolder),
}

impl Named {
    pub(super) fn new(me: NodeId, names_max: usize) -> Self {
        Self(Mutex::new(Register::new(me, names_max)))
    }

    /// Takes all names away: the node has ended.
    pub(super) fn clear(&self) {
        let claims: Vec<_> = self.lock().clear().collect();
        // AFTER the lock: whoever is woken may look.
        drop(claims);
    }

    fn lock(&self) -> MutexGuard<'_, Register<Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Begins to ask for a name, unless the actor has it.
    ///
    /// # Errors
    /// [`Unclaimed`].
    pub(crate) fn begin_claim(
        &self,
        name: &str,
        actor: ActorAddr,
        has_begun: bool,
    ) -> Result<Begun, Unclaimed> {
        let mut named = self.named_without_ended(name);
        let known = named
            .held(name)
            .filter(|claim| claim.actor == actor && has_begun);
        if let Some(known) = known {
            return Ok(Begun {
                number: known.number,
                told: known.kept.lost.subscribe(),
                is_held: true,
            });
        }
        let begin = |named: &mut Register<Seat>| {
            let (lost, told) = watch::channel(None);
            let number = named.begin(name, actor, Seat { lost, has_begun })?;
            Ok(Begun {
                number,
                told,
                is_held: false,
            })
        };
        match begin(&mut named) {
            Err(Unclaimed::Full { .. }) if self.forget_ended(&mut named) => begin(&mut named),
            begun => begun,
        }
    }

    /// Gives the claim's actor the name, if `all_asked` says that no link is up over which nobody was asked;
    /// returns whether that is so.
    ///
    /// It is asked under the lock that a new link's comparison takes too: so a claim that such a link is too late for
    /// is compared.
    ///
    /// # Errors
    /// The actor that a peer has asked for meanwhile, which gets the name. The claim is over.
    pub(crate) fn settle_claim(
        &self,
        name: &str,
        number: u64,
        all_asked: impl FnOnce() -> bool,
    ) -> Result<bool, ActorAddr> {
        let mut named = self.named.lock();
        match all_asked() {
            true => named.settle(name, number, self.lease_now()),
            false => Ok(false),
        }
    }

    /// The actor that has the name has begun.
    pub(crate) fn claimed_has_begun(&self, name: &str, number: u64) {
        if let Some(claim) = self.named.lock().claim(name, number) {
            claim.kept.has_begun = true;
        }
    }

    /// Releases a name, or stops asking for it; returns whether it was still the claim's.
    pub(crate) fn release_name(&self, name: &str, number: u64) -> bool {
        let claim = self.named_without_ended(name).remove(name, number);
        let was_held = claim.is_some();
        if let Some(claim) = claim {
            claim.kept.lost.send_replace(Some(NameLost::Released));
        }
        was_held
    }

    /// Returns whether the claim is there, and its actor runs.
    pub(crate) fn has_name(&self, name: &str, number: u64) -> bool {
        let named = self.named_without_ended(name);
        named.held(name).is_some_and(|claim| claim.number == number)
    }

    /// Returns the actor of this node that has a name.
    pub(crate) fn named(&self, name: &str) -> Option<Found> {
        let named = self.named_without_ended(name);
        let actor = named.held(name).filter(|it| it.kept.has_begun)?.actor;
        let host = self.actor(actor.actor)?;
        Some(Found {
            actor,
            interface: host.interface(),
            kind: host.name(),
        })
    }

    /// A peer asks for a name for this actor: returns the actor of this node that keeps it from that.
    pub(crate) fn name_asked(&self, name: &str, by: ActorAddr) -> Option<ActorAddr> {
        self.named_without_ended(name).asked(name, by)
    }

    /// Returns the names that this node's actors have, and for how long each has had it.
    pub(crate) fn names_held(&self) -> Vec<(String, ActorAddr, Duration)> {
        let mut named = self.named.lock();
        self.forget_ended(&mut named);
        let held = named.all_held(self.lease_now());
        held.map(|(name, claim, held)| (name.to_owned(), claim.actor, held))
            .collect()
    }

    /// Compares a name that an actor of a peer has held for so long with what this node has. Returns the actor of
    /// this node that keeps it, if one does; one that loses it is told.
    pub(crate) fn meet_name(
        &self,
        name: &str,
        theirs: ActorAddr,
        held: Duration,
    ) -> Option<ActorAddr> {
        let met = {
            let mut named = self.named_without_ended(name);
            named.meet(name, theirs, held, self.lease_now())
        };
        match met {
            Meeting::Theirs => None,
            Meeting::Ours(ours) => Some(ours),
            Meeting::Lost(claim) => {
                self.tell_lost(name, claim.actor, &claim.kept, theirs);
                None
            }
        }
    }

    /// A peer has decided that this actor of this node has lost a name to that one.
    pub(crate) fn give_name_up(&self, name: &str, ours: ActorAddr, theirs: ActorAddr) {
        let claim = self.named.lock().give_up(name, ours);
        if let Some(claim) = claim {
            self.tell_lost(name, ours, &claim.kept, theirs);
        }
    }

    /// Returns how many names this node's actors have or ask for.
    pub(crate) fn names_len(&self) -> usize {
        self.named.lock().len()
    }

    /// Returns who has a name, as errors tell of it.
    pub(crate) fn name_holder(&self, actor: ActorAddr) -> NameHolder {
        let node = self.node_name(actor.node);
        NameHolder { actor, node }
    }

    fn tell_lost(&self, name: &str, ours: ActorAddr, seat: &Seat, theirs: ActorAddr) {
        let to = self.name_holder(theirs);
        tracing::warn!(
            "actor {ours} has lost the name {name:?} to {to}, which has held it for longer: the two nodes were not \
             linked, and goes on without it; stop it, or give it another name, and look at why they were not linked (CB1040)"
        );
        let lost = NameLost::Outheld(to);
        seat.lost.send_replace(Some(lost));
    }

    /// Returns the names, in which this one is not that of an actor that has ended.
    fn named_without_ended(&self, name: &str) -> MutexGuard<'_, Register<Seat>> {
        let mut named = self.named.lock();
        let ended = named.held(name).filter(|it| self.has_ended(it));
        if let Some(number) = ended.map(|claim| claim.number) {
            named.remove(name, number);
        }
        named
    }

    /// Forgets the names of actors that have ended; returns whether there were any.
    fn forget_ended(&self, named: &mut Register<Seat>) -> bool {
        let ended: Vec<(String, u64)> = named
            .all_held(self.lease_now())
            .filter(|(_, claim, _)| self.has_ended(claim))
            .map(|(name, claim, _)| (name.to_owned(), claim.number))
            .collect();
        for (name, number) in &ended {
            named.remove(name, *number);
        }
        !ended.is_empty()
    }

    fn has_ended(&self, claim: &Claim<Seat>) -> bool {
        let has_ended = || match self.actor(claim.actor.actor) {
            Some(host) => host.wait_ended().now_or_never().is_some(),
            None => true,
        };
        claim.kept.has_begun && has_ended()
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named")
            .field("names", &self.lock().len())
            .finish()
    }
}

impl fmt::Display for NameHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {} on {}", self.actor, self.node)
    }
}

impl fmt::Display for NameLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the actor has ended"),
            Self::Released => f.write_str("the name was released"),
            Self::Outheld(to) => write!(f, "{to} has held it for longer"),
        }
    }
}
