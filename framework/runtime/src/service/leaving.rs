//! A slot that is handed over: what runs on it ends, and what goes along is given to its next owner.
//!
//! No turn starts, what waits is answered `Moved` or goes along, turns that run end, and are dropped at their
//! limit. First the states go, then the sends: those that waited in the mailboxes, then those that have come
//! since. When nothing is left, and nobody sends here any more by tables that do not have the move, the leader
//! is told. [`Handoff`] decides, this carries out. Depends on `cluster` and on the directories of the hosted
//! types.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{
    cluster::{Message, Word},
    code::{CallError, Code},
    id::NodeId,
    slots::{Entry, Epoch, Handoff, HandoffAction, Outcome, Owner, SequenceNumber, SlotId},
    time::Time,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Notify;

use super::slots::{directory, stop, supervised};
use crate::{
    call::{Departing, Hub, Kept, Keys, NO_ROOM, SENDS_BYTES_MAX},
    cluster::{Ownership, Passage},
    telemetry::Handed,
};

/// A slot that is handed over.
pub(super) struct Leaves {
    pub(super) hub: Arc<Hub>,
    pub(super) ownership: Arc<Ownership>,
    pub(super) passage: Arc<Passage>,
    pub(super) leaving: Arc<Leaving>,
    pub(super) id: SlotId,
    pub(super) entry: Entry,
    pub(super) to: Owner,
    pub(super) heard: Arc<Acknowledged>,
}

/// What the task that hands a slot over keeps in mind.
struct Sent {
    handoff: Handoff<(), Arc<Kept>>,
    /// The length of each, and whether it is a send.
    parcels: Vec<(usize, bool)>,
    /// Sends that wait until all states are on their way.
    waiting: Vec<Kept>,
    /// How many were forwarded, at least once.
    forwarded: usize,
    acknowledged: usize,
    /// When the target is taken not to listen any more.
    give_up_at: Time,
    /// Until when peers are waited for that have not seen the move.
    seen_by: Time,
    /// No turn runs any more.
    ended: bool,
    /// No send is taken along any more: it may be said that this node has stopped.
    closed: bool,
}

impl Sent {
    /// Returns how many bytes of states, or of sends, there are.
    fn bytes(&self, of_sends: bool) -> usize {
        let parcels = self.parcels.iter().filter(|(_, it)| *it == of_sends);
        parcels.map(|(size, _)| size).sum()
    }

    /// Returns how many states and how many sends are among these.
    fn count(&self, parcels: std::ops::Range<usize>) -> (usize, usize) {
        let parcels = &self.parcels[parcels];
        let sends = parcels.iter().filter(|(_, is_send)| *is_send).count();
        (parcels.len() - sends, sends)
    }
}

/// What is left of an activation: whether its state goes along, the state, and the sends.
type Remains = (bool, Option<Kept>, Vec<Kept>);

