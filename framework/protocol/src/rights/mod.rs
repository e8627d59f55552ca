//! Who may call what: roles of callers, and the policy of a node.
//!
//! ```text
//!   #[handler(allow = "…")] ─┐
//!                            ├─ Policy::grant ──> Grant ── lets(Roles)? ──> the call is run
//!   Builder::policy(…) ──────┘  once a method              once a call
//! ```
//!
//! It decides about names only. Where roles come from, and what becomes of a call that is refused,
//! is not known here. Depends on `id`.

mod glob;
mod policy;
mod roles;

pub use policy::{Grant, Policy, PolicyError, RESERVED_PREFIX};
pub use roles::Roles;
