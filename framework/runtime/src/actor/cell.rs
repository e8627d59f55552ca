//! The part of an actor that stays: its address, its mailbox and what became of it. Refs and calls
//! hold it; incarnations of the state come and go behind it.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{id::ActorAddr, policy::wait_max, time::Time};
use tokio::sync::Notify;

use super::{
    Settings,
    backlog::Backlog,
    house::{House, Housed, Streams},
    incarnation::Incarnation,
    life::Life,
    mailbox::{Mailbox, Refusal},
};

/// Why an actor will not run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was stopped, or nobody called it for its idle time.
    Stopped,
    /// It panicked and its settings say not to restart it.
    Failed,
    /// It failed too often within its restart intensity.
    GaveUp,
}

impl Ended {
    /// Returns whether it failed, rather than being stopped.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::GaveUp)
    }
}

/// The lasting part of an actor whose messages are `T`.
#[derive(Debug)]
pub(crate) struct Cell<T> {
    addr: ActorAddr,
    name: &'static str,
    settings: &'static Settings,
    is_keyed: bool,
    is_service: bool,
    has_begun: AtomicBool,
    at_work: AtomicUsize,
    /// Which turn has the actor for itself, by the row of its method plus one, and since when in microseconds. Of one that
    /// ends by being idle, the time when the last turn began, whichever it was; 0 for none.
    turn: AtomicU64,
    pub(crate) mailbox: Mailbox<T>,
    backlog: Backlog,
    /// Why it will not run again, once that is so.
    ended: OnceLock<Ended>,
    /// Wakes who waits for the end.
    end: Notify,
    given_up: OnceLock<Box<str>>,
    stopping: AtomicBool,
    cuts_streams: AtomicBool,
    evicted: AtomicBool,
    house: Arc<House>,
    residence: Mutex<Residence>,
}

/// The current incarnation.
#[derive(Debug, Default)]
pub(super) struct Residence {
    /// What runs the turns.
    pub(super) incarnation: Option<Incarnation>,
    /// Ends what the incarnation started: its streams and timers.
    pub(super) life: Arc<Life>,
}

impl<T> Cell<T> {
    /// Makes a cell.
    pub(crate) fn new(addr: ActorAddr, name: &'static str, settings: &'static Settings) -> Self {
        Self {
            addr,
            name,
            settings,
            is_keyed: false,
            is_service: false,
            has_begun: AtomicBool::new(false),
            at_work: AtomicUsize::new(0),
            turn: AtomicU64::new(0),
            mailbox: Mailbox::new(settings.mailbox),
            backlog: Backlog::default(),
            ended: OnceLock::new(),
            end: Notify::new(),
            given_up: OnceLock::new(),
            stopping: AtomicBool::new(false),
            cuts_streams: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            house: Arc::default(),
            residence: Mutex::default(),
        }
    }

    /// Makes it the cell of an actor with a key, or not: its turns end after its idle time.
    pub(crate) fn of_keyed(mut self, is_keyed: bool) -> Self {
        self.is_keyed = is_keyed;
        self
    }

    /// Makes it the cell of a service, or not.
    pub(crate) fn of_service(mut self, is_service: bool) -> Self {
        self.is_service = is_service;
        self
    }

    /// Returns whether it is the cell of an actor with a key.
    pub(super) fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// Returns whether it is the cell of a service.
    pub(crate) fn is_service(&self) -> bool {
        self.is_service
    }

    /// Returns whether any incarnation has had its state. One that is a service's keeps it for good.
    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    pub(super) fn set_begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Returns how many turns of an actor run, or how many workers of a service have a call.
    pub(super) fn at_work(&self) -> usize {
        self.at_work.load(Ordering::Acquire)
    }

