//! What becomes of the activations of a slot when the slot goes, and of what comes along with one.
//!
//! A slot that is lost ends its activations at once: another node may act on it. One that moves is
//! handed over: no turn starts, what waits is answered `Moved`, turns that run end, and are dropped
//! at their limit; the states of actors that are marked `handover` go to the new owner; when nothing
//! is left the leader is told. [`Handoff`] decides, this carries out. Depends on `cluster` and on the
//! directories of the hosted types.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{
    cluster::{Message, Parcel, Word},
    id::{InterfaceId, NodeId},
    slots::{Entry, Epoch, Handoff, HandoffAction, Outcome, Owner, SequenceNumber, SlotId},
    time::Time,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Notify;

use super::early::Early;
use crate::{
    call::{Departing, Hosted, Hub, Keys, Supervised},
    cluster::{Ownership, Passage},
    telemetry::Handed,
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
}

impl Desk {
    /// Does what follows from what has changed since the last time.
    fn look(&self) {
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
    }

    /// Looks at everything that a type has here: this node is in another life, or keys are placed from
    /// now on, and what was made before that is bound to nothing.
    fn look_at_all(&self, directory: &dyn Hosted) {
        let Some(keys) = directory.keys() else { return };
        if self.ownership.places() {
            self.end(keys.unbound());
        }
        let group = crate::cluster::group_of(directory.interface());
        for slot in keys.slots() {
            self.look_at(SlotId { group, slot });
        }
    }

    fn look_at(&self, id: SlotId) {
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
    }

    fn settle(&self, keys: &dyn Keys, id: SlotId, entry: &Entry) {
        let lost = keys.settle(id, self.ownership.me(), entry);
        self.hub.metrics().handed(Handed::Lost, lost);
    }

    fn end(&self, activations: Vec<Departing>) {
        for it in activations {
            if let Some(child) = supervised(&self.hub, &it) {
                let stops = async move { stop(child, Duration::ZERO).await };
                self.hub.tasks().spawn("slot-lost", stops);
            }
        }
    }

