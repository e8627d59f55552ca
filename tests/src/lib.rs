//! What the tests of the repository share: its sources as text.

pub mod source;
