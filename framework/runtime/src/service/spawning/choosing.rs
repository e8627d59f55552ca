//! Chooses the node for an actor, by load.
//!
//! Of two hosts that are drawn at random the less loaded one makes it: they are asked, so that what counts is now and
//! not when somebody last told it. (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.) Depends
//! on `asking`, `desk` and `hosts`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard_protocol::{code::CallError, id::ActorAddr};
use futures_util::future::join;

use crate::call::{Definition, Hub};

use super::{
    Spawning,
    asking::{Request, made_ref},
    desk,
    hosts::{Host, Wanted},
};

/// Makes an actor on a node that hosts its type, by load.
///
/// # Errors
/// `NoHost`, `PeerDenied`, `NodeStopping`; where each host has refused or not answered, what the last one says.
///
/// # Cancel safety
/// Dropped before it is done, an actor that was made ends.
pub(crate) fn spawn_placed<T: Definition>(hub: &Arc<Hub>) -> Spawning<T::Ref> {
    let hub = hub.clone();
    Box::pin(async move {
        let at = by_load(&hub, Wanted::of::<T>()).await?;
        Ok(made_ref::<T>(&hub, at))
    })
}

async fn by_load(hub: &Arc<Hub>, wanted: Wanted) -> Result<ActorAddr, CallError> {
    let mut tried = BTreeSet::new();
    let mut failed: Option<CallError> = None;
    loop {
        let drawn = match (wanted.draw(hub, &tried).await, failed) {
            (Ok(drawn), _) => drawn,
            (Err(_), Some(error)) | (Err(error), None) => return Err(error),
        };
        let (host, is_well) = match drawn {
            (only, None) => (only, Ok(())),
            (first, Some(second)) => less_loaded(hub, wanted, first, second).await,
        };
        let made = match is_well {
            Ok(()) => make_on(hub, wanted, &host).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(at) => return Ok(at),
            Err(error) => failed = Some(error),
        }
        tried.insert(host.id(hub));
    }
}

/// Asks both hosts, and returns the less loaded one. If one does not answer, or takes no actors, it is the other; if neither
/// does, it is one of them, with what it says.
async fn less_loaded(
    hub: &Arc<Hub>,
    wanted: Wanted,
    first: Host,
    second: Host,
) -> (Host, Result<(), CallError>) {
    let asked = join(
        Load::of(hub, wanted, &first),
        Load::of(hub, wanted, &second),
    );
    match asked.await {
        // Of two that are alike the one that was drawn first: it was drawn of all.
        (Ok(one), Ok(other)) => match other.now(hub, &second) < one.now(hub, &first) {
            true => (second, Ok(())),
            false => (first, Ok(())),
        },
        (Ok(_), Err(_)) => (first, Ok(())),
        (Err(_), Ok(_)) => (second, Ok(())),
        (Err(error), Err(_)) => (first, Err(error)),
    }
}

async fn make_on(hub: &Arc<Hub>, wanted: Wanted, host: &Host) -> Result<ActorAddr, CallError> {
    match host {
        Host::Here => wanted.make_here(hub),
        Host::Peer(session, desk) => {
            // BEFORE it is asked: whoever chooses meanwhile knows of it.
            session.count_placed();
            let mut request = Request::new(hub);
            request.ask(wanted, session, desk.clone()).await
        }
    }
}

/// How loaded a host is.
struct Load {
    /// What it has said.
    said: u64,
    /// How many actors this node had sent it to make, when it was asked.
    placed: u64,
}

impl Load {
    /// # Errors
    /// The host has not answered in time, or takes no actors.
    async fn of(hub: &Arc<Hub>, wanted: Wanted, host: &Host) -> Result<Self, CallError> {
        match host {
            Host::Here => {
                wanted.takes_here(hub)?;
                Ok(Self { said: 0, placed: 0 })
            }
            Host::Peer(session, desk) => {
                let placed = session.placed();
                let said = desk.load(wanted.interface.0).timeout(LOAD_MAX).await;
                let said = said.map_err(|error| wanted.error_of(session, error))?;
                Ok(Self { said, placed })
            }
        }
    }

    /// Returns it as it is now, as far as this node knows: with the actors that others of its tasks have sent there
    /// meanwhile, so that many at once do not all go where the load was least.
    fn now(&self, hub: &Hub, host: &Host) -> u64 {
        match host {
            Host::Here => desk::load(hub),
            Host::Peer(session, _) => {
                let sent = session.placed().saturating_sub(self.placed);
                self.said.saturating_add(sent)
            }
        }
    }
}

/// How long a host has to say how loaded it is. One that takes longer is loaded.
const LOAD_MAX: Duration = Duration::from_secs(1);
