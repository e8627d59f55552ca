//! The service and its handlers.
//!
//! Depends on `desk` and the reports.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use callboard_macros::{Service, Wire, handlers};
use callboard_protocol::{
    code::CallError,
    id::{ActorAddr, ActorId, Incarnation, NodeId},
    rights::Policy,
};
use tokio::sync::SetOnce;

use super::{cluster_report::ClusterReport, desk::Desk, node_report::NodeReport};
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
        }
    }
}

impl std::error::Error for AdminError {}

/// The role that a caller's certificate has to have.
pub const ROLE: &str = "admin";

/// The number under which every life of a node knows its own; spawned actors are numbered from 1.
const ACTOR: ActorId = ActorId(0);
