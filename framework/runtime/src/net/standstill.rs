//! Whether this process itself has stood still, so that it does not blame its peers for that.
//!
//! A process that is stopped, or whose machine is suspended or gives it no time, hears nothing from its
//! peers meanwhile, and they nothing from it. When it goes on, it takes them for lost as they did it. A
//! thread of the node's looks at the clock that also runs in suspend, several times a second; where a look
//! is very late, everything was. The thread does nothing else, so handlers that hold all threads of the
//! runtime do not make it late; what they hold up hears nothing either, so that is counted as well.
//!
//! Here it is decided only. `node` has the thread, and says it; `mesh` asks. Where nobody looks, as in a
//! simulation, a process never stands still.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callboard_protocol::code::Code;

use super::config::Config;
use super::error::{LinkDown, Loss};

/// When this process stood still last.
#[derive(Debug)]
pub(crate) struct Standstill {
    /// Less is not told: no peer takes this one for lost by it.
    least: Duration,
    /// How long a peer is silent whose link ends by that.
    silence: Duration,
    /// How long it takes at most, after the end of a standstill, until a peer says that it has given the link up
    /// meanwhile.
    answer: Duration,
    state: Mutex<State>,
}

/// All times are those since the start of the machine.
#[derive(Debug, Default)]
struct State {
    looked_at: Option<Duration>,
    last: Option<Still>,
    news: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Still {
    ended_at: Duration,
    lasted: Duration,
}

impl Standstill {
    pub(crate) fn new(config: &Config) -> Self {
        // The last word of this process may be older than its standstill by a part of `keep_alive`.
        let noticed = config.peer_timeout.saturating_sub(config.keep_alive / 2);
        Self {
            least: noticed.max(LEAST),
            silence: config.peer_timeout,
            // The next probe, and the way there and back.
            answer: config.keep_alive * 2,
            state: Mutex::default(),
        }
    }

    /// Takes in that the thread looks. It is to look several times a second.
    pub(crate) fn handle_look(&self, now: Duration) {
        let mut state = self.state();
        if let Some(lasted) = self.since_look(&state, now) {
            let ended_at = now;
            state.last = Some(Still { ended_at, lasted });
            state.news = Some(lasted);
        }
        state.looked_at = Some(now);
    }

    /// Takes in that nothing but handlers has run for so long. That is told elsewhere, and is no news here.
    pub(crate) fn handle_held(&self, now: Duration, lasted: Duration) {
        if lasted >= self.least {
            let ended_at = now;
            self.state().last = Some(Still { ended_at, lasted });
        }
    }

    /// Takes in that the thread looks no more.
    pub(crate) fn end(&self) {
        self.state().looked_at = None;
    }

    /// Returns how long a standstill was that is to be told.
    pub(crate) fn poll_news(&self) -> Option<Duration> {
        self.state().news.take()
    }

    /// Returns for how long the process has stood still, if a link that ends now for this reason is lost by that:
    /// if it has ended within the silence of the peer. A peer that has said nothing for all of its time since then
    /// has another reason.
    pub(crate) fn explains(&self, why: &LinkDown, now: Duration) -> Option<Duration> {
        let within = match why.loss {
            _ if why.code == Code::PeerTimeout => self.silence,
            Loss::Forgotten => self.answer,
            _ => return None,
        };
        let state = self.state();
        // Whoever asks may be awake before the thread.
        self.since_look(&state, now).or_else(|| {
            let last = state.last?;
            let over = now.saturating_sub(last.ended_at);
            (over < within).then_some(last.lasted)
        })
    }

