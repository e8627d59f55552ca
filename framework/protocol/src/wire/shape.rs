//! What a type looks like on the wire: its fingerprint and how deep it nests.
//!
//! Two nodes send each other raw bodies only when the fingerprints of a method's types agree. A
//! fingerprint covers everything that changes the bytes or their meaning: the declared name of a
//! type, the names, order and types of its fields and variants. It does not cover where a type is
//! declared: moving it to another module or crate keeps it compatible.
//!
//! The description is a walk over the type by [`Wire::describe`]; a record or choice that is met
//! again below itself is recursive and becomes a reference to the place where it was met first.
//! Each declared type is walked once, so the walk is linear also for types that are entangled.
//! The depth counts the levels that the decoder in `limited.rs` enters. Nothing here looks at
//! values. Depends on the hash function and serde.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use super::lend::Lender;
use super::limits::DEPTH_MAX;

pub use recursion::Recursion;

/// A type that can be an argument, a reply, an error, an item of a stream or an actor's state.
///
/// Derive it: `#[derive(Wire)]` writes the serde implementations and the description. An
/// implementation by hand must describe exactly what its serde implementations read and write,
/// and must change the description whenever they change.
#[diagnostic::on_unimplemented(
    message = "CB0062: `{Self}` cannot travel in a message",
    label = "is not `Wire`",
    note = "if it is a type of your own, add `#[derive(Wire)]` to it",
    note = "if it is a service or an actor, send its ref: that of `Greeter` is `GreeterRef`",
    note = "if it is a type of another package, send what it holds as text, a number, a `Duration` or \
            an enum of your own; one with serde impls may be a field with \
            `#[wire(opaque = \"name/1\")]`",
    note = "`bytes::Bytes`, `uuid::Uuid` and the types of `time` can travel with the features `bytes`, \
            `uuid` and `time` of `callboard`"
)]
pub trait Wire: Serialize + DeserializeOwned + Send + 'static {
    /// Describes the type by exactly one call of a method of `shape`.
    fn describe(shape: &mut Shape);

    /// Whether [`__give_long`](Self::__give_long) may do anything; by default it does nothing.
    #[doc(hidden)]
    const LENDS: bool = false;

    /// Lends the long byte strings in the value that are shared already, such as [`bytes::Bytes`], so
    /// that they are sent without a copy.
    ///
    /// [`bytes::Bytes`]: https://docs.rs/bytes/latest/bytes/struct.Bytes.html
    ///
    /// The compiler proposes a method of a similar name for one that is not there, on a ref too: `send` was one.
    #[doc(hidden)]
    fn __give_long(&self, lender: &mut dyn Lender) {
        let _ = lender;
    }
}

/// What is known about the shape of a type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ShapeInfo {
    /// A hash over everything that changes the bytes or their meaning.
    pub fingerprint: u64,
    /// The levels of nesting that a value can have: 0 for a number, at most [`DEPTH_MAX`].
    pub depth: u32,
    /// The recursion that takes the most of these levels, if the type has one.
    pub recursion: Option<Recursion>,
}

impl ShapeInfo {
    /// Returns the shape of a stream of such items: the same depth for each, and a fingerprint that
    /// differs from that of one item, so that a method cannot turn into a stream unnoticed.
    #[must_use]
    pub fn streamed(self) -> Self {
        let mut parts = Parts::new(Tag::Stream, "");
        parts.absorb_number(self.fingerprint);
        Self {
            fingerprint: parts.finish().fingerprint,
            ..self
        }
    }
}

