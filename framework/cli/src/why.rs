//! `callboard why`: where an actor is placed, and why.

use std::fmt;

use callboard::admin::{ActorName, PlaceReason, PlaceReport};
use serde::Serialize;

use crate::{
    actor::{Actor, Place, find, to_hex, written},
    args::Common,
    connect::Connected,
    failure::{Failure, Kind},
    output::{knowledge, print},
    table::{Column, Table},
};

pub(crate) async fn run(actor: &Actor, common: &Common) -> Result<(), Failure> {
    let actor = actor.name()?;
    let connected = Connected::new(common).await?;
    let place = find(&connected, common, &actor).await;
    connected.close().await;
    match place? {
        Place::Placed(report) => print(&Why::new(&actor, *report), common.output),
        Place::WhoAsks(_) => Err(Failure::new(
            Kind::NotPlaced,
            "nobody places keys: no node was started with bootstrap_expect, and an actor is on the \
             node that is asked for it; `callboard actors get` looks on each of them",
        )),
    }
}

/// What is printed. The names are promised.
#[derive(Debug, Serialize)]
struct Why {
    actor: String,
    key_hex: String,
    slot: u32,
    slots: u64,
    epoch: u64,
    owner: Option<String>,
    moving_to: Option<String>,
    reason: &'static str,
    explanation: String,
    candidates: Vec<Candidate>,
    asked: String,
    version: u64,
    lease_left_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    node: String,
    eligible: bool,
    why_not: Option<String>,
    slots: u64,
    share_min: u64,
    share_max: u64,
}

impl Why {
    fn new(actor: &ActorName, report: PlaceReport) -> Self {
        let (reason, explanation) = explain(&report, &actor.kind);
        let candidates = report.candidates.into_iter().map(|it| Candidate {
            node: it.node,
            eligible: it.why_not.is_none(),
            why_not: it.why_not,
            slots: it.slots,
            share_min: it.share_min,
            share_max: it.share_max,
        });
        Self {
            actor: written(actor),
            key_hex: to_hex(&report.key),
            slot: report.slot,
            slots: report.slots,
            epoch: report.epoch,
            owner: report.owner,
            moving_to: report.moving_to,
            reason,
            explanation,
            candidates: candidates.collect(),
            asked: report.by,
            version: report.version,
            lease_left_ms: report.lease_left_ms,
        }
    }
}

/// Returns the reason as a word and as a sentence.
fn explain(report: &PlaceReport, kind: &str) -> (&'static str, String) {
    let owner = report.owner.as_deref().unwrap_or("nobody");
    let eligible = report.candidates.iter().filter(|it| it.why_not.is_none());
    let before = eligible.clone().take_while(|it| it.node != owner);
    let better: Vec<&str> = before.map(|it| it.node.as_str()).collect();
    let better = better.join(" and ");
    match &report.reason {
        PlaceReason::Moving => {
            let to = report.moving_to.as_deref().unwrap_or("another node");
            let text = format!("it is on its way to {to}: {owner} ends its turns, and calls wait");
            ("moving", text)
        }
        PlaceReason::NobodyEligible => {
            let text = "no node may own the slot; the list says why".to_owned();
            ("nobody-eligible", text)
        }
        PlaceReason::NeverOwned => {
            let text = "nobody has owned the slot yet; the leader is about to assign it".to_owned();
            ("never-owned", text)
        }
        PlaceReason::OwnerLost => {
            let text = format!(
                "{owner}, which owned the slot, is lost: the leader is about to assign it to another node"
            );
            ("owner-lost", text)
        }
        PlaceReason::OwnerLeaves(why) => {
            let text = format!("{owner} is about to give the slot away: {why}");
            ("owner-leaves", text)
        }
        PlaceReason::FirstChoice => {
            let count = eligible.count();
            let text =
                format!("{owner} is the first choice of the slot among {count} that may own it");
            ("first-choice", text)
        }
        PlaceReason::OthersFull => {
            let text =
                format!("the slot would rather be on {better}, which has its share of slots");
            ("others-full", text)
        }
        PlaceReason::Stays => {
            let text = format!(
                "the slot would rather be on {better}, which has less than its share, but the state of \
                 {kind} would end with the move; `#[actor(handover)]` lets it go along"
            );
            ("stays", text)
        }
        PlaceReason::OutOfBalance => {
            let text = format!(
                "the slot would rather be on {better}, which has less than its share: slots are moved \
                 until the shares are right"
            );
            ("out-of-balance", text)
        }
        _ => (
            "unknown",
            "the node knows a reason that this command does not".to_owned(),
        ),
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actor = &self.actor;
        match (&self.owner, &self.moving_to) {
            _ if matches!(
                self.reason,
                "never-owned" | "owner-lost" | "nobody-eligible"
            ) =>
            {
                writeln!(f, "{actor} has no owner")?;
            }
            (Some(owner), Some(to)) => writeln!(f, "{actor} moves from {owner} to {to}")?,
            (Some(owner), None) => writeln!(f, "{actor} is on {owner}")?,
            (None, _) => writeln!(f, "{actor} has no owner")?,
        }
        let (slot, slots, epoch) = (self.slot, self.slots, self.epoch);
        writeln!(f, "\nbecause  {}", self.explanation)?;
        writeln!(f, "slot     {slot} of {slots}, under epoch {epoch}")?;
        let known = knowledge(self.version, self.lease_left_ms);
        writeln!(f, "asked    {}, {known}\n", self.asked)?;
        let mut table = Table::new(&[
            Column::Left("NODE"),
            Column::Right("SLOTS"),
            Column::Right("SHARE"),
            Column::Left("MAY OWN IT"),
        ]);
        for it in &self.candidates {
            let share = match (it.share_min, it.share_max) {
                (least, most) if least == most => most.to_string(),
                (least, most) => format!("{least}-{most}"),
            };
            let may = match &it.why_not {
                None => "yes".to_owned(),
                Some(why) => format!("no: {why}"),
            };
            table.row([it.node.clone(), it.slots.to_string(), share, may]);
        }
        write!(f, "{table}")
    }
}
