//! Deadlines: the timer wheels of a node and everything that waits on them.
//!
//! `protocol::schedule` keeps the wheel; here are the task that sleeps until its next tick and the
//! future that a call waits with.

use std::{
    array, fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use callboard_protocol::{
    schedule::{TimerKey, TimerWheel},
    time::Time,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{env::Clock, telemetry::shard};

/// The wheels of a node. A wait is on the wheel of the thread that began it, so that threads seldom
/// wait for each other.
pub(crate) struct Deadlines {
    clock: Arc<dyn Clock>,
    start: Instant,
    wheels: [Mutex<Wheel>; WHEELS],
    earlier: Notify,
    ended: CancellationToken,
}

struct Wheel {
    timers: TimerWheel<Waker>,
    /// Nothing drives the wheel any more: every wait is over.
    over: bool,
    /// When the task wakes next; an earlier timer has to tell it.
    wakes_at: Time,
}

impl Deadlines {
    /// Makes an empty wheel whose time begins now.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.now();
        let wheel = || Wheel {
            timers: TimerWheel::new(Time::ZERO),
            over: false,
            wakes_at: FAR,
        };
        Self {
            clock,
            start,
            wheels: array::from_fn(|_| Mutex::new(wheel())),
            earlier: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Returns the time since the node's start.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.at(self.clock.now())
    }

    /// Returns a moment of the clock as the time since the node's start.
    #[inline]
    pub(crate) fn at(&self, moment: Instant) -> Time {
        Time::ZERO + moment.saturating_duration_since(self.start)
    }

    /// Wakes what is due, for as long as it is polled.
    pub(crate) async fn drive(&self) {
        loop {
            let now = self.now();
            let mut wait = WAIT_MAX;
            for wheel in &self.wheels {
                let mut wheel = lock(wheel);
                while let Some(waker) = wheel.timers.pop_expired(now) {
                    waker.wake();
                }
                wheel.wakes_at = wheel.timers.next_deadline().unwrap_or(FAR);
                wait = wait.min(wheel.wakes_at.saturating_since(now));
            }
            tokio::select! {
                biased;
                () = self.earlier.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends all waits, and every later one at once: the node has stopped, and nobody looks at the
    /// clock any more.
    pub(crate) fn end(&self) {
        let mut waiting = Vec::new();
        for wheel in &self.wheels {
            let mut wheel = lock(wheel);
            wheel.over = true;
            while let Some(waker) = wheel.timers.pop_expired(FAR) {
                waiting.push(waker);
            }
        }
        for waker in waiting {
            waker.wake();
        }
        self.ended.cancel();
    }

    /// Waits until all waits have ended because the node has stopped.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Returns whether all waits have ended because the node has stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.wheels.iter().any(|wheel| lock(wheel).over)
    }

    /// Returns how many timers are set.
    pub(crate) fn len(&self) -> usize {
        let wheels = self.wheels.iter();
        wheels.map(|wheel| lock(wheel).timers.len()).sum()
    }

    fn wheel(&self, index: usize) -> MutexGuard<'_, Wheel> {
        lock(&self.wheels[index % WHEELS])
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines").finish_non_exhaustive()
    }
}

/// A wait for a time, apart from the wheel that it is on. It costs nothing until it is first polled.
#[derive(Debug, Default)]
pub(super) struct Wait(Option<(usize, TimerKey)>);

impl Wait {
    /// Returns whether it is on a wheel.
    pub(super) fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Becomes ready at the time, always the same one.
    pub(super) fn poll(&mut self, deadlines: &Deadlines, at: Time, cx: &Context<'_>) -> Poll<()> {
        let index = self.0.map_or_else(shard, |(index, _)| index);
        let mut wheel = deadlines.wheel(index);
        if wheel.over {
            return Poll::Ready(());
        }
        if let Some((_, key)) = self.0 {
            let Some(waker) = wheel.timers.get_mut(key) else {
                // The wheel has let go of it: it was due.
                return Poll::Ready(());
            };
            // The call may have moved to another task since it was last polled.
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        self.0 = Some((index, wheel.timers.insert(at, cx.waker().clone())));
        let earlier = at < wheel.wakes_at;
        drop(wheel);
        if earlier {
            deadlines.earlier.notify_one();
        }
        Poll::Pending
    }

    /// Ends the wait, BEFORE it is dropped: the wheel keeps it otherwise.
    pub(super) fn end(&mut self, deadlines: &Deadlines) {
        if let Some((index, key)) = self.0.take() {
            // Dropped AFTER the lock was released.
            let waker = deadlines.wheel(index).timers.remove(key);
            drop(waker);
        }
    }
}

/// Becomes ready at a time. It costs nothing until it is first polled.
#[derive(Debug)]
pub(crate) struct Alarm<'a> {
    deadlines: &'a Deadlines,
    at: Time,
    wait: Wait,
}

impl<'a> Alarm<'a> {
    pub(crate) fn new(deadlines: &'a Deadlines, at: Time) -> Self {
        Self {
            deadlines,
            at,
            wait: Wait::default(),
        }
    }
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (deadlines, at) = (self.deadlines, self.at);
        self.wait.poll(deadlines, at, cx)
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.wait.end(self.deadlines);
    }
}

fn lock(wheel: &Mutex<Wheel>) -> MutexGuard<'_, Wheel> {
    wheel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each costs 10 KiB.
const WHEELS: usize = 4;

/// Later than any deadline.
const FAR: Time = Time::MAX;

/// An idle wheel looks at the clock this often; it is woken earlier when a timer needs it.
const WAIT_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[tokio::test]
    async fn nobody_waits_for_a_deadline_once_the_node_has_stopped() {
        let deadlines = Deadlines::new(Env::real().clock);
        let far = deadlines.now() + Duration::from_secs(600);
        let waits = Alarm::new(&deadlines, far);
        let waits_for_ever = Alarm::new(&deadlines, Time::MAX);
        let both = async { tokio::join!(waits, waits_for_ever, async { deadlines.end() }) };
        let both = tokio::time::timeout(Duration::from_secs(5), both).await;
        assert!(both.is_ok(), "one goes on");
        Alarm::new(&deadlines, far).await;
        assert_eq!(deadlines.len(), 0);
    }
}