/// Describes a type and returns its fingerprint and depth.
///
/// This walks the whole type, so it is for the start of a node and not for each call.
///
/// # Errors
///
/// [`ShapeError::UnboundedRecursion`] when the type is recursive and no type of the cycle states a
/// depth, [`ShapeError::TooDeep`] when values can nest deeper than [`DEPTH_MAX`] levels,
/// [`ShapeError::Undescribed`] when an implementation by hand describes nothing.
pub fn shape_of<T: Wire>() -> Result<ShapeInfo, ShapeError> {
    let mut shape = Shape::default();
    let node = shape.child::<T>();
    if shape.error.is_none() && node.depth > DEPTH_MAX {
        shape.fail(ShapeError::TooDeep {
            type_name: type_name::<T>(),
            levels: node.depth,
            why: recursion::why_deep(node.depth, shape.recursion),
        });
    }
    match shape.error {
        Some(error) => Err(error),
        None => Ok(ShapeInfo {
            fingerprint: node.fingerprint,
            depth: node.depth,
            recursion: shape.recursion,
        }),
    }
}

/// Why a type has no usable shape.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The type contains itself, and no type of the cycle states a depth.
    #[error("type {type_name} is recursive and states no depth; add #[wire(depth = 32)] to it")]
    UnboundedRecursion {
        /// The type that was met again below itself.
        type_name: &'static str,
    },
    /// Values of the type can nest deeper than any body may.
    #[error("type {type_name} can nest {levels} levels, allowed are {DEPTH_MAX}; {why}")]
    TooDeep {
        /// The type, or the outermost one of it.
        type_name: &'static str,
        /// The levels that it can nest.
        levels: u32,
        /// Where they come from, and what to do.
        why: String,
    },
    /// An implementation of `Wire` by hand made no call on the shape.
    #[error("type {type_name} does not describe itself")]
    Undescribed {
        /// The type.
        type_name: &'static str,
    },
}

/// Receives the description of a type. Made by [`shape_of`].
#[derive(Debug, Default)]
pub struct Shape {
    /// The records and choices around the one being described, outermost first.
    open: Vec<Open>,
    /// Types without references to types around them.
    known: BTreeMap<TypeId, Node>,
    /// Declared types with references to types that are still open.
    entangled: BTreeMap<TypeId, Entangled>,
    /// Declared types of cycles that were walked.
    of_cycles: BTreeSet<TypeId>,
    /// The types of `of_cycles` that are open again. What is known of cycles was then described from
    /// outside, and does not hold inside.
    reopened: u32,
    /// The declared types walked so far.
    walked: u64,
    /// The recursion of the most levels so far.
    recursion: Option<Recursion>,
    /// What the running `describe` has described.
    described: Option<Node>,
    error: Option<ShapeError>,
}

impl Shape {
    /// Describes a value without parts, by the name of its encoding: `u32`.
    pub fn primitive(&mut self, name: &str) {
        self.leaf(Tag::Primitive, name, 0);
    }

    /// Describes a foreign type by a name with a version, such as `geo.Point/1`.
    ///
    /// Its fields are not walked, so its author changes the name when its encoding changes. Its
    /// values may nest [`OPAQUE_DEPTH`] levels.
    pub fn opaque(&mut self, name: &str) {
        self.opaque_with_depth(name, OPAQUE_DEPTH);
    }

    /// Describes a foreign type like [`opaque`](Self::opaque), with another depth.
    pub fn opaque_with_depth(&mut self, name: &str, depth: u32) {
        self.leaf(Tag::Opaque, name, depth);
    }

    /// Describes a number of elements of one type. The name tells what they mean: `seq` for lists,
    /// `set` for sets.
    pub fn sequence<T: Wire>(&mut self, name: &str) {
        let mut parts = Parts::new(Tag::Sequence, name);
        parts.child::<T>(self, "");
        self.close(&parts);
    }

    /// Describes entries of keys and values.
    pub fn map<K: Wire, V: Wire>(&mut self) {
        let mut parts = Parts::new(Tag::Map, "map");
        parts.child::<K>(self, "key");
        parts.child::<V>(self, "value");
        self.close(&parts);
    }

