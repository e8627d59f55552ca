//! One incarnation of an actor with a key: it has a task only while it has something to do.
//!
//! ```text
//! made ── at rest ── a message, a stop, the alarm ──▶ a task that runs turns ── none came for a moment ─┐
//!            ▲                                              │                                          │
//!            └──────────────────────────────────────────────│──────────────────────────────────────────┘
//!                                                           └─ idle, stopped, killed, failed ──▶ over
//! ```
//!
//! At rest it is its state and little more. The mailbox wakes it as it would wake a task. Each has a task of its
//! own while it runs, so that no handler holds up another actor. A panic ends the task, and the guardian is told of it as
//! ractor tells of one.

use std::{
    any::Any,
    mem,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use futures_util::{
    FutureExt,
    future::{AbortHandle, AbortRegistration, Abortable, BoxFuture},
};
use tokio::time::Instant;

use super::{
    behaviour::Behaviour,
    guardian::Guardian,
    house::Housed,
    incarnation::{Number, Occupant},
    resident::{Job, live},
    turns::{Exit, LINGER, makes_room},
};

/// An incarnation.
pub(super) struct Tenant<B: Behaviour> {
    job: Arc<Job<B>>,
    guardian: Guardian,
    number: u64,
    place: Mutex<Place<B>>,
}

struct Place<B> {
    /// Nothing while a task has it, and afterwards.
    home: Option<Home<B>>,
    /// Ends the task that has it.
    task: Option<AbortHandle>,
    /// It was told to go while it had a task.
    called: bool,
    killed: bool,
    /// When it has had nothing to do for its idle time, if it stays at rest.
    idle_at: Option<Instant>,
    /// For when it is on the guardian's alarm, which may be earlier.
    rings_at: Option<Instant>,
}

/// A state, and what is known of it.
struct Home<B> {
    /// Nothing until it is needed.
    state: Option<B>,
    has_begun: bool,
    /// It is to end if it still has nothing to do.
    is_idle: bool,
    /// Dropped AFTER the state.
    _housed: Housed,
}

/// How a task ended in good order.
enum Left {
    AtRest,
    Over,
}

impl<B: Behaviour> Tenant<B> {
    /// Makes an incarnation, which is at rest and has no state yet.
    pub(super) fn new(job: Arc<Job<B>>, guardian: Guardian, number: u64) -> Self {
        let home = Home {
            state: None,
            has_begun: false,
            is_idle: false,
            _housed: job.cell.house(),
        };
        Self {
            job,
            guardian,
            number,
            place: Mutex::new(Place {
                home: Some(home),
                task: None,
                called: false,
                killed: false,
                idle_at: None,
                rings_at: None,
            }),
        }
    }

    /// Gives it a task, if it is at rest.
    fn wake_up(self: &Arc<Self>) {
        let (home, abort) = {
            let mut place = self.place();
            let Some(home) = place.home.take() else {
                place.called = true;
                return;
            };
            let (task, abort) = AbortHandle::new_pair();
            if place.killed {
                task.abort();
            }
            place.task = Some(task);
            (home, abort)
        };
        let run = self.clone().run(home, abort);
        self.guardian.spawn("turns", run);
    }

    async fn run(self: Arc<Self>, home: Home<B>, abort: AbortRegistration) {
        let tenant = self.clone();
        // What is dropped in the middle is dropped within: a state may panic then too.
        let turns = async move { Abortable::new(tenant.live(home), abort).await };
        let failure = match AssertUnwindSafe(turns).catch_unwind().await {
            Ok(Ok(Ok(Left::AtRest))) => return,
            Ok(Ok(Ok(Left::Over)) | Err(_)) => None,
            Ok(Ok(Err(why))) => Some(why),
            Err(panic) => Some(panic_text(&*panic)),
        };
        let rings_at = self.place().rings_at.take();
        if let Some(at) = rings_at {
            self.guardian.alarm().remove(at, self.child());
        }
        let number = Number::Tenant(self.number);
        self.guardian.left(self.child(), number, failure);
    }

    /// Runs turns until there is nothing to do, or the incarnation is over.
    ///
    /// # Errors
    /// Why the state could not begin.
    async fn live(self: Arc<Self>, mut home: Home<B>) -> Result<Left, String> {
        let job = &self.job;
        loop {
            let cell = &job.cell;
            let is_idle = mem::take(&mut home.is_idle) || cell.is_evicted();
            let ends = is_idle && !cell.is_streaming() && cell.mailbox.is_unused();
            let state = home.state.get_or_insert_with(|| B::create(&job.world));
            cell.set_begun();
            match live(state, job, &mut home.has_begun, ends).await? {
                Exit::Drained => {
                    state.retire(&job.world);
                    return Ok(Left::Over);
                }
                // The caller asked for it, so it is no failure: the actor goes on with a new
                // state.
                Exit::Aborted => {
                    (home.state, home.has_begun) = (None, false);
                    job.incarnation_over();
                }
                Exit::Idle => {
                    // BEFORE the mailbox is closed: the next activation of the key begins when it
                    // is, and must not find the state of this one.
                    (home.state, home.has_begun) = (None, false);
                    job.incarnation_over();
                    if cell.mailbox.close_if_empty() {
                        return Ok(Left::Over);
                    }
                }
                Exit::AtRest => match self.rest(home) {
                    None => return Ok(Left::AtRest),
                    Some(back) => home = back,
                },
            }
        }
    }

    /// Leaves the state where the next task finds it. Gives it back if something has come up meanwhile.
    fn rest(self: &Arc<Self>, mut home: Home<B>) -> Option<Home<B>> {
        let cell = &self.job.cell;
        // BEFORE anybody can wake it.
        self.place().called = false;
        if !cell.mailbox.rest(&Waker::from(self.clone())) {
            return Some(home);
        }
        // AFTER that, so that whoever has it make room either is seen here or wakes it.
        if makes_room(cell) {
            home.is_idle = true;
            return Some(home);
        }
        // It has waited for that long already.
        let left = cell.idle().map(|idle| idle.saturating_sub(LINGER));
        let mut place = self.place();
        if place.called || place.killed {
            return Some(home);
        }
        place.home = Some(home);
        place.task = None;
        place.idle_at = left.and_then(|left| Instant::now().checked_add(left));
        self.set_alarm(place);
        None
    }

    /// Is rung for when it is idle, unless it is anyway.
    fn set_alarm(&self, mut place: MutexGuard<'_, Place<B>>) {
        let at = place.idle_at.filter(|_| place.rings_at.is_none());
        let Some(at) = at else { return };
        place.rings_at = Some(at);
        // Under the lock, so that whoever ends it finds it there.
        let needs_watch = self.guardian.alarm().add(at, self.child());
        drop(place);
        if needs_watch {
            self.guardian.watch_alarm();
        }
    }

    /// Returns what the guardian calls its actor.
    fn child(&self) -> u64 {
        self.job.cell.addr().actor.0
    }

    fn place(&self) -> MutexGuard<'_, Place<B>> {
        // No code of others runs under the lock.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Behaviour> Wake for Tenant<B> {
    fn wake(self: Arc<Self>) {
        self.wake_up();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_up();
    }
}

impl<B: Behaviour> Occupant for Tenant<B> {
    fn number(&self) -> u64 {
        self.number
    }

    fn go(self: Arc<Self>) {
        self.wake_up();
    }

    fn kill(self: Arc<Self>) {
        {
            let mut place = self.place();
            place.killed = true;
            if let Some(task) = &place.task {
                task.abort();
            }
        }
        // A state at rest is dropped by a task of its own, as one that runs is, and not by whoever calls this.
        self.wake_up();
    }

    fn rang(self: Arc<Self>, at: Instant) {
        let mut place = self.place();
        if place.rings_at != Some(at) {
            return;
        }
        place.rings_at = None;
        let idle_at = place.idle_at;
        // One that runs is on the alarm again when it rests.
        let Some(home) = &mut place.home else { return };
        if idle_at.is_none_or(|idle_at| idle_at > at) {
            return self.set_alarm(place);
        }
        home.is_idle = true;
        drop(place);
        self.wake_up();
    }

    fn wait_ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.job.cell.wait_vacated())
    }
}

/// Returns what a panic says, as ractor does.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked with what is no text")
        .to_owned()
}
