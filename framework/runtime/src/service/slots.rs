//! What becomes of the activations of a slot when the slot goes.
//!
//! A slot that is lost ends its activations at once: another node may act on it. One that moves is
//! handed over: no turn starts, what waits is answered `Moved`, turns that run end, and are dropped
//! at their limit; when nothing is left the leader is told. [`Handoff`] decides, this carries out.
//! Depends on `cluster` and on the directories of the hosted types.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use callboard_protocol::{
    cluster::Word,
    slots::{Handoff, HandoffAction, Outcome, SlotId},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Notify;

use crate::{
    call::{Hub, Supervised},
    cluster::{Fence, Ownership},
};

/// Ends the activations of slots that are not this node's any more, for as long as it is polled.
pub(crate) async fn follow(hub: Arc<Hub>, ownership: Arc<Ownership>) {
    let token = hub.tasks().token().clone();
    let mut changes = ownership.changes();
    let leaving = Arc::new(Leaving::default());
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        for id in ownership.leaving() {
            if leaving.begin(id) {
                let (hub, ownership, leaving) = (hub.clone(), ownership.clone(), leaving.clone());
                let task = hub.tasks().clone();
                task.spawn("slot-leaves", async move {
                    hand_over(&hub, &ownership, id).await;
                    leaving.end(id);
                });
            }
        }
        // What was made before there was a control group is bound to nothing.
        let lost = |fence: Option<&Fence>| match fence {
            Some(fence) => !fence.is_held() && !leaving.has(fence.id()),
            None => ownership.places(),
        };
        for child in bound(&hub, &lost) {
            hub.tasks().spawn(
                "slot-lost",
                async move { stop(child, Duration::ZERO).await },
            );
        }
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = leaving.ended.notified() => {}
        }
    }
}

/// Hands a slot over: stops its activations and says so, until the move has ended.
async fn hand_over(hub: &Arc<Hub>, ownership: &Ownership, id: SlotId) {
    let Some(entry) = ownership.entry(id) else {
        return;
    };
    let children = bound(hub, &|fence| fence.is_some_and(|it| it.id() == id));
    let times = (AGAIN, hub.call_limits().turn_limit);
    let now = hub.now();
    let me = ownership.me();
    // Calls are answered where their turns would begin, and sends are forwarded by nobody yet.
    let mut handoff = Handoff::<(), ()>::new((id, &entry), me, children.len(), times, now);
    let stopping = children.into_iter().map(|child| stop(child, times.1));
    let mut stopping: FuturesUnordered<_> = stopping.collect();
    let mut changes = ownership.changes();
    loop {
        changes.mark_unchanged();
        let entry = ownership.entry(id).unwrap_or_default();
        if handoff.handle_entry(&entry) != Outcome::Pending {
            break;
        }
        while let Some(action) = handoff.poll_action(hub.now()) {
            match action {
                HandoffAction::ReportStopped => ownership.say(Word::Stopped {
                    id,
                    epoch: handoff.epoch(),
                }),
                HandoffAction::ReportStuck => ownership.say(Word::Stuck {
                    id,
                    epoch: handoff.epoch(),
                }),
                // A turn over its limit is dropped by whoever stops its activation.
                _ => {}
            }
        }
        let due = handoff.next_deadline();
        let pause = due.map_or(AGAIN, |due| due.saturating_since(hub.now()));
        tokio::select! {
            biased;
            () = hub.tasks().token().cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            Some(()) = stopping.next(), if !stopping.is_empty() => handoff.handle_turn_ended(),
            () = tokio::time::sleep(pause.min(AGAIN)) => {}
        }
    }
    // A turn that does not end, though its slot has stayed, must not be taken for none by the next
    // move.
    while stopping.next().await.is_some() {}
}

/// Stops an activation, and waits until its last turn is over indeed.
async fn stop((guardian, child): Supervised, grace: Duration) {
    guardian.stop_child(&child, grace).await;
    while child.is_housed() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn bound(hub: &Hub, which: &dyn Fn(Option<&Fence>) -> bool) -> Vec<Supervised> {
    let directories = hub.directories();
    let keys = directories.iter().filter_map(|directory| directory.keys());
    let actors = keys.flat_map(|keys| keys.bound(which));
    actors
        .filter_map(|actor| hub.actor(actor)?.supervised())
        .collect()
}

/// The slots that are being handed over.
#[derive(Default)]
struct Leaving {
    slots: Mutex<BTreeSet<SlotId>>,
    ended: Notify,
}

impl Leaving {
    fn begin(&self, id: SlotId) -> bool {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(id)
    }

    fn end(&self, id: SlotId) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&id);
        drop(slots);
        self.ended.notify_one();
    }

    fn has(&self, id: SlotId) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.contains(&id)
    }
}

/// After what time the leader is told again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often a turn that does not end although it was dropped is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
