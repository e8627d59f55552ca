//! A bug planted in the framework on purpose, to show that the traces would tell of it.
//!
//! No documented flag plants one; a test of the example does, and expects the run to fail.

use std::sync::Arc;

use callboard::env::{Bug, Dice, Plant};

/// Does the wrong thing whenever there is an opportunity.
struct Always(Bug);

impl Dice for Always {
    fn strikes(&self, bug: Bug) -> bool {
        bug == self.0
    }

    fn provokes(&self, _: &'static str) -> bool {
        false
    }
}

/// Returns what to plant.
pub(crate) fn plant(bug: Option<Bug>) -> Plant {
    bug.map_or_else(Plant::none, |bug| Plant::with_dice(Arc::new(Always(bug))))
}

/// Reads the name of a bug.
///
/// # Errors
///
/// The names that there are.
pub(crate) fn named(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.into_iter().find(|bug| bug.name() == name);
    found.ok_or_else(|| {
        let names = Bug::ALL.map(Bug::name);
        format!("there are: {}", names.join(" "))
    })
}
