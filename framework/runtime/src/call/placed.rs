//! Calls of keyed actors that are placed: where the key's slot is, and looking again when it is not
//! there.
//!
//! A node's view of the slots may be behind, and so may be that of the node that it asks. A call that
//! was not taken for this reason has not run, so it is made again: as soon as this node sees where the
//! slot has gone, and after a pause that grows if it does not. It ends by its deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code, Ran, Retry},
    id::{Incarnation, InterfaceId, NodeId, NodeName},
    slots::{Epoch, Lack, Owner, SlotId},
};

use crate::{
    cluster::{Fence, Ownership, PlacedBy, Site, group_of},
    env::Bug,
};

use super::{
    attempts::Plan,
    face::Face,
    hub::Hub,
    interface::{Interface, MethodSpec},
    reference::{Address, Ref},
    server::Keys,
};

/// Where a key's slot is, as this node sees it.
pub(super) type Place = (SlotId, Owner, Epoch);

/// The ownership that a call of a key goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenure {
    /// The only life of the peer whose answer counts.
    pub(super) life: Incarnation,
    /// What the slot had when the peer was chosen. Where the peer has it under a later one, and somebody else had it between,
    /// the call has been overtaken by others, and does not run.
    pub(super) epoch: Epoch,
}

impl Tenure {
    pub(super) fn of((_, owner, epoch): Place) -> Self {
        Self {
            life: owner.incarnation,
            epoch,
        }
    }
}

/// Binds a turn on a key of this node to the ownership of the key's slot.
///
/// # Errors
/// `Moved`: the slot is not this node's now, or its lease has ended.
pub(crate) fn fence(
    hub: &Hub,
    ownership: &Arc<Ownership>,
    face: &Face,
    key: &[u8],
) -> Result<Fence, CallError> {
    let moved = |detail: String| {
        let subject = format!("interface {} on node {}", face.name, hub.me().name);
        CallError::new(Code::Moved, subject).with_detail(detail)
    };
    let Some((id, owner, epoch)) = ownership.locate(group_of(face.id), key) else {
        return Err(moved("nobody is known here to own the key's slot".into()));
    };
    let may_start = ownership.may_start(id, hub.lease_now());
    let early = owner == ownership.me() && hub.env().plant.strikes(Bug::EarlyStart);
    match may_start.or(early.then_some(epoch)) {
        Some(epoch) => Ok(Fence::new(ownership.clone(), id, epoch)),
        None if owner == ownership.me() => Err(moved(format!(
            "slot {id} is not this node's yet, or its lease has ended"
        ))),
        None => {
            let owner = hub.node_name(owner.node);
            Err(moved(format!(
                "slot {id} is with {owner}, under epoch {epoch}"
            )))
        }
    }
}

/// Ends calls of keyed actors as soon as it is known that nobody can answer them: the lease of the node
/// that they went to has ended. The link with it may seem to be up for longer.
pub(crate) async fn end_lives(hub: Arc<Hub>, ownership: Arc<Ownership>) {
    let token = hub.tasks().token().clone();
    let mut changes = ownership.changes();
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        for session in &*hub.sessions() {
            if let Some(life) = ownership.over_life(session.node()) {
                session.pending.end_life(life);
            }
        }
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Returns the keyed types of a node whose state does not end when a slot goes elsewhere.
pub(crate) fn movable(hub: &Hub) -> BTreeSet<InterfaceId> {
    let keyed = hub.directories().into_iter();
    let movable = keyed.filter(|it| it.keys().is_some_and(Keys::is_movable));
    movable.map(|it| it.interface()).collect()
}

/// Returns the keyed types of a node of which it must not own slots, and what it lacks.
pub(crate) fn lacks(hub: &Hub, site: &Site) -> BTreeMap<InterfaceId, Lack> {
    let keyed = hub.directories().into_iter();
    let lacks = keyed.filter_map(|it| Some((it.interface(), it.keys()?.lack(site)?)));
    lacks.collect()
}

/// Returns who owns the slot of a key, or is about to. A send waits until a slot that is on its way is where it
/// goes, or back: what its sender has sent before may be taken along with the slot.
///
/// # Errors
/// `SlotUnowned`; `Moved` for such a send.
pub(super) fn owner(
    ownership: &Ownership,
    kind: InterfaceId,
    key: &[u8],
    (spec, wants_reply): (&MethodSpec, bool),
) -> Result<Place, CallError> {
    let group = group_of(kind);
    let place = ownership.place(group, key);
    if let Some((id, entry)) = &place
        && !wants_reply
        && !ownership.may_send(entry)
    {
        let detail = format!("slot {id} is on its way to another node");
        return Err(spec.error(Code::Moved).with_detail(detail));
    }
    let owner =
        place.and_then(|(id, entry)| Some((id, entry.moving.or(entry.owner)?, entry.epoch)));
    owner.ok_or_else(|| {
        let detail = match (ownership.placed_by(), ownership.version().0) {
            (PlacedBy::Unknown, _) => {
                "this node has reached none that knows whether there is a control group".into()
            }
            (_, 0) => "no table of slots has come from the control group: it is not formed yet, or too few of \
                       its voters run"
                .into(),
            _ => unowned(ownership.barred(group)),
        };
        spec.error(Code::SlotUnowned).with_detail(detail)
    })
}

/// Returns why nobody owns a slot whose table is known.
fn unowned(barred: Option<(NodeName, Lack)>) -> String {
    match barred {
        Some((name, lack)) => {
            format!("no member that hosts the type may own it: of {name}, {lack}")
        }
        None => "nobody owns it: no member that hosts the type holds a lease".to_owned(),
    }
}

/// Looks for the owner of a key's slot, for one call.
pub(super) struct Search<'a> {
    ownership: &'a Ownership,
    key: &'a [u8],
    face: &'a Face,
    before: Option<Place>,
    hops: u32,
    /// How many tries in a row found the slot where it was.
    in_vain: u32,
    may_have_run: bool,
}

