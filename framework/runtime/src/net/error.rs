//! Why a node did not start, why a link is not there, and why bytes were not taken.
//!
//! All of them carry a [`Code`] of the one table in `protocol`. How a code travels in a QUIC
//! close frame is in [`close`](super::close), not here.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use callboard_protocol::code::Code;
use callboard_protocol::id::Incarnation;

/// Why a node or a client did not start.
///
/// Its text is `CB3001 bind-failed: address 127.0.0.1:7400: address already in use`.
#[derive(Clone, PartialEq, Eq)]
pub struct StartError {
    code: Code,
    subject: Cow<'static, str>,
    detail: Cow<'static, str>,
    /// What to do in this case, if more is known than the code says.
    advice: Option<Cow<'static, str>>,
}

impl StartError {
    /// Makes an error about `subject`, which names the thing: `address 127.0.0.1:7400`.
    #[must_use]
    pub fn new(code: Code, subject: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            subject: subject.into(),
            detail: Cow::Borrowed(""),
            advice: None,
        }
    }

    /// Adds what is known beyond the code, and replaces an earlier detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Says what to do in this case, in place of the code's own advice.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns what the error is about.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns what is known beyond the code, or an empty text.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn advice(&self) -> &str {
        self.advice.as_deref().unwrap_or(self.code.advice())
    }
}

/// What is wrong, and AFTER a semicolon what to do about it.
impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.code.text(),
            self.code.name(),
            self.subject
        )?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        write!(f, "; {}", self.advice())
    }
}

/// The same text: `main` prints errors with `Debug`.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}

/// Why a link ended, or never came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkDown {
    /// What happened.
    pub(crate) code: Code,
    /// What is known beyond the code, or an empty text.
    pub(crate) detail: String,
    /// What is known of how it was lost, if it was.
    pub(crate) loss: Loss,
}

/// How a link was lost, as far as what is to be done depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loss {
    /// No more is known than the code says.
    #[default]
    Plain,
    /// The peer does not know the connection any more: it has started again, or has closed it unheard.
    Forgotten,
    /// Its process has started again: a later life of it is known.
    Restarted,
    /// A later process of its name is linked, at another address: it has started again there, or both run.
    Replaced,
    /// This process itself stood still for so long.
    OwnStandstill(Duration),
}

impl LinkDown {
    /// Makes a reason.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            loss: Loss::Plain,
        }
    }

    /// Makes the reason for a reset: the peer has no such connection.
    pub(super) fn forgotten() -> Self {
        Self {
            loss: Loss::Forgotten,
            ..Self::new(
                Code::PeerLost,
                format!(
                    "{FORGOTTEN}, or stood still for longer than the peer timeout and closed it"
                ),
            )
        }
    }

    /// Makes the reason for closing a link in whose place another one with the peer is to be. `later` is whether that is
    /// with a later life of it, and `is_moved` whether that is to be found elsewhere.
    pub(super) fn superseded(by: Incarnation, later: bool, is_moved: bool) -> Self {
        let loss = match (later, is_moved) {
            (false, _) => Loss::Plain,
            (true, false) => Loss::Restarted,
            (true, true) => Loss::Replaced,
        };
        Self {
            loss,
            ..Self::new(
                Code::LinkSuperseded,
                format!("by a link to incarnation {by}"),
            )
        }
    }

    /// Adds what this side knows of a loss: for how long this process itself stood still, if that has led to it,
    /// and whether a later life of the peer is known.
    pub(super) fn explained(mut self, still: Option<Duration>, is_restarted: bool) -> Self {
        match (self.loss, still) {
            (Loss::Forgotten, _) if is_restarted => {
                self.loss = Loss::Restarted;
                self.detail = FORGOTTEN.to_owned();
            }
            (Loss::Restarted, _) => self.detail += ": its process has started again",
            (Loss::Replaced, _) => {
                self.detail +=
                    ": its process has started again, or another one of its name was started";
            }
            (_, Some(still)) if self.is_loss() => {
                self.loss = Loss::OwnStandstill(still);
                self.detail = format!("this process itself stood still for {still:.1?}");
            }
            _ => {}
        }
        self
    }

    /// Returns whether the link was lost, and neither closed nor refused: also if a later life of the peer is what
    /// shows it.
    pub(super) fn is_loss(&self) -> bool {
        let shown = matches!(self.loss, Loss::Restarted | Loss::Replaced);
        shown || matches!(self.code, Code::PeerTimeout | Code::PeerLost)
    }
}

const FORGOTTEN: &str =
    "the peer does not know this connection any more: its process has started again";

impl fmt::Display for LinkDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.text(), self.code.name())?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.detail)
        }
    }
}

impl std::error::Error for LinkDown {}

/// Why a frame was not appended to a lane. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppendError<E> {
    /// The lane's buffer is at its bound.
    Full,
    /// The link is down.
    Down,
    /// The frame is longer than both sides allow.
    TooLarge {
        /// The bytes of the frame.
        len: usize,
        /// The bytes allowed.
        max: usize,
    },
    /// The closure that encodes the frame failed.
    Encode(E),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_means_a_restart_only_where_a_later_life_is_known() {
        let reset = LinkDown::forgotten();
        let either = "its process has started again, or stood still for longer than the peer timeout and closed it";
        assert!(reset.detail.ends_with(either), "{reset}");
        assert_eq!(reset.clone().explained(None, false), reset);
        let restarted = reset.clone().explained(None, true);
        assert_eq!(
            (restarted.code, restarted.loss),
            (Code::PeerLost, Loss::Restarted)
        );
        assert!(
            restarted.detail.ends_with("its process has started again"),
            "{restarted}"
        );
        // The peer has given up a process that stood still, which then finds its connection unknown.
        let still = Duration::from_millis(6040);
        let own = reset.explained(Some(still), false);
        assert_eq!(
            own.to_string(),
            "CB1003 peer-lost: this process itself stood still for 6.0s"
        );
    }

    #[test]
    fn a_link_that_a_later_life_has_replaced_was_lost_and_says_how() {
        let still = Some(Duration::from_secs(6));
        let told = |later, is_moved| {
            let why = LinkDown::superseded(Incarnation(7), later, is_moved);
            let why = why.explained(still, true);
            (why.is_loss(), why.to_string())
        };
        let by = "CB2012 link-superseded: by a link to incarnation 7";
        assert_eq!(told(false, true), (false, by.to_owned()));
        let restarted = format!("{by}: its process has started again");
        assert_eq!(told(true, false), (true, restarted.clone()));
        let either = format!("{restarted}, or another one of its name was started");
        assert_eq!(told(true, true), (true, either));
    }

    #[test]
    fn a_loss_by_an_own_standstill_says_so_and_nothing_else_does() {
        let still = Some(Duration::from_secs(6));
        let silent = LinkDown::new(Code::PeerTimeout, "").explained(still, false);
        assert_eq!(
            silent.to_string(),
            "CB2014 peer-timeout: this process itself stood still for 6.0s"
        );
        let left = LinkDown::new(Code::NodeLeaving, "the node is stopping");
        assert_eq!(left.clone().explained(still, true), left);
    }
}
