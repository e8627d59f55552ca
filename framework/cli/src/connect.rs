//! The way into the cluster.

use std::time::{Duration, Instant};

use callboard::{
    Client, Member, NodeName, RoleName,
    admin::{Admin, AdminRef, ClusterReport, MemberState, ROLE},
    env::Env,
    net::{Authority, Identity, PeerKind, StartError},
};

use crate::{args::Common, failure::Failure};

/// A client of the cluster that the command is about.
pub(crate) struct Connected {
    client: Client,
}

impl Connected {
    /// Connects, and waits no longer than the command says.
    ///
    /// # Errors
    /// What is wrong with the files that the flags name, or why no node is linked.
    pub(crate) async fn new(common: &Common) -> Result<Self, Failure> {
        let identity = match (&common.ca, &common.cert, &common.key) {
            (Some(ca), Some(cert), Some(key)) => Identity::from_pem_files(ca, cert, key)?,
            _ => development()?,
        };
        let builder = Client::builder().identity(identity).wait(common.timeout);
        let client = builder.seeds(common.join.iter().copied()).connect().await?;
        Ok(Self { client })
    }

    /// Returns the ref of the admin service of any node.
    pub(crate) fn any(&self) -> AdminRef {
        self.client.service::<Admin>()
    }

    /// Waits until the nodes that the report says are there are linked, and returns those that are.
    pub(crate) async fn linked(&self, report: &ClusterReport, within: Duration) -> Vec<Member> {
        let there = report.members.iter();
        let there = there.filter(|it| it.state != MemberState::Lapsed);
        // Not by their lives: one that has joined again is in another life than its links.
        let there: Vec<&str> = there.map(|it| &*it.name).collect();
        let deadline = Instant::now() + within;
        loop {
            let linked = self.client.members();
            let is_linked = |name: &&str| linked.iter().any(|it| it.name == **name);
            if there.iter().all(is_linked) || Instant::now() >= deadline {
                return linked;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Returns the ref of the admin service of one node.
    pub(crate) fn of(&self, node: &Member) -> AdminRef {
        self.client.admin(node)
    }

    pub(crate) async fn close(self) {
        self.client.close().await;
    }
}

/// Returns an identity of the user's development authority, which has the role.
fn development() -> Result<Identity, StartError> {
    let env = Env::real();
    let name = format!("callboard-{:016x}", env.entropy.next_u64());
    let name = NodeName::new(name).expect("letters, a dash and digits");
    let role = RoleName::new(ROLE).expect("letters");
    Authority::development(&env)?.issue_with_roles(name, PeerKind::Client, [role])
}

/// How often to look whether links have come up: each takes a round trip or two.
const LOOK_EVERY: Duration = Duration::from_millis(10);
