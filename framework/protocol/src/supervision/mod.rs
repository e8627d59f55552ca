//! What to restart when an actor fails, when, and when to give up.
//!
//! [`Supervisor`] is told of failures and answers with a decision; it stops and starts nothing, and
//! does not know what an actor is. The rules are those of OTP's `supervisor`: a strategy says who
//! is restarted with whom, an intensity says how often before it gives up
//! (<https://www.erlang.org/doc/apps/stdlib/supervisor.html>). Depends on `time`.

mod backoff;
mod restarts;
mod supervisor;

pub use backoff::Backoff;
pub use restarts::Intensity;
pub use supervisor::{Decision, Strategy, Supervisor};