    /// Reads what other owners have said, first what was said too early the last time.
    fn read(&mut self) {
        for ((id, by, epoch, sequence), parcel) in self.early.take() {
            self.take_in((by, epoch), id, sequence, parcel);
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
                    self.take_in((by, epoch), id, sequence, parcel);
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
        parcel: Parcel,
    ) {
        let Some(directory) = directory(&self.hub, id) else {
            return;
        };
        let (Some(keys), Some(entry)) = (directory.keys(), self.ownership.entry(id)) else {
            return;
        };
        if Early::is_early(&entry, self.ownership.me(), (by, epoch)) {
            self.early.keep((id, by, epoch, sequence), parcel);
            return;
        }
        // The look at the view may come only after this.
        self.settle(keys, id, &entry);
        if let Some(before) = keys.take_in(id.slot, (by, epoch), sequence, parcel) {
            let handed = Message::Handed { id, epoch, before };
            self.passage.say(by.node, handed);
        }
    }
}

/// A slot that is handed over.
struct Leaves {
    hub: Arc<Hub>,
    ownership: Arc<Ownership>,
    passage: Arc<Passage>,
    id: SlotId,
    entry: Entry,
    to: Owner,
    heard: Arc<Acknowledged>,
}

/// What the task that hands a slot over keeps in mind.
struct Sent {
    handoff: Handoff<(), Arc<Parcel>>,
    sizes: Vec<usize>,
    /// How many were forwarded, at least once.
    forwarded: usize,
    acknowledged: usize,
    /// When the target is taken not to listen any more.
    give_up_at: Time,
}

impl Leaves {
    /// Stops the activations of the slot, gives their states to the new owner, and says so, until the
    /// move has ended.
    async fn hand_over(&self) {
        let (hub, id) = (&self.hub, self.id);
        let Some(directory) = directory(hub, id) else {
            return;
        };
        let Some(keys) = directory.keys() else { return };
        let (activations, waiting) = keys.depart(id.slot, self.entry.epoch);
        let mut sent = self.begin(activations.len());
        for parcel in waiting {
            self.add(&mut sent, parcel);
        }
        let limit = hub.call_limits().turn_limit;
        let stopping = activations.into_iter().map(|it| {
            let child = supervised(hub, &it);
            async move {
                if let Some(child) = child {
                    stop(child, limit).await;
                }
                let goes = it.departure.goes();
                (goes, it.take_state())
            }
        });
        let mut stopping: FuturesUnordered<_> = stopping.collect();
        let mut changes = self.ownership.changes();
        let back = loop {
            changes.mark_unchanged();
            let entry = self.ownership.entry(id).unwrap_or_default();
            match sent.handoff.handle_entry(&entry) {
                Outcome::Pending => {}
                Outcome::Gone => break None,
                Outcome::Back { epoch, sends } => break Some((epoch, sends)),
            }
            let pause = self.act(&mut sent);
            tokio::select! {
                biased;
                () = hub.tasks().token().cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                Some((goes, state)) = stopping.next(), if !stopping.is_empty() => {
                    match state {
                        Some(parcel) => self.add(&mut sent, parcel),
                        // Its turn was dropped at its limit, or it can not be encoded.
                        None => hub.metrics().handed(Handed::Lost, usize::from(goes)),
                    }
                    sent.handoff.handle_turn_ended();
                }
                () = self.heard.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        let back = back.map(|(epoch, sends)| {
            let parcels = sends.iter().map(|it| Parcel::clone(it));
            (epoch, parcels.collect())
        });
        if back.is_none() {
            hub.metrics().handed(Handed::Given, sent.acknowledged);
        }
        hub.metrics().handed(Handed::Lost, keys.left(id.slot, back));
        // A turn that does not end, though its slot has stayed, must not be taken for none by the next
        // move. Its state is not to be used: the key may have another activation by now.
        while stopping.next().await.is_some() {}
    }

    fn begin(&self, turns: usize) -> Sent {
        let times = (AGAIN, self.hub.call_limits().turn_limit);
        let (me, now) = (self.ownership.me(), self.hub.now());
        Sent {
            handoff: Handoff::new((self.id, &self.entry), me, turns, times, now),
            sizes: Vec::new(),
            forwarded: 0,
            acknowledged: 0,
            give_up_at: Time::MAX,
        }
    }

    /// Adds a state to what the new owner gets. One that finds no room ends here.
    fn add(&self, sent: &mut Sent, parcel: Parcel) {
        let size = super::passing::size_of(&parcel);
        let all: usize = sent.sizes.iter().sum();
        if all + size <= SLOT_BYTES_MAX && sent.handoff.handle_send(Arc::new(parcel)).is_ok() {
            sent.sizes.push(size);
            let wait = self.hub.now() + GIVE_UP_AFTER;
            if sent.give_up_at == Time::MAX {
                sent.give_up_at = wait;
            }
            return;
        }
        tracing::warn!(slot = %self.id, "more state than a slot may take along: a key begins anew");
        self.hub.metrics().handed(Handed::Lost, 1);
    }

    /// Does what is due; returns how long there is nothing to do, if nothing happens.
    fn act(&self, sent: &mut Sent) -> Duration {
        let (id, epoch, now) = (self.id, sent.handoff.epoch(), self.hub.now());
        let before = self.heard.before(epoch, self.to.node);
        let acknowledged = usize::try_from(before.0).unwrap_or(usize::MAX);
        if acknowledged > sent.acknowledged && acknowledged <= sent.forwarded {
            sent.handoff.handle_acknowledged(before);
            sent.acknowledged = acknowledged;
            sent.give_up_at = now + GIVE_UP_AFTER;
        }
        if sent.acknowledged == sent.sizes.len() {
            sent.give_up_at = Time::MAX;
        } else if now >= sent.give_up_at {
            let lost = sent.sizes.len() - sent.acknowledged;
            tracing::warn!(slot = %id, to = %self.to, lost, "the new owner does not take its states");
            self.hub.metrics().handed(Handed::Lost, lost);
            sent.handoff.handle_given_up();
            sent.give_up_at = Time::MAX;
        }
        loop {
            let on_the_way: usize = sent.sizes[sent.acknowledged..sent.forwarded].iter().sum();
            let again = sent.handoff.is_to_forward_again(now);
            if on_the_way >= WINDOW_BYTES && !again {
                break;
            }
            if again {
                sent.forwarded = sent.acknowledged;
            }
            let Some(action) = sent.handoff.poll_action(now) else {
                break;
            };
            match action {
                HandoffAction::Forward { sequence, send } => {
                    sent.forwarded = usize::try_from(sequence.0).unwrap_or(usize::MAX) + 1;
                    let parcel = Parcel::clone(&send);
                    let incarnation = self.ownership.me().incarnation;
                    let hand = Message::Hand {
                        incarnation,
                        id,
                        epoch,
                        sequence,
                        parcel,
                    };
                    self.passage.say(self.to.node, hand);
                }
                HandoffAction::ReportStopped => self.ownership.say(Word::Stopped { id, epoch }),
                HandoffAction::ReportStuck => self.ownership.say(Word::Stuck { id, epoch }),
                // A turn over its limit is dropped by whoever stops its activation; calls are
                // answered where their turns would begin.
                _ => {}
            }
        }
        let due = sent.handoff.next_deadline();
        let pause = due.map_or(AGAIN, |due| due.saturating_since(now));
        // What waits for room on the way goes on with the next acknowledgement.
        pause.clamp(PAUSE_MIN, AGAIN)
    }
}

/// Stops an activation, and waits until its last turn is over indeed.
async fn stop((guardian, child): Supervised, grace: Duration) {
    guardian.stop_child(&child, grace).await;
    child.wait_vacated().await;
}

fn supervised(hub: &Hub, activation: &Departing) -> Option<Supervised> {
    hub.actor(activation.actor)?.supervised()
}

/// Returns the directory of the type whose slot it is, if it is hosted here.
fn directory(hub: &Hub, id: SlotId) -> Option<Arc<dyn Hosted>> {
    hub.host(InterfaceId(id.group.0))
}

/// The slots that are being handed over.
#[derive(Default)]
struct Leaving {
    slots: Mutex<BTreeMap<SlotId, Arc<Acknowledged>>>,
    over: Mutex<Vec<SlotId>>,
    ended: Notify,
}

/// What the new owner of a slot says that it has.
#[derive(Default)]
struct Acknowledged {
    last: Mutex<Option<(Epoch, NodeId)>>,
    before: AtomicU64,
    changed: Notify,
}

impl Leaving {
    fn begin(&self, id: SlotId) -> Option<Arc<Acknowledged>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.contains_key(&id) {
            return None;
        }
        Some(slots.entry(id).or_default().clone())
    }

    fn end(&self, id: SlotId) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&id);
        drop(slots);
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over.push(id);
        drop(over);
        self.ended.notify_one();
    }

