//! Sends that go along with a slot: those that come while it is on its way from here, and those that came with
//! one to here.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::MethodId,
    slots::{Epoch, SlotId},
};

use crate::{
    call::{Coming, Face, Interface, Kept, Queued, Unaccepted, ask_back, key_bytes},
    cluster::{Fence, group_of},
    env::Bug,
};

use super::{CellOf, Cells, Handlers, Inner};

/// A message of the interface of `T`.
type MessageOf<T> = <<T as Handlers>::Interface as Interface>::Msg;

impl<T: Handlers> Inner<T> {
    /// Finds out what becomes of a send that finds no activation because of its slot. If that is on its way
    /// from here, the send goes along. It waits if its sender knows more of the slot than this node, or if the
    /// slot is here and not ready.
    ///
    /// # Errors
    /// What becomes of it, if it does not go along.
    pub(super) fn put_off(
        &self,
        face: &Face,
        (key, method): (&[u8], MethodId),
        error: CallError,
        parts: &mut Option<Coming<'_>>,
    ) -> Result<(), Unaccepted> {
        let (Some(ownership), Some(coming)) = (self.hub.ownership(), parts.as_mut()) else {
            return Err(error.into());
        };
        // BEFORE the slot is looked up, which is at least as new then.
        let (version, me) = (ownership.version(), ownership.me());
        let Some((id, entry)) = ownership.place(group_of(face.id), key) else {
            return Err(error.into());
        };
        let (sight, now) = (&mut coming.sight, self.hub.now());
        let is_mine = entry.owner == Some(me) && sight.holds_for(entry.epoch);
        if is_mine && entry.moving.is_some() && !self.cells().passing.has_stopped(id.slot) {
            return self.keep(face, (id, entry.epoch), (key, method), error, parts);
        }
        let is_sent_here = sight.bound.is_some() || entry.changed <= sight.seen;
        let is_here = is_mine && entry.moving.is_none() && is_sent_here;
        if is_here {
            sight.bound = sight.bound.or(Some(entry.epoch));
        }
        sight.waits = true;
        let waited = now.saturating_since(coming.meta.queued_at);
        let is_ahead = sight.is_ahead_of(entry.epoch) || sight.seen > version;
        match (is_here || is_ahead) && waited < PARKED_MAX {
            true => Err(Unaccepted::Later(error)),
            false => Err(error.into()),
        }
    }

    /// Keeps a send that has come for the next owner of its slot.
    fn keep(
        &self,
        face: &Face,
        (id, epoch): (SlotId, Epoch),
        (key, method): (&[u8], MethodId),
        error: CallError,
        parts: &mut Option<Coming<'_>>,
    ) -> Result<(), Unaccepted> {
        let mut methods = face.methods.iter();
        let known = methods.find(|it| it.spec.id == method);
        // Without its method, or with a stream, it is refused as it would be by a mailbox.
        let known = known.filter(|it| !it.spec.options.streams_args);
        let (Some(known), Some(coming)) = (known, parts.take()) else {
            return Err(error.into());
        };
        let Coming { incoming, meta, .. } = coming;
        known.permits(&meta.caller, &self.hub.me().name)?;
        if self.hub.env().plant.strikes(Bug::ForgottenSend) {
            return Ok(());
        }
        let (key, now) = (key.to_vec(), self.hub.now());
        let kept = Kept::arrived((key, known), &meta, incoming.into_body(), now)?;
        let ownership = self.hub.ownership().ok_or_else(|| error.clone())?;
        let fence = Fence::new(ownership.clone(), id, epoch);
        let late = self.keep_late(&fence, kept);
        late.map_err(|why| error.with_detail(why).into())
    }

