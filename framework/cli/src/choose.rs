//! `callboard voters add`, `remove` and `auto`: chooses who votes, and watches it come about.

use std::{
    fmt,
    time::{Duration, Instant},
};

use callboard::{
    HandlerError,
    admin::{ClusterReport, Placement, SeatsReport, VoterChoice, VoterError},
};
use clap::Args;
use serde::Serialize;

use crate::{
    args::{Common, Format, seconds},
    connect::Connected,
    failure::{Failure, Kind},
    output::print,
    voters,
};

/// For which node something is chosen, and how long it may take.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// The name of the node
    #[arg(value_name = "NODE")]
    node: String,
    /// How long it may take until it is so, in seconds; the choice stays in any case
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    within: Duration,
}

/// What is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    Add,
    Remove,
    Auto,
}

/// What is printed as JSON, at the end. The names are promised.
#[derive(Debug, Serialize)]
struct Outcome {
    node: String,
    choice: &'static str,
    done: bool,
    votes: bool,
    voters: Vec<String>,
    took_ms: u64,
    error: Option<String>,
}

impl Chosen {
    /// Chooses, and waits until it is so.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn run(&self, choice: Choice, common: &Common) -> Result<(), Failure> {
        let connected = Connected::new(common).await?;
        let chosen = self.choose_and_watch(choice, &connected, common).await;
        connected.close().await;
        chosen
    }

    async fn choose_and_watch(
        &self,
        choice: Choice,
        connected: &Connected,
        common: &Common,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        self.choose(choice, connected, common).await?;
        let seats = tokio::select! {
            seats = self.watch(choice, connected, common) => seats?,
            interrupted = tokio::signal::ctrl_c() => {
                drop(interrupted);
                return Err(self.goes_on("you have stopped watching"));
            }
        };
        let is_done = self.is_done(choice, &seats);
        let error = (!is_done).then(|| format!("it takes longer than {:?}", self.within));
        let voters = seats.seats.iter().filter(|it| it.votes);
        let outcome = Outcome {
            node: self.node.clone(),
            choice: match choice {
                Choice::Add => "added",
                Choice::Remove => "removed",
                Choice::Auto => "auto",
            },
            done: is_done,
            votes: self.votes(&seats),
            voters: voters.filter_map(|it| it.node.clone()).collect(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: error.clone(),
        };
        print(&outcome, common.output)?;
        match error {
            None => Ok(()),
            Some(why) => Err(self.goes_on(&why)),
        }
    }

    /// Has the leader take it in, whoever that is by then.
    async fn choose(
        &self,
        choice: Choice,
        connected: &Connected,
        common: &Common,
    ) -> Result<(), Failure> {
        let wish = match choice {
            Choice::Add => VoterChoice::Add,
            Choice::Remove => VoterChoice::Remove,
            Choice::Auto => VoterChoice::Auto,
        };
        let deadline = Instant::now() + common.timeout;
        loop {
            let report = connected.any().cluster().timeout(common.timeout).await?;
            let Some(leader) = leader(connected, &report, common).await? else {
                if Instant::now() >= deadline {
                    return Err(no_leader(&report));
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            let name = self.node.clone();
            let asked = leader
                .choose_voter(name, wish)
                .timeout(common.timeout)
                .await;
            match asked {
                Ok(()) => return Ok(()),
                Err(HandlerError::App(VoterError::NotLeader { .. })) => {
                    if Instant::now() >= deadline {
                        return Err(no_leader(&report));
                    }
                    // It may have been taken in all the same.
                    let seats = voters::seats(connected, common).await;
                    if seats.is_ok_and(|seats| self.is_chosen(wish, &seats)) {
                        return Ok(());
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks again and again until it is so, and shows each step.
    async fn watch(
        &self,
        choice: Choice,
        connected: &Connected,
        common: &Common,
    ) -> Result<SeatsReport, Failure> {
        let deadline = Instant::now() + self.within;
        let mut shown = None;
        loop {
            let seats = voters::seats(connected, common).await?;
            if self.is_done(choice, &seats) || Instant::now() >= deadline {
                return Ok(seats);
            }
            let step = self.progress(choice, &seats);
            if common.output == Format::Table && shown.as_ref() != Some(&step) {
                println!("{step}");
            }
            shown = Some(step);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_chosen(&self, wish: VoterChoice, seats: &SeatsReport) -> bool {
        let found = seats.choices.iter().find(|it| it.node == self.node);
        found.map_or(wish == VoterChoice::Auto, |it| it.choice == wish)
    }

    fn votes(&self, seats: &SeatsReport) -> bool {
        let mut seats = seats.seats.iter();
        seats.any(|it| it.votes && it.node.as_ref() == Some(&self.node))
    }

    /// Whether it is as was chosen. While a seat goes from one node to another there is one voter too many,
    /// and their number is even.
    fn is_done(&self, choice: Choice, seats: &SeatsReport) -> bool {
        let is_even = seats.seats.iter().filter(|it| it.votes).count() % 2 == 0;
        match choice {
            Choice::Add => self.votes(seats) && !is_even,
            Choice::Remove => !self.votes(seats) && !is_even,
            Choice::Auto => true,
        }
    }

    /// Returns what there is to wait for.
    fn progress(&self, choice: Choice, seats: &SeatsReport) -> String {
        let node = &self.node;
        let mut others = seats.seats.iter();
        let seat = others.find(|it| it.node.as_ref() == Some(node));
        match (choice, seat) {
            (Choice::Remove, Some(seat)) if seat.leads => {
                format!("{node} leads, and hands over when another one has its seat")
            }
            (Choice::Remove, Some(_)) => format!("{node} votes until another one has its seat"),
            (_, Some(seat)) if seat.votes => format!("{node} votes; another one gives its seat up"),
            (_, Some(_)) => format!("{node} is sent what was decided until now"),
            (_, None) => format!("{node} has no seat"),
        }
    }

    fn goes_on(&self, why: &str) -> Failure {
        let text = format!(
            "it is chosen for {0}, and is not so yet: {why}; the cluster goes on with it: `callboard voters` shows \
             how far it is",
            self.node
        );
        Failure::new(Kind::NotInTime, text)
    }
}

/// Returns the ref of the leader's admin service, if it is known and linked.
async fn leader(
    connected: &Connected,
    report: &ClusterReport,
    common: &Common,
) -> Result<Option<callboard::admin::AdminRef>, Failure> {
    if report.placement == Placement::WhoAsks {
        return Err(VoterError::NotPlaced.into());
    }
    let linked = connected.linked(report, common.timeout).await;
    // Without a lease it tells who led last.
    let name = report
        .leader
        .as_ref()
        .filter(|_| report.lease_left_ms.is_some());
    let leader = linked.iter().find(|it| Some(&it.name) == name);
    Ok(leader.map(|it| connected.of(it)))
}

fn no_leader(report: &ClusterReport) -> Failure {
    let text = match &report.leader {
        Some(leader) => format!("{leader}, which led last, does not lead or is not reached"),
        None => "the control group has no leader".to_owned(),
    };
    let advice =
        "nothing was changed; see `callboard voters`, and start the voters that are missing";
    Failure::new(Kind::Unreachable, format!("{text}; {advice}"))
}

impl From<VoterError> for Failure {
    fn from(error: VoterError) -> Self {
        let text = error.to_string();
        match error {
            VoterError::UnknownNode { .. } => Self::new(Kind::NotFound, text),
            VoterError::NotPlaced => {
                let text = format!("{text}: no node was started with bootstrap_expect");
                Self::new(Kind::NotPlaced, text)
            }
            VoterError::Refused { .. } => {
                Self::new(Kind::Failed, format!("{text}; nothing was changed"))
            }
            _ => Self::new(Kind::Unreachable, format!("{text}; ask again")),
        }
    }
}

impl From<HandlerError<VoterError>> for Failure {
    fn from(error: HandlerError<VoterError>) -> Self {
        match error {
            HandlerError::App(error) => error.into(),
            HandlerError::Call(error) => error.into(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (node, voters) = (&self.node, self.voters.join(", "));
        match (self.choice, self.done) {
            ("auto", _) => writeln!(f, "the cluster decides again whether {node} votes")?,
            (_, true) => {
                let votes = if self.votes { "votes" } else { "does not vote" };
                writeln!(f, "{node} {votes}, after {} s", self.took_ms / 1000)?;
            }
            (choice, false) => writeln!(f, "{node} is {choice}, and it is not so yet")?,
        }
        writeln!(f, "the voters are {voters}")
    }
}

/// How often the voters are asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