impl<'a> Search<'a> {
    /// Begins to look, for a keyed actor that is placed; nothing for every other target.
    pub(super) fn of<I: Interface>(target: &'a Ref<I>, plan: &'a Plan<'_>) -> Option<Self> {
        let Address::Keyed(key) = target.address() else {
            return None;
        };
        let ownership = plan.hub.ownership()?;
        // A key that cannot travel is found out, and told, by the attempt.
        let key = target.key_bytes(key, plan.spec).ok()?;
        let mut search = Self {
            ownership,
            key,
            face: &plan.face,
            before: None,
            hops: 0,
            in_vain: 0,
            may_have_run: false,
        };
        search.before = search.place();
        Some(search)
    }

    /// The call has been at this node: if that is not where the slot is seen, it is made again at once.
    pub(super) fn began_at(&mut self, node: NodeId) {
        self.before.take_if(|(_, owner, _)| owner.node != node);
    }

    /// Waits until it makes sense to make the call again; returns false if it does not for this error.
    pub(super) async fn again(&mut self, plan: &Plan<'_>, error: &CallError) -> bool {
        let looks = match error.code() {
            Code::Moved => !plan.hub.env().plant.strikes(Bug::MovedFails),
            Code::SlotUnowned | Code::PeerUnreachable | Code::NotHosted => true,
            Code::NodeStopping => plan.hub.over().is_none() && !plan.hub.is_stopping(),
            // Its node is lost, or has lost the slot: the next owner may run it again.
            _ => error.retry() == Retry::IfIdempotent && plan.spec.options.idempotent,
        };
        if !looks || self.hops >= HOPS_MAX {
            return false;
        }
        self.may_have_run |= error.ran() == Ran::MayHaveRun;
        self.tell(plan, error);
        plan.seeks(Some(error.clone()), self.may_have_run);
        let pause = PAUSE_MIN * 2_u32.saturating_pow(self.in_vain.min(10));
        self.hops += 1;
        match self.moved(plan, pause.min(PAUSE_MAX)).await {
            true => self.in_vain = 0,
            false => self.in_vain += 1,
        }
        plan.seeks(None, self.may_have_run);
        true
    }

    /// Says that calls wait, and for what: their deadlines may be far.
    fn tell(&self, plan: &Plan<'_>, why: &CallError) {
        let now = plan.hub.now();
        let waited = now.saturating_since(plan.meta.queued_at);
        if why.code() == Code::SlotUnowned && waited >= TOLD_AFTER && self.face.may_tell(now) {
            tracing::warn!(%why, "calls wait for an owner of their key until their deadlines");
        }
    }

    /// Waits until the slot is seen elsewhere than before, at most for so long; returns whether it is.
    async fn moved(&mut self, plan: &Plan<'_>, pause: Duration) -> bool {
        let mut changes = self.ownership.changes();
        let half = plan.hub.random() as f64 / u64::MAX as f64 / 2.0;
        let mut sleep = std::pin::pin!(tokio::time::sleep(pause.mul_f64(0.5 + half)));
        loop {
            // BEFORE the look: a change in between wakes it.
            changes.mark_unchanged();
            let place = self.place();
            if place != self.before {
                self.before = place;
                return true;
            }
            tokio::select! {
                biased;
                () = &mut sleep => return false,
                changed = changes.changed() => if changed.is_err() {
                    sleep.await;
                    return false;
                },
            }
        }
    }

    fn place(&self) -> Option<Place> {
        self.ownership.locate(group_of(self.face.id), self.key)
    }

    /// Makes the error of a call that found no owner until its deadline. It says once what to do, whatever
    /// the last try came to.
    pub(super) fn unowned(spec: &MethodSpec, last: &CallError) -> CallError {
        let (code, subject, detail) = (last.code(), last.subject(), last.detail());
        let detail = match (code, detail) {
            (Code::SlotUnowned, detail) => detail.to_owned(),
            (code, "") => format!("the last try: {code} {}: {subject}", code.name()),
            (code, detail) => format!("the last try: {code} {}: {subject}: {detail}", code.name()),
        };
        spec.error(Code::SlotUnowned).with_detail(detail)
    }
}

impl Plan<'_> {
    /// Says that the call looks for an owner, since the last try ended with this, or that it is on
    /// its way again; and whether any try may have run.
    fn seeks(&self, last: Option<CallError>, may_have_run: bool) {
        self.left.store(may_have_run, Ordering::Relaxed);
        *self.sought.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// How often a call is made again at most, whatever its deadline: the last pauses alone are minutes.
const HOPS_MAX: u32 = 256;

/// Longer than a cluster that is well leaves a slot without an owner.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// The first pause. It doubles.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest pause of a call whose slot is seen where it was. It is woken when that changes, and
/// thousands of them that looked more often would take the time that the change needs to come about.
const PAUSE_MAX: Duration = Duration::from_secs(1);