impl Leaves {
    /// Stops the activations of the slot, gives what goes along to the new owner, and says so, until the
    /// move has ended.
    pub(super) async fn hand_over(&self) {
        let (hub, id) = (&self.hub, self.id);
        let Some(directory) = directory(hub, id) else {
            return;
        };
        let Some(keys) = directory.keys() else { return };
        let (activations, waiting) = keys.depart(id.slot, self.entry.epoch);
        let mut sent = self.begin(activations.len());
        for kept in waiting {
            match kept.is_send() {
                true => sent.waiting.push(kept),
                false => self.add(&mut sent, kept),
            }
        }
        let stopping = activations.into_iter().map(|it| self.stop(it));
        let mut stopping: FuturesUnordered<_> = stopping.collect();
        let (mut changes, mut seen) = (self.ownership.changes(), hub.seen_changes());
        let back = loop {
            changes.mark_unchanged();
            seen.mark_unchanged();
            let entry = self.ownership.entry(id).unwrap_or_default();
            match sent.handoff.handle_entry(&entry) {
                Outcome::Pending => {}
                Outcome::Gone => break None,
                Outcome::Back { epoch, sends } => break Some((epoch, sends)),
            }
            sent.ended = stopping.is_empty();
            let pause = self.act(keys, &mut sent);
            tokio::select! {
                biased;
                () = hub.tasks().token().cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                Some(remains) = stopping.next(), if !stopping.is_empty() => {
                    self.take(&mut sent, remains);
                }
                () = self.heard.changed.notified() => {}
                _ = seen.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        self.end(keys, sent, back);
        // A turn that does not end, though its slot has stayed, must not be taken for none by the next
        // move. Nothing of it is to be used: the key may have another activation by now.
        while let Some((_, _, sends)) = stopping.next().await {
            sends
                .iter()
                .for_each(|_| self.refuse("its turn came too late"));
        }
    }

    async fn stop(&self, activation: Departing) -> Remains {
        let limit = self.hub.call_limits().turn_limit;
        if let Some(child) = supervised(&self.hub, &activation) {
            stop(child, limit).await;
        }
        let goes = activation.departure.goes();
        let (state, sends) = activation.take(self.hub.now());
        (goes, state, sends)
    }

    /// Takes in what is left of an activation.
    fn take(&self, sent: &mut Sent, (goes, state, sends): Remains) {
        match state {
            Some(state) => self.add(sent, state),
            // Its turn was dropped at its limit, or it can not be encoded.
            None => self.hub.metrics().handed(Handed::Lost, usize::from(goes)),
        }
        sent.waiting.extend(sends);
        sent.handoff.handle_turn_ended();
    }

    /// The move has ended: what was kept is the target's, or this node's again.
    fn end(&self, keys: &dyn Keys, sent: Sent, back: Option<(Epoch, Vec<Arc<Kept>>)>) {
        let metrics = self.hub.metrics();
        let back = match back {
            Some((epoch, kept)) => {
                let kept = kept.into_iter().map(Arc::unwrap_or_clone);
                Some((epoch, kept.chain(sent.waiting).collect()))
            }
            None => {
                let (states, sends) = sent.count(0..sent.acknowledged);
                metrics.handed(Handed::Given, states);
                metrics.handed(Handed::Forwarded, sends);
                let (_, unsent) = sent.count(sent.acknowledged..sent.parcels.len());
                for _ in 0..unsent + sent.waiting.len() {
                    self.refuse("the next owner of its slot did not take it");
                }
                None
            }
        };
        let is_back = back.is_some();
        self.hub.count_lost(keys.left(self.id.slot, back));
        if is_back {
            self.leaving.came_back(self.id);
        }
    }

    fn begin(&self, turns: usize) -> Sent {
        let times = (AGAIN, self.hub.call_limits().turn_limit);
        let (me, now) = (self.ownership.me(), self.hub.now());
        Sent {
            handoff: Handoff::new((self.id, &self.entry), me, turns, times, now),
            parcels: Vec::new(),
            waiting: Vec::new(),
            forwarded: 0,
            acknowledged: 0,
            give_up_at: Time::MAX,
            seen_by: now + SEEN_WAIT,
            ended: false,
            closed: false,
        }
    }

    /// Adds something to what the new owner gets. What finds no room ends here.
    fn add(&self, sent: &mut Sent, kept: Kept) {
        let (size, is_send) = (kept.bytes(), kept.is_send());
        let most = match is_send {
            true => SENDS_BYTES_MAX,
            false => SLOT_BYTES_MAX,
        };
        let has_room = sent.bytes(is_send) + size <= most;
        if has_room && sent.handoff.handle_send(Arc::new(kept)).is_ok() {
            sent.parcels.push((size, is_send));
            let wait = self.hub.now() + GIVE_UP_AFTER;
            if sent.give_up_at == Time::MAX {
                sent.give_up_at = wait;
            }
            return;
        }
        if is_send {
            return self.refuse(NO_ROOM);
        }
        tracing::warn!(slot = %self.id, "more state than a slot may take along: a key begins anew");
        self.hub.metrics().handed(Handed::Lost, 1);
    }

    fn refuse(&self, why: &'static str) {
        let error = CallError::new(Code::Moved, format!("slot {}", self.id));
        self.hub.refuse_send(&error.with_detail(why));
    }

    /// Does what is due; returns how long there is nothing to do, if nothing happens.
    fn act(&self, keys: &dyn Keys, sent: &mut Sent) -> Duration {
        let now = self.hub.now();
        self.take_acknowledged(sent, now);
        if sent.ended {
            self.add_sends(keys, sent, now);
        }
        loop {
            let on_the_way = sent.acknowledged..sent.forwarded;
            let bytes: usize = sent.parcels[on_the_way.clone()].iter().map(|it| it.0).sum();
            let again = sent.handoff.is_to_forward_again(now);
            let is_full = bytes >= WINDOW_BYTES || on_the_way.len() >= WINDOW_PARCELS;
            let is_over = sent.handoff.is_done() && !sent.closed;
            if is_full && !again || is_over {
                break;
            }
            if again {
                sent.forwarded = sent.acknowledged;
            }
            let Some(action) = sent.handoff.poll_action(now) else {
                break;
            };
            self.carry_out(action, sent, now);
        }
        if sent.handoff.is_done() && !sent.closed {
            return LOOK_EVERY;
        }
        let due = sent.handoff.next_deadline();
        let pause = due.map_or(AGAIN, |due| due.saturating_since(now));
        // What waits for room on the way goes on with the next acknowledgement.
        pause.clamp(PAUSE_MIN, AGAIN)
    }

    fn take_acknowledged(&self, sent: &mut Sent, now: Time) {
        let before = self.heard.before(sent.handoff.epoch(), self.to.node);
        let acknowledged = usize::try_from(before.0).unwrap_or(usize::MAX);
        if acknowledged > sent.acknowledged && acknowledged <= sent.forwarded {
            sent.handoff.handle_acknowledged(before);
            sent.acknowledged = acknowledged;
            sent.give_up_at = now + GIVE_UP_AFTER;
        }
        if sent.acknowledged == sent.parcels.len() {
            sent.give_up_at = Time::MAX;
        } else if now >= sent.give_up_at {
            // The sends among them are lost when the move ends elsewhere; until then they may come back.
            let (states, sends) = sent.count(sent.acknowledged..sent.parcels.len());
            let (slot, to) = (self.id, self.to);
            tracing::warn!(%slot, %to, states, sends, "the new owner does not take what goes along");
            self.hub.metrics().handed(Handed::Lost, states);
            sent.handoff.handle_given_up();
            sent.give_up_at = Time::MAX;
        }
    }

    /// Adds the sends, AFTER all states; once nobody sends by older tables any more, and the new owner has
    /// them all, none is taken along any more.
    fn add_sends(&self, keys: &dyn Keys, sent: &mut Sent, now: Time) {
        let (slot, epoch) = (self.id.slot, self.entry.epoch);
        let session = self.hub.session(self.to.node);
        // It would not understand them, nor anything behind them.
        let is_older = session.is_some_and(|it| !it.link.forwards());
        let may_close = sent.handoff.is_done() && sent.waiting.is_empty() && !sent.closed;
        let closes = may_close && self.is_gone_by(sent.seen_by, now);
        let (late, closed) = keys.late(slot, epoch, closes);
        sent.closed |= closed;
        for kept in std::mem::take(&mut sent.waiting).into_iter().chain(late) {
            match is_older {
                true => self.refuse("the next owner of its slot is of an older version"),
                false => self.add(sent, kept),
            }
        }
    }

    /// Returns whether nobody who is waited for sends here any more by tables that do not have the move.
    fn is_gone_by(&self, seen_by: Time, now: Time) -> bool {
        let changed = self.entry.changed;
        let is_gone_by = self.hub.is_gone_by(changed, self.id, &self.ownership);
        if !is_gone_by && now >= seen_by {
            self.hub.give_up_on_unseen(changed);
            return true;
        }
        is_gone_by
    }

    fn carry_out(&self, action: HandoffAction<(), Arc<Kept>>, sent: &mut Sent, now: Time) {
        let (id, epoch) = (self.id, sent.handoff.epoch());
        match action {
            HandoffAction::Forward { sequence, send } => {
                sent.forwarded = usize::try_from(sequence.0).unwrap_or(usize::MAX) + 1;
                let incarnation = self.ownership.me().incarnation;
                let hand = Message::Hand {
                    incarnation,
                    id,
                    epoch,
                    sequence,
                    parcel: send.at(now),
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
}

/// The slots that are being handed over.
#[derive(Default)]
pub(super) struct Leaving {
    slots: Mutex<BTreeMap<SlotId, Arc<Acknowledged>>>,
    over: Mutex<Vec<SlotId>>,
    pub(super) ended: Notify,
    /// Those that stay after all, with what was to go along.
    back: Mutex<Vec<SlotId>>,
}

/// What the new owner of a slot says that it has.
#[derive(Default)]
pub(super) struct Acknowledged {
    last: Mutex<Option<(Epoch, NodeId)>>,
    before: AtomicU64,
    changed: Notify,
}

impl Leaving {
    pub(super) fn begin(&self, id: SlotId) -> Option<Arc<Acknowledged>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.contains_key(&id) {
            return None;
        }
        Some(slots.entry(id).or_default().clone())
    }

    pub(super) fn end(&self, id: SlotId) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&id);
        drop(slots);
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over.push(id);
        drop(over);
        self.ended.notify_one();
    }

    pub(super) fn take_ended(&self) -> Vec<SlotId> {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *over)
    }

    fn came_back(&self, id: SlotId) {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        back.push(id);
        drop(back);
        self.ended.notify_one();
    }

    pub(super) fn take_back(&self) -> Vec<SlotId> {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *back)
    }

    pub(super) fn has(&self, id: SlotId) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.contains_key(&id)
    }

    pub(super) fn heard(&self, id: SlotId, epoch: Epoch, from: NodeId, before: SequenceNumber) {
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

/// How many parcels are on their way without an acknowledgement: a few slots at once must not fill what waits to
/// be said.
const WINDOW_PARCELS: usize = 128;

/// How long a peer is waited for that does not say that it has seen the move. What it sends later is refused.
/// Some of what a pause may take, 200 ms: a client is told of a change within 20 ms and the way to it.
const SEEN_WAIT: Duration = Duration::from_millis(100);

/// How often it is looked whether a peer that has seen the move has nothing left of before. That it has seen it
/// is told at once.
const LOOK_EVERY: Duration = Duration::from_millis(5);
