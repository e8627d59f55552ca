//! Placement: which member should own which slot.
//!
//! A slot prefers members by a weighted hash, so that its place does not depend on the order of
//! joins, and no member gets more than its share. What is planned is the least that makes the
//! shares right again: a member that joins gets its share from the others, one that leaves gives
//! its own to the others, and nothing else moves. This module reads a state and makes plans, and says
//! of a view why a slot is where it is; that plans are carried out, and how fast, is the business of
//! [`slots`](crate::slots). It may depend on `id` and `slots`.
//!
//! Sources: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998
//! (rendezvous hashing); Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005 (the
//! logarithmic weight); Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads",
//! 2016 (a bound on each share, passed on to the next choice when it is full).

mod plan;
mod score;
mod why;

pub use plan::{Plan, plan};
pub use why::{Candidate, Reason, Why};
