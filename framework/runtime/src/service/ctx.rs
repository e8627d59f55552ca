//! What a handler may know and do besides its arguments.

use std::{any::Any, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use callboard_protocol::{code::CallError, supervision::Strategy};
use futures_util::FutureExt;

use crate::{
    call::{
        Caller, Definition, Meta, Reference,
        kind::{
            Begins, CanBeSpawned, EndsItself, HasKey, KeyOf, PlacedByLoad, PlacedByName,
            ReachedByKey, ReachedByType, SpawnedHere,
        },
        panic_text,
    },
    cluster::Fence,
};

use super::{
    ClaimError, Handlers, HeldName, hosting, instance::World, naming, spawning, spawning::Spawning,
    supervisor::Supervisor,
};

/// The context of a turn: who calls, until when, and the way to others.
///
/// A handler may take it as its first argument, `ctx: &Ctx<Self>`. It is cheap to make and holds
/// nothing of the turn itself.
pub struct Ctx<A: Definition>(Inner<A>);

enum Inner<A: Definition> {
    Resident {
        world: Arc<dyn Residence<A>>,
        /// Nothing before the first turn.
        meta: Option<Meta>,
    },
    Test {
        key: A::Key,
    },
}

/// What a context needs of the actor's world, without the bound that it has handlers.
trait Residence<A: Definition>: Send + Sync {
    fn hub(&self) -> &Arc<crate::call::Hub>;
    fn this(&self) -> &A::Ref;
    fn key(&self) -> &A::Key;
    fn children(&self) -> crate::actor::Guardian;
    fn new_group(&self, strategy: Strategy) -> crate::actor::Guardian;
    fn life(&self) -> Arc<crate::actor::Life>;
    fn fence(&self) -> Option<&Fence>;
}

impl<A: Definition> Ctx<A> {
    /// Makes a context for a unit test of a handler: it has a key and nothing else. For what has no key,
    /// a service or a spawned actor, the key is `()`: `Ctx::test(())`.
    #[must_use]
    pub fn test(key: impl Into<A::Key>) -> Self {
        Self(Inner::Test { key: key.into() })
    }

    /// Returns the key of a keyed actor: a `K` is what `key = K` says. What has no key has no such function.
    #[must_use]
    pub fn key<K>(&self) -> &K
    where
        A::Addressing: HasKey<A, K>,
    {
        A::Addressing::key(self.own_key())
    }

    /// Returns who made the call; nothing while the state is being made, in a hook, and in a test.
    #[must_use]
    pub fn caller(&self) -> Option<Caller> {
        Some(self.meta()?.caller.clone())
    }

    /// Returns how much time the caller still gives; nothing while the state is being made, in a hook,
    /// and in a test.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        match &self.0 {
            Inner::Resident {
                world,
                meta: Some(meta),
            } => Some(meta.deadline.saturating_since(world.hub().now())),
            _ => None,
        }
    }

    /// Returns the request id that the caller gave.
    #[must_use]
    pub fn request_id(&self) -> Option<u128> {
        self.meta()?.request()
    }

    /// Returns the name of the node that runs the turn; `"test"` in a test.
    #[must_use]
    pub fn node_name(&self) -> &str {
        match &self.0 {
            Inner::Resident { world, .. } => &world.hub().me().name,
            Inner::Test { .. } => "test",
        }
    }

    /// Returns the ownership that the actor acts under: which slot its key is in, and the epoch. The
    /// epoch of a slot only grows, so whoever keeps the newest one that it has seen of a slot and
    /// refuses older ones is safe from what a former owner does late: hand it to a store or a device
    /// outside of the cluster along with what is to be done there.
    ///
    /// Nothing for what is no keyed actor, where no control group places keys, and in a test.
    #[must_use]
    pub fn fence(&self) -> Option<&Fence> {
        match &self.0 {
            Inner::Resident { world, .. } => world.fence(),
            Inner::Test { .. } => None,
        }
    }

    /// Returns the ref of the actor itself.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`]: there is no actor that a ref could reach.
    #[must_use]
    pub fn this(&self) -> A::Ref {
        self.world("this").this().clone()
    }

    /// Returns the ref of a service.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    #[must_use]
    pub fn service<T: Definition<Addressing: ReachedByType<T>>>(&self) -> T::Ref {
        hosting::service_ref::<T>(self.world("service").hub())
    }

    /// Returns the ref of a keyed actor.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    #[must_use]
    pub fn actor<T: Definition<Addressing: ReachedByKey<T>>>(
        &self,
        key: impl KeyOf<T, <T::Addressing as ReachedByKey<T>>::Key>,
    ) -> T::Ref {
        hosting::keyed_ref::<T>(self.world("actor").hub(), key.into().into())
    }

    /// Spawns a child that starts from `Default`. It is restarted by its own settings and stopped
    /// before this actor is.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    #[must_use]
    pub fn spawn<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>> + Begins>(
        &self,
    ) -> T::Ref {
        self.spawn_with(|_| T::begun())
    }

    /// Spawns a child that starts from what `make` returns; `make` runs again for each restart.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    pub fn spawn_with<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>>>(
        &self,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> T::Ref {
        let world = self.world("spawn_with");
        hosting::spawn::<T>(world.hub(), &world.children(), Arc::new(make))
    }

    /// Makes an actor on a node that hosts its type and has the least to do of two, as
    /// [`Node::spawn_placed`](crate::Node::spawn_placed) does. It is no child of this actor, and lives on without it.
    ///
    /// # Errors
    /// As [`Node::spawn_placed`](crate::Node::spawn_placed).
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    ///
    /// # Cancel safety
    /// As [`Node::spawn_placed`](crate::Node::spawn_placed).
    pub fn spawn_placed<T: Definition<Addressing: PlacedByLoad<T>>>(&self) -> Spawning<T::Ref> {
        spawning::spawn_placed::<T>(self.world("spawn_placed").hub())
    }

    /// Makes an actor on the node of this name, as [`Node::spawn_on`](crate::Node::spawn_on) does. It is no child of this
    /// actor, and lives on without it.
    ///
    /// # Errors
    /// As [`Node::spawn_on`](crate::Node::spawn_on).
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    ///
    /// # Cancel safety
    /// As [`Node::spawn_placed`](crate::Node::spawn_placed).
    pub fn spawn_on<T: Definition<Addressing: PlacedByName<T>>>(
        &self,
        node: impl Into<String>,
    ) -> Spawning<T::Ref> {
        spawning::spawn_on::<T>(self.world("spawn_on").hub(), node.into())
    }

    /// Makes a group of children with a strategy of its own. It ends with this incarnation.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    #[must_use]
    pub fn supervisor(&self, strategy: Strategy) -> Supervisor {
        let world = self.world("supervisor");
        Supervisor::new(world.hub().clone(), world.new_group(strategy))
    }

    /// Finds the actor that has a name, on whatever node it runs, as [`Node::named`](crate::Node::named) does.
    ///
    /// # Errors
    /// As [`Node::named`](crate::Node::named).
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn named<T: Definition<Addressing: CanBeSpawned<T>>>(
        &self,
        name: impl AsRef<str> + Send,
    ) -> Result<T::Ref, CallError> {
        naming::find::<T>(self.world("named").hub(), name.as_ref()).await
    }

    /// Gives the actor that this is the context of a name, by which every node and client finds it, as
    /// [`Node::claim_name`](crate::Node::claim_name) does. In the method that is run at `activate` it is claimed
    /// before the first turn; one that has it keeps it over a restart.
    ///
    /// # Errors
    /// As [`Node::claim_name`](crate::Node::claim_name).
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    ///
    /// # Cancel safety
    /// As [`Node::claim_name`](crate::Node::claim_name).
    pub async fn claim_name(&self, name: impl AsRef<str> + Send) -> Result<HeldName, ClaimError>
    where
        A::Addressing: EndsItself<A>,
    {
        let world = self.world("claim_name");
        naming::claim::<A::Ref>(world.hub(), name.as_ref(), world.this()).await
    }

    /// Ends the actor that this is the context of, and returns at once: the turn goes on to its end, what waits in the
    /// mailbox runs, and what is left after `grace` is dropped. From when this returns, later calls of it get
    /// `ActorStopped`; those of an actor with children once these have ended, which is first.
    /// Who watches it is told that it was stopped.
    ///
    /// Streams of its turns that have a deadline are waited for, until `grace` is over or their deadline comes. One whose
    /// sender is part of the state does not end before that: drop the senders in this turn. Then readers get the items that
    /// are there, and the end. Those of streams without a deadline get so too, and otherwise `StreamBroken` as soon as
    /// nothing else is waited for.
    ///
    /// For spawned actors. One with a key goes to sleep when nobody calls it, by `idle`.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    pub fn stop(&self, grace: Duration)
    where
        A::Addressing: EndsItself<A>,
    {
        begin_to_end(self.world("stop"), grace);
    }

    /// Stops an actor of this node, such as a child: its children first, then what waits in its mailbox runs, and streams
    /// that have a deadline end; what is left after `grace` is dropped. Returns whether it was here, as
    /// [`Node::stop_actor`](crate::Node::stop_actor) does.
    ///
    /// The actor's own ref begins its end, as [`Ctx::stop`] does, and returns at once. An actor that this turn's end is
    /// part of, such as its parent, is waited for until the grace is over and the turn is dropped.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    ///
    /// # Cancel safety
    /// Dropped in the middle, the actor has stopped taking calls and may not have ended.
    pub async fn stop_actor<R: Reference>(&self, target: &R, grace: Duration) -> bool {
        let world = self.world("stop_actor");
        let own: &dyn Any = world.this();
        if own.downcast_ref() == Some(target) {
            return begin_to_end(world, grace);
        }
        hosting::stop_actor(world.hub(), target, grace).await
    }

    /// Runs `then` with the actor's ref after a time, unless the actor ends or restarts first. What
    /// it returns is awaited, until the actor ends or restarts; a call made in it is an ordinary call
    /// with its own deadline.
    ///
    /// The timer is in memory: a restart forgets it.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`].
    pub fn after<F>(&self, delay: Duration, then: impl FnOnce(A::Ref) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let world = self.world("after");
        let (this, life) = (world.this().clone(), world.life());
        let named = this.clone();
        world.hub().tasks().spawn("timer", async move {
            let wait_and_run = async {
                tokio::time::sleep(delay).await;
                then(this).await;
            };
            tokio::select! {
                biased;
                () = life.ended() => {}
                () = told(&named, "after", wait_and_run) => {}
            }
        });
    }

    /// Runs `tick` with the actor's ref once per period, the first time after one period, until the
    /// actor ends or restarts. A tick that takes longer than the period delays the next one.
    ///
    /// # Panics
    /// In a context made by [`Ctx::test`], and for a period of zero.
    pub fn every<F>(&self, period: Duration, tick: impl Fn(A::Ref) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        assert!(
            !period.is_zero(),
            "`Ctx::every` needs a period that is not zero, as it would tick without end"
        );
        let world = self.world("every");
        let (this, life) = (world.this().clone(), world.life());
        let named = this.clone();
        world.hub().tasks().spawn("timer", async move {
            let start = tokio::time::Instant::now() + period;
            let mut ticks = tokio::time::interval_at(start, period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let run = async {
                loop {
                    ticks.tick().await;
                    tick(this.clone()).await;
                }
            };
            tokio::select! {
                biased;
                () = life.ended() => {}
                () = told(&named, "every", run) => {}
            }
        });
    }

    /// Returns the key; `NoKey` for what has none.
    fn own_key(&self) -> &A::Key {
        match &self.0 {
            Inner::Resident { world, .. } => world.key(),
            Inner::Test { key } => key,
        }
    }

    /// Returns the node that runs the turn.
    pub(super) fn hub(&self) -> &Arc<crate::call::Hub> {
        self.world("hub").hub()
    }

    fn meta(&self) -> Option<&Meta> {
        match &self.0 {
            Inner::Resident { meta, .. } => meta.as_ref(),
            Inner::Test { .. } => None,
        }
    }

    fn world(&self, function: &str) -> &dyn Residence<A> {
        match &self.0 {
            Inner::Resident { world, .. } => &**world,
            Inner::Test { .. } => panic!(
                "`Ctx::{function}` needs a node: a context made by `Ctx::test` has only a key; \
                 start a `Node` in the test instead"
            ),
        }
    }
}

