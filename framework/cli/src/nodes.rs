//! `callboard nodes`: how each node is, by its own word.

use std::{collections::BTreeMap, fmt};

use callboard::{
    Member,
    admin::{ClusterReport, MemberState, NodeReport, Placement},
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    args::Common,
    connect::Connected,
    failure::{Failure, Kind},
    output::{or_dash, print, time},
    status::state,
    table::{Column, Table},
};

pub(crate) async fn run(common: &Common) -> Result<(), Failure> {
    let connected = Connected::new(common).await?;
    let nodes = ask(&connected, common).await;
    connected.close().await;
    let nodes = nodes?;
    print(&nodes, common.output)?;
    match &nodes.silent()[..] {
        [] if nodes.is_leaderless => Err(Failure::new(Kind::Unreachable, LEADERLESS)),
        [] => Ok(()),
        silent => {
            let text = format!(
                "no answer from {}; see whether the processes run, and what keeps their links down",
                silent.join(", ")
            );
            Err(Failure::new(Kind::Unreachable, text))
        }
    }
}

/// What is printed. The names are promised.
#[derive(Debug, Serialize)]
struct Nodes {
    asked: String,
    nodes: Vec<Node>,
    /// Keys are placed by the control group, and no node that has answered holds a lease.
    #[serde(skip)]
    is_leaderless: bool,
}

/// A node: what its cluster says of it, and what it says itself, if it answers.
#[derive(Debug, Serialize)]
struct Node {
    name: String,
    state: &'static str,
    addr: String,
    incarnation: u64,
    says: Option<Says>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Says {
    callboard: String,
    uptime_ms: u64,
    linked_nodes: u64,
    version: u64,
    term: u64,
    leads: bool,
    votes: bool,
    lease_left_ms: Option<u64>,
    slots: u64,
    trouble: Option<String>,
}

async fn ask(connected: &Connected, common: &Common) -> Result<Nodes, Failure> {
    let report = connected.any().cluster().timeout(common.timeout).await?;
    let linked = connected.linked(&report, common.timeout).await;
    let addrs: BTreeMap<_, _> = linked
        .iter()
        .map(|it| (it.name.clone(), it.clone()))
        .collect();
    let mut asking = JoinSet::new();
    for member in linked {
        let (admin, within) = (connected.of(&member), common.timeout);
        asking.spawn(async move {
            let said = admin.node().timeout(within).await;
            (
                member.name,
                said.map_err(|error| Failure::from(error).to_string()),
            )
        });
    }
    let said: BTreeMap<_, _> = asking.join_all().await.into_iter().collect();
    Ok(Nodes::new(report, &addrs, said))
}

impl Nodes {
    fn new(
        report: ClusterReport,
        linked: &BTreeMap<String, Member>,
        mut said: BTreeMap<String, Result<NodeReport, String>>,
    ) -> Self {
        let is_placed = report.placement == Placement::Group;
        let nodes = report.members.into_iter().map(|member| {
            let not_linked = || Err("no link with it came up".to_owned());
            let said = said.remove(&member.name).unwrap_or_else(not_linked);
            let (says, error) = apart(said);
            Node {
                name: member.name,
                state: state(member.state),
                addr: member.addr,
                incarnation: member.incarnation,
                says,
                error,
            }
        });
        let mut nodes: Vec<_> = nodes.collect();
        // A node that has heard of no leader since its start knows of no members, itself included.
        nodes.extend(said.into_iter().filter_map(|(name, said)| {
            let member = linked.get(&name)?;
            let (says, error) = apart(said);
            Some(Node {
                name,
                state: UNKNOWN,
                addr: member.addr.to_string(),
                incarnation: member.incarnation.0,
                says,
                error,
            })
        }));
        let mut says = nodes.iter().filter_map(|it| it.says.as_ref());
        Self {
            is_leaderless: is_placed && says.all(|it| it.lease_left_ms.is_none()),
            asked: report.by,
            nodes,
        }
    }

    /// Returns the members that should have answered and have not.
    fn silent(&self) -> Vec<&str> {
        let silent = self.nodes.iter();
        let silent = silent.filter(|it| it.says.is_none() && it.state != LAPSED);
        silent.map(|it| it.name.as_str()).collect()
    }
}

fn apart(said: Result<NodeReport, String>) -> (Option<Says>, Option<String>) {
    match said {
        Ok(says) => (Some(Says::from(says)), None),
        Err(error) => (None, Some(error)),
    }
}

impl From<NodeReport> for Says {
    fn from(report: NodeReport) -> Self {
        Self {
            callboard: report.callboard,
            uptime_ms: report.uptime_ms,
            linked_nodes: report.linked_nodes,
            version: report.version,
            term: report.term,
            leads: report.leads,
            votes: report.votes,
            lease_left_ms: report.lease_left_ms,
            slots: report.slots,
            trouble: report.trouble,
        }
    }
}

impl Says {
    fn part(&self) -> &'static str {
        match (self.leads, self.votes) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "-",
        }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("NODE"),
            Column::Left("STATE"),
            Column::Left("ADDRESS"),
            Column::Left("PART"),
            Column::Right("LEASE"),
            Column::Right("SLOTS"),
            Column::Right("LINKS"),
            Column::Right("VERSION"),
            Column::Right("UP"),
            Column::Left("CALLBOARD"),
        ]);
        for it in &self.nodes {
            let said = |text: &dyn Fn(&Says) -> String| or_dash(it.says.as_ref().map(text));
            table.row([
                it.name.clone(),
                it.state.to_owned(),
                it.addr.clone(),
                said(&|it| it.part().to_owned()),
                said(&|it| or_dash(it.lease_left_ms.map(time))),
                said(&|it| it.slots.to_string()),
                said(&|it| it.linked_nodes.to_string()),
                said(&|it| it.version.to_string()),
                said(&|it| time(it.uptime_ms)),
                said(&|it| it.callboard.clone()),
            ]);
        }
        write!(f, "{table}")?;
        for it in &self.nodes {
            if let Some(error) = &it.error {
                writeln!(f, "{}: {error}", it.name)?;
            }
            if let Some(trouble) = it.says.as_ref().and_then(|it| it.trouble.as_ref()) {
                writeln!(f, "{}: {trouble}", it.name)?;
            }
        }
        Ok(())
    }
}

/// The word for a member whose lease has ended.
const LAPSED: &str = state(MemberState::Lapsed);

/// And for one that the node that was asked knows nothing of.
const UNKNOWN: &str = "unknown";

const LEADERLESS: &str = "no node that answers holds a lease: the control group has no leader, as too few of its voters \
                          run or reach each other; start the others, and see the log of a voter";
