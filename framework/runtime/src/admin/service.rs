//! The service and its handlers.
//!
//! Depends on `desk` and the reports.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use callboard_macros::{Service, Wire, handlers};
use callboard_protocol::{
    code::CallError,
    id::{ActorAddr, ActorId, Incarnation, NodeId},
    rights::Policy,
};
use tokio::sync::SetOnce;

use super::{
    cluster_report::ClusterReport,
    desk::Desk,
    drain_report::DrainReport,
    node_report::NodeReport,
    place_report::{ActorName, ActorReport, PlaceReport},
    seats_report::{SeatsReport, VoterChoice},
    voters::VoterError,
};
use crate::{
    actor::Guardian,
    call::Hub,
    service::{Ctx, hosting},
};

/// Answers whoever runs the cluster. Every node hosts it by itself.
#[derive(Service)]
#[service(name = "callboard.admin")]
pub struct Admin {
    reception: Arc<Reception>,
}

/// Why a node does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum AdminError {
    /// The node is stopping. Nothing was changed.
    Stopping,
    /// No live member hosts this type of keyed actors, as far as the node knows.
    UnknownType {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The node does not host the type, and so does not know what its keys look like as text.
    NotHostedHere {
        /// The name of the type.
        name: String,
    },
    /// There is no such key of the type.
    BadKey {
        /// What is wrong, in words.
        why: String,
    },
    /// Nobody places keys: there is no control group.
    NotPlaced,
}

/// Where the desk of a node is found, once the node has opened.
#[derive(Debug, Default)]
pub(crate) struct Reception(SetOnce<Weak<Desk>>);

#[handlers]
impl Admin {
    /// Tells what this node knows of its cluster.
    #[handler(allow = "admin", idempotent)]
    pub async fn cluster(&self) -> Result<ClusterReport, AdminError> {
        Ok(self.reception.desk().await?.cluster())
    }

    /// Tells where a keyed actor is placed, and why.
    #[handler(allow = "admin", idempotent)]
    pub async fn why(&self, actor: ActorName) -> Result<PlaceReport, AdminError> {
        self.reception.desk().await?.why(&actor)
    }

    /// Tells what this node has in memory of a keyed actor. Asking does not activate it.
    #[handler(allow = "admin", idempotent)]
    pub async fn actor(&self, actor: ActorName) -> Result<ActorReport, AdminError> {
        self.reception.desk().await?.actor(&actor)
    }

    /// Tells who has a part in the control group, if this node has one.
    #[handler(allow = "admin", idempotent)]
    pub async fn seats(&self) -> Result<SeatsReport, AdminError> {
        Ok(self.reception.desk().await?.seats())
    }

    /// Begins to [drain](crate::Node::drain) this node, which may take so many milliseconds, and does
    /// not wait for it; [`draining`](AdminRef::draining) says how far it is. To ask again while it
    /// goes on, or when it is done, changes nothing.
    #[handler(allow = "admin", idempotent)]
    pub async fn drain(&self, within_ms: u64) -> Result<DrainReport, AdminError> {
        let desk = self.reception.desk().await?;
        Ok(desk.begin_drain(Duration::from_millis(within_ms)))
    }

    /// Chooses that a node is to vote, that it is not, or that the cluster decides. Only the leader takes it,
    /// and answers as soon as it is agreed on; [`seats`](AdminRef::seats) says when it is carried out. To
    /// choose the same again while it is not changes nothing.
    #[handler(allow = "admin", idempotent)]
    pub async fn choose_voter(&self, node: String, choice: VoterChoice) -> Result<(), VoterError> {
        let desk = self.reception.desk().await;
        let desk = desk.map_err(|_| VoterError::Stopping)?;
        desk.choose_voter(node, choice).await
    }

    /// Tells how far this node is drained.
    #[handler(allow = "admin", idempotent)]
    pub async fn draining(&self) -> Result<DrainReport, AdminError> {
        Ok(self.reception.desk().await?.draining())
    }

    /// Tells how this node is.
    #[handler(allow = "admin", idempotent)]
    pub async fn node(&self) -> Result<NodeReport, AdminError> {
        Ok(self.reception.desk().await?.node())
    }
}

impl Reception {
    /// The node has opened.
    pub(crate) fn open(&self, desk: &Arc<Desk>) {
        // A node opens once.
        let _ = self.0.set(Arc::downgrade(desk));
    }

    /// Waits for the desk of a node that is about to open: its port is there a moment before.
    async fn desk(&self) -> Result<Arc<Desk>, AdminError> {
        let desk = self.0.wait().await;
        desk.upgrade().ok_or(AdminError::Stopping)
    }
}

/// Begins to host the service on a node that has not opened yet.
///
/// # Errors
/// As [`hosting::host_service`].
pub(crate) fn host(hub: &Arc<Hub>, guardian: &Guardian) -> Result<Arc<Reception>, CallError> {
    let reception = Arc::<Reception>::default();
    let at = reception.clone();
    let make = move |_: &Ctx<Admin>| Admin {
        reception: at.clone(),
    };
    hosting::host_service_at::<Admin>(hub, guardian, Arc::new(make), ACTOR)?;
    Ok(reception)
}

/// Returns the ref of the service on one node, as used from this one.
pub(crate) fn of_node(hub: &Arc<Hub>, node: NodeId, incarnation: Incarnation) -> AdminRef {
    let addr = ActorAddr {
        node,
        incarnation,
        actor: ACTOR,
    };
    hosting::service_ref_at::<Admin>(hub, addr)
}

/// Returns the policy of a node, in which those who have the role may call the service unless an
/// earlier rule is about it.
pub(crate) fn policy(policy: Policy) -> Policy {
    policy.allow("callboard.admin/*", [ROLE])
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("the node is stopping"),
            Self::UnknownType { name, .. } => {
                write!(f, "no live member hosts a keyed actor type `{name}`")
            }
            Self::NotHostedHere { name } => {
                write!(
                    f,
                    "the node does not host `{name}` and cannot read its keys from text"
                )
            }
            Self::BadKey { why } => write!(f, "the key cannot be read: {why}"),
            Self::NotPlaced => f.write_str("nobody places keys: there is no control group"),
        }
    }
}

impl std::error::Error for AdminError {}

/// The role that a caller's certificate has to have.
pub const ROLE: &str = "admin";

/// The number under which every life of a node knows its own; spawned actors are numbered from 1.
const ACTOR: ActorId = ActorId(0);
