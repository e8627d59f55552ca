//! What this node knows of who owns which slot, and until when it may act on its own.
//!
//! The view follows the control group by deltas and may be old; the lease makes that harmless.
//! Whoever starts a turn asks [`Ownership::may_start`], whoever lets something of it out asks
//! [`Ownership::may_answer`]: both look at the view and the lease together. Reads no clock: moments
//! are given from outside, all by one clock of the node. Fed by what drives the control group;
//! depends on the pure parts of `slots` only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use callboard_protocol::{
    cluster::Word,
    id::{Incarnation, NodeId, NodeName},
    placement::Why,
    slots::{
        Delta, DeltaError, Entry, Epoch, GroupId, Ineligible, Lack, Member, Owner, SlotId,
        Standing, Table, Version, View,
    },
    time::Time,
};
use tokio::sync::{Notify, watch};

use super::tally::Tally;

/// What a node knows of all slots, and its right to act on its own. Shared by everything in it.
#[derive(Debug)]
pub struct Ownership {
    seen: RwLock<Seen>,
    /// Until when turns may start, and until when what they make may leave: moments in
    /// nanoseconds, 0 without a lease.
    starts_until: AtomicU64,
    answers_until: AtomicU64,
    changed: watch::Sender<Version>,
    news: Mutex<News>,
    /// The other nodes that own slots that have changed, or are about to, since it was asked for last.
    concerned: Mutex<BTreeSet<NodeId>>,
    /// Up to which version these were told that this node goes by it.
    told: AtomicU64,
    placed_by: Mutex<PlacedBy>,
    /// Whether that is anything else than [`PlacedBy::WhoAsks`].
    places: AtomicBool,
    words: Mutex<BTreeMap<SlotId, Word>>,
    said: Notify,
}

/// Who decides where a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlacedBy {
    /// It is not known yet: nobody activates a key here.
    Unknown,
    /// There is no control group, and a key is where it is asked for.
    WhoAsks,
    /// There is a control group, or one is to come. This is for good.
    Group,
}

/// What has changed since it was asked for last.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Slots with another entry.
    pub(crate) slots: BTreeSet<SlotId>,
    /// All may have to be looked at: this node is in another life, or keys are placed from now on.
    pub(crate) all: bool,
}

#[derive(Debug)]
struct Seen {
    me: Owner,
    view: View,
}

impl Ownership {
    /// Makes what this life of a node knows at first: nothing, not even who places keys. It has no lease.
    #[must_use]
    pub fn new(me: Owner) -> Self {
        let seen = Seen {
            me,
            view: View::new(),
        };
        Self {
            seen: RwLock::new(seen),
            starts_until: AtomicU64::new(0),
            answers_until: AtomicU64::new(0),
            changed: watch::Sender::new(Version::default()),
            news: Mutex::default(),
            concerned: Mutex::default(),
            told: AtomicU64::new(0),
            placed_by: Mutex::new(PlacedBy::Unknown),
            places: AtomicBool::new(true),
            words: Mutex::default(),
            said: Notify::new(),
        }
    }

    /// A control group is to come, or has come: keys are placed by it from now on, and by nobody until
    /// its tables are known here.
    pub fn expect(&self) {
        self.set_placed_by(PlacedBy::Group);
    }

    /// Says whether keys are placed, for whoever only hears of that: a client, which activates none.
    pub(crate) fn set_places(&self, places: bool) {
        self.places.store(places, Ordering::Release);
    }

    /// There is no control group as far as can be known: keys are where they are asked for, until one is
    /// met. Changes nothing where there is one.
    pub fn set_alone(&self) {
        self.set_placed_by(PlacedBy::WhoAsks);
    }

