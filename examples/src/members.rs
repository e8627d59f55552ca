//! Who sees whom: the lists of members that the nodes report, and when they all agree.
//!
//! It opens nothing and reads no clock; the times are handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The lists of members as each running node last reported its own.
#[derive(Debug, Default)]
pub struct Views {
    lists: BTreeMap<String, BTreeSet<String>>,
    agreed: BTreeSet<String>,
    changed_at: Duration,
}

impl Views {
    /// A node has reported its list.
    pub fn reported(&mut self, node: &str, members: impl IntoIterator<Item = String>) {
        self.lists
            .insert(node.to_owned(), members.into_iter().collect());
    }

    /// The set of running nodes has changed: one was started, killed, paused or resumed.
    /// A node that does not run has no list any more.
    pub fn changed(&mut self, now: Duration, gone: Option<&str>) {
        if let Some(gone) = gone {
            self.lists.remove(gone);
        }
        self.changed_at = now;
    }

    /// Returns how long ago the running nodes last changed, once: when each of them lists exactly
    /// `running` and that is news.
    pub fn poll_agreed(&mut self, now: Duration, running: &BTreeSet<String>) -> Option<Duration> {
        let agree = running
            .iter()
            .all(|node| self.lists.get(node) == Some(running));
        if !agree || running.is_empty() || self.agreed == *running {
            return None;
        }
        self.agreed.clone_from(running);
        Some(now.saturating_sub(self.changed_at))
    }

    /// Whether the nodes in `running` were the last ones to agree.
    #[must_use]
    pub fn have_agreed(&self, running: &BTreeSet<String>) -> bool {
        self.agreed == *running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn agreement_is_news_once() {
        let mut views = Views::default();
        let running = set(&["n1", "n2"]);
        views.reported("n1", running.clone());
        assert_eq!(
            views.poll_agreed(ms(5), &running),
            None,
            "n2 has said nothing"
        );
        views.reported("n2", running.clone());
        assert_eq!(views.poll_agreed(ms(7), &running), Some(ms(7)));
        assert_eq!(views.poll_agreed(ms(8), &running), None);
        assert!(views.have_agreed(&running));
    }

    #[test]
    fn a_lost_node_is_agreed_on_when_no_running_node_lists_it() {
        let mut views = Views::default();
        let all = set(&["n1", "n2", "n3"]);
        for node in &all {
            views.reported(node, all.clone());
        }
        assert!(views.poll_agreed(ms(1), &all).is_some());
        views.changed(ms(100), Some("n3"));
        let left = set(&["n1", "n2"]);
        assert_eq!(views.poll_agreed(ms(101), &left), None);
        views.reported("n1", left.clone());
        views.reported("n2", left.clone());
        assert_eq!(views.poll_agreed(ms(3_100), &left), Some(ms(3_000)));
    }

    #[test]
    fn a_node_back_before_anybody_noticed_is_no_news() {
        let mut views = Views::default();
        let all = set(&["n1", "n2"]);
        for node in &all {
            views.reported(node, all.clone());
        }
        assert!(views.poll_agreed(ms(1), &all).is_some());
        views.changed(ms(2), Some("n2"));
        views.reported("n2", all.clone());
        assert_eq!(views.poll_agreed(ms(3), &all), None);
    }
}
