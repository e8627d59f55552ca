//! A guardian restarts its children by a strategy.
//!
//! ractor tells it that a child failed or ended; `protocol::supervision` decides; this file carries
//! the decision out. A child that is given up stays given up and says so: in the log, to whoever
//! watches it, and to every caller.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use callboard_protocol::supervision::{Backoff, Decision, Intensity, Strategy, Supervisor};
use futures_util::{StreamExt, stream};
use ractor::{Actor, ActorCell, ActorId};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use crate::task::Tasks;

use super::{
    Ended, Settings,
    alarm::Alarm,
    child::Child,
    incarnation::{Incarnation, Number},
    life::Cut,
    notice,
    surroundings::Surroundings,
    watcher::Watcher,
};

/// A handle to a guardian; clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Guardian(Arc<Inner>);

struct Inner {
    strategy: Strategy,
    surroundings: Arc<dyn Surroundings>,
    tasks: Tasks,
    actor: tokio::sync::OnceCell<ActorCell>,
    /// Where the turns of children with keys run, whoever calls them.
    runtime: OnceLock<Handle>,
    alarm: Alarm,
    state: Mutex<State>,
}

struct State {
    /// Those that may concern each other, and those that have failed.
    supervisor: Supervisor<u64>,
    /// By their numbers on the node, which are given in order.
    children: BTreeMap<u64, Entry>,
    /// The child of each ractor actor.
    residents: BTreeMap<ActorId, u64>,
    /// The ractor actor of each child that has one.
    resident_of: BTreeMap<u64, ActorId>,
    /// Children that are being started, with the number of the start that counts. One that is
    /// overtaken by a restart or an end is dropped when it is ready.
    starts: BTreeMap<u64, u64>,
    next_start: u64,
    /// Children without an incarnation, until their backoff is over.
    waiting: BTreeMap<u64, Waiting>,
    /// Those who are not started yet, where nobody is.
    held: Option<Vec<u64>>,
    stopping: bool,
}

/// A child. There may be a million of them.
struct Entry {
    child: Arc<dyn Child>,
    /// The number of the start of its tenant; zero for none.
    tenant: u64,
}

/// A child that waits for its restart.
#[derive(Default)]
struct Waiting {
    /// The number of the restart that counts: a failure of an older sibling makes a new one.
    restart: u64,
    /// The incarnation before, which was killed and may not have ended yet.
    killed: Option<Incarnation>,
}

impl Guardian {
    /// Makes a guardian; it becomes a ractor actor with its first child.
    pub(crate) fn new(
        strategy: Strategy,
        surroundings: Arc<dyn Surroundings>,
        tasks: Tasks,
    ) -> Self {
        Self(Arc::new(Inner {
            strategy,
            surroundings,
            tasks,
            actor: tokio::sync::OnceCell::new(),
            runtime: Handle::try_current().map_or_else(|_| OnceLock::new(), OnceLock::from),
            alarm: Alarm::default(),
            state: Mutex::new(State {
                supervisor: Supervisor::new(strategy),
                children: BTreeMap::new(),
                residents: BTreeMap::new(),
                resident_of: BTreeMap::new(),
                starts: BTreeMap::new(),
                next_start: 0,
                waiting: BTreeMap::new(),
                held: None,
                stopping: false,
            }),
        }))
    }

    /// Starts no child from now on, until they are [released](Self::release).
    pub(crate) fn hold(&self) {
        self.state().held.get_or_insert_default();
    }

    /// Starts those who were held.
    pub(crate) fn release(&self) {
        let held = self.state().held.take().unwrap_or_default();
        let children = held
            .into_iter()
            .filter_map(|key| Some((key, self.child(key)?)));
        children.for_each(|(key, child)| self.start(key, child));
    }

    /// Takes a child in and starts it in the background.
    pub(crate) fn adopt(&self, child: Arc<dyn Child>) {
        let key = child.addr().actor.0;
        {
            let mut state = self.state();
            if state.stopping {
                drop(state);
                child.ended(Ended::Stopped);
                return;
            }
            // One that concerns nobody else has an order among nobody. It is known from its first failure on.
            if self.0.strategy != Strategy::OneForOne {
                state.know(key, child.settings());
            }
            let child = child.clone();
            state.children.insert(key, Entry { child, tenant: 0 });
        }
        self.start(key, child);
    }