    /// Describes a value that may be absent.
    pub fn optional<T: Wire>(&mut self) {
        let mut parts = Parts::new(Tag::Optional, "option");
        parts.child::<T>(self, "");
        self.close(&parts);
    }

    /// Describes a fixed number of values of one type, an array.
    pub fn array<T: Wire>(&mut self, len: usize) {
        let mut parts = Parts::new(Tag::Array, &len.to_string());
        parts.child::<T>(self, "");
        self.close(&parts);
    }

    /// Describes a fixed number of values without names.
    pub fn tuple(&mut self, describe: impl FnOnce(&mut Elements<'_>)) {
        let mut elements = Elements {
            shape: self,
            parts: Parts::new(Tag::Tuple, ""),
        };
        describe(&mut elements);
        let parts = elements.parts;
        self.close(&parts);
    }

    /// Describes a record, the type `T`, by its declared name and its fields in order.
    ///
    /// `depth` is the stated depth of a recursive type, the rounds that it may go. A value may nest
    /// as many levels as the longest way through the types of the cycle has, that many times; of
    /// several types of a cycle that state a depth, the largest counts.
    pub fn record<T: 'static>(
        &mut self,
        name: &str,
        depth: Option<u32>,
        describe: impl FnOnce(&mut Fields<'_>),
    ) {
        self.declared::<T>(depth, |shape| {
            let mut fields = Fields {
                shape,
                parts: Parts::new(Tag::Record, name),
            };
            describe(&mut fields);
            fields.parts
        });
    }

    /// Describes a choice, the type `T`, by its declared name and its variants in order.
    ///
    /// `depth` is the stated depth of a recursive type, the rounds that it may go. A value may nest
    /// as many levels as the longest way through the types of the cycle has, that many times; of
    /// several types of a cycle that state a depth, the largest counts.
    pub fn choice<T: 'static>(
        &mut self,
        name: &str,
        depth: Option<u32>,
        describe: impl FnOnce(&mut Variants<'_>),
    ) {
        self.declared::<T>(depth, |shape| {
            let mut variants = Variants {
                shape,
                parts: Parts::new(Tag::Choice, name),
            };
            describe(&mut variants);
            variants.parts
        });
    }

    fn declared<T: 'static>(
        &mut self,
        depth: Option<u32>,
        describe: impl FnOnce(&mut Self) -> Parts,
    ) {
        let id = TypeId::of::<T>();
        if let Some(at) = self.open.iter().position(|open| open.id == id) {
            return self.refer(at);
        }
        if let Some(entangled) = self.entangled.get(&id) {
            return self.described = Some(entangled.refer(&self.open));
        }
        if self.open.len() >= DEPTH_MAX as usize {
            // Only a type that grows with each level comes here. Its walk must end too.
            let levels = DEPTH_MAX + 1;
            return self.fail(ShapeError::TooDeep {
                type_name: type_name::<T>(),
                levels,
                why: recursion::why_deep(levels, None),
            });
        }
        let order = self.walked;
        self.walked += 1;
        self.open.push(Open {
            id,
            type_name: type_name::<T>(),
            depth,
            repeats: 1,
            order,
        });
        let again = u32::from(self.of_cycles.contains(&id));
        self.reopened += again;
        let mut node = describe(self).finish();
        self.reopened -= again;
        let repeats = self.open.pop().map_or(1, |open| open.repeats);
        if let Some(outer) = self.open.get_mut(node.refers_to) {
            // Part of a cycle that began further out: the rounds are counted once, there.
            outer.repeats = outer.repeats.max(repeats);
            self.entangled.insert(id, Entangled { node, order });
        } else {
            // Every reference in it is to itself or to what lies in it. The stated depth is no part
            // of the fingerprint: two nodes may differ in it, and a value that is too deep for one
            // of them is refused by name.
            if node.recursive && node.refers_to != usize::MAX {
                let found = Recursion::of::<T>(repeats, node.depth);
                self.recursion = Some(Recursion::larger(self.recursion, found));
            }
            node.depth = node.depth.saturating_mul(repeats);
            node.refers_to = usize::MAX;
        }
        if node.recursive {
            self.of_cycles.insert(id);
        }
        let still_open = self.open.len();
        self.entangled
            .retain(|_, entangled| entangled.node.refers_to < still_open);
        self.described = Some(node);
    }