    fn take_ended(&self) -> Vec<SlotId> {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *over)
    }

    fn has(&self, id: SlotId) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.contains_key(&id)
    }

    fn heard(&self, id: SlotId, epoch: Epoch, from: NodeId, before: SequenceNumber) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(acknowledged) = slots.get(&id) {
            acknowledged.hear(epoch, from, before);
        }
    }
}

impl Acknowledged {
    fn hear(&self, epoch: Epoch, from: NodeId, before: SequenceNumber) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != Some((epoch, from)) {
            *last = Some((epoch, from));
            self.before.store(0, Ordering::Relaxed);
        }
        self.before.fetch_max(before.0, Ordering::Relaxed);
        drop(last);
        self.changed.notify_one();
    }

    /// Returns the number before which this node has all that was handed over under this epoch.
    fn before(&self, epoch: Epoch, by: NodeId) -> SequenceNumber {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = *last == Some((epoch, by));
        let before = self.before.load(Ordering::Relaxed);
        SequenceNumber(if is_it { before } else { 0 })
    }
}

/// After what time the leader is told again, and the new owner is sent again what it lacks.
const AGAIN: Duration = Duration::from_millis(100);

/// What is due at once is done in the next round, which lets others run in between.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// After what time without a sign that the new owner takes states they are given up: well before a
/// move is.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

/// The most bytes of states that go along with one slot.
const SLOT_BYTES_MAX: usize = 16 << 20;

/// How many bytes are on their way without an acknowledgement. They share the control lane with the
/// signs of life.
const WINDOW_BYTES: usize = 256 << 10;
