//! `callboard drain`: has a node give away what it has, and watches it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use callboard::{
    Member,
    admin::{AdminRef, DrainOutcome, DrainReport, DrainStep, Placement},
};
use clap::Args;
use serde::Serialize;

use crate::{
    args::{Common, Format, seconds},
    connect::Connected,
    failure::{Failure, Kind},
    output::print,
};

/// What is to be drained, and how long that may take.
#[derive(Debug, Args)]
pub(crate) struct Leaver {
    /// The name of the node
    #[arg(value_name = "NODE")]
    node: String,
    /// How long the node may take, in seconds; what it has given away by then stays away
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    within: Duration,
}

pub(crate) async fn run(leaver: &Leaver, common: &Common) -> Result<(), Failure> {
    let connected = Connected::new(common).await?;
    let drained = leaver.run(&connected, common).await;
    connected.close().await;
    drained
}

/// What is printed as JSON, at the end. The names are promised.
#[derive(Debug, Serialize)]
struct Drained {
    node: String,
    drained: bool,
    step: Option<&'static str>,
    slots_left: u64,
    took_ms: u64,
    error: Option<String>,
}

impl Leaver {
    async fn run(&self, connected: &Connected, common: &Common) -> Result<(), Failure> {
        let began = Instant::now();
        let member = self.member(connected, common).await?;
        let admin = connected.of(&member);
        let within = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        let begun = admin.drain(within).timeout(common.timeout).await?;
        let watched = tokio::select! {
            watched = self.watch(&admin, begun, common) => watched?,
            interrupted = tokio::signal::ctrl_c() => {
                drop(interrupted);
                return Err(self.goes_on("you have stopped watching"));
            }
        };
        if let DrainOutcome::Refused(why) = &watched.outcome {
            let text = format!("{} is not drained: {why}; nothing was changed", self.node);
            return Err(Failure::new(Kind::Failed, text));
        }
        let (step, slots_left) = match watched.outcome {
            DrainOutcome::Drained => (None, 0),
            _ => (watched.step.map(word), watched.slots),
        };
        let error = match &watched.outcome {
            DrainOutcome::Drained => None,
            DrainOutcome::NotInTime(why) => Some(why.clone()),
            _ => Some(format!("it takes longer than {:?}", self.within)),
        };
        let drained = Drained {
            node: watched.node,
            drained: error.is_none(),
            step,
            slots_left,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: error.clone(),
        };
        print(&drained, common.output)?;
        match error {
            None => Ok(()),
            Some(why) => Err(self.goes_on(&why)),
        }
    }

    /// Finds the node among those that are linked.
    async fn member(&self, connected: &Connected, common: &Common) -> Result<Member, Failure> {
        let report = connected.any().cluster().timeout(common.timeout).await?;
        if report.placement == Placement::WhoAsks {
            let text = "there is no control group, so there is nothing to give away; stop the node";
            return Err(Failure::new(Kind::NotPlaced, text));
        }
        let linked = connected.linked(&report, common.timeout).await;
        let found = linked.iter().find(|it| it.name == self.node);
        if let Some(member) = found {
            return Ok(member.clone());
        }
        let name = &self.node;
        if report.members.iter().any(|it| it.name == *name) {
            let text = format!("no link with {name} came up; see whether its process runs");
            return Err(Failure::new(Kind::Unreachable, text));
        }
        let known: Vec<&str> = report.members.iter().map(|it| it.name.as_str()).collect();
        let text = format!("there is no node `{name}`; there are: {}", known.join(", "));
        Err(Failure::new(Kind::NotFound, text))
    }

    /// Asks again and again until the drain has ended, and shows each step.
    async fn watch(
        &self,
        admin: &AdminRef,
        mut report: DrainReport,
        common: &Common,
    ) -> Result<DrainReport, Failure> {
        // The node ends its wait by itself; it is asked a little longer.
        let deadline = Instant::now() + self.within + common.timeout;
        let mut shown = None;
        while report.outcome == DrainOutcome::Running && Instant::now() < deadline {
            let step = (report.step, report.slots);
            if shown != Some(step) && common.output == Format::Table {
                println!("{}", progress(&report));
            }
            shown = Some(step);
            tokio::time::sleep(LOOK_EVERY).await;
            report = admin.draining().timeout(common.timeout).await?;
        }
        Ok(report)
    }

    fn goes_on(&self, why: &str) -> Failure {
        let text = format!(
            "{0} is not drained: {why}; it goes on giving away what it has: `callboard drain {0}` \
             watches it again",
            self.node
        );
        Failure::new(Kind::NotInTime, text)
    }
}

/// Returns what a node that is being drained is doing.
fn progress(report: &DrainReport) -> String {
    let DrainReport { node, slots, .. } = report;
    match report.step {
        Some(DrainStep::Asking) | None => format!("{node} asks the leader"),
        Some(DrainStep::Seat) => format!("{node} gives away its seat; it has {slots} slots"),
        Some(DrainStep::Slots) => format!("{node} has {slots} slots left"),
        Some(DrainStep::Leaving) => format!("{node} leaves the cluster"),
        Some(_) => format!("{node} goes on"),
    }
}

fn word(step: DrainStep) -> &'static str {
    match step {
        DrainStep::Asking => "asking",
        DrainStep::Seat => "seat",
        DrainStep::Slots => "slots",
        DrainStep::Leaving => "leaving",
        _ => "unknown",
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (node, seconds) = (&self.node, self.took_ms / 1000);
        match self.drained {
            true => writeln!(
                f,
                "{node} is drained, after {seconds} s: nothing depends on its process any more. Stop it, \
                 or start it again to have it back"
            ),
            false => writeln!(
                f,
                "{node} has {} slots left, after {seconds} s",
                self.slots_left
            ),
        }
    }
}

/// How often a node that is being drained is asked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
