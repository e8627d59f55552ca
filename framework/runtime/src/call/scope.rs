//! What a running turn hands on to the calls it makes: its chain, its deadline, its trace.
//!
//! It is in a slot of the thread while the turn is polled, so that any ref used inside a handler
//! takes part, however it came there. A task that a handler spawns by itself starts anew.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, NodeId},
    time::Time,
    wire::header::{CHAIN_MAX, Chain as WireChain, ChainLink, TraceContext},
};
use futures_core::Stream;
use futures_util::{StreamExt, poll, stream};
use tracing::Span;

use crate::{
    actor::{Cut, Life, Streams},
    cluster::Fence,
    env::Bug,
};

use super::{
    face::Face, hub::Hub, interface::MethodSpec, meta::Meta, panics::Witness, port::panic_text,
    term::Term,
};

/// The actors whose turns wait for a call, the outermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chain {
    /// Identifies the call that everything began with; 0 when no actor waits.
    pub(crate) root: u64,
    links: Option<Arc<[ChainLink]>>,
}

/// The turn that the current task runs. It is made once for each seat, and takes one turn after the
/// other.
#[derive(Debug)]
pub(crate) struct Turn {
    hub: Arc<Hub>,
    /// The actor whose turn it is; nothing for a service.
    actor: Option<ChainLink>,
    /// What counts the turns; nothing for an interface that cannot be called.
    face: Option<Arc<Face>>,
    /// Ends with the actor's incarnation.
    life: Arc<Life>,
    /// Counts the tasks that go on for the actor AFTER the turn.
    streams: Streams,
    /// What the activation is bound to, of a keyed actor that is placed.
    fence: Option<Fence>,
    /// Whether a panic restarts the actor.
    restarts: bool,
    now: This,
}

/// What belongs to one turn.
#[derive(Debug, Default)]
struct This {
    /// The row of the method.
    method: usize,
    began: Time,
    deadline: Time,
    chain: Chain,
    /// Who made the call; nothing for what the actor does without one.
    caller: Option<NodeId>,
    trace: Option<TraceContext>,
    /// The root of the turn's own calls, once one was made; 0 before.
    root: Cell<u64>,
    /// When it ended, once it did.
    ended_at: Cell<Option<Time>>,
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
    /// Makes the place of an incarnation's turns; `actor` is nothing for a service.
    pub(crate) fn new(
        hub: Arc<Hub>,
        actor: Option<ChainLink>,
        face: Option<Arc<Face>>,
        life: Arc<Life>,
        streams: Streams,
    ) -> Self {
        Self {
            hub,
            actor,
            face,
            life,
            streams,
            fence: None,
            restarts: true,
            now: This::default(),
        }
    }

    /// Binds the turns to the ownership of a slot.
    pub(crate) fn bound_to(self, fence: Option<Fence>) -> Self {
        Self { fence, ..self }
    }

    /// Sets whether a panic restarts the actor.
    pub(crate) fn restarting(self, restarts: bool) -> Self {
        Self { restarts, ..self }
    }

