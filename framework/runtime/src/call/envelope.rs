//! A call on its way to a handler: the arguments, the streamed argument and the port for the reply.

use std::sync::Arc;

use callboard_protocol::code::{CallError, Code};

use super::{
    arrival::Arrival,
    codec::{self, Encoding},
    face::Face,
    forward::{self, Unsent},
    hub::Hub,
    interface::{Definition, Method, Port},
    kind::Kind,
    stream::Inbound,
};

/// A call of method `M` that waits in a mailbox or is about to run.
#[derive(Debug)]
pub struct Envelope<M: Method> {
    args: M::Args,
    inbound: Option<Inbound<M::Inbound>>,
    port: Port<M>,
}

impl<M: Method> Envelope<M> {
    pub(crate) fn new(args: M::Args, inbound: Option<Inbound<M::Inbound>>, port: Port<M>) -> Self {
        Self {
            args,
            inbound,
            port,
        }
    }

    /// Takes the envelope apart for the handler. A method without a streamed argument drops the
    /// second part.
    #[must_use]
    pub fn into_parts(self) -> (M::Args, Inbound<M::Inbound>, Port<M>) {
        (
            self.args,
            self.inbound.unwrap_or_else(Inbound::ended),
            self.port,
        )
    }

    /// Answers with an error instead of running.
    pub fn refuse(mut self, error: CallError) {
        if !matches!(error.code(), Code::Moved | Code::ServiceGivenUp) {
            return self.port.refuse(error);
        }
        if self.inbound.is_none() && forward::is_asked() && self.port.take_send() {
            return forward::leave(Unsent::new::<M>(self.args));
        }
        // Made again elsewhere; what it takes along has not been used.
        self.port.give_back(error, Box::new(self.args));
    }

    /// Returns whether nobody waits for the reply any more.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        self.port.abandoned()
    }
}

/// A call that came over the wire and whose arguments are still bytes.
#[derive(Debug)]
pub struct Incoming<'a> {
    body: Encoding<'a>,
    came: Came,
    face: Option<&'a Face>,
    shape: Option<u64>,
}

/// How a call came.
#[derive(Debug)]
enum Came {
    /// By a lane of its caller.
    Arrived(Arrival),
    /// It is a send, and came along with the slot of its actor.
    Along(Arc<Hub>),
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(body: Encoding<'a>, arrival: Arrival, shape: Option<u64>) -> Self {
        Self {
            body,
            came: Came::Arrived(arrival),
            face: None,
            shape,
        }
    }

    /// Makes one of a send that came along with the slot of its actor.
    pub(super) fn forwarded(body: Encoding<'a>, hub: Arc<Hub>, shape: u64) -> Self {
        Self {
            body,
            came: Came::Along(hub),
            face: None,
            shape: Some(shape),
        }
    }

    /// Sets the interface that the call is for.
    pub(crate) fn of(self, face: &'a Face) -> Self {
        Self {
            face: Some(face),
            ..self
        }
    }

    /// Returns the arguments, which nobody has decoded.
    pub(crate) fn into_body(self) -> Encoding<'a> {
        self.body
    }

    /// Decodes the arguments of `M` and makes the port that answers over the wire.
    ///
    /// # Errors
    /// `SchemaMismatch`, `BodyUndecodable` or `BodyOverLimit`.
    pub fn open<M: Method>(self) -> Result<Envelope<M>, CallError> {
        let method = self.face.and_then(|face| face.methods.get(M::INDEX));
        let method = method.ok_or_else(|| M::spec().error(Code::UnknownMethod))?;
        if let Some(shape) = self.shape {
            method.accepts(shape, || format!("node {}", self.came.hub().me().name))?;
        }
        let args = codec::decode_args::<M::Args>(self.body, self.came.hub(), method)?;
        let streams = M::spec().options.streams_args;
        let (inbound, port) = match self.came {
            Came::Arrived(arrival) => {
                let inbound = streams.then(|| arrival.inbound::<M::Inbound>(method));
                (inbound, Port::<M>::remote(arrival, method.spec))
            }
            // One with a stream is not forwarded.
            Came::Along(_) => (None, Port::<M>::discard(method.spec)),
        };
        let port = port.of_keyed(<M::Interface as Definition>::KIND == Kind::Keyed);
        Ok(Envelope::new(args, inbound, port))
    }

    /// Makes the error for a method that the interface does not have.
    #[must_use]
    pub fn unknown(&self) -> CallError {
        let name = self.face.map_or("unknown", |face| face.name);
        CallError::new(Code::UnknownMethod, format!("interface {name}"))
    }
}

impl Came {
    fn hub(&self) -> &Arc<Hub> {
        match self {
            Self::Arrived(arrival) => arrival.hub(),
            Self::Along(hub) => hub,
        }
    }
}
