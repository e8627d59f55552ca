//! What a running turn hands on to the calls it makes: its chain, its deadline, its trace.
//!
//! It is in a slot of the thread while the turn is polled, so that any ref used inside a handler
//! takes part, however it came there. A task that a handler spawns by itself starts anew.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    mem,
    pin::pin,
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
use tracing::Span;

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
    hub: Arc<Hub>,
    /// The actor whose turn it is; nothing for a service.
    actor: Option<ChainLink>,
    meta: Arc<Meta>,
    /// The root of the turn's own calls, once one was made; 0 before.
    root: Cell<u64>,
    /// Ends with the actor's incarnation.
    life: Arc<CancellationToken>,
    /// Counts the tasks that go on for the actor AFTER the turn.
    streams: Arc<AtomicUsize>,
    began: Time,
    /// Of a turn whose call is sampled.
    span: Option<Span>,
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
    fn with(&self, root: u64, link: ChainLink) -> Self {
        let links = self.links().iter().copied().chain([link]).collect();
        Self {
            root,
            links: Some(links),
        }
    }
}

impl Turn {
    /// Makes the turn of a call; `actor` is nothing for a service.
    pub(crate) fn new(
        hub: Arc<Hub>,
        actor: Option<ChainLink>,
        meta: Arc<Meta>,
        life: Arc<CancellationToken>,
        streams: Arc<AtomicUsize>,
        began: Time,
        span: Option<Span>,
    ) -> Self {
        let root = Cell::new(meta.chain.root);
        Self {
            hub,
            actor,
            meta,
            root,
            life,
            streams,
            began,
            span,
        }
    }

    /// Returns the actor whose turn it is.
    pub(super) fn actor(&self) -> Option<ActorAddr> {
        self.actor.map(|link| link.actor)
    }

    /// Returns when the turn's caller stops waiting.
    pub(super) fn deadline(&self) -> Time {
        self.meta.deadline
    }

    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.meta.trace
    }

    /// Returns the chain of a call that this turn waits for.
    pub(super) fn chain(&self) -> Chain {
        let Some(link) = self.actor else {
            return self.meta.chain.clone();
        };
        if self.root.get() == 0 {
            self.root.set(self.hub.random() | 1);
        }
        self.meta.chain.with(self.root.get(), link)
    }

    /// Runs a handler as this turn.
    pub(crate) async fn run<F: Future>(self, handler: F) -> F::Output {
        let mut handler = pin!(handler);
        let mut turn = Some(self);
        poll_fn(|cx| {
            let entered = Entered::new(&mut turn);
            let span = entered.span();
            let _in_span = span.as_ref().map(Span::enter);
            handler.as_mut().poll(cx)
        })
        .await
    }
}

/// Puts a turn into the thread's slot, and back at the end of the poll.
struct Entered<'a>(&'a mut Option<Turn>);

impl<'a> Entered<'a> {
    fn new(turn: &'a mut Option<Turn>) -> Self {
        TURN.with_borrow_mut(|current| mem::swap(current, turn));
        Self(turn)
    }

    fn span(&self) -> Option<Span> {
        TURN.with_borrow(|turn| turn.as_ref()?.span.clone())
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        TURN.with_borrow_mut(|current| mem::swap(current, self.0));
    }
}

/// Makes the error of a call that would wait for its own chain; it names every actor on the way.
pub(super) fn cycle(plan: &Plan<'_>, target: ActorAddr) -> CallError {
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

/// Gives the turn that the current task runs, if it runs one, to `look`.
pub(super) fn with_current<T>(look: impl FnOnce(Option<&Turn>) -> T) -> T {
    TURN.with_borrow(|turn| look(turn.as_ref()))
}

/// Returns when the current turn began; the beginning of time outside a turn.
pub(crate) fn began() -> Time {
    with_current(|turn| turn.map_or(Time::ZERO, |turn| turn.began))
}

/// Returns the time at the current turn's node; the beginning of time outside a turn.
pub(crate) fn now() -> Time {
    with_current(|turn| turn.map_or(Time::ZERO, |turn| turn.hub.now()))
}

/// Spawns a task that ends with the actor of the current turn, which is not idle while the task
/// runs. Outside a turn, nothing is spawned:
/// answers are only given inside one.
pub(crate) fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    let turn = with_current(|turn| {
        let turn = turn?;
        let open = Open::new(turn.streams.clone());
        Some((turn.hub.clone(), turn.life.clone(), open))
    });
    let Some((hub, life, open)) = turn else {
        return;
    };
    hub.tasks().spawn(name, async move {
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

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}
