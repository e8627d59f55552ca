//! What a claim gives: a handle that tells when the name is the actor's no more.
//!
//! Depends on `call`.

use std::{fmt, sync::Arc};

use callboard_protocol::id::ActorAddr;
use tokio::sync::watch;

use crate::call::{Hub, NameLost};

/// A name that an actor was given. Clones are handles to the same claim.
///
/// The actor keeps the name without it: dropping all clones changes nothing.
#[derive(Clone)]
pub struct HeldName(Arc<Inner>);

struct Inner {
    hub: Arc<Hub>,
    name: Box<str>,
    number: u64,
    actor: ActorAddr,
    told: watch::Receiver<Option<NameLost>>,
}

impl HeldName {
    pub(super) fn new(
        hub: Arc<Hub>,
        name: &str,
        number: u64,
        actor: ActorAddr,
        told: watch::Receiver<Option<NameLost>>,
    ) -> Self {
        Self(Arc::new(Inner {
            hub,
            name: name.into(),
            number,
            actor,
            told,
        }))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// Returns whether the actor has the name now, as far as its node knows.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.hub.has_name(&self.0.name, self.0.number)
    }

    /// Waits until the actor has the name no more, and says why.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing: it may be called again, also after the name was lost.
    pub async fn lost(&self) -> NameLost {
        let Inner {
            hub, actor, told, ..
        } = &*self.0;
        let mut told = told.clone();
        let ended = async {
            if let Some(actor) = hub.actor(actor.actor) {
                actor.wait_ended().await;
            }
        };
        tokio::select! {
            biased;
            lost = told.wait_for(Option::is_some) => match lost {
                Ok(lost) => lost.clone().unwrap_or(NameLost::Ended),
                Err(_) => NameLost::Ended,
            },
            () = ended => NameLost::Ended,
        }
    }

    /// Releases the name, so that another actor can be given it; returns whether this one still had it. The actor goes
    /// on without it.
    pub fn release(&self) -> bool {
        self.0.hub.release_name(&self.0.name, self.0.number)
    }

    pub(super) fn has_begun(&self) {
        self.0.hub.claimed_has_begun(&self.0.name, self.0.number);
    }

    /// Returns whether the name is claimed by this handle, held or asked for.
    pub(super) fn is_claimed(&self) -> bool {
        // The sender is dropped with the claim.
        self.0.told.has_changed().is_ok()
    }
}

impl fmt::Debug for HeldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldName")
            .field("name", &self.0.name)
            .field("actor", &self.0.actor)
            .finish_non_exhaustive()
    }
}
