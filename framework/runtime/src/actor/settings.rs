//! What an actor's attributes say about how it runs. Pure values with documented defaults.

use std::time::Duration;

/// How the instances of one definition run: queue bounds, readers, restarts.
///
/// Made by the derive from the attributes; every method is `const`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Messages that wait at most; one more is refused with `MailboxFull`. Default 1024. Each costs
    /// the size of the largest argument tuple plus about 180 bytes.
    pub mailbox: usize,
    /// How long a call may wait in the mailbox. One that would wait for more than three quarters of
    /// it is refused with `MailboxFull` when it comes, one that did wait for longer when its turn
    /// would begin. Default: no bound but the caller's, so that a call is refused when it would wait
    /// for more than half of the time that its deadline leaves. Sends wait for as long as their
    /// deadline allows.
    pub wait: Duration,
    /// Turns that run beside each other at most: `&self` handlers of an actor (default 64), calls
    /// of a service (default 1024).
    pub readers: usize,
    /// A keyed actor without calls for this long is deactivated, unless a stream that it answers
    /// with is open: then it is looked at again after as long. Default 10 minutes.
    pub idle: Duration,
    /// Whether the state is durable. Needs a state provider.
    pub persist: bool,
    /// Whether a panic restarts the actor (default) or stops it.
    pub restart: bool,
    /// More than this many restarts within [`Settings::intensity_within`] quarantine the actor.
    /// Default 5.
    pub intensity_restarts: u32,
    /// The window of the restart intensity. Default 10 s.
    pub intensity_within: Duration,
    /// The wait before the first restart; doubles with each one in the window. Default 10 ms.
    pub backoff_min: Duration,
    /// The longest wait before a restart. Default 5 s.
    pub backoff_max: Duration,
    /// What `placement` says; `"hash"` where it says nothing.
    pub placement: &'static str,
    /// The role that a node needs in its certificate to own keys of the type; empty for none.
    pub role: &'static str,
    /// The labels that a node needs to own keys of the type, each a name and its value.
    pub labels: &'static [(&'static str, &'static str)],
    /// The zones of which a node needs to be in one to own keys of the type; empty for any.
    pub zones: &'static [&'static str],
}

impl Settings {
    /// Returns the defaults of a service.
    #[must_use]
    pub const fn service() -> Self {
        Self {
            readers: 1024,
            ..Self::spawned()
        }
    }

    /// Returns the defaults of a spawned actor.
    #[must_use]
    pub const fn spawned() -> Self {
        Self {
            mailbox: 1024,
            wait: Duration::MAX,
            readers: 64,
            idle: Duration::from_secs(600),
            persist: false,
            restart: true,
            intensity_restarts: 5,
            intensity_within: Duration::from_secs(10),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(5),
            placement: "hash",
            role: "",
            labels: &[],
            zones: &[],
        }
    }

    /// Returns the defaults of a keyed actor.
    #[must_use]
    pub const fn keyed() -> Self {
        Self::spawned()
    }

    /// Sets [`Settings::mailbox`], at least 1.
    #[must_use]
    pub const fn mailbox(mut self, messages: usize) -> Self {
        self.mailbox = if messages == 0 { 1 } else { messages };
        self
    }

    /// Sets [`Settings::wait`].
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets [`Settings::readers`], at least 1.
    #[must_use]
    pub const fn readers(mut self, turns: usize) -> Self {
        self.readers = if turns == 0 { 1 } else { turns };
        self
    }

    /// Sets [`Settings::readers`] of a service.
    #[must_use]
    pub const fn concurrency(self, turns: usize) -> Self {
        self.readers(turns)
    }

    /// Sets [`Settings::idle`].
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets [`Settings::persist`].
    #[must_use]
    pub const fn persist(mut self, persist: bool) -> Self {
        self.persist = persist;
        self
    }

    /// Sets [`Settings::restart`].
    #[must_use]
    pub const fn restart(mut self, restart: bool) -> Self {
        self.restart = restart;
        self
    }

    /// Sets the restart intensity.
    #[must_use]
    pub const fn intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.intensity_restarts = restarts;
        self.intensity_within = within;
        self
    }

    /// Sets the shortest and the longest wait before a restart.
    #[must_use]
    pub const fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff_min = min;
        self.backoff_max = max;
        self
    }

    /// Sets [`Settings::placement`].
    #[must_use]
    pub const fn placement(mut self, strategy: &'static str) -> Self {
        self.placement = strategy;
        self
    }

    /// Sets [`Settings::role`].
    #[must_use]
    pub const fn role(mut self, role: &'static str) -> Self {
        self.role = role;
        self
    }

    /// Sets [`Settings::labels`].
    #[must_use]
    pub const fn labels(mut self, labels: &'static [(&'static str, &'static str)]) -> Self {
        self.labels = labels;
        self
    }

    /// Sets [`Settings::zones`].
    #[must_use]
    pub const fn zones(mut self, zones: &'static [&'static str]) -> Self {
        self.zones = zones;
        self
    }
}