    /// Stops all children, the youngest first, those with keys beside each other: each runs what waits in its mailbox, and lets
    /// its streams end that have a deadline; what is left after `grace` is dropped.
    pub(crate) async fn stop(&self, grace: Duration) {
        let children: Vec<_> = {
            let mut state = self.state();
            state.stopping = true;
            let children = state.children.values().rev();
            children.map(|it| it.child.clone()).collect()
        };
        let deadline = Instant::now() + grace;
        // Actors with keys have no order among them, and may have something to do each.
        for beside in children.chunk_by(|one, other| one.is_keyed() && other.is_keyed()) {
            let stops = stream::iter(beside).for_each_concurrent(STOPS_MAX, |child| {
                let left = deadline.saturating_duration_since(Instant::now());
                self.stop_child(child, left)
            });
            stops.await;
        }
        if let Some(actor) = self.0.actor.get() {
            actor.stop(None);
        }
    }

    /// Drops the running turns of all children and ends them, without waiting.
    pub(crate) fn kill(&self) {
        let children: Vec<_> = {
            let mut state = self.state();
            state.stopping = true;
            state.children.keys().rev().copied().collect()
        };
        for key in children {
            if let Some(child) = self.child(key) {
                child.kill_children();
                child.kill(Cut::Orphaned);
            }
            self.ended(key, Ended::Stopped);
        }
        if let Some(actor) = self.0.actor.get() {
            actor.stop(None);
        }
    }

    /// Stops one child.
    pub(crate) async fn stop_child(&self, child: &Arc<dyn Child>, grace: Duration) {
        let deadline = Instant::now() + grace;
        child.stop_children(grace).await;
        child.close();
        if self.waits_for_start(child) {
            return self.over(child, Ended::Stopped);
        }
        if has_ended_by(&**child, deadline, &*self.0.surroundings).await {
            return;
        }
        // One that comes after another that took all of the grace, as a parent comes after its children,
        // may just not have had a moment to end.
        if child.running() + child.waiting() + child.streams() > 0 {
            notice::grace_over(&**child, grace);
        }
        child.kill(Cut::GraceOver);
        // A killed turn that never awaits holds its task; the child is declared over all the same,
        // so that nobody waits for it.
        if timeout(KILL_GRACE, child.wait_ended()).await.is_err() {
            notice::cannot_end(&**child);
            self.over(child, Ended::Stopped);
        }
    }

