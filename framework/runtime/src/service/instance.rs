//! A user's type as an actor: joins `actor` (turns) with `call` (messages) and the context.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use callboard_protocol::{
    cluster::STATE_BYTES_MAX,
    code::{CallError, Code},
    supervision::Strategy,
    time::Time,
    wire::header::ChainLink,
};
use tracing::Span;

use crate::{
    actor::{
        Behaviour, Cell, Child, Ended, Guardian, Job, Life, Refusal, TurnEnd, Unrun, service_places,
    },
    call::{
        Chain, Departure, Face, FaceMethod, Hub, Interface, Kept, Kind, Meta, MethodSpec, Queued,
        Reference, Turn, Unsent, ask_back, interface_id, key_bytes, quarantined, refused, span,
    },
};

use crate::{
    cluster::Fence,
    env::Bug,
    telemetry::{Handed, Waits},
};

use super::{
    Ctx, Deactivation, Handlers,
    hooks::{self, Told},
    hosting,
};

/// Makes a fresh state for an incarnation.
pub(crate) type Factory<A> = Arc<dyn Fn(&Ctx<A>) -> A + Send + Sync>;

/// What is done about an actor that will not run again; one for all of a type that has keys.
pub(crate) type OnEnd<A> = Arc<dyn Fn(&World<A>, Ended) + Send + Sync>;

/// A message of `A`, as it waits.
pub(crate) type ItemOf<A> = Queued<<<A as Handlers>::Interface as Interface>::Msg>;

/// An incarnation's state.
pub(crate) struct Instance<A>(A);

/// What outlives the incarnations of one actor.
pub(crate) struct World<A: Handlers> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) cell: Arc<Cell<ItemOf<A>>>,
    pub(crate) this: A::Ref,
    factory: Factory<A>,
    /// What counts its calls; nothing for an interface that cannot be called.
    face: Option<Arc<Face>>,
    waits: Waits,
    /// The actor's own children, in the groups that its current incarnation made.
    children: Mutex<Vec<Group>>,
    on_end: OnEnd<A>,
    bound: Bound,
}

/// What an activation is bound to.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// What its turns are bound to, of a keyed actor that is placed.
    pub(crate) fence: Option<Fence>,
    /// Where its state is while it travels.
    pub(crate) departure: Arc<Departure>,
}

/// A group of children, and whether it is the one for those without a supervisor of their own.
type Group = (Guardian, bool);

impl<A: Handlers> World<A> {
    pub(crate) fn new(
        hub: Arc<Hub>,
        cell: Arc<Cell<ItemOf<A>>>,
        this: A::Ref,
        factory: Factory<A>,
        on_end: OnEnd<A>,
        bound: Bound,
    ) -> Arc<Self> {
        let waits = hub.metrics().waits(A::NAME);
        let face = hub.face::<A::Interface>().ok();
        Arc::new(Self {
            face,
            waits,
            hub,
            cell,
            this,
            factory,
            children: Mutex::default(),
            on_end,
            bound,
        })
    }

    /// Returns the group that the actor's own children belong to, made with the first one.
    pub(crate) fn children(&self) -> Guardian {
        let mut groups = self.groups();
        let own = groups.iter().find(|(_, is_own)| *is_own);
        if let Some((own, _)) = own {
            return own.clone();
        }
        let guardian = hosting::guardian(&self.hub, Strategy::OneForOne);
        groups.push((guardian.clone(), true));
        guardian
    }

    /// Makes a further group of children.
    pub(crate) fn new_group(&self, strategy: Strategy) -> Guardian {
        let guardian = hosting::guardian(&self.hub, strategy);
        let mut groups = self.groups();
        groups.retain(|(group, _)| !group.is_over());
        groups.push((guardian.clone(), false));
        guardian
    }

