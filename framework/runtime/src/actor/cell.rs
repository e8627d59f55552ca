//! The part of an actor that stays: its address, its mailbox and what became of it. Refs and calls
//! hold it; incarnations of the state come and go behind it.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_protocol::id::ActorAddr;
use ractor::ActorCell;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Settings, mailbox::Mailbox};

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
    settings: Settings,
    idle: Option<Duration>,
    pub(crate) mailbox: Mailbox<T>,
    /// Why it will not run again, once that is so.
    ended: OnceLock<Ended>,
    /// Wakes who waits for the end.
    end: Notify,
    given_up: OnceLock<String>,
    streams: Arc<AtomicUsize>,
    stopping: AtomicBool,
    residence: Mutex<Residence>,
}

/// The current incarnation.
#[derive(Debug, Default)]
pub(super) struct Residence {
    /// The ractor actor that runs the turns.
    pub(super) actor: Option<ActorCell>,
    /// Ends what the incarnation started: its streams and timers.
    pub(super) token: Arc<CancellationToken>,
}

impl<T> Cell<T> {
    /// Makes a cell; `idle` is the time without messages after which its turns end.
    pub(crate) fn new(
        addr: ActorAddr,
        name: &'static str,
        settings: Settings,
        idle: Option<Duration>,
    ) -> Self {
        Self {
            addr,
            name,
            settings,
            idle,
            mailbox: Mailbox::new(settings.mailbox),
            ended: OnceLock::new(),
            end: Notify::new(),
            given_up: OnceLock::new(),
            streams: Arc::default(),
            stopping: AtomicBool::new(false),
            residence: Mutex::default(),
        }
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
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the idle time, if it has one.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.idle
    }

    /// Returns what counts the streams that its turns have answered with.
    pub(crate) fn streams(&self) -> &Arc<AtomicUsize> {
        &self.streams
    }

    /// Returns whether a stream of its turns is open.
    pub(super) fn is_streaming(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
    }

    /// Returns why it will not run again, or nothing while it may.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.get().copied()
    }

    /// Returns why it was given up, or an empty text.
    pub(crate) fn given_up(&self) -> &str {
        self.given_up.get().map_or("", String::as_str)
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

    /// Returns the token of the current incarnation.
    pub(crate) fn token(&self) -> Arc<CancellationToken> {
        self.residence().token.clone()
    }

    /// Notes why it is given up, BEFORE it is ended, so that whoever sees the end sees the reason.
    pub(super) fn set_given_up(&self, why: String) {
        // It is given up once, so there is no earlier reason to lose.
        let _ = self.given_up.set(why);
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
