//! What becomes of the activations of a slot when the slot goes, and of what comes along with one.
//!
//! A slot that is lost ends its activations at once: another node may act on it. One that moves is
//! [handed over](super::leaving): the states of actors that are marked `handover`, and the sends that wait, go
//! to the new owner, which uses them once it owns the slot. Depends on `cluster` and on the directories of the
//! hosted types.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard_protocol::{
    cluster::Message,
    id::InterfaceId,
    slots::{Entry, Epoch, Owner, SequenceNumber, SlotId},
};

use super::{
    early::Early,
    leaving::{Leaves, Leaving},
};
use crate::{
    call::{Departing, Hosted, Hub, Kept, Keys, Lost, Supervised},
    cluster::{Ownership, Passage},
};

/// Ends the activations of slots that are not this node's any more, and takes in what comes with those
/// that are about to be, for as long as it is polled.
pub(crate) async fn follow(hub: Arc<Hub>, ownership: Arc<Ownership>, passage: Arc<Passage>) {
    let token = hub.tasks().token().clone();
    let mut changes = ownership.changes();
    let mut desk = Desk {
        hub,
        ownership,
        passage,
        leaving: Arc::default(),
        early: Early::default(),
        waking: BTreeSet::new(),
    };
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        desk.look();
        desk.read();
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = desk.leaving.ended.notified() => {}
            () = desk.passage.heard() => {}
            () = tokio::time::sleep(WAKE_AGAIN), if !desk.waking.is_empty() => {}
        }
    }
}

/// What all of it is done with.
struct Desk {
    hub: Arc<Hub>,
    ownership: Arc<Ownership>,
    passage: Arc<Passage>,
    leaving: Arc<Leaving>,
    early: Early,
    /// Slots with sends that came along and for which no key could be activated yet.
    waking: BTreeSet<SlotId>,
}

impl Desk {
    /// Does what follows from what has changed since the last time.
    fn look(&mut self) {
        let news = self.ownership.take_news();
        if news.all {
            for directory in self.hub.directories() {
                self.look_at_all(&*directory);
            }
        }
        // Those that have left may be on their way again.
        for id in self.leaving.take_ended().into_iter().chain(news.slots) {
            self.look_at(id);
        }
        let waking = std::mem::take(&mut self.waking);
        for id in self.leaving.take_back().into_iter().chain(waking) {
            self.wake(id);
        }
    }

    /// Has the sends run that came along with a slot.
    fn wake(&mut self, id: SlotId) {
        let directory = directory(&self.hub, id);
        let keys = directory.as_ref().and_then(|it| it.keys());
        if keys.is_some_and(|keys| keys.wake(id)) {
            self.waking.insert(id);
        }
    }

    /// Looks at everything that a type has here: this node is in another life, or keys are placed from
    /// now on, and what was made before that is bound to nothing.
    fn look_at_all(&mut self, directory: &dyn Hosted) {
        let Some(keys) = directory.keys() else { return };
        if self.ownership.places() {
            self.end(keys.unbound());
        }
        let group = crate::cluster::group_of(directory.interface());
        for slot in keys.slots() {
            self.look_at(SlotId { group, slot });
        }
    }

    fn look_at(&mut self, id: SlotId) {
        let Some(directory) = directory(&self.hub, id) else {
            return;
        };
        let (Some(keys), Some(entry)) = (directory.keys(), self.ownership.entry(id)) else {
            return;
        };
        self.settle(keys, id, &entry);
        let is_mine = entry.owner == Some(self.ownership.me());
        if let (true, Some(to)) = (is_mine, entry.moving) {
            if let Some(heard) = self.leaving.begin(id) {
                let leaves = Leaves {
                    hub: self.hub.clone(),
                    ownership: self.ownership.clone(),
                    passage: self.passage.clone(),
                    leaving: self.leaving.clone(),
                    id,
                    entry,
                    to,
                    heard,
                };
                let leaving = self.leaving.clone();
                self.hub.tasks().spawn("slot-leaves", async move {
                    leaves.hand_over().await;
                    leaving.end(id);
                });
            }
        } else if !self.leaving.has(id) {
            self.end(keys.lost(id.slot));
        }
        self.wake(id);
    }

    fn settle(&self, keys: &dyn Keys, id: SlotId, entry: &Entry) {
        let lost = keys.settle(id, self.ownership.me(), entry);
        self.hub.count_lost(lost);
    }

    fn end(&self, activations: Vec<Departing>) {
        for it in activations {
            if let Some(child) = supervised(&self.hub, &it) {
                let hub = self.hub.clone();
                let stops = async move {
                    stop(child, Duration::ZERO).await;
                    let sends = it.take(hub.now()).1.len();
                    hub.count_lost(Lost { states: 0, sends });
                };
                self.hub.tasks().spawn("slot-lost", stops);
            }
        }
    }

    /// Reads what other owners have said, first what was said too early the last time.
    fn read(&mut self) {
        for ((id, by, epoch, sequence), kept) in self.early.take() {
            self.take_in((by, epoch), id, sequence, kept);
        }
        for (from, message) in self.passage.take_heard() {
            match message {
                Message::Hand {
                    incarnation,
                    id,
                    epoch,
                    sequence,
                    parcel,
                } => {
                    let by = Owner {
                        node: from,
                        incarnation,
                    };
                    let kept = Kept::handed(parcel, &self.hub, from, self.hub.now());
                    self.take_in((by, epoch), id, sequence, kept);
                }
                Message::Handed { id, epoch, before } => {
                    self.leaving.heard(id, epoch, from, before);
                }
                _ => {}
            }
        }
    }

    fn take_in(
        &mut self,
        (by, epoch): (Owner, Epoch),
        id: SlotId,
        sequence: SequenceNumber,
        kept: Kept,
    ) {
        let Some(directory) = directory(&self.hub, id) else {
            return;
        };
        let (Some(keys), Some(entry)) = (directory.keys(), self.ownership.entry(id)) else {
            return;
        };
        if Early::is_early(&entry, self.ownership.me(), (by, epoch)) {
            self.early.keep((id, by, epoch, sequence), kept);
            return;
        }
        // The look at the view may come only after this.
        self.settle(keys, id, &entry);
        if let Some(before) = keys.take_in(id.slot, (by, epoch), sequence, kept) {
            let handed = Message::Handed { id, epoch, before };
            self.passage.say(by.node, handed);
        }
    }
}

/// Stops an activation, and waits until its last turn is over indeed. Its streams are cut: whoever calls the key meanwhile
/// waits for its next owner.
pub(super) async fn stop((guardian, child): Supervised, grace: Duration) {
    child.cut_streams();
    guardian.stop_child(&child, grace).await;
    child.wait_vacated().await;
}

pub(super) fn supervised(hub: &Hub, activation: &Departing) -> Option<Supervised> {
    hub.actor(activation.actor)?.supervised()
}

/// Returns the directory of the type whose slot it is, if it is hosted here.
pub(super) fn directory(hub: &Hub, id: SlotId) -> Option<Arc<dyn Hosted>> {
    hub.host(InterfaceId(id.group.0))
}

/// After what time it is tried again to activate the keys of sends that came along: the lease may just have ended,
/// or as many actors may be in memory as may.
const WAKE_AGAIN: Duration = Duration::from_millis(20);
