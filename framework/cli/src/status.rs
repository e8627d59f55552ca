//! `callboard status`: the cluster as one of its nodes knows it.

use std::fmt;

use callboard::admin::{ClusterReport, MemberState, Placement};
use serde::Serialize;

use crate::{
    args::Common,
    connect::Connected,
    failure::Failure,
    output::{knowledge, or_dash, print},
    table::{Column, Table},
};

pub(crate) async fn run(common: &Common) -> Result<(), Failure> {
    let connected = Connected::new(common).await?;
    let report = connected.any().cluster().timeout(common.timeout).await;
    connected.close().await;
    print(&Status::from(report?), common.output)
}

/// What is printed. The names are promised.
#[derive(Debug, Serialize)]
struct Status {
    cluster: String,
    cluster_id: Option<String>,
    placement: &'static str,
    asked: String,
    version: u64,
    lease_left_ms: Option<u64>,
    leader: Option<String>,
    members: Vec<Member>,
    types: Vec<Type>,
}

#[derive(Debug, Serialize)]
struct Member {
    name: String,
    state: &'static str,
    addr: String,
    incarnation: u64,
    linked: bool,
    slots: u64,
    hosts: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Type {
    name: String,
    slots: u64,
    moving: u64,
    unowned: u64,
    hosts: Vec<String>,
}

impl From<ClusterReport> for Status {
    fn from(report: ClusterReport) -> Self {
        let members = report.members.into_iter().map(|it| Member {
            name: it.name,
            state: state(it.state),
            addr: it.addr,
            incarnation: it.incarnation,
            linked: it.linked,
            slots: it.slots,
            hosts: it.hosts,
        });
        let types = report.types.into_iter().map(|it| Type {
            name: it.name,
            slots: it.slots,
            moving: it.moving,
            unowned: it.unowned,
            hosts: it.hosts,
        });
        Self {
            cluster: report.cluster,
            cluster_id: report.cluster_id,
            placement: placement(report.placement),
            asked: report.by,
            version: report.version,
            lease_left_ms: report.lease_left_ms,
            leader: report.leader,
            members: members.collect(),
            types: types.collect(),
        }
    }
}

/// Returns the word for a state, as it is in all output.
pub(crate) const fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Live => "live",
        MemberState::Draining => "draining",
        MemberState::Lapsed => "lapsed",
        _ => "unknown",
    }
}

fn placement(placement: Placement) -> &'static str {
    match placement {
        Placement::Group => "group",
        Placement::WhoAsks => "who-asks",
        _ => "unknown",
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = match &self.cluster_id {
            Some(id) => format!(", formed as {id}"),
            None => String::new(),
        };
        writeln!(f, "cluster  {}{id}", self.cluster)?;
        let keys = match (self.placement, &self.leader) {
            ("group", Some(leader)) if self.lease_left_ms.is_none() => {
                format!("placed by the control group, which {leader} led when it was last heard of")
            }
            ("group", Some(leader)) => format!("placed by the control group, which {leader} leads"),
            ("group", None) => "placed by the control group, whose leader is not known".to_owned(),
            ("who-asks", _) => {
                "on the node that is asked: no node was started with bootstrap_expect".to_owned()
            }
            _ => "not known yet: the node is linked with nobody who knows".to_owned(),
        };
        writeln!(f, "keys     {keys}")?;
        let known = match self.placement {
            "group" => format!(", {}", knowledge(self.version, self.lease_left_ms)),
            _ => String::new(),
        };
        writeln!(f, "asked    {}{known}", self.asked)?;
        writeln!(f, "\n{}", self.member_table())?;
        let mut types = Table::new(&[
            Column::Left("TYPE"),
            Column::Right("SLOTS"),
            Column::Right("MOVING"),
            Column::Right("UNOWNED"),
            Column::Left("NODES"),
        ]);
        for it in &self.types {
            let numbers = [it.slots, it.moving, it.unowned].map(|it| it.to_string());
            let [slots, moving, unowned] = numbers;
            let hosts = (!it.hosts.is_empty()).then(|| it.hosts.join(", "));
            types.row([it.name.clone(), slots, moving, unowned, or_dash(hosts)]);
        }
        match types.is_empty() {
            true => writeln!(f, "no actor type has slots"),
            false => write!(f, "{types}"),
        }
    }
}

impl Status {
    fn member_table(&self) -> Table {
        let mut members = Table::new(&[
            Column::Left("NODE"),
            Column::Left("STATE"),
            Column::Left("ADDRESS"),
            Column::Right("SLOTS"),
            Column::Left("LINKED"),
        ]);
        for it in &self.members {
            members.row([
                it.name.clone(),
                it.state.to_owned(),
                it.addr.clone(),
                it.slots.to_string(),
                if it.linked { "yes" } else { "no" }.to_owned(),
            ]);
        }
        members
    }
}
