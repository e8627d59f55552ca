//! The errors of a call: [`CallError`] from the framework, [`HandlerError`] with the user's own.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Code, Fault, Ran, Retry};

/// Why a call did not give a reply.
///
/// One pointer in size. Its text is `CB1001 deadline-exceeded: method Greeter/say_hello on node
/// n2: waited 2 s`. On the wire it is the code as a `u16`, the subject and the detail.
#[derive(Clone, PartialEq, Eq)]
pub struct CallError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    subject: Cow<'static, str>,
    detail: Cow<'static, str>,
    /// What to do in this case, if this side knows more than the code says.
    advice: Option<&'static str>,
}

impl CallError {
    /// Makes an error about `subject`, which names the thing: `method Greeter/say_hello on node
    /// n2`, `actor Cart`. It is cut at [`SUBJECT_BYTES_MAX`] bytes.
    #[must_use]
    pub fn new(code: Code, subject: impl Into<Cow<'static, str>>) -> Self {
        let subject = cut(subject.into(), SUBJECT_BYTES_MAX);
        Self(Box::new(Inner {
            code,
            subject,
            detail: Cow::Borrowed(""),
            advice: None,
        }))
    }

    /// Adds what is known beyond the code: a limit, a size, a cause. It is cut at
    /// [`DETAIL_BYTES_MAX`] bytes and replaces an earlier detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = cut(detail.into(), DETAIL_BYTES_MAX);
        self
    }

    /// Says what to do in this case, in place of the code's own advice. It stays in this process: another one that the
    /// error is sent to shows that of the code.
    #[must_use]
    pub fn with_advice(mut self, advice: &'static str) -> Self {
        self.0.advice = Some(advice);
        self
    }

    /// Makes an error of what came from a peer, which may be newer than this version.
    pub(crate) fn from_wire(number: u16, subject: String, detail: String) -> Self {
        match Code::from_number(number) {
            Some(code) => Self::new(code, subject).with_detail(detail),
            None => Self::new(Code::Unrecognised, subject)
                .with_detail(format!("the peer sent CB{number}: {detail}")),
        }
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Says who is at fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.0.code.fault()
    }

    /// Says whether the handler may have run.
    #[must_use]
    pub fn ran(&self) -> Ran {
        self.0.code.ran()
    }

    /// Says whether and when the same call may be tried again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.code.retry()
    }

    /// Returns what the error is about: `method Greeter/say_hello on node n2`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Returns what is known beyond the code, or an empty text.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        self.0.advice.unwrap_or(self.0.code.advice())
    }
}

/// What to do follows from the rest.
impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.subject, &self.detail) == (other.code, &other.subject, &other.detail)
    }
}

impl Eq for Inner {}

/// What is wrong, and AFTER a semicolon what to do about it.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        write!(f, "{} {}: {}", code.text(), code.name(), self.subject())?;
        if !self.detail().is_empty() {
            write!(f, ": {}", self.detail())?;
        }
        write!(f, "; {}", self.advice())
    }
}

/// The same text: `main` prints errors with `Debug`.
impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CallError {}

impl Serialize for CallError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.code(), self.subject(), self.detail()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CallError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, subject, detail) = <(u16, String, String)>::deserialize(deserializer)?;
        Ok(Self::from_wire(number, subject, detail))
    }
}

/// The error of a call to a handler that returns `Result<T, E>`.
///
/// `?` turns a [`CallError`] into it, so that one function can mix calls to fallible and
/// infallible handlers.
#[derive(Clone, PartialEq, Eq)]
pub enum HandlerError<E> {
    /// The handler ran and returned this error.
    App(E),
    /// The call gave no reply.
    Call(CallError),
}

impl<E> HandlerError<E> {
    /// Returns the code when the call gave no reply, nothing when the handler returned an error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::App(_) => None,
            Self::Call(error) => Some(error.code()),
        }
    }
}

impl<E> From<CallError> for HandlerError<E> {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// A handler that makes calls of its own may return their error: then both are one.
impl From<HandlerError<CallError>> for CallError {
    fn from(error: HandlerError<CallError>) -> Self {
        match error {
            HandlerError::App(error) | HandlerError::Call(error) => error,
        }
    }
}

impl<E: fmt::Display> fmt::Display for HandlerError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

/// That of the error inside, so that `main` prints the advice of a [`CallError`] here too.
impl<E: fmt::Debug> fmt::Debug for HandlerError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

/// A handler's own error that is an [`Error`](std::error::Error): every one that is. Then a [`HandlerError`] of it
/// is one too, which `?` makes a `Box<dyn Error>` of.
///
/// It differs from `Error` in the words alone that the compiler has for its lack: of those, `?` shows the label, and in
/// the headline its name.
#[diagnostic::on_unimplemented(
    message = "`{Self}`, the error of a handler, is not an `Error`",
    label = "`{Self}`, the handler's own error, is not an `Error`: write `.map_err(|error| format!(\"{{error:?}}\"))?`, \
             or reply with an enum that implements `Error`"
)]
pub trait ImplementsError: std::error::Error {}

#[diagnostic::do_not_recommend]
impl<E: std::error::Error> ImplementsError for E {}

impl<E: ImplementsError> std::error::Error for HandlerError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text is the inner error's own, so the chain goes on behind that error.
        match self {
            Self::App(error) => error.source(),
            Self::Call(error) => error.source(),
        }
    }
}

/// Cuts a text at a character boundary, so that an error always fits into a frame.
fn cut(text: Cow<'static, str>, bytes_max: usize) -> Cow<'static, str> {
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.floor_char_boundary(bytes_max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// The longest subject of a [`CallError`], in bytes. Longer ones are cut.
pub const SUBJECT_BYTES_MAX: usize = 512;

/// The longest detail of a [`CallError`], in bytes. Longer ones are cut.
pub const DETAIL_BYTES_MAX: usize = 1024;
