//! The actors that were made here because they were placed here: how many there are, which request has made which,
//! and how loaded the node is.
//!
//! Who chooses the node, and what is said between nodes, is in `service::spawning`. Depends on `hub`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, NodeId},
    slots::Standing,
    spawning::{Known, Ledger},
    time::Time,
};
use tokio::{sync::Notify, time::Instant};

use super::{hub::Hub, meta::Caller};

/// What one node has made for whom.
pub(crate) struct Spawned {
    ledger: Mutex<Ledger<Asker>>,
    /// Told when a request is entered.
    entered: Notify,
    placed: Arc<AtomicUsize>,
    began: Instant,
}

/// Who asks for an actor, and which of its requests it is. A client may have the name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asker {
    node: NodeId,
    is_node: bool,
    request: u128,
}

/// The place of an actor that was placed here, until it is dropped: with what the actor is made from, which its
/// node keeps until the actor is forgotten.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Asker {
    /// Makes that of a call.
    pub(crate) fn new(caller: &Caller, request: u128) -> Self {
        Self {
            node: caller.node,
            is_node: caller.is_node(),
            request,
        }
    }
}

impl Spawned {
    fn ledger(&self) -> MutexGuard<'_, Ledger<Asker>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }
}

impl Hub {
    /// Takes a place for an actor of this type.
    ///
    /// # Errors
    /// `TooManyActors`; `NodeStopping`, also on a node that is being drained.
    pub(crate) fn take_place(&self, kind: &str) -> Result<Place, CallError> {
        self.takes_actors(kind)?;
        let (placed, most) = (&self.spawned.placed, self.call_limits().placed_max);
        let taken = placed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |placed| {
            (placed < most).then_some(placed + 1)
        });
        match taken {
            Ok(_) => Ok(Place(placed.clone())),
            Err(_) => Err(self
                .error_of(Code::TooManyActors, kind)
                .with_detail(format!("it has {most} that were placed there"))),
        }
    }

    /// Checks that this node takes actors that are placed on it.
    ///
    /// # Errors
    /// `NodeStopping`.
    pub(crate) fn takes_actors(&self, kind: &str) -> Result<(), CallError> {
        let stopping = |why: &'static str| {
            let error = self.error_of(Code::NodeStopping, kind);
            Err(error.with_detail(self.over().unwrap_or(why)))
        };
        if self.is_stopping() || self.stop_asked().is_cancelled() {
            return stopping("it is stopping");
        }
        match self.ownership().and_then(|it| it.standing()) {
            Some(Standing::Draining) => stopping("it is being drained"),
            _ => Ok(()),
        }
    }

    /// Checks that the caller may have actors of this type made here. Nodes may; whether they may ask at all is said
    /// of the service that they ask. Clients may where a rule says so.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn permits_spawn(&self, caller: &Caller, kind: &str) -> Result<(), CallError> {
        if caller.is_local() || caller.is_node() {
            return Ok(());
        }
        match self.policy().grant(SPAWNS_OF_CLIENTS, kind, &[]) {
            Some(grant) if !grant.lets(caller.roles()) => Err(self
                .error_of(Code::Forbidden, kind)
                .with_detail(format!(
                    "a client has it made only where the node's policy has a rule for `{SPAWNS_OF_CLIENTS}/{kind}`: {}",
                    grant.missing(caller.roles())
                ))),
            _ => Ok(()),
        }
    }

    /// Returns the actor of a request, which `make` makes if the request has not come before.
    ///
    /// # Errors
    /// `ActorStopped` if whoever asks has said that it wants none any more; `MailboxFull` for too many requests; what
    /// `make` says.
    pub(crate) fn spawn_once(
        &self,
        asker: Asker,
        kind: &str,
        make: impl FnOnce() -> Result<ActorAddr, CallError>,
    ) -> Result<ActorId, CallError> {
        let spawned = &self.spawned;
        // Held while it is made: the same request may run beside this one. What makes it takes no lock of a caller.
        let mut ledger = spawned.ledger();
        let refused = |code, why: String| Err(self.error_of(code, kind).with_detail(why));
        match ledger.known(&asker) {
            Known::Made(actor) => Ok(actor),
            Known::LetGo => refused(Code::ActorStopped, "its caller has given it up".to_owned()),
            Known::Full => refused(
                Code::MailboxFull,
                format!("{SPAWN_REQUESTS_MAX} were asked for in the last half minute"),
            ),
            Known::New => {
                let actor = make()?.actor;
                ledger.handle_made(asker, actor, spawned.now());
                spawned.entered.notify_one();
                Ok(actor)
            }
        }
    }

    /// Whoever asked keeps the actor of its request.
    pub(crate) fn keep_spawned(&self, asker: &Asker) {
        self.spawned.ledger().handle_kept(asker);
    }

    /// Whoever asked wants no actor of its request any more; returns the one that is to end.
    pub(crate) fn let_spawned_go(&self, asker: Asker) -> Option<ActorId> {
        let spawned = &self.spawned;
        let actor = spawned.ledger().handle_let_go(asker, spawned.now());
        spawned.entered.notify_one();
        actor
    }

    /// Waits for the next actor that nobody has kept in time, and returns it: it is to end.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn next_unkept(&self) -> ActorId {
        let spawned = &self.spawned;
        loop {
            let next = {
                let mut ledger = spawned.ledger();
                if let Some(actor) = ledger.poll_due(spawned.now()) {
                    return actor;
                }
                ledger.next_deadline()
            };
            match next {
                Some(at) => tokio::time::sleep(at.saturating_since(spawned.now())).await,
                None => spawned.entered.notified().await,
            }
        }
    }

    /// Returns how loaded this node is, to be compared with others: how many actors it has in memory, and how many
    /// calls of peers wait or run here.
    pub(crate) fn load(&self) -> u64 {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        let actors = actors.len();
        let sessions = self.sessions();
        let calls: usize = sessions.iter().map(|it| it.served_len()).sum();
        (actors + calls) as u64
    }

    /// Returns how many actors there are that were placed here.
    pub(crate) fn placed_len(&self) -> usize {
        self.spawned.placed.load(Ordering::Relaxed)
    }

    /// Returns how many requests for actors are remembered.
    pub(crate) fn spawn_requests_len(&self) -> usize {
        self.spawned.ledger().len()
    }

    /// Makes an error about actors of a type on this node.
    pub(crate) fn error_of(&self, code: Code, kind: &str) -> CallError {
        CallError::new(code, format!("actor {kind} on node {}", self.me().name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Spawned {
    fn default() -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(SPAWN_REQUESTS_MAX)),
            entered: Notify::new(),
            placed: Arc::default(),
            began: Instant::now(),
        }
    }
}

impl fmt::Debug for Spawned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned")
            .field("placed", &self.placed)
            .finish_non_exhaustive()
    }
}

/// How many requests of the last half minute are remembered: about 150 bytes each, so 15 MB at most.
pub(crate) const SPAWN_REQUESTS_MAX: usize = 100_000;

/// In whose place a rule of a policy says which clients may have actors of which types made.
const SPAWNS_OF_CLIENTS: &str = "callboard.spawns_of_clients";