/// Begins to stop the actor in its own turn, which cannot wait for that; returns whether there is anything to stop.
fn begin_to_end<A: Definition>(world: &dyn Residence<A>, grace: Duration) -> bool {
    let (hub, this) = (world.hub().clone(), world.this().clone());
    let mut ending = Box::pin(async move { hosting::stop_actor(&hub, &this, grace).await });
    // Its first step is now: the caller of this turn must not reach the actor once it has its answer.
    if let Some(was_here) = (&mut ending).now_or_never() {
        return was_here;
    }
    world.hub().tasks().spawn("stop", async move {
        ending.await;
    });
    true
}

/// Awaits what a timer runs, and tells the log of a panic: nobody else waits for it.
async fn told(actor: &impl fmt::Debug, timer: &str, run: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(run).catch_unwind().await {
        tracing::error!(
            ?actor,
            panic = panic_text(&*panic),
            "the closure of `Ctx::{timer}` panicked: this timer has ended, and the actor goes on without it; mend what it \
             panics for"
        );
    }
}

impl<A: Handlers> Ctx<A> {
    /// Makes the context that an actor is made with, and that its turns use one after the other.
    pub(crate) fn resident(world: Arc<World<A>>) -> Self {
        Self(Inner::Resident { world, meta: None })
    }

    /// Makes it the context of a call's turn.
    pub(crate) fn begin(&mut self, of: Meta) {
        if let Inner::Resident { meta, .. } = &mut self.0 {
            *meta = Some(of);
        }
    }
}

impl<A: Handlers> Residence<A> for World<A> {
    fn hub(&self) -> &Arc<crate::call::Hub> {
        &self.hub
    }

    fn this(&self) -> &A::Ref {
        &self.this
    }

    fn key(&self) -> &A::Key {
        <A::Ref as Reference>::key(&self.this)
    }

    fn children(&self) -> crate::actor::Guardian {
        World::children(self)
    }

    fn new_group(&self, strategy: Strategy) -> crate::actor::Guardian {
        World::new_group(self, strategy)
    }

    fn life(&self) -> Arc<crate::actor::Life> {
        self.cell.life()
    }

    fn fence(&self) -> Option<&Fence> {
        World::fence(self)
    }
}

impl<A: Definition> fmt::Debug for Ctx<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("actor", &A::NAME)
            .field("key", self.own_key())
            .finish_non_exhaustive()
    }
}
