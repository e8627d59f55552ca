//! Rivals on quinn: by hand, and assembled.

pub(crate) mod assembled;
pub(crate) mod frames;
pub(crate) mod raw;
pub(crate) mod settings;
