//! Who watches an actor hears of it when the actor's machine is lost.
//!
//! Whoever is told too early is not told wrong: a path that is cut for long ends the watch as well.

use super::{Broken, Invariant};
use crate::harness::sometimes::sometimes;
use crate::ledger::{Entry, Event, MachineNumber, Token};
use std::collections::BTreeMap;
use std::time::Duration;

/// A peer that says nothing is given up after 3 s; what was last sent to it, at most 1 s after its
/// last word, starts that time again (RFC 9000, section 10.1). The rest is for round trips.
const NOTICE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct WatchFires {
    open: BTreeMap<Token, Watch>,
}

#[derive(Debug)]
struct Watch {
    by: MachineNumber,
    on: MachineNumber,
    /// When the watcher has to know, once the actor's machine is lost.
    due: Option<Duration>,
}

impl Invariant for WatchFires {
    fn name(&self) -> &'static str {
        "a-watch-fires"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Watching { watch, by, on } => {
                self.open.insert(watch, Watch { by, on, due: None });
            }
            Event::Watched { watch, is_down } => {
                let watch = self.open.remove(&watch);
                if is_down && watch.is_some_and(|watch| watch.due.is_some()) {
                    sometimes!("a-watcher-heard-of-a-lost-machine");
                }
            }
            Event::Crashed { machine } => {
                self.open.retain(|_, watch| watch.by != machine);
                let lost = self.open.values_mut().filter(|watch| watch.on == machine);
                for watch in lost {
                    watch.due.get_or_insert(entry.at + NOTICE);
                }
            }
            Event::Paused { machine, until } => {
                for watch in self.open.values_mut().filter(|watch| watch.by == machine) {
                    watch.due = watch.due.map(|due| due.max(until + NOTICE));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        let late = self
            .open
            .iter()
            .find(|(_, watch)| watch.due.is_some_and(|due| due < now));
        match late {
            Some((token, Watch { by, on, .. })) => Err(format!(
                "watch {token} of machine {by} on an actor of machine {on}, which is lost, did not fire"
            )),
            None => Ok(()),
        }
    }
}
