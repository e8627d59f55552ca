//! Which tables of slots the two sides of a link go by, as far as the sends between them go.
//!
//! The old owner of a slot that moves takes sends along until it has stopped. One that comes later would be
//! refused, since it could be overtaken by what its sender has sent to the new owner meanwhile. So it stops
//! only when everybody that it is linked with has said, on each lane, that what comes from there on was sent
//! by tables that have the move: those who go by them send nothing for the slot until it has arrived. Who
//! does not say so is not waited for long, and not once more for the next slot before it says anything. The
//! new owner is told too: so it knows of a send that it can not place whether its sender is ahead of it, or
//! behind. Knows nothing of mailboxes. Depends on `cluster`.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use callboard_protocol::{
    slots::{SlotId, Version},
    wire::header::encode_seen,
};

use tokio::sync::watch;

use crate::{
    cluster::{Ownership, group_of},
    net::AppendError,
};

use super::{frame::HeldTarget, hub::Hub, session::Session};

/// What the two sides of a link say of each lane.
#[derive(Debug)]
pub(super) struct Seen {
    lanes: Box<[OnLane]>,
    /// What the peer had said on all lanes when it was waited for in vain; [`NEVER`] if it was not.
    given_up: AtomicU64,
}

#[derive(Debug, Default)]
struct OnLane {
    /// What the peer has said.
    heard: AtomicU64,
    /// What this side has to say, or has said.
    to_say: AtomicU64,
    /// A task waits for room to say it.
    waits: AtomicBool,
}

impl Seen {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes: (0..lanes.max(1)).map(|_| OnLane::default()).collect(),
            given_up: AtomicU64::new(NEVER),
        }
    }

    /// The peer has said that it goes by this version. Of a lane that there is not, it says nothing.
    pub(super) fn hear(&self, lane: usize, version: u64) {
        if let Some(it) = self.lanes.get(lane) {
            it.heard.fetch_max(version, Ordering::AcqRel);
        }
    }

    /// Returns the version that the peer goes by on a lane.
    pub(super) fn on(&self, lane: usize) -> Version {
        let heard = self
            .lanes
            .get(lane)
            .map(|it| it.heard.load(Ordering::Acquire));
        Version(heard.unwrap_or_default())
    }

    /// Returns the version that the peer goes by on all lanes.
    fn on_all(&self) -> u64 {
        let heard = self.lanes.iter().map(|it| it.heard.load(Ordering::Acquire));
        heard.min().unwrap_or_default()
    }

    /// The peer was waited for in vain.
    fn give_up(&self, version: Version) {
        let said = self.on_all();
        if said < version.0 {
            self.given_up.store(said, Ordering::Release);
        }
    }

    /// Returns whether the peer is not to be waited for, for this version: it has said that it goes by it, or it
    /// was waited for in vain and has said nothing since.
    fn is_settled(&self, version: Version) -> bool {
        let said = self.on_all();
        said >= version.0 || said == self.given_up.load(Ordering::Acquire)
    }

    /// Says this version on a lane, by `append`, which returns false if there is no room. Returns whether somebody
    /// has to wait for room, and then call [`goes_on`](Self::goes_on): nobody does yet.
    fn say(&self, lane: usize, version: u64, append: impl FnOnce(u64) -> bool) -> bool {
        let Some(it) = self.lanes.get(lane) else {
            return false;
        };
        // BEFORE it is found out whether somebody waits: who does says it too then.
        it.to_say.fetch_max(version, Ordering::AcqRel);
        !append(version) && !it.waits.swap(true, Ordering::AcqRel)
    }

    /// There is room again, as far as who has waited knows. Returns whether it has to wait once more.
    fn goes_on(&self, lane: usize, append: impl FnOnce(u64) -> bool) -> bool {
        let Some(it) = self.lanes.get(lane) else {
            return false;
        };
        // BEFORE it is looked up what there is to say: who has more from now on has to wait itself.
        it.waits.swap(false, Ordering::AcqRel);
        let version = it.to_say.load(Ordering::Acquire);
        !append(version) && !it.waits.swap(true, Ordering::AcqRel)
    }
}

impl Session {
    /// The peer has said by which version of the tables it goes.
    pub(super) fn heard_seen(&self, lane: usize, version: u64) {
        self.seen.hear(lane, version);
        self.hub.seen.send_replace(());
    }

    /// Returns whether nothing comes any more that the peer has sent to a key of this slot by older tables
    /// than these, as far as it is waited for. One that does not know how to say so is not.
    fn goes_by(&self, version: Version, id: SlotId, ownership: &Ownership) -> bool {
        let is_of_slot = |target: &HeldTarget| match target {
            HeldTarget::Keyed(kind, key) if group_of(*kind) == id.group => {
                let place = ownership.place(id.group, key);
                place.is_some_and(|(of, _)| of == id)
            }
            _ => false,
        };
        let is_told = !self.link.forwards() || self.seen.is_settled(version);
        // What has come and waits for its body, or for room, was sent before.
        is_told && !self.holds.has(|pair| is_of_slot(&pair.target))
    }