    /// Takes the groups of the incarnation that ends.
    fn take_groups(&self) -> Vec<Guardian> {
        let groups = std::mem::take(&mut *self.groups());
        groups.into_iter().map(|(guardian, _)| guardian).collect()
    }

    /// Returns the state that came along with the slot, for the first incarnation.
    fn came(&self) -> Option<A> {
        // It is not used up before the turns begin: an actor that is stopped before that, or fails, has not used it.
        let state = self.bound.departure.copy()?;
        let came = A::handover()?.unpack(&state, &self.hub, A::NAME);
        came.inspect_err(|error| self.lose(error)).ok()
    }

    /// Notes that the state does not go along: the key begins anew.
    fn lose(&self, error: &CallError) {
        drop(self.bound.departure.take());
        tracing::warn!(actor = ?self.this, %error, "a state is lost in a move");
        self.hub.metrics().handed(Handed::Lost, 1);
    }

    /// Makes the place of an incarnation's turns.
    pub(super) fn turn(self: &Arc<Self>, life: &Arc<Life>) -> Turn {
        let actor = (A::KIND != Kind::Service).then(|| self.link());
        Turn::new(
            self.hub.clone(),
            actor,
            self.face.clone(),
            life.clone(),
            self.cell.streams(),
        )
        .bound_to(self.bound.fence.clone())
        .restarting(self.cell.settings().restart)
    }

    /// Returns the actor as a chain of calls names it.
    fn link(&self) -> ChainLink {
        ChainLink {
            actor: self.cell.addr(),
            interface: interface_id::<A::Interface>(),
        }
    }

    /// Returns what its turns are bound to, of a keyed actor that is placed.
    pub(crate) fn fence(&self) -> Option<&Fence> {
        self.bound.fence.as_ref()
    }

    /// Returns where its state is while it travels.
    pub(super) fn departure(&self) -> &Arc<Departure> {
        &self.bound.departure
    }

    /// Returns whether the actor's slot has gone, or its lease has ended: no turn may start.
    fn is_fenced(&self) -> bool {
        let gone = |fence: &Fence| !fence.may_start(self.hub.lease_now());
        self.bound.fence.as_ref().is_some_and(gone)
            && !self.hub.env().plant.strikes(Bug::EarlyStart)
    }

    /// Returns whether the actor's slot has gone, or its lease has ended, so that nothing it makes may leave. A slot that
    /// is on its way is still this node's.
    pub(super) fn is_lost(&self) -> bool {
        let lost = |fence: &Fence| !fence.may_answer(self.hub.lease_now());
        self.bound.fence.as_ref().is_some_and(lost)
    }

    /// Returns why the actor ends in good order.
    fn ends_for(&self, is_idle: bool) -> Deactivation {
        let departure = &self.bound.departure;
        match (is_idle, departure.is_told()) {
            (true, _) if self.cell.is_evicted() => Deactivation::Evicted,
            (true, _) => Deactivation::Idle,
            (false, true) if departure.goes() => Deactivation::Moved,
            (false, true) => Deactivation::Drained,
            (false, false) => Deactivation::Stopped,
        }
    }

    /// Answers a message with this error, instead of running it.
    fn refuse_with(&self, item: ItemOf<A>, error: impl FnOnce(Option<&MethodSpec>) -> CallError) {
        let index = <A::Interface as Interface>::index(&item.message);
        let error = error(<A::Interface as Interface>::METHODS.get(index));
        if error.code() == Code::Moved {
            return self.send_along(index, item, error);
        }
        self.count_unrun(index, error.code());
        <A::Interface as Interface>::refuse(item.message, error);
    }

