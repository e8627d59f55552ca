//! The only place that spawns.
//!
//! Every task has a name, a span, a token that asks it to stop and an owner that waits for it.
//! Groups form a tree: stopping a group stops the groups below it. Nothing here decides when to
//! stop, and nothing here restarts a task.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, subscriber::NoSubscriber};

/// A group of tasks. Clones are handles to the same group.
#[derive(Clone)]
pub(crate) struct Tasks {
    group: Arc<Group>,
}

struct Group {
    name: String,
    token: CancellationToken,
    tracker: TaskTracker,
    parent: Option<Tasks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Set when the grace period is over: a task spawned since then is dropped at once.
    aborted: bool,
    running: BTreeMap<u64, Option<AbortHandle>>,
    children: Vec<Weak<Group>>,
}

impl Tasks {
    /// Returns whether tasks can be spawned where this is called.
    pub(crate) fn can_run() -> bool {
        tokio::runtime::Handle::try_current().is_ok()
    }

    /// Makes a group without a parent.
    pub(crate) fn new(name: &str) -> Self {
        Self::make(name.to_owned(), CancellationToken::new(), None)
    }

    /// Makes a group that stops when this one does.
    pub(crate) fn child(&self, name: &str) -> Self {
        let path = format!("{}/{name}", self.group.name);
        let child = Self::make(path, self.group.token.child_token(), Some(self.clone()));
        let mut state = self.group.state();
        state.children.retain(|child| child.strong_count() > 0);
        state.children.push(Arc::downgrade(&child.group));
        child
    }

    /// Spawns a task. It has to end soon after [`token`](Self::token) is cancelled; what has not
    /// ended after the grace period of [`stop`](Self::stop) is dropped at its next await.
    pub(crate) fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_on(&Handle::current(), name, future);
    }

    /// As [`spawn`](Self::spawn), on this runtime, and from anywhere.
    pub(crate) fn spawn_on<F>(&self, runtime: &Handle, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::debug_span!("task", name, group = %self.group.name);
        // The place is made BEFORE the task and filled AFTER it, so that a task that ends at once
        // leaves nothing behind. The lock is not held in between: tokio drops the task in place,
        // and so takes the lock, when the runtime is shutting down.
        let id = self.group.state().reserve();
        let running = Running {
            group: Arc::clone(&self.group),
            id,
            _tracked: self.tracked(),
        };
        let task = async move {
            let _running = running;
            future.await;
        };
        let handle = runtime.spawn(task.instrument(span)).abort_handle();
        let mut state = self.group.state();
        if state.aborted {
            handle.abort();
        } else if let Some(place) = state.running.get_mut(&id) {
            *place = Some(handle);
        }
    }

    /// Returns the token that asks the tasks of this group to stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.group.token
    }

    /// Asks every task of this group and the groups below it to stop, waits for them for
    /// `grace`, then drops those that are left and waits for that.
    ///
    /// It must not be called from a task of the group: that task would wait for itself.
    ///
    /// # Cancel safety
    /// The tasks have been asked to stop when this is first polled; dropping it only ends the wait.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.group.token.cancel();
        self.group.tracker.close();
        if tokio::time::timeout(grace, self.group.tracker.wait())
            .await
            .is_err()
        {
            self.group.abort();
            self.group.tracker.wait().await;
        }
    }

    fn make(name: String, token: CancellationToken, parent: Option<Tasks>) -> Self {
        let tracker = TaskTracker::new();
        Self {
            group: Arc::new(Group {
                name,
                token,
                tracker,
                parent,
                state: Mutex::default(),
            }),
        }
    }

    /// Counts a task with this group and with those above it.
    fn tracked(&self) -> Vec<TaskTrackerToken> {
        let mut tokens = vec![self.group.tracker.token()];
        let mut above = &self.group.parent;
        while let Some(parent) = above {
            tokens.push(parent.group.tracker.token());
            above = &parent.group.parent;
        }
        tokens
    }
}

impl Group {
    fn abort(&self) {
        let (running, children) = {
            let mut state = self.state();
            state.aborted = true;
            let running: Vec<_> = state.running.values().flatten().cloned().collect();
            (running, state.children.clone())
        };
        for handle in running {
            handle.abort();
        }
        for child in children.iter().filter_map(Weak::upgrade) {
            child.abort();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&mut self) -> u64 {
        self.next += 1;
        self.running.insert(self.next, None);
        self.next
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("name", &self.group.name)
            .finish_non_exhaustive()
    }
}

/// Runs work that blocks on tokio's blocking pool. It cannot be stopped, only waited for by
/// whatever it reports to.
pub(crate) fn run_blocking(name: &'static str, job: Box<dyn FnOnce() + Send>) {
    let span = tracing::debug_span!("blocking", name);
    drop(tokio::task::spawn_blocking(move || span.in_scope(job)));
}

/// Runs work on a thread of its own, which nobody waits for; returns whether there is one. What it says goes
/// where this thread's log goes.
pub(crate) fn run_beside(name: &'static str, job: Box<dyn FnOnce() + Send>) -> bool {
    let here = tracing::dispatcher::get_default(Clone::clone);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let spawned = thread.stack_size(BESIDE_STACK_BYTES).spawn(move || {
        if here.is::<NoSubscriber>() {
            // The one of the process, which may be set later.
            job();
        } else {
            tracing::dispatcher::with_default(&here, job);
        }
    });
    spawned.is_ok()
}

/// Enough for a look and a line in the log.
const BESIDE_STACK_BYTES: usize = 256 << 10;

/// Takes a task out of its group when it ends, in whatever way.
struct Running {
    group: Arc<Group>,
    id: u64,
    _tracked: Vec<TaskTrackerToken>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.state().running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopping_a_group_waits_for_the_tasks_below_it() {
        let tasks = Tasks::new("node");
        let child = tasks.child("net");
        let ended = Arc::new(AtomicBool::new(false));
        let (token, flag) = (child.token().clone(), Arc::clone(&ended));
        child.spawn("waits", async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            flag.store(true, Ordering::SeqCst);
        });
        tasks.stop(Duration::from_secs(1)).await;
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_its_token_is_dropped_after_the_grace_period() {
        let tasks = Tasks::new("node");
        tasks.child("net").spawn("hangs", std::future::pending());
        tasks.stop(Duration::from_secs(1)).await;
        assert!(
            tasks
                .group
                .state()
                .children
                .iter()
                .all(|child| child.strong_count() == 0)
        );
    }
}
