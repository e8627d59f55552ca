//! Links between nodes: QUIC, mutual TLS, hellos, lanes, and who is linked with whom.
//!
//! The layer above hands in frames as bytes and gets frames as bytes. What a frame says, what a
//! call is, and whether to try again is not known here; nor are actors or services. This is the
//! only module that names quinn, rustls, rcgen and ring, and none of their types leaves it. It
//! may depend on `env`, `task` and `protocol`.
//!
//! ```text
//!   Net ──> mesh ──────> peers        whom to dial, which connection is the link (pure)
//!            │  ╲
//!            │   ╲─────> handshake    first words: certificates and hellos
//!            ▼
//!          session ───> link ──> lane (writer)          frames out
//!            │                   split (reader)         frames in ──> Frames (the layer above)
//!            ▼
//!          trust                            what is shown, who is trusted, who denied
//!            ▼
//!          endpoint ──> tls, identity                   quinn over the environment's UDP
//! ```
//!
//! | stream | preface | carries |
//! | --- | --- | --- |
//! | one way, the first | 0 | control: hello, members, leaving, what concerns the cluster |
//! | one way, one a lane | 1, lane number | frames, in order |
//! | both ways, one a call | 0 or 1 (whose call), call number | large bodies, streamed items |
//!
//! For each link: `Frames::link_up` comes before its first frame, `Frames::link_down` comes
//! once, after its last.

mod authority;
mod close;
mod config;
mod congestion;
mod deny;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handshake;
mod host;
mod identity;
mod lane;
mod link;
mod mesh;
mod names;
mod peers;
mod port;
mod range;
mod reach;
mod session;
mod socket;
mod split;
mod standstill;
mod stats;
mod strangers;
mod strays;
mod stream;
mod tls;
mod traffic;
mod trust;

#[cfg(test)]
mod tests;

pub use authority::{Authority, IssuedPem};
pub use callboard_protocol::wire::hello::PeerKind;
pub use config::Config;
pub use deny::{DenyList, Fingerprint};
pub use error::StartError;
pub use host::{Address, Addresses, HostPort};
pub use identity::Identity;

pub(crate) use error::{AppendError, LinkDown, Loss};
pub(crate) use host::seeds;
pub(crate) use link::{CloseOnPanic, Frames, Intake, Link, PeerInfo, Ticket};
pub(crate) use peers::{Reminder, SeedTrouble};
pub(crate) use port::{Local, Net};
pub(crate) use range::{at_least, within};
pub(crate) use standstill::Standstill;
pub(crate) use stream::{RecvStream, SendStream, StreamError, StreamFor};