    /// Returns what a panic of a handler brings about.
    fn after_panic(&self) -> &'static str {
        match self.actor {
            None => "the service goes on",
            Some(_) if self.restarts => {
                "the actor starts anew, or is given up if it fails too often"
            }
            Some(_) => "the actor has ended, as its settings say not to restart it",
        }
    }

    /// Returns why the turn is dropped before its end.
    fn why_aborted(&self) -> &'static str {
        match self.life.why_cut() {
            Some(Cut::GraceOver) if self.hub.is_stopping() => {
                "the node is stopping, and its grace was over"
            }
            Some(Cut::GraceOver) => "it was stopped, and the grace of the stop was over",
            Some(Cut::Restarted) => "a sibling failed, and its supervisor starts both anew",
            Some(Cut::GivenUp) => "a sibling failed too often, and both were given up",
            Some(Cut::Orphaned) => "the actor or the node that it belongs to has ended",
            None if std::thread::panicking() => "a handler that ran beside it has panicked",
            None => "its actor, or its node, has ended",
        }
    }

    /// Returns whether what the turn makes may not leave any more.
    pub(super) fn is_lost(&self) -> bool {
        let lost = |fence: &Fence| !fence.may_answer(self.hub.lease_now());
        self.fence.as_ref().is_some_and(lost) && !self.hub.env().plant.strikes(Bug::SkippedFence)
    }

    /// Begins the turn of a call of the method in this row.
    pub(crate) fn begin(&mut self, method: usize, meta: &Meta, began: Time, span: Option<Span>) {
        self.now = This {
            method,
            began,
            deadline: meta.deadline,
            chain: meta.chain.clone(),
            caller: Some(meta.caller.node),
            trace: meta.trace(),
            root: Cell::new(meta.chain.root),
            ended_at: Cell::new(None),
            span,
        };
    }

    /// Begins what the actor does without a call, and until when; `chain` is that of the call that it does it for.
    pub(crate) fn begin_apart(&mut self, chain: Chain, began: Time, deadline: Time) {
        self.now = This {
            // No method's, so that it is not counted as the turn of one.
            method: usize::MAX,
            began,
            deadline,
            root: Cell::new(chain.root),
            chain,
            ..This::default()
        };
    }

    /// Returns the actor whose turn it is.
    pub(super) fn actor(&self) -> Option<ActorAddr> {
        self.actor.map(|link| link.actor)
    }

    /// Returns when the turn's caller stops waiting.
    pub(super) fn deadline(&self) -> Time {
        self.now.deadline
    }

    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.now.trace
    }

    /// Returns the chain of a call that this turn waits for.
    pub(super) fn chain(&self) -> Chain {
        let Some(link) = self.actor else {
            return self.now.chain.clone();
        };
        let root = &self.now.root;
        if root.get() == 0 {
            root.set(self.hub.random() | 1);
        }
        self.now.chain.with(root.get(), link)
    }

    /// Counts the end of the turn; returns when that is.
    fn ended(&self, error: Option<Code>) -> Time {
        let now = self.hub.now();
        let face = self.face.as_ref();
        if let Some(method) = face.and_then(|face| face.methods.get(self.now.method)) {
            let took = now.saturating_since(self.now.began);
            method.metrics.served().ended(error, Some(took));
        }
        self.now.ended_at.set(Some(now));
        now
    }

    /// Returns when the last turn ended, if it did.
    pub(crate) fn ended_at(&self) -> Option<Time> {
        self.now.ended_at.get()
    }

    /// Runs a handler as the turn in the place, which is left there. A handler that is dropped is
    /// dropped as this turn too. It comes pinned: a future that is handed on takes its room twice.
    pub(crate) async fn run<F: Future>(
        place: &mut Option<Box<Self>>,
        handler: Pin<&mut Option<F>>,
    ) -> F::Output {
        let mut running = Running { place, handler };
        poll_fn(|cx| running.poll(cx)).await
    }
}

/// A handler that runs as a turn.
struct Running<'a, F> {
    place: &'a mut Option<Box<Turn>>,
    handler: Pin<&'a mut Option<F>>,
}

impl<F: Future> Running<'_, F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let span = self.place.as_ref().and_then(|turn| turn.now.span.clone());
        let _entered = Entered::new(self.place);
        let _in_span = span.as_ref().map(Span::enter);
        let Some(handler) = self.handler.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let polled = handler.poll(cx);
        if polled.is_ready() {
            self.handler.set(None);
        }
        polled
    }
}

impl<F> Drop for Running<'_, F> {
    fn drop(&mut self) {
        if self.handler.is_some() {
            let _entered = Entered::new(self.place);
            self.handler.set(None);
        }
    }
}

/// Puts a turn into the thread's slot, and back at the end of the poll.
struct Entered<'a>(&'a mut Option<Box<Turn>>);

impl<'a> Entered<'a> {
    fn new(turn: &'a mut Option<Box<Turn>>) -> Self {
        TURN.with_borrow_mut(|current| mem::swap(current, turn));
        Self(turn)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        TURN.with_borrow_mut(|current| mem::swap(current, self.0));
    }
}

/// Returns why what the turn of this thread has made may not leave, if it may not.
pub(super) fn lost(spec: &MethodSpec) -> Option<CallError> {
    with_current(|turn| {
        let turn = turn.filter(|turn| turn.is_lost())?;
        let node = format!("node {}", turn.hub.me().name);
        let code = match turn.hub.env().plant.strikes(Bug::RanAndMoved) {
            false => Code::LeaseLost,
            true => Code::Moved,
        };
        Some(spec.error_on(code, &node))
    })
}

/// Makes the error of a call whose turn, the current one, has panicked, with what comes of that, and has the log
/// told of it.
pub(super) fn panicked(spec: &'static MethodSpec, panic: &(dyn Any + Send)) -> CallError {
    let text = panic_text(panic);
    // Told apart: whoever reads the log may run anything.
    if let Some(witness) = witness(spec, Turn::after_panic) {
        witness.tell(&text);
    }
    with_current(|turn| match turn {
        Some(turn) => {
            let node = format!("node {}", turn.hub.me().name);
            let detail = format!("{text}; {}", turn.after_panic());
            spec.error_on(Code::Panicked, &node).with_detail(detail)
        }
        None => spec.error(Code::Panicked).with_detail(text.clone()),
    })
}

