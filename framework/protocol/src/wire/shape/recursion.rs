//! A recursive type as its author counts.
//!
//! The decoder counts levels, and a round of a recursive type may take several: a list of itself takes
//! two. What is said to people is said in rounds. Depends on nothing but the deepest nesting.

use std::any::type_name;

use super::DEPTH_MAX;

/// A recursive type as its author counts: in rounds, not in levels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Recursion {
    /// The type that contains itself.
    pub type_name: &'static str,
    /// How often it may, which is the depth that it states.
    pub rounds: u32,
    /// The levels that one round takes.
    pub levels_each: u32,
}

impl Recursion {
    /// Describes the recursion of `T`.
    pub(super) fn of<T: 'static>(rounds: u32, levels_each: u32) -> Self {
        Self {
            type_name: type_name::<T>(),
            rounds,
            levels_each,
        }
    }

    /// Returns the one that takes more levels: a value that is too deep is too deep in that one.
    pub(super) fn larger(known: Option<Self>, found: Self) -> Self {
        match known {
            Some(known) if known.levels() >= found.levels() => known,
            _ => found,
        }
    }

    fn levels(&self) -> u32 {
        self.rounds.saturating_mul(self.levels_each)
    }
}

/// Says where the levels of a type come from, and which depth would do.
pub(super) fn why_deep(levels: u32, recursion: Option<Recursion>) -> String {
    let Some(recursion) = recursion else {
        return "flatten it".to_owned();
    };
    let Recursion {
        type_name,
        rounds,
        levels_each,
    } = recursion;
    let around = levels.saturating_sub(recursion.levels());
    let most = DEPTH_MAX.saturating_sub(around) / levels_each.max(1);
    format!(
        "{type_name} states a depth of {rounds} and takes {levels_each} for each round: \
         #[wire(depth = {most})] is the most"
    )
}