    /// Leaves a send for the next owner of the actor's slot, if that is on its way; answers every other message.
    fn send_along(&self, index: usize, item: ItemOf<A>, error: CallError) {
        let leaves = self.fence().is_some_and(Fence::is_leaving);
        let method = self.face.as_ref().and_then(|it| it.methods.get(index));
        let (Some(method), true) = (method, leaves) else {
            self.count_unrun(index, error.code());
            return <A::Interface as Interface>::refuse(item.message, error);
        };
        let Queued { meta, message, .. } = item;
        let why = error.clone();
        let unsent = ask_back(|| <A::Interface as Interface>::refuse(message, why));
        let Some(unsent) = unsent else {
            return self.count_unrun(index, error.code());
        };
        if let Err(why) = self.leave(&unsent, method, &meta) {
            self.count_unrun(index, error.code());
            self.hub.refuse_send(&error.with_detail(why));
        }
    }

    /// # Errors
    /// Why it does not go along.
    fn leave(&self, unsent: &Unsent, method: &FaceMethod, meta: &Meta) -> Result<(), String> {
        let plant = &self.hub.env().plant;
        let key = key_bytes(A::Ref::key(&self.this)).unwrap_or_default();
        let kept = Kept::unsent(unsent, (key, method), meta, self.hub.now());
        let kept = kept.map_err(|error| error.to_string())?;
        if plant.strikes(Bug::ForgottenSend) {
            return Ok(());
        }
        let departure = &self.bound.departure;
        if plant.strikes(Bug::ForwardedTwice) {
            departure.leave(kept.clone())?;
        }
        Ok(departure.leave(kept)?)
    }

    /// Answers a message that comes too late for the actor's slot.
    fn refuse_moved(&self, item: ItemOf<A>) {
        self.refuse_with(item, |spec| {
            let error = self.error_here(Code::Moved, spec);
            error.with_detail(format!("actor {:?} is not its any more", self.this))
        });
    }

    /// Makes an error of a call of the method that names this node.
    fn error_here(&self, code: Code, spec: Option<&MethodSpec>) -> CallError {
        let node = format!("node {}", self.hub.me().name);
        let named = || CallError::new(code, A::NAME);
        spec.map_or_else(named, |spec| spec.error_on(code, &node))
    }

    /// Counts a message of the method in this row that ends without a turn.
    fn count_unrun(&self, method: usize, code: Code) {
        let face = self.face.as_ref();
        if let Some(method) = face.and_then(|face| face.methods.get(method)) {
            method.metrics.served().ended(Some(code), None);
        }
    }

    fn groups(&self) -> MutexGuard<'_, Vec<Group>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes what a guardian needs to start an actor.
pub(crate) fn child<A: Handlers>(world: &Arc<World<A>>, parallel: bool) -> Arc<dyn Child> {
    Arc::new(Job::<Instance<A>> {
        cell: world.cell.clone(),
        world: world.clone(),
        places: parallel.then(|| service_places(world.cell.settings())),
        tasks: world.hub.tasks().clone(),
    })
}

impl<A: Handlers> Behaviour for Instance<A> {
    type Item = ItemOf<A>;
    type World = World<A>;
    type Seat = Seat<A>;
    type Origin = Chain;

    const ACTIVATES: bool = A::ACTIVATES;
    const DEACTIVATES: bool = A::DEACTIVATES;
    const BEGINS_WITH_A_MESSAGE: bool = matches!(A::KIND, Kind::Keyed);

    fn key(world: &World<A>) -> Option<String> {
        (A::KIND == Kind::Keyed).then(|| format!("{:?}", A::Ref::key(&world.this)))
    }

    fn create(world: &Arc<World<A>>) -> Self {
        let came = world.came();
        Self(came.unwrap_or_else(|| (world.factory)(&Ctx::resident(world.clone()))))
    }

    fn begins(world: &World<A>) {
        // What came along with the slot is this state now, and not the next one's, which begins anew.
        drop(world.bound.departure.take());
    }

    fn exclusive(item: &Self::Item) -> bool {
        let index = <A::Interface as Interface>::index(&item.message);
        <A::Interface as Interface>::METHODS
            .get(index)
            .is_some_and(|spec| spec.options.exclusive)
    }