    /// Says by which version of the tables this side goes, on each lane; where there is no room, when there is.
    fn say_seen(self: &Arc<Self>, version: Version) {
        if !self.link.forwards() {
            return;
        }
        for lane in 0..self.lanes() {
            let append = |version| self.append_seen(lane, version);
            if !self.seen.say(lane, version.0, append) {
                continue;
            }
            let session = self.clone();
            self.hub.tasks().spawn("seen", async move {
                loop {
                    session.link.writable(lane).await;
                    let append = |version| session.append_seen(lane, version);
                    if !session.seen.goes_on(lane, append) {
                        return;
                    }
                }
            });
        }
    }

    /// Returns false if there was no room.
    fn append_seen(&self, lane: usize, version: u64) -> bool {
        let appended = self.link.append(lane, |buffer| {
            encode_seen(version, buffer);
            Ok::<_, Infallible>(())
        });
        !matches!(appended, Err(AppendError::Full))
    }
}

impl Hub {
    /// Returns what tells that peers say by which tables of slots they go, from now on.
    pub(crate) fn seen_changes(&self) -> watch::Receiver<()> {
        self.seen.subscribe()
    }

    /// Returns whether nobody who is linked, and is waited for, sends to a key of this slot by older tables than
    /// these any more.
    pub(crate) fn is_gone_by(&self, version: Version, id: SlotId, ownership: &Ownership) -> bool {
        let sessions = self.sessions();
        sessions.iter().all(|it| it.goes_by(version, id, ownership))
    }

    /// Those who have not said that they go by these tables were waited for in vain.
    pub(crate) fn give_up_on_unseen(&self, version: Version) {
        for session in self.sessions().iter() {
            session.seen.give_up(version);
        }
    }
}

/// Tells those whose slots have changed that this side has seen it, for as long as it is polled. Sends to
/// these slots wait for that.
pub(crate) async fn tell_seen(hub: Arc<Hub>, ownership: Arc<Ownership>) {
    let token = hub.tasks().token().clone();
    let mut changes = ownership.changes();
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        // BEFORE those are taken whom it concerns: all of this version are among them.
        let version = ownership.version();
        for node in ownership.take_concerned() {
            if let Some(session) = hub.session(node) {
                session.say_seen(version);
            }
        }
        ownership.set_told(version);
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells a peer that has just been linked by which tables this side goes: BEFORE its session is made known to
/// those who send, and again after that, as what is seen later is told to the session that is known then.
pub(super) fn tell_view(session: &Arc<Session>) {
    if let Some(ownership) = session.hub.ownership() {
        let version = ownership.version();
        if version > Version::default() {
            session.say_seen(version);
        }
    }
}

/// No version that anybody goes by.
const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_was_waited_for_in_vain_is_waited_for_again_when_it_says_more() {
        let seen = Seen::new(2);
        assert!(!seen.is_settled(Version(5)), "it is waited for");
        seen.give_up(Version(5));
        assert!(seen.is_settled(Version(6)), "it has said nothing since");
        for lane in 0..2 {
            assert!(seen.is_settled(Version(6)), "on all lanes");
            seen.hear(lane, 5);
        }
        assert!(!seen.is_settled(Version(6)));
        seen.give_up(Version(5));
        assert!(!seen.is_settled(Version(6)), "for 5 it was not in vain");
        seen.hear(0, 6);
        seen.hear(1, 6);
        assert!(seen.is_settled(Version(6)));
    }

    #[test]
    fn a_peer_goes_by_what_it_has_said_on_all_lanes() {
        let seen = Seen::new(2);
        seen.hear(0, 7);
        assert_eq!(
            (seen.on(0), seen.on(1), seen.on_all()),
            (Version(7), Version(0), 0)
        );
        seen.hear(1, 9);
        seen.hear(0, 5);
        seen.hear(2, 1);
        assert_eq!(
            (seen.on(0), seen.on_all()),
            (Version(7), 7),
            "none goes back"
        );
    }

    #[test]
    fn one_at_most_waits_to_say_it_and_says_what_was_seen_last() {
        let seen = Seen::new(1);
        assert!(!seen.say(0, 1, |_| true));
        assert!(seen.say(0, 2, |_| false), "the first one has to wait");
        assert!(!seen.say(0, 4, |_| false), "somebody waits");
        assert!(!seen.say(0, 3, |_| false));
        assert!(seen.goes_on(0, |_| false), "there is no room yet");
        let mut said = 0;
        let append = |version| {
            said = version;
            true
        };
        assert!(!seen.goes_on(0, append));
        assert_eq!(said, 4);
        assert!(seen.say(0, 5, |_| false), "nobody waits any more");
    }

    #[test]
    fn what_is_seen_between_the_look_and_the_room_is_waited_for_by_who_has_seen_it() {
        let seen = Seen::new(1);
        assert!(seen.say(0, 1, |_| false));
        let mut waits_too = false;
        let again = seen.goes_on(0, |version| {
            assert_eq!(version, 1);
            waits_too = seen.say(0, 2, |_| false);
            false
        });
        assert!(waits_too && !again, "one of the two, not both");
    }
}