    pub(super) fn began_work(&self) {
        self.at_work.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn ended_work(&self) {
        self.at_work.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes that the turn of this message begins, alone, by the row of its method; nothing for one that runs beside
    /// others.
    #[inline]
    pub(crate) fn begins(&self, alone: Option<usize>, now: Time) {
        let turn = match alone {
            Some(row) => (row as u64 + 1) << MICROS_BITS | micros(now),
            None if self.is_keyed => micros(now),
            None => 0,
        };
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// Returns which turn has the actor for itself, by the row of its method, and since when.
    pub(crate) fn held_by(&self) -> Option<(usize, Time)> {
        let turn = self.turn.load(Ordering::Relaxed);
        let row = (turn >> MICROS_BITS).checked_sub(1)?;
        let since = Duration::from_micros(turn & MICROS_MAX);
        (self.at_work.load(Ordering::Acquire) > 0).then_some((row as usize, Time::ZERO + since))
    }

    /// Returns when the last turn of a keyed actor began that has nothing to do: no turn runs, no message waits, and no
    /// stream is open. Nothing if it has, or ends for another reason.
    pub(crate) fn rests_since(&self) -> Option<Time> {
        let busy = self.at_work() > 0 || self.mailbox.waiting() > 0 || self.is_streaming();
        let ends = self.is_stopping() || self.is_evicted() || self.ended().is_some();
        let used = self.turn.load(Ordering::Relaxed) & MICROS_MAX;
        (!busy && !ends).then(|| Time::ZERO + Duration::from_micros(used))
    }

    /// Has a keyed actor end as soon as it has nothing to do, as if its idle time were over.
    pub(crate) fn evict(&self) {
        // BEFORE the reader is woken: it looks.
        self.evicted.store(true, Ordering::Release);
        self.mailbox.wake();
    }

    /// Returns whether it is to end as soon as it has nothing to do.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    /// Returns what says how many turns of an actor run.
    pub(super) fn work(&self) -> Work<'_> {
        Work(&self.at_work)
    }

    /// Returns the address.
    pub(crate) fn addr(&self) -> ActorAddr {
        self.addr
    }

    /// Returns the definition's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the settings.
    pub(crate) fn settings(&self) -> &'static Settings {
        self.settings
    }

    /// Returns the time without messages after which its turns end, of an actor with a key.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.is_keyed.then_some(self.settings.idle)
    }

    /// Returns what counts the streams that its turns have answered with.
    pub(crate) fn streams(&self) -> Streams {
        Streams::of(&self.house)
    }

    /// Returns whether a stream of its turns is open.
    pub(super) fn is_streaming(&self) -> bool {
        self.house.open() > 0
    }

    /// Returns how many streams of its turns a stop waits for: those that have a deadline.
    pub(super) fn streams_to_end(&self) -> usize {
        match self.cuts_streams() {
            true => 0,
            false => self.house.finite(),
        }
    }

    /// Has a stop of it wait for no stream, also one that waits already.
    pub(super) fn cut_streams(&self) {
        self.cuts_streams.store(true, Ordering::Release);
        self.house.wake();
    }

    /// Returns whether a stop of it waits for no stream.
    pub(super) fn cuts_streams(&self) -> bool {
        self.cuts_streams.load(Ordering::Acquire)
    }

