//! Warns when handlers hold all threads of the runtime: nothing else can say so then. And when the whole process
//! stood still, so that nobody looks for the reason at its peers.
//!
//! A task beats a few times a second. A thread beside the runtime looks whether it does. It counts its looks and
//! goes by no clock, so that a machine that was suspended, or a process that was stopped, is not taken for one
//! whose threads are held. How late a look itself is says the other thing: `net::Standstill`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_protocol::wire::hello::PeerKind;

use crate::{call::Hub, env::Clock, net::Standstill};

/// Watches the runtime's threads for as long as the node or the client lives, where there is a thread to do so.
pub(crate) fn watch(hub: &Arc<Hub>) {
    let beats = Arc::new(AtomicU64::new(0));
    let (seen, node) = (Arc::downgrade(&beats), Arc::downgrade(hub));
    let Some(standstill) = hub.net().map(|net| net.standstill()) else {
        return;
    };
    let (looked, clock) = (Arc::clone(&standstill), Arc::clone(&hub.env().clock));
    let job = Box::new(move || {
        look(&seen, &node, &looked, &*clock);
        looked.end();
    });
    if !hub.env().blocking.run_beside("pulse", job) {
        return;
    }
    let token = hub.tasks().token().clone();
    hub.tasks().spawn("pulse", async move {
        // Both are cancel safe.
        while token
            .run_until_cancelled(tokio::time::sleep(BEAT_EVERY))
            .await
            .is_some()
        {
            beats.fetch_add(1, Ordering::Relaxed);
            if let Some(time) = standstill.poll_news() {
                warn_of_standstill(time);
            }
        }
    });
}

/// Looks after the beats until the task that makes them is gone.
fn look(beats: &Weak<AtomicU64>, node: &Weak<Hub>, standstill: &Standstill, clock: &dyn Clock) {
    let mut held = Held::default();
    while let Some(beats) = beats.upgrade() {
        let now = clock.since_boot();
        match held.handle_look_at(now, beats.load(Ordering::Relaxed), standstill) {
            Some(News::Held(time)) => warn(time, node),
            Some(News::Free(time)) => {
                tracing::info!(held = ?time, "a thread of the runtime is free again");
            }
            None => {}
        }
        // It must not keep them alive.
        drop(beats);
        std::thread::sleep(LOOK_EVERY);
    }
}

fn warn(time: Duration, node: &Weak<Hub>) {
    let Some(hub) = node.upgrade() else { return };
    if hub.me().kind == PeerKind::Client {
        tracing::warn!(
            held = ?time,
            "no thread of the runtime has been free: tasks of the program compute or block on all of them, so no reply \
             is read and the nodes take this client for lost; move such work to `tokio::task::spawn_blocking` and await it"
        );
        return;
    }
    let services = describe(&hub.running());
    tracing::warn!(
        held = ?time,
        %services,
        "no thread of the runtime has been free: handlers compute or block on all of them, so nothing else runs \
         and other nodes take this one for lost; move such work to `tokio::task::spawn_blocking` and await it"
    );
}

fn warn_of_standstill(time: Duration) {
    tracing::warn!(
        "this process stood still for {time:.1?}: it was stopped, or its machine was suspended or gave it no time; its peers \
         may have taken it for lost, and calls that waited may have passed their deadlines"
    );
}

/// Names the services with calls that run.
fn describe(running: &BTreeMap<&'static str, usize>) -> String {
    let mut text = String::new();
    for (name, calls) in running.iter().take(NAMES_MAX) {
        let comma = if text.is_empty() { "" } else { ", " };
        // A string takes what is written.
        let _ = write!(text, "{comma}{name} ({calls})");
    }
    match text.is_empty() {
        true => "none: an actor, or a task of the program".to_owned(),
        false => text,
    }
}

/// Counts looks without a beat.
#[derive(Debug, Default)]
struct Held {
    last: u64,
    looks: u32,
    /// At how many looks it is told next; nothing before the first time.
    tell_at: Option<u32>,
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Held(Duration),
    Free(Duration),
}

impl Held {
    /// As [`handle_look`](Self::handle_look), and lets `standstill` know.
    fn handle_look_at(
        &mut self,
        now: Duration,
        beats: u64,
        standstill: &Standstill,
    ) -> Option<News> {
        standstill.handle_look(now);
        let news = self.handle_look(beats);
        standstill.handle_held(now, LOOK_EVERY * self.looks);
        news
    }

    /// Takes in how often the task has beaten. What lasts is told after twice the time, up to once a minute.
    fn handle_look(&mut self, beats: u64) -> Option<News> {
        let looks = self.looks;
        if beats != self.last {
            let told = self.tell_at.is_some();
            *self = Self {
                last: beats,
                ..Self::default()
            };
            return told.then(|| News::Free(LOOK_EVERY * looks));
        }
        self.looks = looks.saturating_add(1);
        let tell_at = self.tell_at.unwrap_or(TOLD_AFTER);
        if self.looks < tell_at {
            return None;
        }
        self.tell_at = Some(tell_at.saturating_add(tell_at.min(TOLD_AGAIN_MAX)));
        Some(News::Held(LOOK_EVERY * self.looks))
    }
}

const BEAT_EVERY: Duration = Duration::from_millis(200);

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks until it is told first: a second and a half, half of what a peer bears by default.
const TOLD_AFTER: u32 = 6;

/// Looks between two times at most: a minute.
const TOLD_AGAIN_MAX: u32 = 240;

const NAMES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use callboard_protocol::code::Code;

    use super::*;
    use crate::net::{Config, LinkDown};

    #[test]
    fn what_lasts_is_told_again_after_twice_the_time_and_its_end_once() {
        let mut held = Held::default();
        let mut told = Vec::new();
        for look in 1..=48 {
            if let Some(News::Held(time)) = held.handle_look(0) {
                told.push((look, time));
            }
        }
        let seconds = Duration::from_millis;
        let expected = [(6, 1500), (12, 3000), (24, 6000), (48, 12_000)];
        assert_eq!(told, expected.map(|(look, time)| (look, seconds(time))));
        assert_eq!(held.handle_look(1), Some(News::Free(seconds(12_000))));
        assert_eq!(held.handle_look(2), None);
        for _ in 0..5 {
            assert_eq!(held.handle_look(2), None);
        }
        assert_eq!(held.handle_look(2), Some(News::Held(seconds(1500))));
    }

    #[test]
    fn a_node_whose_threads_are_held_does_not_blame_its_peers() {
        let standstill = Standstill::new(&Config::default());
        let silent = LinkDown::new(Code::PeerTimeout, "");
        let mut held = Held::default();
        let mut now = Duration::ZERO;
        for _ in 0..14 {
            held.handle_look_at(now, 7, &standstill);
            now += LOOK_EVERY;
        }
        assert_eq!(standstill.explains(&silent, now), Some(LOOK_EVERY * 13));
        held.handle_look_at(now, 8, &standstill);
        assert_eq!(standstill.explains(&silent, now), Some(LOOK_EVERY * 13));
        assert_eq!(standstill.poll_news(), None);
    }

    #[test]
    fn what_lasts_for_hours_is_told_once_a_minute() {
        let mut held = Held::default();
        let looks = 4 * 3600;
        let told = (0..looks).filter(|_| held.handle_look(0).is_some()).count();
        assert!((60..70).contains(&told), "{told}");
    }
}
