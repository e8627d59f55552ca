//! When an address is dialled again, and how often its trouble is worth a line in the log.
//!
//! Both wait longer each time. Nothing is known here of whose address it is.

use std::time::{Duration, Instant};

use callboard_protocol::code::Code;

use super::super::config::Config;
use super::super::error::LinkDown;

/// The next dial of one address.
#[derive(Debug)]
pub(super) struct Dial {
    /// When to dial next; nothing while a dial is under way.
    pub(super) at: Option<Instant>,
    pub(super) attempt: u32,
    failed: Option<LinkDown>,
    /// The last failure that says more than that nobody answered.
    pub(super) said: Option<LinkDown>,
    /// Whether a dial has ended, or a link was up.
    pub(super) is_tried: bool,
}

impl Dial {
    pub(super) fn due(at: Instant) -> Self {
        Self {
            at: Some(at),
            attempt: 0,
            failed: None,
            said: None,
            is_tried: false,
        }
    }

    /// That of a node whose link is up.
    pub(super) fn linked(at: Instant) -> Self {
        Self {
            is_tried: true,
            ..Self::due(at)
        }
    }

    /// A dial has ended, and the next one is due at that time.
    pub(super) fn ended(&mut self, at: Instant, failed: Option<LinkDown>) {
        self.at = Some(at);
        if failed
            .as_ref()
            .is_none_or(|it| it.code != Code::PeerTimeout)
        {
            self.said.clone_from(&failed);
        }
        self.failed = failed;
        self.is_tried = true;
    }

    /// Returns why the last dial failed, and what was said before nobody answered.
    pub(super) fn failure(&self) -> Option<LinkDown> {
        let failed = self.failed.clone()?;
        Some(match &self.said {
            Some(said) if *said != failed => {
                let detail = format!("{}; before that: {said}", failed.detail);
                LinkDown::new(failed.code, detail)
            }
            _ => failed,
        })
    }

    /// Starts a new wait, unless a dial is under way and will start one itself.
    pub(super) fn wait_until(&mut self, at: Instant, attempt: u32) {
        self.attempt = attempt;
        if self.at.is_some() {
            self.at = Some(at);
        }
    }

    /// Has it dialled at that time, or before, as if it had never failed.
    pub(super) fn not_after(&mut self, at: Instant) {
        self.attempt = 0;
        self.at = self.at.map(|due| due.min(at));
    }

    pub(super) fn hasten(&mut self, now: Instant) {
        self.wait_until(now, 0);
    }
}

/// How long to wait between two dials of one address.
#[derive(Debug)]
pub(in super::super) struct Backoff {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    pub(in super::super) fn new(config: &Config) -> Self {
        Self {
            min: config.reconnect_min,
            max: config.reconnect_max,
        }
    }

    /// Between half of and the whole of `min` doubled `attempt` times.
    pub(in super::super) fn wait(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.min.saturating_mul(1 << attempt.min(ATTEMPT_MAX));
        let whole = doubled.min(self.max);
        // 32 bits are fine enough for a jitter, and cannot overflow.
        let share = u32::try_from(random >> 32).unwrap_or(u32::MAX);
        whole / 2 + (whole / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

/// Lets a trouble that lasts be told again after one minute, then two, then four, up to an hour.
#[derive(Debug, Default)]
pub(crate) struct Reminder {
    next: Option<(Instant, Duration)>,
}

impl Reminder {
    /// Returns whether it is to be told now, and if so begins the next wait.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let wait = match self.next {
            None => REMIND_MIN,
            Some((at, _)) if now < at => return false,
            Some((_, wait)) => (wait * 2).min(REMIND_MAX),
        };
        self.next = Some((now + wait, wait));
        true
    }

    /// Forgets the trouble, and returns whether it was told.
    pub(crate) fn end(&mut self) -> bool {
        self.next.take().is_some()
    }
}

/// More doublings than any two settings are apart, and few enough for a shift.
pub(super) const ATTEMPT_MAX: u32 = 16;

/// A node that left on purpose is not expected back at once.
pub(super) const ATTEMPT_AFTER_LEAVING: u32 = 3;

const REMIND_MIN: Duration = Duration::from_secs(60);
const REMIND_MAX: Duration = Duration::from_secs(3600);
