//! The hello: what each side of a link says of itself first, and whether the two fit.
//!
//! A hello names the cluster, the node, the protocol versions it speaks, its limits, and every
//! interface it hosts with the fingerprints of its methods' types. [`Hello::check`] compares the
//! two hellos with the certificate of the peer and either agrees on what the link uses or refuses
//! with a reason that a person can act on. Versions that differ must still understand each
//! other's hello: fields are only ever appended at its end, and unknown ones at the end are
//! ignored. This module knows no sockets and no TLS. Depends on `id` and `code`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use crate::code::Code;
use crate::id::{
    ClusterName, Incarnation, InterfaceId, METHOD_PATH_BYTES_MAX, MethodId, NodeId, NodeName,
};

/// What one side of a link says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The protocol versions that it speaks.
    pub protocol: ProtocolRange,
    /// What does not depend on the protocol version.
    pub about: About,
}

/// The protocol versions that a side speaks, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolRange {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl ProtocolRange {
    /// What this version of Callboard speaks.
    pub const OURS: Self = Self { min: 1, max: 1 };

    /// Returns the newest version that both speak.
    #[must_use]
    pub const fn common(self, other: Self) -> Option<u16> {
        let max = if self.max < other.max {
            self.max
        } else {
            other.max
        };
        if max < self.min || max < other.min {
            None
        } else {
            Some(max)
        }
    }
}

/// Who a side is, what it allows and what it hosts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its name, which its certificate must carry too.
    pub name: NodeName,
    /// The hash of the name.
    pub id: NodeId,
    /// Which life of it this is.
    pub incarnation: Incarnation,
    /// Whether it is a node or a client.
    pub kind: PeerKind,
    /// Optional abilities, one bit each. A link uses those that both sides have.
    pub features: u64,
    /// How many lanes it is ready to read: 1 to [`LANES_MAX`].
    pub lanes: u8,
    /// The longest frame that it reads, in bytes without the length field: at least
    /// [`FRAME_BYTES_MIN`].
    pub frame_bytes_max: u32,
    /// The longest body that it reads, in bytes.
    pub body_bytes_max: u32,
    /// Where other nodes can reach it. Nothing for a client.
    pub listen: Option<SocketAddr>,
    /// What it hosts. Empty for a client.
    pub hosts: Vec<HostedInterface>,
}

/// What a side of a link is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PeerKind {
    /// A member of the cluster.
    Node,
    /// A process that calls into the cluster and hosts nothing.
    Client,
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Client => "client",
        })
    }
}

/// An interface that a node hosts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostedInterface {
    /// Its declared name.
    pub name: String,
    /// The id made of the name.
    pub id: InterfaceId,
    /// Its methods.
    pub methods: Vec<HostedMethod>,
}

/// A method of a hosted interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostedMethod {
    /// Its declared name.
    pub name: String,
    /// The id made of the interface's name and its own.
    pub id: MethodId,
    /// The fingerprint of the tuple of its arguments.
    pub args: u64,
    /// The fingerprint of the items that are streamed to it, of `()` when none are.
    pub inbound: u64,
    /// The fingerprint of its reply; of a stream of items, see
    /// [`ShapeInfo::streamed`](super::ShapeInfo::streamed).
    pub reply: u64,
    /// Whether running it twice is harmless.
    pub idempotent: bool,
}

/// Who a peer is by its certificate, `spiffe://<cluster>/<node|client>/<name>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertifiedPeer {
    /// The cluster.
    pub cluster: ClusterName,
    /// Node or client.
    pub kind: PeerKind,
    /// The name.
    pub name: NodeName,
}

/// What the two sides of a link agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The protocol version: the newest that both speak.
    pub protocol: u16,
    /// The features that both have.
    pub features: u64,
    /// The number of lanes in each direction: the smaller of the two.
    pub lanes: u8,
    /// The longest frame that may be sent to the peer, in bytes without the length field.
    pub frame_bytes_max: u32,
    /// The longest body that may be sent to the peer, in bytes.
    pub body_bytes_max: u32,
}

/// Why a link was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} {}: {detail}", code.text(), code.name())]
pub struct LinkRefusal {
    /// What kind of refusal it is. One of the `CB2xxx` codes.
    pub code: Code,
    /// What did not fit, with both sides' values.
    pub detail: String,
}

impl LinkRefusal {
    /// Makes a refusal.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl Hello {
    /// Compares our hello with the peer's and with the name in its certificate.
    ///
    /// # Errors
    ///
    /// A [`LinkRefusal`] with [`Code::ProtocolMismatch`], [`Code::ClusterMismatch`],
    /// [`Code::IdentityMismatch`], [`Code::KindMismatch`] (a hello of another kind than the
    /// certificate, or two clients), [`Code::DuplicateNode`] (the peer has our own name), or
    /// [`Code::FrameMalformed`] (a value out of its range).
    pub fn check(&self, theirs: &Self, certified: &CertifiedPeer) -> Result<Accepted, LinkRefusal> {
        let protocol = self.common_protocol(theirs)?;
        self.check_cluster(theirs, certified)?;
        self.check_identity(theirs, certified)?;
        let (ours, theirs) = (&self.about, &theirs.about);
        if let Err(detail) = theirs.check_ranges() {
            return Err(LinkRefusal::new(Code::FrameMalformed, detail));
        }
        Ok(Accepted {
            protocol,
            features: ours.features & theirs.features,
            lanes: ours.lanes.min(theirs.lanes),
            frame_bytes_max: theirs.frame_bytes_max,
            body_bytes_max: theirs.body_bytes_max,
        })
    }

