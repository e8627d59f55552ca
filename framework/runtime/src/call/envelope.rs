//! A call on its way to a handler: the arguments, the streamed argument and the port for the reply.

use callboard_protocol::code::{CallError, Code};

use super::{
    arrival::Arrival,
    codec::Encoding,
    face::Face,
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
    pub fn refuse(self, error: CallError) {
        if matches!(error.code(), Code::Moved | Code::ServiceGivenUp) {
            // Made again elsewhere; what it takes along has not been used.
            return self.port.give_back(error, Box::new(self.args));
        }
        self.port.refuse(error);
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
    arrival: Arrival,
    face: Option<&'a Face>,
    shape: Option<u64>,
    /// The encoded key of a keyed target.
    key: Option<&'a [u8]>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(body: Encoding<'a>, arrival: Arrival, shape: Option<u64>) -> Self {
        Self {
            body,
            arrival,
            face: None,
            shape,
            key: None,
        }
    }

    /// Sets the key that the call is for.
    pub(crate) fn at(self, key: Option<&'a [u8]>) -> Self {
        Self { key, ..self }
    }

    /// Returns the key that the call is for.
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// Sets the interface that the call is for.
    pub(crate) fn of(self, face: &'a Face) -> Self {
        Self {
            face: Some(face),
            ..self
        }
    }

    /// Decodes the arguments of `M` and makes the port that answers over the wire.
    ///
    /// # Errors
    /// `SchemaMismatch`, `BodyUndecodable` or `BodyOverLimit`.
    pub fn open<M: Method>(self) -> Result<Envelope<M>, CallError> {
        let method = self.face.and_then(|face| face.methods.get(M::INDEX));
        let method = method.ok_or_else(|| M::spec().error(Code::UnknownMethod))?;
        if let Some(shape) = self.shape {
            method.accepts(shape, || self.arrival.node_name())?;
        }
        let args = self.arrival.decode::<M::Args>(self.body, method)?;
        let streams = M::spec().options.streams_args;
        let inbound = streams.then(|| self.arrival.inbound::<M::Inbound>(method));
        let port = Port::<M>::remote(self.arrival, method.spec);
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
