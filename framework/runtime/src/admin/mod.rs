//! What whoever runs a cluster asks of it: the service `callboard.admin`, which every node hosts.
//!
//! It is an ordinary service. What concerns the cluster any node answers, from the view that it
//! holds; what concerns one node, that node, reached through [`Client::admin`](crate::Client::admin).
//! Only callers whose certificates have the role [`ROLE`] may call it; a rule of the node's policy
//! that begins with `callboard.` can take that away, or give it to another role too.
//!
//! | file | its job |
//! | --- | --- |
//! | `service` | the handlers |
//! | `desk` | what they are answered from: the parts of one node |
//! | `places` | answers about one key |
//! | `drain` | draining this node |
//! | `voters` | choosing who votes |
//! | the reports | what is told |
//!
//! It reads, and hands on what it is asked to do; it decides nothing. It may depend on `call`,
//! `cluster`, `service`, `net` and `actor`.

mod cluster_report;
mod desk;
mod drain;
mod drain_report;
mod node_report;
mod place_report;
mod places;
mod seats_report;
mod service;
mod voters;

pub use cluster_report::{ClusterReport, MemberReport, MemberState, Placement, TypeReport};
pub use drain_report::{DrainOutcome, DrainReport, DrainStep};
pub use node_report::NodeReport;
pub use place_report::{
    ActorName, ActorReport, ActorState, CandidateReport, KeyName, PlaceReason, PlaceReport,
};
pub use seats_report::{ChoiceReport, SeatReport, SeatsReport, VoterChoice};
pub use service::{Admin, AdminError, AdminRef, ROLE};

pub use voters::VoterError;

pub(crate) use desk::Desk;
pub(crate) use service::{host, of_node, policy};
