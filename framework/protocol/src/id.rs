//! Identifiers: what a node, an actor, an interface, a method and a call are called on the wire.
//!
//! Ids are newtypes, so that two of them cannot be mixed up, and names are checked on
//! construction, so that a name that exists is a valid one. This module does not hand out ids and
//! keeps no registry. It depends on nothing but the hash function.
//!
//! | id | made from | unique within |
//! | --- | --- | --- |
//! | [`ClusterId`] | random bytes when the cluster is formed | the world |
//! | [`NodeId`] | the node's name | the cluster |
//! | [`Incarnation`] | the wall clock at the node's start | the node's life |
//! | [`ActorId`] | a counter of the node | one incarnation of a node |
//! | [`InterfaceId`], [`MethodId`] | the declared names | the cluster |
//! | [`CallId`] | a counter of the link's sender | one link |

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::const_xxh3::xxh3_64 as const_xxh3_64;
use xxhash_rust::xxh3::xxh3_64;

/// Identifies a cluster for all time: 128 random bits, minted once, when it is formed.
///
/// Two clusters of one name are told apart by it. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Identifies a data directory: 64 random bits, minted when it is made.
///
/// A node that comes back with another one has lost what it had stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DiskId(pub u64);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identifies a node within its cluster: the xxh3 hash of its name.
///
/// Written on the wire as a varint (eight bytes little-endian in frame headers) and shown as
/// sixteen hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Returns the id of the node with this name.
    pub fn of(name: &NodeName) -> Self {
        Self(xxh3_64(name.as_str().as_bytes()))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Tells one life of a node from its earlier lives: milliseconds of wall clock at its start.
///
/// Only the order of two incarnations of the same node has a meaning; the higher one is newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Numbers a spawned actor within one incarnation of its node. Numbers are not used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ActorId(pub u64);

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The address of a spawned actor, unique in the cluster and over time.
///
/// Shown as `node/incarnation/actor`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ActorAddr {
    /// The node on which the actor was spawned and on which alone it lives.
    pub node: NodeId,
    /// The life of that node. A later life of it does not know the actor.
    pub incarnation: Incarnation,
    /// The actor's number within that life.
    pub actor: ActorId,
}

impl fmt::Display for ActorAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.node, self.incarnation, self.actor)
    }
}

/// Numbers a call on the link that carries it. Never used twice on one link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Identifies an interface by its declared name: the low 32 bits of the name's xxh3 hash.
///
/// Two interfaces of one node whose ids collide are refused when the node starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct InterfaceId(pub u32);

impl InterfaceId {
    /// Returns the id of the interface with this declared name.
    #[must_use]
    pub const fn of(name: &str) -> Self {
        Self(low_half(const_xxh3_64(name.as_bytes())))
    }
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Identifies a method: the low 32 bits of the xxh3 hash of `Interface/method`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct MethodId(pub u32);

impl MethodId {
    /// Returns the id of the method with these declared names.
    ///
    /// # Panics
    ///
    /// When the two names and the `/` between them are longer than
    /// [`METHOD_PATH_BYTES_MAX`]. The macros call this in a constant, where it is a compile error.
    #[must_use]
    pub const fn of(interface: &str, method: &str) -> Self {
        let (interface, method) = (interface.as_bytes(), method.as_bytes());
        assert!(
            interface.len() + 1 + method.len() <= METHOD_PATH_BYTES_MAX,
            "the names of an interface and its method are too long"
        );
        let mut path = [0; METHOD_PATH_BYTES_MAX];
        let mut len = 0;
        while len < interface.len() {
            path[len] = interface[len];
            len += 1;
        }
        path[len] = b'/';
        len += 1;
        let mut at = 0;
        while at < method.len() {
            path[len] = method[at];
            len += 1;
            at += 1;
        }
        Self(low_half(const_xxh3_64(path.split_at(len).0)))
    }
}

impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Defines a name newtype over a checked string.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a name and takes it.
            ///
            /// # Errors
            ///
            /// [`NameError::Length`] when it is empty or longer than [`NAME_BYTES_MAX`] bytes,
            /// [`NameError::Character`] when it holds anything but ASCII letters, digits, `-`,
            /// `_` and `.`, or starts with something other than a letter or a digit.
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                check_name($kind, &name)?;
                Ok(Self(name.into_boxed_str()))
            }

            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_string()
            }
        }
    };
}