    fn common_protocol(&self, theirs: &Self) -> Result<u16, LinkRefusal> {
        let (a, b) = (self.protocol, theirs.protocol);
        a.common(b).ok_or_else(|| {
            let detail = format!(
                "{} {} speaks protocol versions {} to {}, this node {} to {}",
                theirs.about.kind, theirs.about.name, b.min, b.max, a.min, a.max
            );
            LinkRefusal::new(Code::ProtocolMismatch, detail)
        })
    }

    fn check_cluster(&self, theirs: &Self, certified: &CertifiedPeer) -> Result<(), LinkRefusal> {
        let ours = &self.about.cluster;
        for (what, cluster) in [
            ("certificate", &certified.cluster),
            ("hello", &theirs.about.cluster),
        ] {
            if cluster != ours {
                let detail = format!(
                    "the {what} of {} {} names cluster {cluster}, this is cluster {ours}",
                    theirs.about.kind, theirs.about.name
                );
                return Err(LinkRefusal::new(Code::ClusterMismatch, detail));
            }
        }
        Ok(())
    }

    fn check_identity(&self, theirs: &Self, certified: &CertifiedPeer) -> Result<(), LinkRefusal> {
        let (ours, theirs) = (&self.about, &theirs.about);
        if theirs.name != certified.name {
            let detail = format!(
                "the hello names {}, the certificate {}",
                theirs.name, certified.name
            );
            return Err(LinkRefusal::new(Code::IdentityMismatch, detail));
        }
        if theirs.id != NodeId::of(&theirs.name) {
            let detail = format!("{} is not the id of {}", theirs.id, theirs.name);
            return Err(LinkRefusal::new(Code::IdentityMismatch, detail));
        }
        if theirs.kind != certified.kind {
            let detail = format!(
                "the hello of {} says {}, the certificate {}",
                theirs.name, theirs.kind, certified.kind
            );
            return Err(LinkRefusal::new(Code::KindMismatch, detail));
        }
        if ours.kind == PeerKind::Client && theirs.kind == PeerKind::Client {
            let detail = format!("{} is a client like this one", theirs.name);
            return Err(LinkRefusal::new(Code::KindMismatch, detail));
        }
        if theirs.name == ours.name {
            let detail = format!("the peer has this {}'s own name, {}", ours.kind, ours.name);
            return Err(LinkRefusal::new(Code::DuplicateNode, detail));
        }
        Ok(())
    }
}

impl About {
    /// Checks what the types leave open, and the numbers of entries.
    pub(super) fn check_entries(&self, limits: &Limits) -> Result<(), &'static str> {
        if self.hosts.len() > limits.hosts_max {
            return Err("more hosted interfaces than allowed");
        }
        let mut interfaces = BTreeSet::new();
        for interface in &self.hosts {
            if interface.methods.len() > limits.methods_max {
                return Err("more methods of an interface than allowed");
            }
            if !interfaces.insert(interface.id) {
                return Err("two hosted interfaces with one id");
            }
            let mut methods = BTreeSet::new();
            for method in &interface.methods {
                if interface.name.len() + 1 + method.name.len() > METHOD_PATH_BYTES_MAX {
                    return Err("a method with a longer name than allowed");
                }
                if !methods.insert(method.id) {
                    return Err("two methods of an interface with one id");
                }
            }
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), String> {
        if !(1..=LANES_MAX).contains(&self.lanes) {
            return Err(format!(
                "{} lanes, allowed are 1 to {LANES_MAX}",
                self.lanes
            ));
        }
        if self.frame_bytes_max < FRAME_BYTES_MIN {
            let cap = self.frame_bytes_max;
            return Err(format!(
                "a frame cap of {cap} bytes, the least is {FRAME_BYTES_MIN}"
            ));
        }
        if self.kind == PeerKind::Client && !self.hosts.is_empty() {
            return Err("a client that hosts interfaces".to_owned());
        }
        if self.kind == PeerKind::Client && self.listen.is_some() {
            return Err("a client that says where it can be reached".to_owned());
        }
        Ok(())
    }
}

/// The feature of a side that understands what nodes say to each other about the cluster.
pub const FEATURE_CLUSTER: u64 = 1;

/// Keys are placed where the side is: there is a control group, or one is to come. A node that links with it
/// activates no key from then on before it knows the tables.
pub const FEATURE_PLACES: u64 = 2;

/// The side knows of no control group, and keys live on the node that is asked. A node that says neither
/// this nor [`FEATURE_PLACES`] does not know yet.
pub const FEATURE_ALONE: u64 = 4;

/// The feature of a side that understands that an interface is hosted no more.
pub const FEATURE_WITHDRAWS: u64 = 8;

/// The feature of a side that takes sends along with a slot that moves: it understands them in a
/// [parcel](crate::cluster::Parcel), and the frame by which the other side says which tables it goes by.
pub const FEATURE_FORWARDS: u64 = 16;

/// The feature of a side that understands that another process has its name.
pub const FEATURE_NAMESAKES: u64 = 32;

/// The feature of a side that understands what is [chosen of the voters](crate::slots::Choices): the log of
/// the control group may have such choices. One that does not could not read it.
pub const FEATURE_CHOICES: u64 = 64;

/// The feature of a side that understands a call that says by which epoch of its key's slot it was sent.
pub const FEATURE_EPOCHS: u64 = 128;

/// The most lanes of a link in each direction.
pub const LANES_MAX: u8 = 16;

/// The smallest frame cap that a node may have, in bytes: room for every header and every error.
pub const FRAME_BYTES_MIN: u32 = 4096;

#[cfg(test)]
pub(in crate::wire) mod tests;
