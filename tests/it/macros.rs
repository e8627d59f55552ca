//! What the macros make of definitions: the ones of the design, and the odd ones.

mod contract;
mod definitions;
mod linted;
mod right;
mod scopes;
mod wire;
