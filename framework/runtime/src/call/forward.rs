//! A send that goes along with the slot of its actor: to what travels, and back.
//!
//! A send that waits in a mailbox of this process holds a value of a type that only its method knows. It is
//! asked back from whoever refuses it, which is where the type is known, and encoded then. One that has just
//! arrived is bytes already. Depends on `codec` and `meta`.

use std::{
    any::Any,
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use callboard_protocol::{
    cluster::{Forwarded, Parcel, SEND_BYTES_MAX, Sender},
    code::{CallError, Code},
    id::{NodeId, RoleName},
    rights::Roles,
    time::Time,
    wire::header::TraceContext,
};

use super::{
    codec::{self, Encoding},
    coming::Lost,
    envelope::Incoming,
    face::{Face, FaceMethod},
    hub::Hub,
    interface::Method,
    meta::{Caller, Meta},
};
use crate::telemetry::Handed;

thread_local! {
    /// Where a send that is refused now leaves its arguments, if anybody asks for them. Refusing does not
    /// await, so the place cannot leak into another task.
    static ASKED: RefCell<Option<Option<Unsent>>> = const { RefCell::new(None) };
}

/// The arguments of a send that has not run.
pub(crate) struct Unsent {
    args: Box<dyn Any + Send>,
    pack: Pack,
}

/// Encodes arguments of one method.
type Pack = fn(&(dyn Any + Send)) -> Result<Vec<u8>, CallError>;

impl Unsent {
    /// Keeps the arguments of a send of `M`.
    pub(super) fn new<M: Method>(args: M::Args) -> Self {
        Self {
            args: Box::new(args),
            pack: pack::<M>,
        }
    }

    /// Returns the arguments as they were.
    pub(super) fn into_args<T: 'static>(self) -> Option<T> {
        Some(*self.args.downcast().ok()?)
    }

    /// Encodes the arguments.
    ///
    /// # Errors
    /// `BodyTooLarge` over what may be forwarded, `BodyUnencodable`.
    fn pack(&self, method: &FaceMethod) -> Result<Vec<u8>, CallError> {
        // The code of the type's author, on a task of ours.
        let packed = catch_unwind(AssertUnwindSafe(|| (self.pack)(&*self.args)));
        packed.unwrap_or_else(|_| {
            let error = method.spec.error(Code::BodyUnencodable);
            Err(error.with_detail("its arguments panicked while they were encoded"))
        })
    }
}

fn pack<M: Method>(args: &(dyn Any + Send)) -> Result<Vec<u8>, CallError> {
    let args = args.downcast_ref::<M::Args>();
    let args = args.ok_or_else(|| M::spec().error(Code::BodyUnencodable))?;
    let encoded = codec::encode_apart(args, SEND_BYTES_MAX, M::spec())?;
    let mut bytes = Vec::with_capacity(encoded.len());
    encoded.write_to(&mut bytes);
    Ok(bytes)
}

/// Refuses a message, and asks for its arguments back. Nothing if it was a call, which is answered then, or
/// a send that has a stream.
pub(crate) fn ask_back(refuse: impl FnOnce()) -> Option<Unsent> {
    let _asks = Asks(ASKED.replace(Some(None)));
    refuse();
    ASKED.with_borrow_mut(|asked| asked.as_mut().and_then(Option::take))
}

/// Returns whether somebody asks for the arguments of what is refused now.
pub(super) fn is_asked() -> bool {
    ASKED.with_borrow(Option::is_some)
}

/// Leaves the arguments for who asks.
pub(super) fn leave(unsent: Unsent) {
    ASKED.with_borrow_mut(|asked| {
        if let Some(place) = asked {
            *place = Some(unsent);
        }
    });
}

/// Puts back who asked before, also after a panic.
struct Asks(Option<Option<Unsent>>);

impl Drop for Asks {
    fn drop(&mut self) {
        // What was asked for and not taken is dropped AFTER the place is free again: it may be anything.
        drop(ASKED.replace(self.0.take()));
    }
}

/// A parcel, and when it was made or came here: the time that a send has left shrinks meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) parcel: Parcel,
    since: Time,
}

impl Kept {
    pub(crate) fn new(parcel: Parcel, since: Time) -> Self {
        Self { parcel, since }
    }

    /// Keeps what another node has handed over. What that node has sent itself has the roles of its
    /// certificate.
    pub(crate) fn handed(mut parcel: Parcel, by: &Hub, from: NodeId, now: Time) -> Self {
        if let Parcel::Send(send) = &mut parcel {
            send.sender.roles.get_or_insert_with(|| {
                let session = by.session(from);
                let roles = session.map(|it| it.link.peer().roles.clone());
                names(&roles.unwrap_or_default())
            });
        }
        Self::new(parcel, now)
    }

    /// Keeps the state of a key.
    pub(crate) fn state(key: Vec<u8>, state: Vec<u8>, now: Time) -> Self {
        Self::new(Parcel::State { key, state }, now)
    }

