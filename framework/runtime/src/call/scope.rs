//! What a running turn hands on to the calls it makes: its chain, its deadline, its trace.
//!
//! It is task-local, so that any ref used inside a handler takes part, however it came there. A
//! task that a handler spawns by itself starts anew.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard_protocol::{
    code::{CallError, Code},
    id::ActorAddr,
    time::Time,
    wire::header::{CHAIN_MAX, Chain as WireChain, ChainLink, TraceContext},
};
use tokio_util::sync::CancellationToken;

use super::{client::Plan, hub::Hub, interface::MethodSpec, meta::Meta};

/// The actors whose turns wait for a call, the outermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chain {
    /// Identifies the call that everything began with; 0 when no actor waits.
    pub(crate) root: u64,
    links: Option<Arc<[ChainLink]>>,
}

/// The turn that the current task runs.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) hub: Arc<Hub>,
    /// The actor whose turn it is; nothing for a service.
    pub(crate) actor: Option<ActorAddr>,
    pub(crate) deadline: Time,
    /// The chain with this actor as its last.
    pub(crate) chain: Chain,
    pub(crate) trace: Option<TraceContext>,
    /// Ends with the actor's incarnation.
    pub(crate) life: CancellationToken,
    /// Counts the tasks that go on for the actor AFTER the turn.
    pub(crate) streams: Arc<AtomicUsize>,
}

impl Chain {
    /// Takes over the chain of a call that came over the wire.
    pub(crate) fn received(root: u64, chain: &WireChain<'_>) -> Self {
        Self {
            root,
            links: (!chain.is_empty()).then(|| chain.iter().collect()),
        }
    }

    /// Returns the actors in the order of the calls.
    pub(crate) fn links(&self) -> &[ChainLink] {
        self.links.as_deref().unwrap_or_default()
    }

    /// Returns whether the actor waits for the call.
    pub(crate) fn contains(&self, actor: ActorAddr) -> bool {
        self.links().iter().any(|link| link.actor == actor)
    }

    /// Returns the chain with one more actor.
    fn with(&self, link: ChainLink) -> Self {
        let links = self.links().iter().copied().chain([link]).collect();
        Self {
            root: self.root,
            links: Some(links),
        }
    }
}

impl Turn {
    /// Makes the turn of a call; `actor` is nothing for a service.
    pub(crate) fn new(
        hub: Arc<Hub>,
        actor: Option<ChainLink>,
        meta: &Meta,
        life: CancellationToken,
        streams: Arc<AtomicUsize>,
    ) -> Self {
        let mut chain = meta.chain.clone();
        if let Some(link) = actor {
            chain = chain.with(link);
            if chain.root == 0 {
                chain.root = hub.random() | 1;
            }
        }
        let actor = actor.map(|link| link.actor);
        Self {
            hub,
            actor,
            deadline: meta.deadline,
            chain,
            trace: meta.trace,
            life,
            streams,
        }
    }

    /// Runs a handler as this turn.
    pub(crate) async fn run<F: Future>(self, handler: F) -> F::Output {
        TURN.scope(Arc::new(self), handler).await
    }
}

/// Makes the error of a call that would wait for its own chain; it names every actor on the way.
pub(super) fn cycle(plan: &Plan, target: ActorAddr) -> CallError {
    let name = |link: &ChainLink| {
        let interface = plan.hub.interface_name(link.interface);
        format!("{interface}@{}", link.actor)
    };
    let mut names: Vec<_> = plan.meta.chain.links().iter().map(name).collect();
    names.push(format!("{}@{target}", plan.spec.interface));
    plan.spec
        .error(Code::CallCycle)
        .with_detail(names.join(" waits for "))
}

/// Refuses a call whose chain is as long as it may be.
///
/// # Errors
/// `ChainTooLong`.
pub(super) fn check_length(chain: &Chain, spec: &MethodSpec) -> Result<(), CallError> {
    if chain.links().len() <= CHAIN_MAX {
        return Ok(());
    }
    let detail = format!("{CHAIN_MAX} actors wait for each other already");
    Err(spec.error(Code::ChainTooLong).with_detail(detail))
}

/// Returns the turn that the current task runs, if it runs one.
pub(crate) fn current() -> Option<Arc<Turn>> {
    TURN.try_with(Clone::clone).ok()
}

/// Returns the time at the current turn's node; the beginning of time outside a turn.
pub(crate) fn now() -> Time {
    TURN.try_with(|turn| turn.hub.now()).unwrap_or(Time::ZERO)
}

/// Spawns a task that ends with the actor of the current turn, which is not idle while the task
/// runs. Outside a turn, nothing is spawned:
/// answers are only given inside one.
pub(crate) fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    let Some(turn) = current() else { return };
    let life = turn.life.clone();
    let open = Open::new(turn.streams.clone());
    turn.hub.tasks().spawn(name, async move {
        let _open = open;
        tokio::select! {
            biased;
            () = life.cancelled() => {}
            () = future => {}
        }
    });
}

/// A task that goes on after its turn.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

tokio::task_local! {
    static TURN: Arc<Turn>;
}