    fn refuse(world: &World<A>, item: Self::Item, why: Unrun) {
        world.refuse_with(item, |spec| match (why, spec) {
            (Unrun::Quarantined, Some(spec)) => quarantined(spec, &world.hub, &world.cell),
            (why, spec) => {
                let code = match why {
                    Unrun::Quarantined => Code::Quarantined,
                    Unrun::Stopped if world.hub.is_stopping() => Code::NodeStopping,
                    Unrun::Stopped if world.bound.fence.is_some() => Code::Moved,
                    Unrun::Stopped => Code::ActorStopped,
                };
                let named = || CallError::new(code, A::NAME);
                let error = spec.map_or_else(named, |spec| spec.error(code));
                match world.hub.over() {
                    Some(over) if code == Code::NodeStopping => error.with_detail(over),
                    _ => error.with_detail(format!("actor {:?}", world.this)),
                }
            }
        });
    }

    fn admit(world: &World<A>, place: &mut Option<Self::Item>, now: Option<Time>) {
        let Some(item) = place else { return };
        let now = now.unwrap_or_else(|| world.hub.now());
        let index = <A::Interface as Interface>::index(&item.message);
        let waited = now.saturating_since(item.meta.queued_at);
        world.waits.observe(waited);
        world.cell.took_one(now);
        if <A::Interface as Interface>::abandoned(&item.message) {
            world.count_unrun(index, Code::ActorStopped);
            *place = None;
            return;
        }
        if world.is_fenced() {
            if let Some(item) = place.take() {
                world.refuse_moved(item);
            }
            return;
        }
        if item.begins_by > now {
            item.began = now;
            world
                .cell
                .begins(Self::exclusive(item).then_some(index), now);
            return;
        }
        let spec = <A::Interface as Interface>::METHODS.get(index);
        if let (Some(spec), Some(item)) = (spec, place.take()) {
            let error = if item.meta.deadline <= now {
                let waited = format!("its turn did not come within {}", span(item.meta.allowed()));
                spec.error(Code::ExpiredInQueue).with_detail(waited)
            } else {
                let most = world.cell.settings().wait;
                let why = Refusal::Slow { wait: waited, most };
                refused(spec, &world.hub, &world.cell, why)
            };
            world.count_unrun(index, error.code());
            <A::Interface as Interface>::refuse(item.message, error);
        }
    }

    fn seat(world: &Arc<World<A>>, life: &Arc<Life>) -> Seat<A> {
        Box::new(Occupied {
            ctx: Ctx::resident(world.clone()),
            turn: Some(Box::new(world.turn(life))),
        })
    }

    fn ended_at(seat: &Seat<A>) -> Option<Time> {
        seat.turn.as_ref()?.ended_at()
    }

    async fn run_shared(&self, mut seat: Seat<A>, item: Self::Item) -> (TurnEnd, Seat<A>) {
        let end = {
            let Occupied { ctx, turn } = &mut *seat;
            let message = prepare(ctx, turn, item);
            let handler = pin!(Some(self.0.run_shared(ctx, message)));
            Turn::run(turn, handler).await
        };
        (end, seat)
    }

    async fn run_exclusive(
        &mut self,
        seat: &mut Seat<A>,
        place: &mut Option<Self::Item>,
    ) -> TurnEnd {
        let Some(item) = place.take() else {
            return TurnEnd::Done;
        };
        let Occupied { ctx, turn } = &mut **seat;
        let message = prepare(ctx, turn, item);
        let handler = pin!(Some(self.0.run_exclusive(ctx, message)));
        Turn::run(turn, handler).await
    }

    fn ended(world: &World<A>, why: Ended) {
        (world.on_end)(world, why);
    }

    fn origin(item: &Self::Item) -> Chain {
        item.meta.chain.clone()
    }

    fn may_begin(world: &World<A>) -> bool {
        !world.is_fenced()
    }