name! {
    /// The name of a cluster: the first part of every certificate name in it.
    ///
    /// 1 to [`NAME_BYTES_MAX`] bytes of ASCII letters, digits, `-`, `_` and `.`.
    ClusterName, "cluster"
}

name! {
    /// The name of a node or a client: the last part of its certificate name.
    ///
    /// 1 to [`NAME_BYTES_MAX`] bytes of ASCII letters, digits, `-`, `_` and `.`.
    NodeName, "node"
}

name! {
    /// The name of a role, which certificates give to nodes and clients.
    ///
    /// 1 to [`NAME_BYTES_MAX`] bytes of ASCII letters, digits, `-`, `_` and `.`.
    RoleName, "role"
}

/// Why a name was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty or too long.
    #[error("{kind} name of {len} bytes: allowed are 1 to {NAME_BYTES_MAX}")]
    Length {
        /// What the name was for: `cluster`, `node` or `role`.
        kind: &'static str,
        /// The length in bytes.
        len: usize,
    },
    /// The name holds a character that a name must not have, or not at its start.
    #[error(
        "{kind} name {name:?}: allowed are letters, digits, '-', '_' and '.', a letter or digit first"
    )]
    Character {
        /// What the name was for: `cluster`, `node` or `role`.
        kind: &'static str,
        /// The refused name.
        name: String,
    },
}

fn check_name(kind: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(NameError::Length {
            kind,
            len: name.len(),
        });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.bytes().all(allowed) || !name.as_bytes()[0].is_ascii_alphanumeric() {
        return Err(NameError::Character {
            kind,
            name: name.to_owned(),
        });
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
const fn low_half(hash: u64) -> u32 {
    hash as u32
}

/// The longest name of a cluster, a node or a role, in bytes: the limit of a DNS label.
pub const NAME_BYTES_MAX: usize = 63;

/// The longest `Interface/method`, in bytes, that [`MethodId::of`] takes.
pub const METHOD_PATH_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_id_is_the_hash_of_the_joined_path() {
        let hash = xxh3_64(b"Greeter/say_hello");
        assert_eq!(
            u64::from(MethodId::of("Greeter", "say_hello").0),
            hash & 0xffff_ffff
        );
        const IN_A_CONSTANT: MethodId = MethodId::of("Greeter", "say_hello");
        assert_eq!(IN_A_CONSTANT, MethodId::of("Greeter", "say_hello"));
    }

    #[test]
    fn ids_of_names_are_stable() {
        // Golden: these numbers are on the wire, so a change of them splits a cluster.
        assert_eq!(InterfaceId::of("Greeter").to_string(), "81e10e1d");
        assert_eq!(MethodId::of("Greeter", "say_hello").to_string(), "e0eadc19");
        let name = NodeName::new("n1").expect("valid");
        assert_eq!(NodeId::of(&name).to_string(), "d733a26dd4b49b94");
    }

    #[test]
    fn long_method_paths_up_to_the_limit_have_an_id() {
        let method = "m".repeat(METHOD_PATH_BYTES_MAX - 2);
        let path = format!("I/{method}");
        let expected = xxh3_64(path.as_bytes()) & 0xffff_ffff;
        assert_eq!(u64::from(MethodId::of("I", &method).0), expected);
    }

    #[test]
    fn names_with_unsafe_characters_are_refused() {
        for bad in ["", "a b", "a/b", "-a", ".a", "ü", "a\n", &"x".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["n1", "a.b-c_d", "0", &"x".repeat(63)] {
            assert_eq!(NodeName::new(good).expect("valid").as_str(), good);
        }
    }
}
