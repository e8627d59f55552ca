//! Why a node did not start, why a link is not there, and why bytes were not taken.
//!
//! All of them carry a [`Code`] of the one table in `protocol`. How a code travels in a QUIC
//! close frame is in [`close`](super::close), not here.

use std::borrow::Cow;
use std::fmt;

use callboard_protocol::code::Code;

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
}

impl LinkDown {
    /// Makes a reason.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// Returns whether the link was lost, and neither closed nor refused.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self.code, Code::PeerTimeout | Code::PeerLost)
    }
}

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
