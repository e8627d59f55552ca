//! What incarnations of an actor are started from, and one of a service or a spawned actor as a ractor actor.
//!
//! ractor gives the task, the capture of panics, the kill and the event that tells the guardian.
//! The messages are not ractor's: its mailbox is unbounded. A resident gets one `()` from its
//! guardian and stays in that one `handle` until its turns end.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use callboard_protocol::id::ActorAddr;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::{sync::Semaphore, time::Instant};

use crate::task::Tasks;

use super::{
    behaviour::Behaviour,
    cell::Cell,
    child::{Child, Starting},
    guardian::Guardian,
    house::Housed,
    incarnation::Incarnation,
    life::{Cut, Life},
    lifecycle::{self, Begun},
    tenant::Tenant,
    turns::{self, Exit},
    workers,
};

/// What every incarnation of one actor is started from.
pub(crate) struct Job<B: Behaviour> {
    pub(crate) cell: Arc<Cell<B::Item>>,
    pub(crate) world: Arc<B::World>,
    /// The places for calls that run beside each other whatever they do, as a service's do. An
    /// actor has none.
    pub(crate) places: Option<Arc<Semaphore>>,
    pub(crate) tasks: Tasks,
}

struct Resident<B>(PhantomData<fn() -> B>);

impl<B: Behaviour> Actor for Resident<B> {
    type Msg = ();
    type State = Running<B>;
    type Arguments = Arc<Job<B>>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        job: Arc<Job<B>>,
    ) -> Result<Running<B>, ActorProcessingErr> {
        let housed = job.cell.house();
        let state = B::create(&job.world);
        job.cell.set_begun();
        Ok(Running {
            state: Some(state),
            housed,
            job,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        running: &mut Running<B>,
    ) -> Result<(), ActorProcessingErr> {
        let job = running.job.clone();
        // Dropped AFTER the state.
        let _housed = running.housed.clone();
        // Taken out, so that the state is dropped here and not inside a supervision event.
        let Some(mut state) = running.state.take() else {
            return Ok(());
        };
        if let Some(places) = &job.places {
            // Apart, so that an actor has no place for it.
            let calls = workers::run(Arc::new(state), &job.cell, &job.world, places, &job.tasks);
            Box::pin(calls).await;
        } else {
            // The caller asked for the end of an aborted one, so it is no failure: the actor goes on with a
            // new state.
            while live(&mut state, &job, &mut false, false).await? == Exit::Aborted {
                job.incarnation_over();
                state = B::create(&job.world);
            }
            state.retire(&job.world);
        }
        myself.stop(None);
        Ok(())
    }
}

/// Runs the turns of a state, and what comes before and after them. One that has begun goes on; one that `ends` runs no
/// turn, as it has been idle.
///
/// # Errors
/// Why it could not begin.
pub(super) async fn live<B: Behaviour>(
    state: &mut B,
    job: &Job<B>,
    has_begun: &mut bool,
    ends: bool,
) -> Result<Exit, String> {
    let life = job.cell.life();
    let ending = lifecycle::Ending::of(life.clone());
    let exit = live_on(state, job, &life, has_begun, ends).await?;
    if exit == Exit::AtRest {
        ending.avert();
    }
    Ok(exit)
}

async fn live_on<B: Behaviour>(
    state: &mut B,
    job: &Job<B>,
    life: &Arc<Life>,
    has_begun: &mut bool,
    ends: bool,
) -> Result<Exit, String> {
    let (cell, world) = (&job.cell, &job.world);
    if !*has_begun {
        if ends {
            return Ok(Exit::Idle);
        }
        if B::ACTIVATES {
            // Apart, as what comes at the end is: most actors have no place for either.
            match Box::pin(lifecycle::begin(state, cell, world)).await {
                Begun::Active => {}
                Begun::Unused(exit) => return Ok(exit),
                Begun::Failed(why) => return Err(why),
            }
        }
        B::begins(world);
        *has_begun = true;
    }
    let exit = match ends {
        true => Exit::Idle,
        false => turns::run(state, cell, world, life).await,
    };
    let is_streaming = exit == Exit::Drained && cell.is_streaming();
    if is_streaming {
        Box::pin(lifecycle::await_streams(cell, life)).await;
    }
    if B::DEACTIVATES && exit != Exit::AtRest {
        Box::pin(lifecycle::end(state, exit, cell, world)).await;
    }
    if is_streaming {
        Box::pin(lifecycle::end_streams(cell, life)).await;
    }
    Ok(exit)
}

struct Running<B: Behaviour> {
    state: Option<B>,
    housed: Housed,
    job: Arc<Job<B>>,
}

impl<B: Behaviour> Job<B> {
    /// Ends what the incarnation started: its streams, timers and children.
    pub(super) fn incarnation_over(&self) {
        let mut residence = self.cell.residence();
        residence.life.end();
        residence.life = Arc::default();
        drop(residence);
        B::incarnation_ended(&self.world);
    }
}

impl<B: Behaviour> Child for Job<B> {
    fn tenant(self: Arc<Self>, guardian: &Guardian, number: u64) -> Option<Incarnation> {
        let tenant = || Tenant::new(self.clone(), guardian.clone(), number);
        self.is_keyed()
            .then(|| Incarnation::Tenant(Arc::new(tenant())))
    }

    fn start(self: Arc<Self>, guardian: ActorCell) -> Starting {
        Box::pin(async move {
            let resident = Resident::<B>(PhantomData);
            let started = Actor::spawn_linked(None, resident, self.clone(), guardian).await;
            let (actor, _) = started.map_err(|error| match error {
                // Its own text calls a service an actor.
                SpawnErr::StartupFailed(why) => why.to_string(),
                other => other.to_string(),
            })?;
            Ok(Incarnation::Actor(actor.get_cell()))
        })
    }

    fn enter(&self, incarnation: Incarnation) {
        self.cell.residence().incarnation = Some(incarnation);
    }

    fn name(&self) -> &'static str {
        self.cell.name()
    }

    fn addr(&self) -> ActorAddr {
        self.cell.addr()
    }

    fn key(&self) -> Option<String> {
        B::key(&self.world)
    }

    fn is_keyed(&self) -> bool {
        self.cell.is_keyed()
    }

    fn is_service(&self) -> bool {
        self.cell.is_service()
    }

    fn running(&self) -> usize {
        self.cell.at_work()
    }

    fn waiting(&self) -> usize {
        self.cell.mailbox.len()
    }

    fn streams(&self) -> usize {
        self.cell.streams_to_end()
    }

    fn settings(&self) -> &super::Settings {
        self.cell.settings()
    }

    fn close(&self) {
        self.cell.stop();
    }

    fn cut_streams(&self) {
        self.cell.cut_streams();
    }

    fn is_closed(&self) -> bool {
        self.cell.mailbox.is_closed()
    }

    fn kill(&self, why: Cut) -> Option<Incarnation> {
        let incarnation = {
            let mut residence = self.cell.residence();
            residence.life.cut(why);
            residence.incarnation.take()
        };
        if let Some(incarnation) = &incarnation {
            incarnation.kill();
        }
        incarnation
    }

    fn rang(&self, at: Instant) {
        let incarnation = self.cell.residence().incarnation.clone();
        if let Some(incarnation) = incarnation {
            incarnation.rang(at);
        }
    }

    fn kill_children(&self) {
        B::kill_children(&self.world);
    }

    fn incarnation_ended(&self) {
        // A statement of its own, so that it is dropped AFTER the lock was released.
        let over = self.cell.residence().incarnation.take();
        drop(over);
        self.incarnation_over();
    }

    fn given_up(&self, why: String) {
        self.cell.set_given_up(why);
    }

    fn ended(&self, why: super::Ended) {
        let unrun = match why {
            super::Ended::Stopped => super::Unrun::Stopped,
            super::Ended::Failed | super::Ended::GaveUp => super::Unrun::Quarantined,
        };
        // The life is set BEFORE the queue is drained: a caller refused by the closed queue reads
        // from it which error to give.
        self.cell.set_ended(why);
        for item in self.cell.mailbox.drain() {
            B::refuse(&self.world, item, unrun);
        }
        self.cell.residence().life.end();
        B::ended(&self.world, why);
    }

    fn wait_vacated(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.cell.wait_vacated())
    }

    fn has_ended(&self) -> bool {
        self.cell.ended().is_some()
    }

    fn stop_children(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(B::stop_children(&self.world, grace))
    }

    fn wait_ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.cell.wait_ended().await;
            // The calls of a service have tasks of their own, which end AFTER their actor.
            if let Some(places) = &self.places {
                workers::wait_ended(&self.cell, places).await;
            }
        })
    }
}