    fn since_look(&self, state: &State, now: Duration) -> Option<Duration> {
        let late = now.saturating_sub(state.looked_at?);
        (late >= self.least).then_some(late)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However soon peers are given up: a look of a busy machine may be late by a part of a second.
const LEAST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn silent() -> LinkDown {
        LinkDown::new(Code::PeerTimeout, "")
    }

    fn looked_until(end: Duration) -> Standstill {
        let standstill = Standstill::new(&Config::default());
        let mut now = ms(0);
        while now <= end {
            standstill.handle_look(now);
            now += ms(250);
        }
        standstill
    }

    #[test]
    fn a_look_that_is_late_by_what_peers_notice_is_told_once() {
        let standstill = looked_until(ms(10_000));
        standstill.handle_look(ms(12_250));
        assert_eq!(standstill.poll_news(), None);
        standstill.handle_look(ms(18_350));
        assert_eq!(standstill.poll_news(), Some(ms(6100)));
        standstill.handle_look(ms(18_600));
        assert_eq!(standstill.poll_news(), None);
    }

    #[test]
    fn what_comes_soon_after_may_have_come_of_it() {
        let standstill = looked_until(ms(10_000));
        assert_eq!(standstill.explains(&silent(), ms(10_200)), None);
        // Before the late look, and after it.
        assert_eq!(standstill.explains(&silent(), ms(16_100)), Some(ms(6100)));
        standstill.handle_look(ms(16_100));
        assert_eq!(standstill.explains(&silent(), ms(16_100)), Some(ms(6100)));
        for now in (16_350..=19_100).step_by(250) {
            standstill.handle_look(ms(now));
        }
        assert_eq!(standstill.explains(&silent(), ms(19_099)), Some(ms(6100)));
        standstill.end();
        assert_eq!(standstill.explains(&silent(), ms(60_000)), None);
    }

    #[test]
    fn a_peer_that_was_silent_for_all_of_its_time_since_is_lost_by_itself() {
        let standstill = looked_until(ms(10_000));
        standstill.handle_held(ms(10_000), ms(2750));
        for now in (10_250..=15_000).step_by(250) {
            standstill.handle_look(ms(now));
        }
        // Killed 1.3 s after it, and missed 3.7 s later.
        assert_eq!(standstill.explains(&silent(), ms(15_000)), None);
        let standstill = looked_until(ms(10_000));
        standstill.handle_look(ms(16_000));
        for now in (16_250..=19_000).step_by(250) {
            standstill.handle_look(ms(now));
        }
        assert_eq!(standstill.explains(&silent(), ms(19_000)), None);
    }

    #[test]
    fn a_peer_that_has_given_the_link_up_says_so_to_the_next_probe() {
        let standstill = looked_until(ms(10_000));
        standstill.handle_held(ms(10_000), ms(2750));
        let mut forgotten = LinkDown::new(Code::PeerLost, "a reset");
        forgotten.loss = Loss::Forgotten;
        assert_eq!(standstill.explains(&forgotten, ms(11_900)), Some(ms(2750)));
        assert_eq!(standstill.explains(&forgotten, ms(12_000)), None);
        // What else ends a link does so whether this process stood still or not.
        let given_up = LinkDown::new(Code::PeerLost, "its control lane takes no frames");
        assert_eq!(standstill.explains(&given_up, ms(10_100)), None);
    }

    #[test]
    fn threads_that_are_held_are_no_news_and_explain_what_comes_soon_after() {
        let standstill = looked_until(ms(10_000));
        standstill.handle_held(ms(10_000), ms(2250));
        assert_eq!(standstill.explains(&silent(), ms(10_100)), None);
        standstill.handle_held(ms(10_250), ms(2500));
        assert_eq!(standstill.explains(&silent(), ms(10_350)), Some(ms(2500)));
        assert_eq!(standstill.poll_news(), None);
    }

    #[test]
    fn nobody_stands_still_where_nobody_looks() {
        let standstill = Standstill::new(&Config::default());
        assert_eq!(standstill.explains(&silent(), ms(3_600_000)), None);
        assert_eq!(standstill.poll_news(), None);
    }

    #[test]
    fn a_busy_machine_is_none_that_stood_still() {
        let config = Config {
            peer_timeout: ms(100),
            keep_alive: ms(40),
            ..Config::default()
        };
        let standstill = Standstill::new(&config);
        standstill.handle_look(ms(0));
        standstill.handle_look(ms(900));
        assert_eq!(standstill.poll_news(), None);
    }
}