    /// Keeps a send whose arguments are a value yet.
    ///
    /// # Errors
    /// Why it can not be encoded.
    pub(crate) fn unsent(
        unsent: &Unsent,
        (key, method): (Vec<u8>, &FaceMethod),
        meta: &Meta,
        now: Time,
    ) -> Result<Self, CallError> {
        let body = unsent.pack(method)?;
        Ok(Self::send((key, method), meta, body, now))
    }

    /// Keeps a send that has just come.
    ///
    /// # Errors
    /// `BodyTooLarge`.
    pub(crate) fn arrived(
        (key, method): (Vec<u8>, &FaceMethod),
        meta: &Meta,
        body: Encoding<'_>,
        now: Time,
    ) -> Result<Self, CallError> {
        let len = body.len();
        if len > SEND_BYTES_MAX {
            let detail = format!(
                "its slot is on its way, and {len} bytes of arguments are more than the \
                 {SEND_BYTES_MAX} that go along with one"
            );
            return Err(method.spec.error(Code::BodyTooLarge).with_detail(detail));
        }
        Ok(Self::send((key, method), meta, body.into_vec(), now))
    }

    fn send((key, method): (Vec<u8>, &FaceMethod), meta: &Meta, body: Vec<u8>, now: Time) -> Self {
        let caller = &meta.caller;
        let left = meta.deadline.saturating_since(now);
        let forwarded = Forwarded {
            key,
            method: method.spec.id,
            shape: method.shape(),
            sender: Sender {
                node: caller.node,
                actor: caller.actor,
                roles: (!caller.is_local()).then(|| names(caller.roles())),
            },
            left_us: (meta.deadline != Time::MAX).then(|| micros(left)),
            trace: meta.trace().map(|it| (it.trace_id, it.span_id, it.flags)),
            request: meta.request(),
            body,
        };
        Self::new(Parcel::Send(Box::new(forwarded)), now)
    }

    /// Returns the parcel as it is at this moment.
    pub(crate) fn at(&self, now: Time) -> Parcel {
        let mut parcel = self.parcel.clone();
        if let Parcel::Send(send) = &mut parcel {
            let passed = micros(now.saturating_since(self.since));
            send.left_us = send.left_us.map(|left| left.saturating_sub(passed));
        }
        parcel
    }

    /// Returns how many bytes of it are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.parcel.bytes()
    }

    pub(crate) fn is_send(&self) -> bool {
        self.parcel.is_send()
    }

    /// Returns what is known of the send besides its arguments, as it is put into a mailbox now. It was
    /// forwarded by a node of the cluster, whose word for who made it counts.
    pub(crate) fn meta(&self, hub: &Hub, now: Time) -> Option<Meta> {
        let Parcel::Send(send) = &self.parcel else {
            return None;
        };
        let sender = &send.sender;
        let caller = if sender.node == hub.me().id {
            Caller::local(sender.node, sender.actor)
        } else {
            let roles = sender.roles.iter().flatten();
            let roles = roles.filter_map(|it| RoleName::new(&**it).ok());
            Caller::forwarded(sender.node, sender.actor, roles.collect())
        };
        let deadline = match send.left_us {
            Some(left) => self.since + Duration::from_micros(left),
            None => Time::MAX,
        };
        let trace = send.trace.map(|(trace_id, span_id, flags)| TraceContext {
            trace_id,
            span_id,
            flags,
        });
        let meta = Meta::new(caller, deadline, now, super::scope::Chain::default());
        Some(meta.marked(trace, send.request))
    }

    /// Decodes the send for the interface of `face`; returns the row of its method, and what to open.
    ///
    /// # Errors
    /// `UnknownMethod`.
    pub(crate) fn open<'a>(
        self,
        hub: &Arc<Hub>,
        face: &'a Face,
    ) -> Result<(usize, Incoming<'a>), CallError> {
        let unknown = || CallError::new(Code::UnknownMethod, format!("interface {}", face.name));
        let Parcel::Send(send) = self.parcel else {
            return Err(unknown());
        };
        let methods = face.methods.iter();
        let index = methods
            .map(|it| it.spec.id)
            .position(|id| id == send.method);
        let body = Encoding::from(Bytes::from(send.body));
        let incoming = Incoming::forwarded(body, hub.clone(), send.shape).of(face);
        Ok((index.ok_or_else(unknown)?, incoming))
    }
}

impl Hub {
    /// Counts a send that does not go along with its slot. Nobody hears of it.
    pub(crate) fn refuse_send(&self, error: &CallError) {
        tracing::debug!(%error, "a send was refused");
        self.metrics().send_refused(error.code());
    }

    /// Counts what was to go along with a slot and does not.
    pub(crate) fn count_lost(&self, lost: Lost) {
        self.metrics().handed(Handed::Lost, lost.states);
        for _ in 0..lost.sends {
            self.refuse_send(&CallError::new(Code::Moved, "what goes along with a slot"));
        }
    }
}

fn names(roles: &Roles) -> Vec<String> {
    roles.iter().map(|it| it.as_str().to_owned()).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