    /// Describes a type that is met again below itself.
    fn refer(&mut self, at: usize) {
        let stated = self.open[at..].iter().filter_map(|open| open.depth).min();
        let outermost = &mut self.open[at];
        let Some(depth) = stated else {
            let type_name = outermost.type_name;
            return self.fail(ShapeError::UnboundedRecursion { type_name });
        };
        outermost.repeats = outermost.repeats.max(depth);
        // Counted from the inside out, so that a type has one shape wherever it is used.
        let mut parts = Parts::new(Tag::Reference, "");
        parts.absorb_number((self.open.len() - at) as u64);
        let mut node = parts.finish();
        node.depth = 0;
        node.refers_to = at;
        node.recursive = true;
        self.described = Some(node);
    }

    fn leaf(&mut self, tag: Tag, name: &str, depth: u32) {
        let mut node = Parts::new(tag, name).finish();
        node.depth = depth;
        self.described = Some(node);
    }

    fn close(&mut self, parts: &Parts) {
        self.described = Some(parts.finish());
    }

    /// Walks a type below the current one.
    fn child<T: Wire>(&mut self) -> Node {
        let id = TypeId::of::<T>();
        if let Some(node) = self.known.get(&id)
            && (self.reopened == 0 || !node.recursive)
        {
            return *node;
        }
        if self.error.is_some() {
            // The walk is over; what is still described does not matter.
            return Node::NOTHING;
        }
        self.described = None;
        T::describe(self);
        let Some(node) = self.described.take() else {
            self.fail(ShapeError::Undescribed {
                type_name: type_name::<T>(),
            });
            return Node::NOTHING;
        };
        if node.refers_to == usize::MAX {
            self.known.insert(id, node);
        }
        node
    }

    /// Keeps the first error. Later ones follow from it.
    fn fail(&mut self, error: ShapeError) {
        self.error.get_or_insert(error);
        self.described = Some(Node::NOTHING);
    }
}

/// Receives the fields of a record or of a variant, in order.
#[derive(Debug)]
pub struct Fields<'a> {
    shape: &'a mut Shape,
    parts: Parts,
}

impl Fields<'_> {
    /// Describes the next field: its declared name (`0`, `1`, … when it has none) and its type.
    pub fn field<T: Wire>(&mut self, name: &str) {
        self.parts.child::<T>(self.shape, name);
    }

    /// Describes the next field as a foreign type, see [`Shape::opaque`].
    pub fn opaque(&mut self, name: &str, type_name: &str) {
        self.shape.opaque(type_name);
        if let Some(node) = self.shape.described.take() {
            self.parts.absorb(name, &node);
        }
    }
}

/// Receives the variants of a choice, in order.
#[derive(Debug)]
pub struct Variants<'a> {
    shape: &'a mut Shape,
    parts: Parts,
}

impl Variants<'_> {
    /// Describes the next variant: its declared name and its fields in order, if it has any.
    pub fn variant(&mut self, name: &str, describe: impl FnOnce(&mut Fields<'_>)) {
        let mut fields = Fields {
            shape: &mut *self.shape,
            parts: Parts::new(Tag::Variant, name),
        };
        describe(&mut fields);
        let mut node = fields.parts.finish();
        // A variant is no level of its own: the choice is.
        node.depth = node.depth.saturating_sub(1);
        self.parts.absorb(name, &node);
    }
}

/// Receives the elements of a tuple, in order.
#[derive(Debug)]
pub struct Elements<'a> {
    shape: &'a mut Shape,
    parts: Parts,
}

