//! Several children that are restarted together or alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff::Backoff;
use super::restarts::{Intensity, Restarts};
use crate::time::Time;

/// Who is restarted with a child that failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The child alone. Each child has its own count of failures.
    #[default]
    OneForOne,
    /// All children. Their failures are counted together.
    OneForAll,
    /// The child and those that were started after it. Failures are counted together.
    RestForOne,
}

/// What to do about a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision<K> {
    /// Stop the children that run, the last one first, wait, then start them, the first one first.
    Restart {
        /// The failed child and those that are restarted with it, the oldest first. One that waits
        /// for a restart already is not among them.
        children: Vec<K>,
        /// How long to wait before the start.
        delay: Duration,
    },
    /// There were too many failures: stop these children, the last one first, and do not start them
    /// again. They are forgotten here.
    GiveUp {
        /// The failed child and those that would be restarted with it, the oldest first.
        children: Vec<K>,
    },
    /// Nothing: the child is not known, or waits for a restart already.
    Ignore,
}

/// Decides on the restarts of children that depend on each other, by their order.
///
/// Costs about 150 bytes a child, and 8 bytes for each of its restarts that counts.
#[derive(Clone, Debug)]
pub struct Supervisor<K> {
    strategy: Strategy,
    /// The children in the order in which they were first started.
    children: BTreeMap<u64, Child<K>>,
    order_of: BTreeMap<K, u64>,
    next_order: u64,
    /// The restarts of all children, for the strategies that restart several.
    together: Restarts,
}

#[derive(Clone, Debug)]
struct Child<K> {
    key: K,
    intensity: Intensity,
    backoff: Backoff,
    restarts: Restarts,
    /// When it is started again. A failure that is reported before is of its earlier life.
    starts_at: Time,
}

impl<K: Clone + Ord> Supervisor<K> {
    /// Makes a supervisor without children.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            children: BTreeMap::new(),
            order_of: BTreeMap::new(),
            next_order: 0,
            together: Restarts::default(),
        }
    }

    /// Takes in that a child is started for the first time, as the youngest.
    ///
    /// To be called BEFORE the start, so that a start that fails is a failure of the child. A child
    /// that is known already keeps its place and takes the new settings.
    pub fn child_started(&mut self, key: K, intensity: Intensity, backoff: Backoff) {
        if let Some(child) = self
            .order_of
            .get(&key)
            .and_then(|order| self.children.get_mut(order))
        {
            child.intensity = intensity;
            child.backoff = backoff;
            return;
        }
        let order = self.next_order;
        self.next_order += 1;
        self.order_of.insert(key.clone(), order);
        let restarts = Restarts::default();
        let child = Child {
            key,
            intensity,
            backoff,
            restarts,
            starts_at: Time::ZERO,
        };
        self.children.insert(order, child);
    }

    /// Takes in that a child ended and is not to be restarted. It is forgotten. Returns whether it
    /// was known.
    pub fn child_ended(&mut self, key: &K) -> bool {
        match self.order_of.remove(key) {
            Some(order) => self.children.remove(&order).is_some(),
            None => false,
        }
    }

    /// Takes in that a child failed at `now`, and decides what to do. With several children the
    /// intensity and the backoff are those of the child that failed.
    pub fn child_failed(&mut self, key: &K, now: Time, random: u64) -> Decision<K> {
        let Some(&failed) = self.order_of.get(key) else {
            return Decision::Ignore;
        };
        let Some(child) = self.children.get_mut(&failed) else {
            return Decision::Ignore;
        };
        if now < child.starts_at {
            return Decision::Ignore;
        }
        let (affected, restarts) = match self.strategy {
            Strategy::OneForOne => (failed..=failed, &mut child.restarts),
            Strategy::OneForAll => (0..=u64::MAX, &mut self.together),
            Strategy::RestForOne => (failed..=u64::MAX, &mut self.together),
        };
        let delay = restarts.handle_failure(child.intensity, child.backoff, now, random);
        let affected = self.children.range_mut(affected).map(|(_, child)| child);
        let Some(delay) = delay else {
            let children: Vec<K> = affected.map(|child| child.key.clone()).collect();
            for key in &children {
                self.child_ended(key);
            }
            return Decision::GiveUp { children };
        };
        let mut children = Vec::new();
        for child in affected.filter(|child| now >= child.starts_at) {
            child.starts_at = now + delay;
            children.push(child.key.clone());
        }
        Decision::Restart { children, delay }
    }

    /// Returns the children, the oldest first.
    pub fn children(&self) -> impl Iterator<Item = &K> {
        self.children.values().map(|child| &child.key)
    }
}

#[cfg(test)]
mod tests;