    fn start(&self, key: u64, child: Arc<dyn Child>) {
        let number = {
            let mut state = self.state();
            if let Some(held) = &mut state.held {
                return held.push(key);
            }
            state.next_start += 1;
            let number = state.next_start;
            state.starts.insert(key, number);
            number
        };
        // Its state is made by its first task.
        if let Some(tenant) = child.clone().tenant(self, number) {
            return self.settled(key, number, &child, &tenant);
        }
        let guardian = self.clone();
        self.0.tasks.spawn("actor-start", async move {
            let failure = match guardian.actor().await {
                Ok(actor) if guardian.is_over() => return actor.stop(None),
                Ok(actor) => match child.clone().start(actor).await {
                    Ok(incarnation) => return guardian.settled(key, number, &child, &incarnation),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            if guardian.state().starts.get(&key) != Some(&number) {
                return;
            }
            // What the failed start had begun, children and timers, ends with it.
            child.incarnation_ended();
            guardian.failed(key, &failure);
        });
    }

    /// Lets a child that was started run, unless it was restarted or ended meanwhile.
    fn settled(&self, key: u64, number: u64, child: &Arc<dyn Child>, incarnation: &Incarnation) {
        {
            let mut state = self.state();
            if state.starts.get(&key) != Some(&number) {
                drop(state);
                incarnation.kill();
                return;
            }
            state.starts.remove(&key);
            state.enter(key, incarnation.number());
            // Under the lock, so that a restart finds it either not there or to be killed.
            child.enter(incarnation.clone());
        }
        incarnation.begin();
        // ractor sets the status BEFORE it reports, so an end that was reported before the incarnation
        // was entered is seen here.
        if incarnation.may_have_ended() {
            let failure = "ended while it started".to_owned();
            self.left(key, incarnation.number(), Some(failure));
        }
    }

    /// Runs what a child with a key has to do.
    pub(super) fn spawn(&self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        let runtime = self.0.runtime.get_or_init(Handle::current);
        self.0.tasks.spawn_on(runtime, name, run);
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.0.alarm
    }

    /// Has children looked at when their times come, from now on.
    pub(super) fn watch_alarm(&self) {
        let (guardian, token) = (self.clone(), self.0.tasks.token().clone());
        self.spawn("alarm", async move {
            loop {
                let due = tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    due = guardian.alarm().ring() => due,
                };
                for (at, key) in due {
                    if let Some(child) = guardian.child(key) {
                        child.rang(at);
                    }
                }
                tokio::task::yield_now().await;
            }
        });
    }

    async fn actor(&self) -> Result<ActorCell, String> {
        let spawned = self.0.actor.get_or_try_init(|| async {
            let (actor, _) = Actor::spawn(None, Watcher, self.clone()).await?;
            Ok::<_, ractor::SpawnErr>(actor.get_cell())
        });
        spawned.await.cloned().map_err(|error| error.to_string())
    }

    /// Takes in ractor's report that an actor of its ended.
    pub(super) fn reported(&self, resident: ActorId, failure: Option<String>) {
        let key = self.state().residents.get(&resident).copied();
        if let Some(key) = key {
            self.left(key, Number::Actor(resident), failure);
        }
    }

    /// Takes in that an incarnation ended; `failure` is nothing for an orderly end.
    pub(super) fn left(&self, key: u64, number: Number, failure: Option<String>) {
        {
            let mut state = self.state();
            if !state.is_current(key, number) {
                return;
            }
            state.forget_incarnation(key);
        }
        let Some(child) = self.child(key) else { return };
        child.incarnation_ended();
        match failure {
            Some(failure) => self.failed(key, &failure),
            None => self.ended(key, Ended::Stopped),
        }
    }

    fn failed(&self, key: u64, failure: &str) {
        let Some(child) = self.child(key) else { return };
        let name = child.name();
        if self.state().stopping || child.is_closed() {
            return self.ended(key, Ended::Stopped);
        }
        if !child.settings().restart {
            notice::given_up(&*child, failure, "its settings say not to restart it");
            child.given_up(format!(
                "it failed, and its settings say not to restart it: {failure}"
            ));
            return self.ended(key, Ended::Failed);
        }
        let (now, random) = (self.0.surroundings.now(), self.0.surroundings.random());
        let decision = {
            let mut state = self.state();
            // One that has ended meanwhile is not to be known again.
            if state.children.contains_key(&key) {
                state.know(key, child.settings());
            }
            state.supervisor.child_failed(&key, now, random)
        };
        match decision {
            Decision::Restart { children, delay } => {
                notice::restarting(&*child, failure, delay);
                self.restart(key, &children, delay);
            }
            Decision::GiveUp { children } => {
                if child.is_service() {
                    notice::service_given_up(name, failure);
                } else {
                    notice::given_up(&*child, failure, "it failed too often");
                }
                let Settings {
                    intensity_restarts: restarts,
                    intensity_within: within,
                    ..
                } = child.settings();
                let why =
                    format!("failed more than {restarts} times within {within:?}, last: {failure}");
                for sibling in children.into_iter().rev() {
                    self.give_up(sibling, key, name, &why);
                }
            }
            Decision::Ignore => {}
        }
    }

    /// Drops the running turns of the siblings that restart too, the youngest first; what waits in
    /// their mailboxes stays. Then starts all after the delay, the oldest first.
    fn restart(&self, failed: u64, keys: &[u64], delay: Duration) {
        // The incarnations are forgotten BEFORE they are killed, so that the report of the kill does
        // not count as an end.
        let number = {
            let mut state = self.state();
            keys.iter().for_each(|key| state.forget_incarnation(*key));
            state.starts.retain(|key, _| !keys.contains(key));
            state.next_start += 1;
            let number = state.next_start;
            for key in keys {
                state.waiting.entry(*key).or_default().restart = number;
            }
            number
        };
        for key in keys.iter().rev().filter(|key| **key != failed) {
            if let Some(child) = self.child(*key) {
                let killed = child.kill(Cut::Restarted);
                child.incarnation_ended();
                if let Some(waiting) = self.state().waiting.get_mut(key) {
                    // One that still ends from the restart before stays.
                    waiting.killed = killed.or(waiting.killed.take());
                }
            }
        }
        let killed = self.state().killed(keys);
        let keys = keys.to_vec();
        let guardian = self.clone();
        let token = self.0.tasks.token().clone();
        self.0.tasks.spawn("actor-restart", async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = tokio::time::sleep(delay) => {}
            }
            // An incarnation begins AFTER the one before it has ended, unless that one computes
            // without an await for longer than anybody can wait.
            let ends = killed.iter().map(|killed| killed.wait(KILL_GRACE));
            futures_util::future::join_all(ends).await;
            for key in keys {
                guardian.start_again(key, number);
            }
        });
    }

    /// Starts a child after its backoff, unless a later restart has taken it over.
    fn start_again(&self, key: u64, restart: u64) {
        {
            let mut state = self.state();
            let current = state.waiting.get(&key).map(|waiting| waiting.restart);
            if current != Some(restart) {
                return;
            }
            state.waiting.remove(&key);
        }
        let Some(child) = self.child(key) else { return };
        if self.state().stopping || child.is_closed() {
            return self.ended(key, Ended::Stopped);
        }
        self.0.surroundings.restarted(child.name());
        self.start(key, child);
    }

    /// Ends a child for good; `name` is that of the one with the key `failed`.
    fn give_up(&self, key: u64, failed: u64, name: &str, why: &str) {
        if let Some(child) = self.child(key) {
            if key == failed {
                child.given_up(format!("it {why}"));
            } else {
                notice::given_up_too(&*child);
                child.given_up(format!("its sibling {name} {why}"));
            }
            child.kill(Cut::GivenUp);
            child.incarnation_ended();
            self.0.surroundings.gave_up(child.name());
            self.ended(key, Ended::GaveUp);
        }
    }

    fn ended(&self, key: u64, why: Ended) {
        let child = {
            let mut state = self.state();
            state.supervisor.child_ended(&key);
            state.forget_incarnation(key);
            state.starts.remove(&key);
            state.waiting.remove(&key);
            state.children.remove(&key).map(|it| it.child)
        };
        if let Some(child) = child.filter(|child| !child.has_ended()) {
            child.ended(why);
        }
    }

    fn over(&self, child: &Arc<dyn Child>, why: Ended) {
        self.ended(child.addr().actor.0, why);
    }

    /// Returns whether the child has no incarnation that could run what waits.
    fn waits_for_start(&self, child: &Arc<dyn Child>) -> bool {
        let state = self.state();
        let is_held = |key: &u64| state.held.as_ref().is_some_and(|held| held.contains(key));
        let waits = |key: &u64| state.waiting.contains_key(key) || is_held(key);
        waits(&child.addr().actor.0)
    }

    /// Returns whether it has stopped: whoever made its ractor actor AFTER that has to stop it.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.stopping && state.children.is_empty()
    }

    fn child(&self, key: u64) -> Option<Arc<dyn Child>> {
        let state = self.state();
        state.children.get(&key).map(|it| it.child.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the incarnations that were killed for a restart of these children.
    fn killed(&self, keys: &[u64]) -> Vec<Incarnation> {
        let waiting = keys.iter().filter_map(|key| self.waiting.get(key));
        waiting
            .filter_map(|waiting| waiting.killed.clone())
            .collect()
    }

    /// Has the supervisor know a child, the youngest of those that it knows if it does not yet.
    fn know(&mut self, key: u64, settings: &Settings) {
        let intensity = Intensity::new(settings.intensity_restarts, settings.intensity_within);
        let backoff = Backoff::new(settings.backoff_min, settings.backoff_max);
        self.supervisor.child_started(key, intensity, backoff);
    }

    /// Takes the report of this incarnation of the child.
    fn enter(&mut self, key: u64, number: Number) {
        match number {
            Number::Actor(actor) => {
                self.residents.insert(actor, key);
                self.resident_of.insert(key, actor);
            }
            Number::Tenant(start) => {
                if let Some(child) = self.children.get_mut(&key) {
                    child.tenant = start;
                }
            }
        }
    }

    /// Returns whether the report of this incarnation of the child is to be taken.
    fn is_current(&self, key: u64, number: Number) -> bool {
        match number {
            Number::Actor(actor) => self.resident_of.get(&key) == Some(&actor),
            Number::Tenant(start) => self.children.get(&key).is_some_and(|it| it.tenant == start),
        }
    }

    /// Takes no report of the child's incarnation any more.
    fn forget_incarnation(&mut self, key: u64) {
        if let Some(actor) = self.resident_of.remove(&key) {
            self.residents.remove(&actor);
        }
        if let Some(child) = self.children.get_mut(&key) {
            child.tenant = 0;
        }
    }
}

impl fmt::Debug for Guardian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guardian")
            .field("children", &self.state().children.len())
            .finish_non_exhaustive()
    }
}

/// Waits until the child has ended, until the deadline at most; returns whether it has. What takes long is
/// told in the log: whoever stops a node sees nothing of it otherwise.
async fn has_ended_by(child: &dyn Child, deadline: Instant, node: &dyn Surroundings) -> bool {
    let told_at = deadline.min(Instant::now() + TOLD_AFTER);
    if timeout_at(told_at, child.wait_ended()).await.is_ok() {
        return true;
    }
    let left = deadline.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        notice::waits(child, &node.to_end(), left);
    }
    timeout_at(deadline, child.wait_ended()).await.is_ok()
}

/// How long a killed turn may take to reach its next await before its actor is declared over.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// A stop that takes longer than this makes whoever waits for it wonder.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// How many children with keys are stopped at a time.
const STOPS_MAX: usize = 64;