impl Elements<'_> {
    /// Describes the next element.
    pub fn element<T: Wire>(&mut self) {
        self.parts.child::<T>(self.shape, "");
    }
}

/// A record or choice whose description is under way.
#[derive(Debug)]
struct Open {
    id: TypeId,
    type_name: &'static str,
    /// The depth it states.
    depth: Option<u32>,
    /// How often its levels can nest: 1, or the depth of a cycle that comes back to it.
    repeats: u32,
    /// Its place in the order in which declared types were met.
    order: u64,
}

/// A declared type that was walked and refers to a type that is still open.
#[derive(Debug)]
struct Entangled {
    node: Node,
    order: u64,
}

impl Entangled {
    /// Describes the type where it is met again.
    ///
    /// It is named by its distance from the outermost type that it refers to, which does not
    /// depend on what lies around that one.
    fn refer(&self, open: &[Open]) -> Node {
        let from = open
            .get(self.node.refers_to)
            .map_or(0, |outermost| outermost.order);
        let mut parts = Parts::new(Tag::Entangled, "");
        parts.absorb_number(self.order - from);
        parts.absorb_number(self.node.fingerprint);
        Node {
            fingerprint: parts.finish().fingerprint,
            ..self.node
        }
    }
}

/// A described type.
#[derive(Clone, Copy, Debug)]
struct Node {
    fingerprint: u64,
    depth: u32,
    /// The outermost open type that something below refers to, `usize::MAX` if there is none.
    refers_to: usize,
    /// Whether there is a cycle in it.
    recursive: bool,
}

impl Node {
    const NOTHING: Self = Self {
        fingerprint: 0,
        depth: 0,
        refers_to: usize::MAX,
        recursive: false,
    };
}

/// Gathers what a fingerprint is made of, and the depth of the deepest part.
#[derive(Debug)]
struct Parts {
    /// A tag, a name, then for each part its name and fingerprint. Names carry their length, so
    /// that no two descriptions give the same bytes.
    bytes: Vec<u8>,
    depth: u32,
    refers_to: usize,
    recursive: bool,
}

impl Parts {
    fn new(tag: Tag, name: &str) -> Self {
        let mut parts = Self {
            bytes: vec![tag as u8],
            depth: 0,
            refers_to: usize::MAX,
            recursive: false,
        };
        parts.absorb_name(name);
        parts
    }

    fn child<T: Wire>(&mut self, shape: &mut Shape, name: &str) {
        let node = shape.child::<T>();
        self.absorb(name, &node);
    }

    fn absorb(&mut self, name: &str, node: &Node) {
        self.absorb_name(name);
        self.absorb_number(node.fingerprint);
        self.depth = self.depth.max(node.depth);
        self.refers_to = self.refers_to.min(node.refers_to);
        self.recursive |= node.recursive;
    }

    fn absorb_name(&mut self, name: &str) {
        self.absorb_number(name.len() as u64);
        self.bytes.extend_from_slice(name.as_bytes());
    }

    fn absorb_number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Returns the type made of these parts, one level above them.
    fn finish(&self) -> Node {
        Node {
            fingerprint: xxh3_64(&self.bytes),
            depth: self.depth.saturating_add(1),
            refers_to: self.refers_to,
            recursive: self.recursive,
        }
    }
}

/// Tells kinds of types apart in a fingerprint. The numbers are part of it.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Tag {
    Primitive = 1,
    Opaque = 2,
    Sequence = 3,
    Map = 4,
    Optional = 5,
    Array = 6,
    Tuple = 7,
    Record = 8,
    Choice = 9,
    Variant = 10,
    Reference = 11,
    Entangled = 12,
    Stream = 13,
}

/// The levels that values of a foreign type may nest unless it is told.
pub const OPAQUE_DEPTH: u32 = 16;

mod recursion;

#[cfg(test)]
mod tests;
