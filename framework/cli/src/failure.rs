//! What went wrong, what to do about it, and what the command ends with.

use std::{fmt, process::ExitCode};

use crate::actor::no_such_type;
use callboard::{
    CallError, Code, HandlerError, admin::AdminError, danger::RecoverError, net::StartError,
};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    text: String,
}

/// What kind of failure it is: what the command ends with. The numbers are promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Anything else.
    Failed = 1,
    /// A flag, or a file that a flag names, is wrong.
    Usage = 2,
    /// The cluster, or the node, does not answer.
    Unreachable = 3,
    /// The certificate does not give the right.
    Forbidden = 4,
    /// There is no such node or type.
    NotFound = 5,
    /// A drain, or a change of the voters, has not come to its end; it goes on.
    NotInTime = 6,
    /// Nobody places keys: there is no control group.
    NotPlaced = 7,
    /// A recovery was only looked at: nothing was changed.
    NotAccepted = 8,
    /// A cluster can not be recovered from the folder: nothing was changed.
    NotRecoverable = 9,
}

impl Failure {
    /// `text` says what is wrong, and after a semicolon what to do.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The client did not start, or found nobody.
impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let kind = match error.code() {
            Code::ConfigInvalid
            | Code::CertificateInvalid
            | Code::KeyReadable
            | Code::DevNotLoopback
            | Code::Io => Kind::Usage,
            _ => Kind::Unreachable,
        };
        Self::new(kind, error.to_string())
    }
}

/// A node did not answer.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (kind, advice) = match error.code() {
            Code::Forbidden => (
                Kind::Forbidden,
                "give --cert a certificate that has the role, or change the node's policy",
            ),
            Code::SchemaMismatch | Code::UnknownMethod | Code::NoHost => (
                Kind::Failed,
                "the node is of another version of Callboard: take the `callboard` of that version",
            ),
            Code::DeadlineExceeded
            | Code::DeadlineBeforeSend
            | Code::PeerLost
            | Code::PeerUnreachable
            | Code::ActorGone
            | Code::NodeStopping => (
                Kind::Unreachable,
                "see whether its process runs, and ask another node with --join",
            ),
            _ => return Self::new(Kind::Failed, error.to_string()),
        };
        let (code, subject) = (error.code(), error.subject());
        let detail = match error.detail() {
            "" => String::new(),
            detail => format!(": {detail}"),
        };
        let (text, name) = (code.text(), code.name());
        Self::new(kind, format!("{text} {name}: {subject}{detail}; {advice}"))
    }
}

impl From<HandlerError<AdminError>> for Failure {
    fn from(error: HandlerError<AdminError>) -> Self {
        match error {
            HandlerError::Call(error) => error.into(),
            HandlerError::App(AdminError::UnknownType { name, known }) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                no_such_type(&name, &known)
            }
            HandlerError::App(error) => {
                let (kind, advice) = match &error {
                    AdminError::BadKey { .. } => (
                        Kind::Usage,
                        "correct it, or give its encoding with --key-hex",
                    ),
                    AdminError::NotPlaced => (Kind::NotPlaced, "see `callboard status`"),
                    _ => (Kind::Unreachable, "ask another node with --join"),
                };
                Self::new(kind, format!("{error}; {advice}"))
            }
        }
    }
}

/// A cluster is not recovered.
impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        let kind = match error {
            RecoverError::Io(_) => Kind::Failed,
            _ => Kind::NotRecoverable,
        };
        let code = error.code();
        Self::new(kind, format!("{} {}: {error}", code.text(), code.name()))
    }
}

/// For `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed otherwise
  2  wrong usage: a flag, or a file that a flag names
  3  the cluster or the node does not answer
  4  the certificate does not give the right: it needs the role admin
  5  there is no such node, or no such actor type
  6  a drain, or a change of the voters, has not come to its end; it goes on
  7  there is no control group: no node was started with bootstrap_expect
  8  recover has looked, and changed nothing: --i-accept-data-loss was not given
  9  a cluster can not be recovered from that folder; nothing was changed

`callboard COMMAND --help` shows examples. Each error has a page in the book under its code.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_is_told_with_what_is_needed() {
        let detail = "it needs the role admin; the caller's certificate has no role";
        let error = CallError::new(Code::Forbidden, "method callboard.admin/node on node n1");
        let failure = Failure::from(error.with_detail(detail));
        assert_eq!(failure.kind, Kind::Forbidden);
        let text = failure.to_string();
        assert!(text.starts_with("CB1032 forbidden: method"), "{text}");
        assert!(text.contains(detail) && text.contains("--cert"), "{text}");
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        for kind in [
            Kind::Failed,
            Kind::Usage,
            Kind::Unreachable,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::NotInTime,
            Kind::NotPlaced,
            Kind::NotAccepted,
            Kind::NotRecoverable,
        ] {
            let line = format!("\n  {}  ", kind as u8);
            assert!(EXIT_CODES.contains(&line), "{kind:?}");
        }
    }
}
