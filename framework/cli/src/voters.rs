//! `callboard voters`: who has a part in the control group, and who is chosen for it.

use std::fmt;

use callboard::{
    Member,
    admin::{ClusterReport, NodeReport, Placement, SeatsReport, VoterChoice},
};
use serde::Serialize;

use crate::{
    args::Common,
    connect::Connected,
    failure::{Failure, Kind},
    output::{knowledge, or_dash, print},
    table::{Column, Table},
};

pub(crate) async fn run(common: &Common) -> Result<(), Failure> {
    let connected = Connected::new(common).await?;
    let voters = ask(&connected, common).await;
    connected.close().await;
    print(&voters?, common.output)
}

/// Asks the leader, or else a node that has a part in the control group, who has one.
pub(crate) async fn seats(connected: &Connected, common: &Common) -> Result<SeatsReport, Failure> {
    let report = connected.any().cluster().timeout(common.timeout).await?;
    find(connected, common, &report)
        .await
        .map(|(seats, _)| seats)
}

/// What is printed. The names are promised.
#[derive(Debug, Serialize)]
struct Voters {
    asked: String,
    term: u64,
    applied: u64,
    version: u64,
    lease_left_ms: Option<u64>,
    seats: Vec<Seat>,
    choices: Vec<Choice>,
}

#[derive(Debug, Serialize)]
struct Seat {
    node: Option<String>,
    disk: String,
    votes: bool,
    leads: bool,
    live: bool,
}

#[derive(Debug, Serialize)]
struct Choice {
    node: String,
    choice: &'static str,
}

/// Asks the leader, or else a node that has a part in the control group.
async fn ask(connected: &Connected, common: &Common) -> Result<Voters, Failure> {
    let report = connected.any().cluster().timeout(common.timeout).await?;
    if report.placement == Placement::WhoAsks {
        let text = "there is no control group: no node was started with bootstrap_expect";
        return Err(Failure::new(Kind::NotPlaced, text));
    }
    let (seats, member) = find(connected, common, &report).await?;
    let node = connected.of(&member).node().timeout(common.timeout).await?;
    Ok(Voters::new(seats, &node))
}

async fn find(
    connected: &Connected,
    common: &Common,
    report: &ClusterReport,
) -> Result<(SeatsReport, Member), Failure> {
    let mut failure = None;
    for member in leader_first(connected, common, report).await {
        let said = connected.of(&member).seats().timeout(common.timeout).await;
        match said {
            Ok(seats) if seats.seated => return Ok((seats, member)),
            Ok(_) => {}
            Err(error) => failure = Some(Failure::from(error)),
        }
    }
    let nobody = || {
        let text =
            "no node that votes answers; start the voters, or see what keeps their links down";
        Failure::new(Kind::Unreachable, text)
    };
    Err(failure.unwrap_or_else(nobody))
}

async fn leader_first(
    connected: &Connected,
    common: &Common,
    report: &ClusterReport,
) -> Vec<Member> {
    let mut linked = connected.linked(report, common.timeout).await;
    linked.sort_by_key(|it| Some(&it.name) != report.leader.as_ref());
    linked
}

impl Voters {
    fn new(report: SeatsReport, node: &NodeReport) -> Self {
        let seats = report.seats.into_iter().map(|it| Seat {
            node: it.node,
            disk: it.disk,
            votes: it.votes,
            leads: it.leads,
            live: it.live,
        });
        let choices = report.choices.into_iter().map(|it| Choice {
            node: it.node,
            choice: match it.choice {
                VoterChoice::Add => "added",
                VoterChoice::Remove => "removed",
                _ => "auto",
            },
        });
        Self {
            asked: report.by,
            term: report.term,
            applied: report.applied,
            version: node.version,
            lease_left_ms: node.lease_left_ms,
            seats: seats.collect(),
            choices: choices.collect(),
        }
    }

    /// Returns what is chosen for a node, as a word.
    fn chosen(&self, node: Option<&str>) -> String {
        let choice = self.choices.iter().find(|it| Some(&*it.node) == node);
        or_dash(choice.map(|it| it.choice.to_owned()))
    }
}

impl Seat {
    fn part(&self) -> &'static str {
        match (self.leads, self.votes) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        }
    }
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("NODE"),
            Column::Left("PART"),
            Column::Left("LIVE"),
            Column::Left("CHOSEN"),
            Column::Left("DISK"),
        ]);
        for it in &self.seats {
            let live = if it.live { "yes" } else { "no" };
            table.row([
                or_dash(it.node.clone()),
                it.part().to_owned(),
                live.to_owned(),
                self.chosen(it.node.as_deref()),
                it.disk.clone(),
            ]);
        }
        let has_seat = |node: &str| self.seats.iter().any(|it| it.node.as_deref() == Some(node));
        for it in self.choices.iter().filter(|it| !has_seat(&it.node)) {
            let (part, choice) = ("none".to_owned(), it.choice.to_owned());
            table.row([it.node.clone(), part, "-".into(), choice, "-".into()]);
        }
        let votes = self.seats.iter().filter(|it| it.votes);
        let live = votes.clone().filter(|it| it.live).count();
        let (all, needed) = (votes.clone().count(), votes.count() / 2 + 1);
        let are = match self.lease_left_ms {
            Some(_) => "are",
            None => "were",
        };
        writeln!(
            f,
            "{live} of {all} voters {are} live, {needed} are needed; term {}",
            self.term
        )?;
        let known = knowledge(self.version, self.lease_left_ms);
        writeln!(f, "asked    {}, {known}\n", self.asked)?;
        write!(f, "{table}")
    }
}
