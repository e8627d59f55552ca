//! The environment of the operating system. Unix only, because of positioned file access.

mod files;
mod names;
mod sources;
mod udp;

pub(super) use files::Files;
pub(super) use names::Names;
pub(super) use sources::{Blocking, Clock, Entropy};
pub(super) use udp::Udp;
