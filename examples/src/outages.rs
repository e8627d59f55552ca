//! How long keys did not answer after their node was killed, seen from the caller.
//!
//! It opens nothing and reads no clock; the times are handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Which node answers which key, and since when a key waits for an answer.
#[derive(Debug)]
pub struct Outages {
    owners: BTreeMap<String, String>,
    waiting: BTreeMap<String, Wait>,
    ended: Histogram<u64>,
}

/// A key whose node was killed.
#[derive(Debug)]
struct Wait {
    since: Duration,
    node: String,
}

/// How long the keys of killed nodes were away, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// Half of them answered within this time.
    pub p50: u64,
    /// 99 of 100 did.
    pub p99: u64,
    /// All of them did.
    pub max: u64,
}

impl Outages {
    /// Takes note of an answer: the key, the node that gave it, when the call began and ended.
    pub fn answered(&mut self, key: &str, node: &str, began: Duration, now: Duration) {
        if let Some(wait) = self.waiting.get(key) {
            // What the killed node had still sent is no answer of one that lives.
            if wait.node == node && began < wait.since {
                return;
            }
            let ms = now.saturating_sub(wait.since).as_millis() as u64;
            self.ended.saturating_record(ms);
            self.waiting.remove(key);
        }
        match self.owners.get_mut(key) {
            Some(owner) if owner == node => {}
            Some(owner) => node.clone_into(owner),
            None => {
                self.owners.insert(key.to_owned(), node.to_owned());
            }
        }
    }

    /// A node is killed: its keys wait from now on. Returns them.
    pub fn killed(&mut self, node: &str, now: Duration) -> Vec<String> {
        let its = self.owners.iter().filter(|(_, owner)| *owner == node);
        let keys: Vec<String> = its.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            // A key whose next node is killed too waits from the first time on.
            let since = self.waiting.get(key).map_or(now, |wait| wait.since);
            let node = node.to_owned();
            self.waiting.insert(key.clone(), Wait { since, node });
        }
        keys
    }

    /// The node that answered a key last.
    #[must_use]
    pub fn owner(&self, key: &str) -> Option<&str> {
        self.owners.get(key).map(String::as_str)
    }

    /// All keys that were ever answered or have waited for an answer.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<String> {
        self.owners.keys().cloned().collect()
    }

    /// How many keys wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How long those took that have answered again.
    #[must_use]
    pub fn outage(&self) -> Outage {
        Outage {
            p50: self.ended.value_at_quantile(0.5),
            p99: self.ended.value_at_quantile(0.99),
            max: self.ended.max(),
        }
    }
}

impl Default for Outages {
    fn default() -> Self {
        let ended = Histogram::new_with_bounds(1, OUTAGE_MS_MAX, 3)
            .expect("the bounds and the three figures are within what the histogram allows");
        Self {
            owners: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ended,
        }
    }
}

/// An hour. Longer ones are counted as that long.
const OUTAGE_MS_MAX: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_outage_is_from_the_kill_to_the_first_answer_of_each_key() {
        let mut outages = Outages::default();
        outages.answered("a", "n1", ms(0), ms(1));
        outages.answered("b", "n1", ms(0), ms(1));
        outages.answered("c", "n2", ms(0), ms(1));
        assert_eq!(outages.killed("n1", ms(100)), ["a", "b"]);
        assert_eq!((outages.waiting(), outages.owner("a")), (2, Some("n1")));
        outages.answered("a", "n2", ms(50), ms(400));
        outages.answered("c", "n2", ms(50), ms(9_000));
        outages.answered("b", "n3", ms(200), ms(1_100));
        outages.answered("b", "n3", ms(1_100), ms(5_000));
        let outage = outages.outage();
        assert_eq!((outages.waiting(), outages.owner("a")), (0, Some("n2")));
        assert_eq!((outage.p50, outage.max), (300, 1_000));
    }

    #[test]
    fn an_answer_that_was_under_way_at_the_kill_ends_no_outage() {
        let mut outages = Outages::default();
        outages.answered("a", "n1", ms(0), ms(1));
        outages.killed("n1", ms(100));
        outages.answered("a", "n1", ms(99), ms(101));
        assert_eq!(outages.waiting(), 1);
        // Started again, the same node may be the one that answers.
        outages.answered("a", "n1", ms(150), ms(700));
        assert_eq!((outages.waiting(), outages.outage().max), (0, 600));
    }

    #[test]
    fn a_key_whose_next_node_is_killed_too_waits_from_the_first_kill_on() {
        let mut outages = Outages::default();
        outages.answered("a", "n1", ms(0), ms(1));
        outages.killed("n1", ms(100));
        outages.killed("n1", ms(300));
        outages.answered("a", "n2", ms(90), ms(600));
        assert_eq!(outages.outage().max, 500);
    }
}
