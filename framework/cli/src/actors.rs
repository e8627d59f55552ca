//! `callboard actors get`: what the nodes have of an actor.

use std::{collections::BTreeSet, fmt};

use callboard::{
    HandlerError,
    admin::{ActorName, ActorReport, ActorState, AdminError, ClusterReport, KeyName},
};
use serde::Serialize;

use crate::{
    actor::{Actor, Place, find, no_such_type, written},
    args::Common,
    connect::Connected,
    failure::{Failure, Kind},
    output::{or_dash, print},
    table::{Column, Table},
};

pub(crate) async fn get(actor: &Actor, common: &Common) -> Result<(), Failure> {
    let actor = actor.name()?;
    let connected = Connected::new(common).await?;
    let found = look(&connected, common, &actor).await;
    connected.close().await;
    print(&found?, common.output)
}

/// What is printed. The names are promised.
#[derive(Debug, Serialize)]
struct Found {
    actor: String,
    owner: Option<String>,
    nodes: Vec<OnNode>,
}

#[derive(Debug, Serialize)]
struct OnNode {
    node: String,
    state: &'static str,
    failure: Option<String>,
    waiting: u64,
    waiting_max: u64,
    epoch: Option<u64>,
}

async fn look(connected: &Connected, common: &Common, actor: &ActorName) -> Result<Found, Failure> {
    let place = find(connected, common, actor).await?;
    let (owner, nodes) = match place {
        Place::WhoAsks(report) => (None, everywhere(connected, common, actor, &report).await?),
        Place::Placed(place) => match &place.owner {
            Some(owner) => {
                // Not as text: the owner may be another node than the one that has read it.
                let named = ActorName {
                    kind: actor.kind.clone(),
                    key: KeyName::Bytes(place.key.clone()),
                };
                let on = at_owner(connected, common, &named, owner).await?;
                (Some(owner.clone()), vec![on])
            }
            None => (None, Vec::new()),
        },
    };
    Ok(Found {
        actor: written(actor),
        owner,
        nodes,
    })
}

/// Asks the owner.
async fn at_owner(
    connected: &Connected,
    common: &Common,
    actor: &ActorName,
    owner: &str,
) -> Result<OnNode, Failure> {
    let report = connected.any().cluster().timeout(common.timeout).await?;
    let linked = connected.linked(&report, common.timeout).await;
    let node = linked.iter().find(|it| it.name == owner);
    let node = node.ok_or_else(|| {
        let text =
            format!("no link with {owner}, which owns the slot; see whether its process runs");
        Failure::new(Kind::Unreachable, text)
    })?;
    let said = connected.of(node).actor(actor.clone());
    Ok(said.timeout(common.timeout).await?.into())
}

/// Asks all nodes, and leaves out those that do not host the type.
async fn everywhere(
    connected: &Connected,
    common: &Common,
    actor: &ActorName,
    report: &ClusterReport,
) -> Result<Vec<OnNode>, Failure> {
    let linked = connected.linked(report, common.timeout).await;
    let (mut nodes, mut others) = (Vec::new(), BTreeSet::new());
    for member in &linked {
        let said = connected.of(member).actor(actor.clone());
        match said.timeout(common.timeout).await {
            Ok(report) => nodes.push(OnNode::from(report)),
            Err(HandlerError::App(AdminError::UnknownType { known, .. })) => others.extend(known),
            Err(error) => return Err(error.into()),
        }
    }
    if nodes.is_empty() {
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        return Err(no_such_type(&actor.kind, &others));
    }
    Ok(nodes)
}

impl From<ActorReport> for OnNode {
    fn from(report: ActorReport) -> Self {
        let (state, failure) = match report.state {
            ActorState::Inactive => ("inactive", None),
            ActorState::Active => ("active", None),
            ActorState::Stopping => ("stopping", None),
            ActorState::Quarantined(why) => ("quarantined", Some(why)),
            _ => ("unknown", None),
        };
        Self {
            node: report.by,
            state,
            failure,
            waiting: report.waiting,
            waiting_max: report.waiting_max,
            epoch: report.epoch,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes.is_empty() {
            return writeln!(f, "{} has no owner; `callboard why` says why", self.actor);
        }
        writeln!(f, "{}\n", self.actor)?;
        let mut table = Table::new(&[
            Column::Left("NODE"),
            Column::Left("STATE"),
            Column::Right("WAITING"),
            Column::Right("EPOCH"),
        ]);
        for it in &self.nodes {
            let waiting = match it.waiting_max {
                0 => "-".to_owned(),
                most => format!("{} of {most}", it.waiting),
            };
            let epoch = or_dash(it.epoch.map(|it| it.to_string()));
            table.row([it.node.clone(), it.state.to_owned(), waiting, epoch]);
        }
        write!(f, "{table}")?;
        for it in &self.nodes {
            if let Some(why) = &it.failure {
                writeln!(f, "{}: {why}", it.node)?;
            }
        }
        Ok(())
    }
}