    fn refuse_unbegun(world: &World<A>, item: Self::Item, why: &str) {
        world.refuse_with(item, |spec| {
            let error = world.error_here(Code::ActivationFailed, spec);
            error.with_detail(format!("actor {:?}: {why}", world.this))
        });
    }

    async fn activate(&mut self, world: &Arc<World<A>>, life: &Arc<Life>, chain: Chain) -> Told {
        hooks::activate(&mut self.0, world, life, chain).await
    }

    async fn deactivate(&mut self, world: &Arc<World<A>>, life: &Arc<Life>, is_idle: bool) {
        let reason = world.ends_for(is_idle);
        hooks::deactivate(&mut self.0, world, life, reason).await;
    }

    fn retire(&self, world: &World<A>) {
        let Some(handover) = A::handover().filter(|_| world.bound.departure.goes()) else {
            return;
        };
        match handover.pack(&self.0, STATE_BYTES_MAX, A::NAME) {
            Ok(state) => world.bound.departure.put(state),
            // Whoever waits for the state counts it.
            Err(error) => tracing::warn!(actor = ?world.this, %error, "a state can not go along"),
        }
    }

    fn incarnation_ended(world: &World<A>) {
        let groups = world.take_groups();
        if !groups.is_empty() {
            world
                .hub
                .tasks()
                .spawn("stop-children", stop_groups(groups, CHILDREN_GRACE));
        }
    }

    async fn stop_children(world: &World<A>, grace: Duration) {
        let groups = world.take_groups();
        stop_groups(groups, grace).await;
    }

    fn kill_children(world: &World<A>) {
        drop(KillOnDrop(world.take_groups()));
    }
}

/// Stops the youngest group first.
async fn stop_groups(groups: Vec<Guardian>, grace: Duration) {
    let deadline = tokio::time::Instant::now() + grace;
    let groups = KillOnDrop(groups);
    for group in groups.0.iter().rev() {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        group.stop(left).await;
    }
}

/// Ends the groups whatever becomes of the task that stops them; for a stopped one it does nothing.
struct KillOnDrop(Vec<Guardian>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        for group in self.0.iter().rev() {
            group.kill();
        }
    }
}

/// What a turn uses and leaves to the next one: taking it over costs less than making it.
pub(crate) type Seat<A> = Box<Occupied<A>>;

pub(crate) struct Occupied<A: Handlers> {
    ctx: Ctx<A>,
    turn: Option<Box<Turn>>,
}

/// Makes the seat that of the item's turn.
fn prepare<A: Handlers>(
    ctx: &mut Ctx<A>,
    turn: &mut Option<Box<Turn>>,
    item: ItemOf<A>,
) -> <A::Interface as Interface>::Msg {
    let Queued {
        meta,
        message,
        began,
        ..
    } = item;
    let method = <A::Interface as Interface>::index(&message);
    let span = meta
        .is_sampled()
        .then(|| turn_span::<A>(ctx, &meta, method));
    if let Some(turn) = turn {
        turn.begin(method, &meta, began, span.flatten());
    }
    ctx.begin(meta);
    message
}

/// Makes the span of a turn whose call is sampled. It has no parent here: the caller's span is named
/// by its id, and may be on another node.
fn turn_span<A: Handlers>(ctx: &Ctx<A>, meta: &Meta, method: usize) -> Option<Span> {
    let trace = meta.trace()?;
    let spec = <A::Interface as Interface>::METHODS.get(method)?;
    Some(tracing::info_span!(
        parent: None,
        "turn",
        method = %spec.path(),
        node = %ctx.node_name(),
        trace_id = format_args!("{:032x}", trace.trace_id),
        parent_id = format_args!("{:016x}", trace.span_id),
    ))
}

/// How long the children of an incarnation that ended may take for what waits in their mailboxes.
const CHILDREN_GRACE: Duration = Duration::from_secs(5);