    /// Keeps a send behind those that wait for the next owner of its slot.
    ///
    /// # Errors
    /// Why it does not go along.
    fn keep_late(&self, fence: &Fence, kept: Kept) -> Result<(), &'static str> {
        let mut cells = self.cells();
        // UNDER the lock: whoever ends the move takes out what is kept AFTER it is known here that it is over, so
        // that nothing is left behind that nobody counts.
        if !fence.is_leaving() {
            return Err("its slot has gone");
        }
        let passing = &mut cells.passing;
        passing.keep_late(fence.id().slot, fence.epoch(), kept)
    }

    /// Checks that a call may go into the mailbox of its activation now. None may that was sent before somebody else has
    /// had the slot: later ones of its sender may have gone there. A send waits where it has come until there
    /// is room, as one for a spawned actor does.
    ///
    /// # Errors
    /// What becomes of it if not.
    pub(super) fn may_go_on(
        &self,
        (fence, cell): (&Fence, &CellOf<T>),
        parts: &mut Option<Coming<'_>>,
        wants_reply: bool,
    ) -> Result<(), Unaccepted> {
        let Some(coming) = parts else { return Ok(()) };
        let (sight, epoch) = (&mut coming.sight, fence.epoch());
        let is_behind = || fence.place().1.changed > sight.seen;
        let has_moved = match sight.bound {
            Some(_) => sight.is_overtaken(epoch),
            None => sight.waits && is_behind(),
        };
        if has_moved {
            let detail = "its slot was elsewhere since it was sent";
            return Err(CallError::new(Code::Moved, T::NAME)
                .with_detail(detail)
                .into());
        }
        if wants_reply {
            return Ok(());
        }
        // Whoever ends an activation looks for the next one when the message is put.
        let mailbox = &cell.mailbox;
        if mailbox.seems_to_have_room() || mailbox.has_room() || mailbox.is_closed() {
            return Ok(());
        }
        (sight.waits, sight.bound) = (true, sight.bound.or(Some(epoch)));
        Err(Unaccepted::Later(CallError::new(
            Code::MailboxFull,
            T::NAME,
        )))
    }

    /// Takes a send along that found its activation ended because of its slot; answers a call.
    pub(super) fn take_along(
        &self,
        face: &Face,
        (key, fence): (&[u8], &Fence),
        queued: Queued<MessageOf<T>>,
        error: CallError,
    ) {
        let index = T::Interface::index(&queued.message);
        let Queued { meta, message, .. } = queued;
        let why = error.clone();
        let unsent = ask_back(|| T::Interface::refuse(message, why));
        let method = face.methods.get(index);
        if let (Some(unsent), Some(method)) = (unsent, method) {
            let now = self.hub.now();
            let kept = Kept::unsent(&unsent, (key.to_vec(), method), &meta, now);
            let why = match kept.map(|kept| self.keep_late(fence, kept)) {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why.to_owned(),
                Err(error) => error.to_string(),
            };
            self.hub.refuse_send(&error.clone().with_detail(why));
        }
        if let Some(method) = method {
            method.metrics.served().ended(Some(error.code()), None);
        }
    }

    /// Puts what came along with the slot for a key into the mailbox of its activation, which nobody else knows
    /// yet.
    pub(super) fn run_first(
        &self,
        cells: &mut Cells<T>,
        fence: &Fence,
        key: &T::Key,
        cell: &CellOf<T>,
    ) {
        let Some(key) = key_bytes(key) else { return };
        let sends = cells
            .passing
            .take_sends(fence.id().slot, fence.epoch(), &key);
        if sends.is_empty() {
            return;
        }
        let Some(face) = self.face.upgrade() else {
            return;
        };
        for kept in sends {
            // The code of the type's author, under the lock of all activations.
            let unpacked = catch_unwind(AssertUnwindSafe(|| self.unpack(&face, kept)));
            let panicked = || CallError::new(Code::BodyUndecodable, T::NAME);
            match unpacked.unwrap_or_else(|_| Err(panicked())) {
                Ok(queued) => cell.mailbox.push_first(queued),
                Err(error) => self.hub.refuse_send(&error),
            }
        }
    }

    /// # Errors
    /// `UnknownMethod`, `SchemaMismatch`, and what decoding says.
    fn unpack(&self, face: &Face, kept: Kept) -> Result<Queued<MessageOf<T>>, CallError> {
        let now = self.hub.now();
        let meta = kept.meta(&self.hub, now);
        let meta = meta.ok_or_else(|| CallError::new(Code::UnknownMethod, T::NAME))?;
        let (index, incoming) = kept.open(&self.hub, face)?;
        Ok(Queued {
            message: T::Interface::open(index, incoming)?,
            began: now,
            begins_by: meta.deadline,
            meta,
        })
    }
}

/// How long a send waits for what its sender knows of its slot, or for a slot that is here without a lease or
/// beside an activation that ends: well above what a move takes. What waits is bounded in bytes, as all that is
/// held.
const PARKED_MAX: Duration = Duration::from_secs(1);
