//! What a node keeps for each interface that it hosts or calls: metrics, fingerprints, and the
//! local host if there is one. Made once, so that a call looks nothing up by name.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::InterfaceId,
    rights::{Grant, Policy},
    time::Time,
    wire::{
        ShapeError, ShapeInfo,
        hello::{HostedInterface, HostedMethod},
    },
};

use crate::telemetry::MethodMetrics;

use super::{
    interface::{Interface, MethodShapes, MethodSpec, interface_id},
    meta::Caller,
    panics::Panics,
};

/// One interface as this node sees it.
pub(crate) struct Face {
    pub(crate) id: InterfaceId,
    pub(crate) name: &'static str,
    pub(crate) methods: Vec<FaceMethod>,
    /// The typed local host: a cell for a service, a directory for a keyed actor.
    local: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// From when on it may be told again that calls wait for an owner.
    told_until: AtomicU64,
}

/// One method as this node sees it.
#[derive(Debug)]
pub(crate) struct FaceMethod {
    pub(crate) spec: &'static MethodSpec,
    pub(crate) shapes: MethodShapes,
    pub(crate) metrics: MethodMetrics,
    pub(super) panics: Panics,
    shape: u64,
    /// Who may call it; nothing if everyone may.
    grant: Option<Grant>,
}

impl Face {
    /// Makes the face of `I` under the node's policy; `metrics` gives the handles of a method.
    ///
    /// # Errors
    /// [`ShapeError`] when a recursive type states no depth.
    pub(crate) fn new<I: Interface>(
        policy: &Policy,
        metrics: impl Fn(&MethodSpec) -> MethodMetrics,
    ) -> Result<Self, ShapeError> {
        let methods = I::METHODS.iter().map(|spec| {
            let grant = policy.grant(spec.interface, spec.name, spec.options.allow);
            Ok(FaceMethod::new(
                spec,
                (spec.shapes)()?,
                metrics(spec),
                grant,
            ))
        });
        Ok(Self {
            id: interface_id::<I>(),
            name: I::NAME,
            methods: methods.collect::<Result<_, ShapeError>>()?,
            local: OnceLock::new(),
            told_until: AtomicU64::new(0),
        })
    }

    /// Returns whether it is to be told now that calls wait for an owner: once a minute for a type.
    pub(crate) fn may_tell(&self, now: Time) -> bool {
        let (now, until) = (now.as_nanos(), (now + TOLD_EVERY).as_nanos());
        let told = self
            .told_until
            .fetch_update(Relaxed, Relaxed, |told| (told <= now).then_some(until));
        told.is_ok()
    }

    /// Sets the local host; returns false when there was one.
    pub(crate) fn set_local(&self, local: Arc<dyn Any + Send + Sync>) -> bool {
        self.local.set(local).is_ok()
    }

    /// Returns the local host as its type.
    pub(crate) fn local<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.local.get().cloned()?.downcast().ok()
    }

    /// Returns the method of a row.
    ///
    /// # Errors
    /// `UnknownMethod` for a row that there is not.
    pub(crate) fn method(&self, index: usize) -> Result<&FaceMethod, CallError> {
        self.methods
            .get(index)
            .ok_or_else(|| CallError::new(Code::UnknownMethod, format!("interface {}", self.name)))
    }

    /// Checks that no rule of a policy is meant for a method that there is not.
    ///
    /// # Errors
    /// `ConfigInvalid`.
    pub(crate) fn check_policy(&self, policy: &Policy) -> Result<(), CallError> {
        let methods: Vec<_> = self.methods.iter().map(|it| it.spec.name).collect();
        let Some(pattern) = policy.misses(self.name, &methods) else {
            return Ok(());
        };
        let detail = format!(
            "the pattern {pattern:?} fits no method of {}, which has {}",
            self.name,
            methods.join(", ")
        );
        Err(CallError::new(Code::ConfigInvalid, "policy").with_detail(detail))
    }

    /// Describes the interface for the hello.
    pub(crate) fn hosted(&self) -> HostedInterface {
        let methods = self.methods.iter().map(FaceMethod::hosted).collect();
        HostedInterface {
            name: self.name.to_string(),
            id: self.id,
            methods,
        }
    }
}

impl FaceMethod {
    fn hosted(&self) -> HostedMethod {
        let [args, inbound, reply] = self.hosted_shapes();
        HostedMethod {
            name: self.spec.name.to_string(),
            id: self.spec.id,
            args,
            inbound,
            reply,
            idempotent: self.spec.options.idempotent,
        }
    }