    /// Returns who decides where a key is.
    #[must_use]
    pub fn placed_by(&self) -> PlacedBy {
        *self
            .placed_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a key must not be activated just because it is asked for here: keys are placed, or
    /// it is not known yet whether they are.
    #[must_use]
    pub fn places(&self) -> bool {
        self.places.load(Ordering::Acquire)
    }

    fn set_placed_by(&self, to: PlacedBy) {
        let mut placed_by = self
            .placed_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *placed_by == to || *placed_by == PlacedBy::Group {
            return;
        }
        *placed_by = to;
        self.places
            .store(to != PlacedBy::WhoAsks, Ordering::Release);
        drop(placed_by);
        self.news().all = true;
        // What waits for an owner may go on, and what was activated before there was a group has to end.
        self.changed.send_modify(|_| {});
    }

    /// The control group has changed; returns the slots whose entries have.
    ///
    /// # Errors
    /// [`DeltaError`]: the delta does not fit. The view is as it was.
    pub fn handle_delta(&self, delta: &Delta) -> Result<Vec<SlotId>, DeltaError> {
        let (changed, version) = {
            let mut seen = self.write();
            let changed = seen.view.handle_delta(delta)?;
            let entries = changed.iter().filter_map(|id| seen.view.entry(*id));
            let owners = entries.flat_map(|it| [it.owner, it.moving]).flatten();
            let others = owners.map(|it| it.node).filter(|it| *it != seen.me.node);
            // BEFORE anybody can know this version.
            self.concerned().extend(others);
            (changed, seen.view.version())
        };
        self.news().slots.extend(&changed);
        self.expect();
        // AFTER the lock is released: whoever wakes asks at once.
        self.changed.send_if_modified(|seen| {
            let newer = *seen < version;
            *seen = version;
            newer
        });
        Ok(changed)
    }

    /// The lease is held: turns may start until the first moment, and what they make may leave
    /// until the second. Moments that have passed take the lease away.
    pub fn handle_lease(&self, starts_until: Time, answers_until: Time) {
        let nanos = [starts_until, answers_until.max(starts_until)].map(Time::as_nanos);
        self.answers_until.store(nanos[1], Ordering::SeqCst);
        self.starts_until.store(nanos[0], Ordering::SeqCst);
    }

    /// The node has joined again, in another life. That has no lease yet.
    pub fn handle_life(&self, me: Owner) {
        let mut seen = self.write();
        self.handle_lease(Time::ZERO, Time::ZERO);
        seen.me = me;
        drop(seen);
        self.news().all = true;
        self.changed.send_modify(|_| {});
    }

    /// This node says a word about a slot that moves away from it, until the move has ended.
    pub fn say(&self, word: Word) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, _)) = about(word) {
            words.insert(id, word);
        }
        drop(words);
        self.said.notify_one();
    }

    /// Returns what the leader has to be told, and told again while it is returned: a word that has
    /// come late or twice does no harm.
    #[must_use]
    pub fn words(&self) -> Vec<Word> {
        let seen = self.read();
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.retain(|_, word| {
            let said = about(*word);
            let entry = said.and_then(|(id, epoch)| Some((seen.view.entry(id)?, epoch)));
            entry.is_some_and(|(it, epoch)| it.epoch == epoch && it.moving.is_some())
        });
        words.values().copied().collect()
    }

    /// Waits until there is a new word for the leader.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn said(&self) {
        self.said.notified().await;
    }

    /// Returns who acts on a key's slot, or is about to: where a call goes. Nothing while nobody
    /// has the slot, or while the group is not known here.
    #[must_use]
    pub fn locate(&self, group: GroupId, key: &[u8]) -> Option<(SlotId, Owner, Epoch)> {
        let seen = self.read();
        let (slot, entry) = seen.view.locate(group, key)?;
        let owner = entry.moving.or(entry.owner)?;
        Some((SlotId { group, slot }, owner, entry.epoch))
    }

    /// Returns the slot of a key, and what is known of it here.
    pub(crate) fn place(&self, group: GroupId, key: &[u8]) -> Option<(SlotId, Entry)> {
        let seen = self.read();
        let (slot, entry) = seen.view.locate(group, key)?;
        Some((SlotId { group, slot }, *entry))
    }

    /// Returns the epoch under which a turn may start now, if one may.
    #[must_use]
    pub fn may_start(&self, id: SlotId, now: Time) -> Option<Epoch> {
        // BEFORE the view is read: a new life takes the lease away before it changes who acts.
        if now.as_nanos() >= self.starts_until.load(Ordering::SeqCst) {
            return None;
        }
        let seen = self.read();
        seen.view.may_act(seen.me, id)
    }

    /// Returns whether what a turn has made, which began under this epoch, may leave now. A slot
    /// that is on its way from here is still this node's, and so is one that came back at once.
    #[must_use]
    pub fn may_answer(&self, id: SlotId, epoch: Epoch, now: Time) -> bool {
        if now.as_nanos() >= self.answers_until.load(Ordering::SeqCst) {
            return false;
        }
        let seen = self.read();
        let entry = seen.view.entry(id);
        entry.is_some_and(|entry| {
            let direct = entry.epoch == epoch || entry.epoch.0 == epoch.0 + 1;
            entry.owner == Some(seen.me) && direct
        })
    }

    /// Returns whether the lease is held now.
    #[must_use]
    pub fn holds_lease(&self, now: Time) -> bool {
        now.as_nanos() < self.answers_until.load(Ordering::SeqCst)
    }

    /// Returns what has changed since this version, as far as it is known here, in parts of so many
    /// slots; see [`View::since`].
    #[must_use]
    pub fn since(&self, from: Version, entries_max: usize) -> Option<Delta> {
        self.read().view.since(from, entries_max)
    }

    /// Returns this life of the node.
    #[must_use]
    pub fn me(&self) -> Owner {
        self.read().me
    }

    /// Returns how this life of the node stands; nothing if it is no member, as far as is known here.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let seen = self.read();
        let (member, standing) = seen.view.member(seen.me.node)?;
        (member.owner() == seen.me).then_some(standing)
    }

    /// Returns how many slots this node owns, or is about to.
    #[must_use]
    pub fn slots(&self) -> usize {
        let seen = self.read();
        let entries = seen.view.groups().flat_map(|(_, table)| table.iter());
        let own = entries.filter(|(_, entry)| [entry.owner, entry.moving].contains(&Some(seen.me)));
        own.count()
    }

    /// Returns the entry of a slot, as far as it is known here.
    #[must_use]
    pub fn entry(&self, id: SlotId) -> Option<Entry> {
        self.read().view.entry(id).copied()
    }

    /// Returns the entries of all slots, as far as they are known here, in order.
    pub(crate) fn entries(&self) -> Vec<(SlotId, Entry)> {
        let seen = self.read();
        let of_group = |group, table: &Table| {
            let entries = table
                .iter()
                .map(move |(slot, it)| (SlotId { group, slot }, *it));
            entries.collect::<Vec<_>>()
        };
        let groups = seen.view.groups();
        groups
            .flat_map(|(group, table)| of_group(group.id, table))
            .collect()
    }

    /// Returns the version of the control group's state that is known here.
    #[must_use]
    pub fn version(&self) -> Version {
        self.read().view.version()
    }

    /// Returns the members in the order of their ids, those whose lease has ended included.
    #[must_use]
    pub fn members(&self) -> Vec<(Member, Standing)> {
        let seen = self.read();
        let members = seen.view.members();
        members
            .map(|(member, standing)| (member.clone(), standing))
            .collect()
    }

    /// Returns the lives of the members, and how each stands.
    pub(crate) fn lives(&self) -> Vec<(Owner, Standing)> {
        let seen = self.read();
        let members = seen.view.members();
        members
            .map(|(member, standing)| (member.owner(), standing))
            .collect()
    }

    /// Returns the slot of a key, and why it is where it is, as far as it is known here.
    pub(crate) fn why(&self, group: GroupId, key: &[u8]) -> Option<(SlotId, Why)> {
        let seen = self.read();
        let (slot, _) = seen.view.locate(group, key)?;
        let id = SlotId { group, slot };
        Some((id, Why::of(&seen.view, id)?))
    }

    /// Returns a member that hosts a group's types and must not own its slots, with what it lacks, if no
    /// member may own them. A client is not told what members lack.
    pub(crate) fn barred(&self, group: GroupId) -> Option<(NodeName, Lack)> {
        let seen = self.read();
        let (group, _) = seen.view.groups().find(|(it, _)| it.id == group)?;
        let mut barred = None;
        for (member, standing) in seen.view.members() {
            match group.why_not_now(member, standing) {
                None => return None,
                Some(Ineligible::Lacks(lack)) => barred = Some((member.name.clone(), lack)),
                Some(_) => {}
            }
        }
        barred
    }

    /// Returns how the slots of each group are shared out, as far as it is known here.
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        let seen = self.read();
        let groups = seen.view.groups();
        groups
            .map(|(group, table)| Tally::of(&seen.view, group, table))
            .collect()
    }

    /// Returns the last life of a node that is over, as far as it is known here: what it owned is others'.
    pub(crate) fn over_life(&self, node: NodeId) -> Option<Incarnation> {
        let seen = self.read();
        let (member, standing) = seen.view.member(node)?;
        match standing {
            Standing::Lapsed => Some(member.incarnation),
            _ => member.incarnation.0.checked_sub(1).map(Incarnation),
        }
    }

    /// Returns what tells of each change of the view, and of a new life, from now on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Version> {
        self.changed.subscribe()
    }

    /// Returns what has changed since it was asked last.
    pub(crate) fn take_news(&self) -> News {
        std::mem::take(&mut *self.news())
    }

    /// Returns the other nodes that own slots that have changed, or are about to, since it was asked last.
    pub(crate) fn take_concerned(&self) -> BTreeSet<NodeId> {
        std::mem::take(&mut *self.concerned())
    }

    /// Those whom the changes up to this version concern were told that this node goes by it.
    pub(crate) fn set_told(&self, version: Version) {
        self.told.fetch_max(version.0, Ordering::AcqRel);
    }

    /// Returns whether what is sent to a slot with this entry may leave: it is not on its way, and its owner
    /// was told before that this node knows.
    pub(crate) fn may_send(&self, entry: &Entry) -> bool {
        entry.moving.is_none() && entry.changed.0 <= self.told.load(Ordering::Acquire)
    }

    fn concerned(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.concerned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Seen> {
        self.seen.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns which slot a word is about, under which epoch; nothing for one of a later version.
fn about(word: Word) -> Option<(SlotId, Epoch)> {
    match word {
        Word::Stopped { id, epoch } | Word::Stuck { id, epoch } => Some((id, epoch)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