    /// Waits until a stop of it waits for no stream any more.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn wait_streams_ended(&self) {
        self.house.until(|| self.streams_to_end() == 0).await;
    }

    /// Waits until no stream of its turns is open.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn wait_no_stream(&self) {
        self.house.until(|| self.house.open() == 0).await;
    }

    /// Returns why it will not run again, or nothing while it may.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.get().copied()
    }

    /// Returns why it was given up, or an empty text.
    pub(crate) fn given_up(&self) -> &str {
        self.given_up.get().map_or("", |why| why)
    }

    /// Waits until it will not run again.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(crate) async fn wait_ended(&self) -> Ended {
        loop {
            let mut end = pin!(self.end.notified());
            // BEFORE the look, so that an end in between wakes it.
            end.as_mut().enable();
            if let Some(why) = self.ended() {
                return why;
            }
            end.await;
        }
    }

    /// Says whether a call that comes at `now` and whose caller gives it so long would be taken;
    /// nothing for a send, which nobody waits for. It may be asked BEFORE anything is done for the
    /// call; the mailbox has the last word. That it would be taken is said without a lock.
    ///
    /// # Errors
    /// Why it would not be.
    pub(crate) fn admits(&self, left: Option<Duration>, now: Time) -> Result<(), Refusal> {
        let Some(left) = left else {
            return Ok(());
        };
        // A quarter is for what the estimate is wrong by: few are taken that are refused later.
        let most = wait_max(left, self.settings.wait / 4 * 3);
        self.admits_behind(self.mailbox.waiting(), most, now)
            // Messages that are on their way to the reader were counted twice, perhaps.
            .or_else(|_| self.admits_behind(self.mailbox.len(), most, now))
    }

    fn admits_behind(&self, ahead: usize, most: Duration, now: Time) -> Result<(), Refusal> {
        if ahead >= self.settings.mailbox {
            return Err(Refusal::Full);
        }
        match self.backlog.wait_over(most, ahead, now) {
            Some(wait) => Err(Refusal::Slow { wait, most }),
            None => Ok(()),
        }
    }

    /// Returns by when the turn of a message has to begin that comes at `now`; `left` as for
    /// [`Cell::admits`].
    pub(crate) fn begins_by(&self, deadline: Time, left: Option<Duration>, now: Time) -> Time {
        match left {
            Some(_) => deadline.min(now + self.settings.wait),
            None => deadline,
        }
    }

    /// Notes that a message was taken out of the mailbox at `now`.
    pub(crate) fn took_one(&self, now: Time) {
        self.backlog.took_one(self.mailbox.waiting(), now);
    }

    /// Refuses further messages; what waits still runs.
    pub(super) fn stop(&self) {
        // BEFORE the mailbox is closed: one that is closed and not stopping was idle.
        self.stopping.store(true, Ordering::Release);
        self.mailbox.close();
    }

    /// Returns whether it was told to stop, rather than ending by itself.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns what an incarnation holds for as long as there is anything of its state.
    pub(super) fn house(&self) -> Housed {
        self.house.enter()
    }

    /// Waits until nothing of any incarnation is left: a turn that does not await goes on even though its
    /// actor was declared over.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn wait_vacated(&self) {
        self.house.until(|| self.house.is_vacated()).await;
    }

    /// Returns the life of the current incarnation.
    pub(crate) fn life(&self) -> Arc<Life> {
        self.residence().life.clone()
    }

    /// Notes why it is given up, BEFORE it is ended, so that whoever sees the end sees the reason.
    pub(super) fn set_given_up(&self, why: String) {
        // It is given up once, so there is no earlier reason to lose.
        let _ = self.given_up.set(why.into_boxed_str());
    }

    pub(super) fn set_ended(&self, why: Ended) {
        // It ends once: whoever comes second changes nothing.
        let _ = self.ended.set(why);
        self.end.notify_waiters();
    }

    pub(super) fn residence(&self) -> std::sync::MutexGuard<'_, Residence> {
        self.residence
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn micros(time: Time) -> u64 {
    (time.as_nanos() / 1000).min(MICROS_MAX)
}

/// Enough for eight years, and leaves the rows of 65535 methods.
const MICROS_BITS: u32 = 48;
const MICROS_MAX: u64 = (1 << MICROS_BITS) - 1;

/// How many turns of an actor run. They run on one task, which alone writes it; none runs any more when this
/// is dropped.
#[derive(Debug)]
pub(super) struct Work<'a>(&'a AtomicUsize);

impl Work<'_> {
    /// So many turns run now.
    #[inline]
    pub(super) fn set(&self, turns: usize) {
        self.0.store(turns, Ordering::Release);
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, thread};

    use callboard_protocol::id::{ActorId, Incarnation, NodeId};

    use super::*;

    /// While the reader takes what has come in, who looks without a lock may count it twice.
    #[test]
    fn a_call_is_not_refused_for_messages_that_are_counted_twice() {
        let addr = ActorAddr {
            node: NodeId(1),
            incarnation: Incarnation(1),
            actor: ActorId(1),
        };
        const SETTINGS: &Settings = &Settings::spawned();
        let cell = Cell::new(addr, "Clerk", SETTINGS);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2000 {
                    for message in 0..600 {
                        cell.mailbox.push(message).expect("there is room");
                    }
                    while cell.mailbox.try_pop(&mut None) {}
                }
                over.store(true, Ordering::Relaxed);
            });
            let left = Some(Duration::from_secs(1));
            while !over.load(Ordering::Relaxed) {
                assert_eq!(cell.admits(left, Time::from_millis(1)), Ok(()));
            }
        });
    }
}