/// Returns what the log is told if the current turn panics, or what it hands on; `comes` says what comes of that.
pub(super) fn witness(
    spec: &'static MethodSpec,
    comes: impl FnOnce(&Turn) -> &'static str,
) -> Option<Witness> {
    with_current(|turn| {
        let turn = turn?;
        Some(Witness {
            hub: turn.hub.clone(),
            spec,
            face: turn.face.clone()?,
            row: turn.now.method,
            actor: turn.actor(),
            caller: turn.now.caller?,
            comes: comes(turn),
        })
    })
}

/// Makes the error of a call whose turn, the current one, is dropped before its end: on which node, and why.
pub(super) fn aborted(spec: &MethodSpec) -> CallError {
    with_current(|turn| {
        let Some(turn) = turn else {
            return spec.error(Code::TurnAborted);
        };
        let node = format!("node {}", turn.hub.me().name);
        spec.error_on(Code::TurnAborted, &node)
            .with_detail(turn.why_aborted())
    })
}

/// Makes the error of a call that would wait for its own chain; it names every actor on the way.
pub(super) fn cycle(hub: &Hub, meta: &Meta, spec: &MethodSpec, target: ActorAddr) -> CallError {
    let name = |link: &ChainLink| {
        let interface = hub.interface_name(link.interface);
        format!("{interface}@{}", link.actor)
    };
    let mut names: Vec<_> = meta.chain.links().iter().map(name).collect();
    names.push(format!("{}@{target}", spec.interface));
    spec.error(Code::CallCycle)
        .with_detail(names.join(" waits for "))
}

/// Refuses a call whose chain is as long as it may be.
///
/// # Errors
/// `ChainTooLong`.
#[inline]
pub(super) fn check_length(chain: &Chain, spec: &MethodSpec) -> Result<(), CallError> {
    if chain.links().len() <= CHAIN_MAX {
        return Ok(());
    }
    let detail = format!("{CHAIN_MAX} actors wait for each other already");
    Err(spec.error(Code::ChainTooLong).with_detail(detail))
}

/// Gives the turn that the current task runs, if it runs one, to `look`.
#[inline]
pub(super) fn with_current<T>(look: impl FnOnce(Option<&Turn>) -> T) -> T {
    TURN.with_borrow(|turn| look(turn.as_deref()))
}

/// Returns the term of the stream that the current turn answers with; nothing without a deadline.
pub(super) fn term(spec: &'static MethodSpec) -> Option<Term> {
    with_current(|turn| {
        let turn = turn?;
        Term::new(&turn.hub, spec, turn.now.deadline)
    })
}

/// Makes a stream of the current turn one that does not end because what it reads from went with its actor's state.
pub(super) fn unless_cut<T, S>(items: S) -> impl Stream<Item = T> + Send + 'static
where
    T: Send + 'static,
    S: Stream<Item = T> + Send + 'static,
{
    let life = with_current(|turn| turn.map(|turn| turn.life.clone()));
    let end = move |_: &mut Context<'_>| match life.as_ref().is_some_and(|life| life.is_cut()) {
        // Whoever polls it hears of the life's end.
        true => Poll::Pending,
        false => Poll::Ready(None),
    };
    items.chain(stream::poll_fn(end))
}

/// Counts the end of the current turn; returns when that is, the beginning of time outside a turn.
pub(super) fn ended(error: Option<Code>) -> Time {
    with_current(|turn| turn.map_or(Time::ZERO, |turn| turn.ended(error)))
}

/// Spawns a task that ends with the actor of the current turn, which is not idle while the task
/// runs, and which waits for it when it is stopped if the turn's call has a deadline. Outside a turn, nothing is spawned:
/// answers are only given inside one.
pub(crate) fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    let turn = with_current(|turn| {
        let turn = turn?;
        let open = turn.streams.opened(turn.now.deadline < Time::MAX);
        Some((turn.hub.clone(), turn.life.clone(), open))
    });
    let Some((hub, life, open)) = turn else {
        return;
    };
    hub.tasks().spawn(name, async move {
        // Dropped AFTER what it counts.
        let _open = open;
        let mut future = pin!(future);
        tokio::select! {
            biased;
            () = life.ended() => {}
            () = &mut future => return,
        }
        if life.ended_in_order() {
            // What is ready goes as far as its reader has room, and so does the end of what has ended.
            let _ = poll!(future);
        }
    });
}

thread_local! {
    static TURN: RefCell<Option<Box<Turn>>> = const { RefCell::new(None) };
}