    fn new(
        spec: &'static MethodSpec,
        shapes: MethodShapes,
        metrics: MethodMetrics,
        grant: Option<Grant>,
    ) -> Self {
        let mut method = Self {
            spec,
            shapes,
            metrics,
            panics: Panics::default(),
            shape: 0,
            grant,
        };
        let mixed = |sum: u64, part: u64| (sum ^ part).wrapping_mul(MIX).rotate_left(29);
        method.shape = method.hosted_shapes().into_iter().fold(0, mixed);
        method
    }

    /// Returns the fingerprint of all the method's types together.
    pub(crate) fn shape(&self) -> u64 {
        self.shape
    }

    /// Returns the fingerprints of the arguments, the streamed argument and the reply.
    fn hosted_shapes(&self) -> [u64; 3] {
        let options = &self.spec.options;
        // A stream of items is another type than one item, or none.
        let shape = |shape: ShapeInfo, is_stream: bool| {
            if is_stream {
                shape.streamed().fingerprint
            } else {
                shape.fingerprint
            }
        };
        [
            self.shapes.args.fingerprint,
            shape(self.shapes.inbound, options.streams_args),
            shape(self.shapes.reply, options.streams_reply),
        ]
    }

    /// Checks that a caller may call the method of this node, which `node` names.
    ///
    /// # Errors
    /// `Forbidden`, with what the caller lacks.
    pub(crate) fn permits(&self, caller: &Caller, node: &str) -> Result<(), CallError> {
        match &self.grant {
            Some(grant) if !caller.is_local() && !grant.lets(caller.roles()) => {
                let error = self.spec.error_on(Code::Forbidden, &format!("node {node}"));
                Err(error.with_detail(grant.missing(caller.roles())))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a peer that hosts the interface has this method with the same types; `node`
    /// names the peer.
    ///
    /// # Errors
    /// `UnknownMethod` or `SchemaMismatch`, which names what differs.
    pub(crate) fn agrees(
        &self,
        theirs: Option<&HostedMethod>,
        node: &str,
    ) -> Result<(), CallError> {
        let Some(theirs) = theirs else {
            return Err(self.spec.error_on(Code::UnknownMethod, node));
        };
        let ours = self.hosted();
        let [args, inbound, reply] = self.shapes.types.map(unqualified);
        let differing = [
            (format!("arguments {args} have"), ours.args, theirs.args),
            (
                format!("streamed argument of {inbound} has"),
                ours.inbound,
                theirs.inbound,
            ),
            (format!("reply {reply} has"), ours.reply, theirs.reply),
        ]
        .into_iter()
        .find(|(_, ours, theirs)| ours != theirs);
        let Some((what, ours, theirs)) = differing else {
            return Ok(());
        };
        Err(self.mismatch(&what, ours, theirs, node))
    }

    /// Refuses a call whose caller takes the method's types together for the shape `caller`;
    /// `node` names this node.
    ///
    /// # Errors
    /// `SchemaMismatch`, worded for the caller, who reads it.
    pub(crate) fn accepts(
        &self,
        caller: u64,
        node: impl FnOnce() -> String,
    ) -> Result<(), CallError> {
        let here = self.shape();
        if caller == here {
            return Ok(());
        }
        let [args, inbound, reply] = self.shapes.types.map(unqualified);
        let streamed = match self.spec.options.streams_args {
            true => format!(", the streamed argument {inbound}"),
            false => String::new(),
        };
        let what = format!("arguments {args}{streamed} and the reply {reply} together have");
        Err(self.mismatch(&what, caller, here, &node()))
    }

    /// Says how the types differ: `here` is the shape on the node that makes the call.
    fn mismatch(&self, what: &str, here: u64, there: u64, node: &str) -> CallError {
        let detail = format!("the {what} the shape {here:016x} here and {there:016x} there");
        self.spec
            .error_on(Code::SchemaMismatch, node)
            .with_detail(detail)
    }
}

/// Whoever looks at a log sees what is the matter, and what else there is.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Returns the name of a type without the paths in it.
fn unqualified(name: &str) -> String {
    let mut plain = String::new();
    for part in name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        let at = part.rfind("::").map_or(0, |at| at + 2);
        plain.push_str(&part[at..]);
    }
    plain
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The golden ratio's bits: an odd multiplier that spreads every input bit.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
