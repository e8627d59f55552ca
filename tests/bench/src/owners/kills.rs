//! Nodes are killed, again and again: how long keys do not answer, and whether any two turns overlapped.

use std::error::Error;
use std::time::Duration;

use callboard::admin::ClusterReport;

use super::cluster::{Cluster, Plan, until};
use super::found::Found;
use super::load::Load;
use super::options::{Options, Row, Times};
use super::words::{Keys, Part};

/// Kills one of three nodes, or two of five, as often as asked.
pub(crate) async fn owners(
    row: Row,
    profile: Times,
    options: &Options,
) -> Result<Found, Box<dyn Error>> {
    let three = [Part::Founds(3); 3];
    let five = [&three[..], &[Part::Joins; 2]].concat();
    let parts = if row == Row::Kill { &three } else { &five[..] };
    let mut cluster = Cluster::start(plan(profile, options, parts)).await?;
    let load = Load::start(&cluster.client, Keys::Held, options.pace(row)).await;
    let mut report = spread(&mut cluster, row).await?;
    let (mut last, mut all) = (Vec::new(), Vec::new());
    for time in 0..options.times(row) {
        let victims = victims(&cluster, &report, row).ok_or("nobody is left to be killed")?;
        let outages = kill(&mut cluster, &load, &victims, &report).await?;
        let slowest = outages.iter().max().copied().unwrap_or_default();
        let names: Vec<_> = victims.iter().map(|it| cluster.nodes[*it].name()).collect();
        eprintln!(
            "         {} of {}: {} killed, all keys answered after {} ms",
            time + 1,
            options.times(row),
            names.join(" and "),
            slowest.as_millis(),
        );
        last.push(slowest);
        // Those of the nodes that live have answered at once, and say nothing.
        all.extend(outages.into_iter().filter(|it| *it > AT_ONCE));
        report = cluster.restart(&victims).await?;
    }
    let most_ms = match (row, profile) {
        (Row::Kill, Times::Lan) => 3500.0,
        (Row::Kill, Times::Fast) => 1500.0,
        (_, Times::Lan) => 5500.0,
        (_, Times::Fast) => 2500.0,
    };
    let mut found = Found::new(row, profile, options.times(row));
    found.quantiles("last_key", &mut last);
    found.quantiles("lost_key", &mut all);
    found.must("last_key_max_ms", row == Row::Kill, most_ms);
    found.judge(cluster, load).await?;
    Ok(found)
}

/// Kills a leader that hosts nothing, as often as asked.
pub(crate) async fn leader(profile: Times, options: &Options) -> Result<Found, Box<dyn Error>> {
    let row = Row::KillLeader;
    let three = [Part::FoundsOnly(3); 3];
    let parts = [&three[..], &[Part::Owns; 2]].concat();
    let mut cluster = Cluster::start(plan(profile, options, &parts)).await?;
    let load = Load::start(&cluster.client, Keys::Held, options.pace(row)).await;
    let mut report = cluster.settled().await?;
    let (mut pauses, mut quiet) = (Vec::new(), Vec::new());
    for time in 0..options.times(row) {
        quiet.push(longest(&load).await);
        let victim = cluster.leader().ok_or("nobody leads")?;
        load.forget();
        cluster.kill(&[victim], &report)?;
        tokio::time::sleep(WATCHED_FOR).await;
        let pause = load.longest();
        eprintln!(
            "         {} of {}: {} killed, the longest call of a key took {pause:.1?}",
            time + 1,
            options.times(row),
            cluster.nodes[victim].name(),
        );
        pauses.push(pause);
        report = cluster.restart(&[victim]).await?;
    }
    let mut found = Found::new(row, profile, options.times(row));
    found.quantiles("pause", &mut pauses);
    found.quantiles("quiet", &mut quiet);
    found.must("pause_max_ms", true, 50.0);
    found.judge(cluster, load).await?;
    Ok(found)
}

fn plan<'a>(profile: Times, options: &Options, parts: &'a [Part]) -> Plan<'a> {
    Plan {
        profile,
        slots: options.slots(),
        keys: Keys::Held,
        parts,
    }
}

/// The longest call of as much time in which nothing happens: what the machine itself is good for.
async fn longest(load: &Load) -> Duration {
    load.forget();
    tokio::time::sleep(WATCHED_FOR).await;
    load.longest()
}

/// A slot of such keys goes only when its node does, so the first node has all of them at first. It is
/// lost, which is not counted, until somebody has some who may be killed.
async fn spread(cluster: &mut Cluster, row: Row) -> Result<ClusterReport, Box<dyn Error>> {
    let mut report = cluster.settled().await?;
    while victims(cluster, &report, row).is_none() {
        let leader = cluster.leader().ok_or("nobody leads")?;
        cluster.kill(&[leader], &report)?;
        report = cluster.restart(&[leader]).await?;
    }
    Ok(report)
}

/// Who is to be killed: of those that may be, who owns most.
fn victims(cluster: &Cluster, report: &ClusterReport, row: Row) -> Option<Vec<usize>> {
    let leader = cluster.leader()?;
    let owners = report.members.iter().filter(|it| it.slots > 0);
    let owners = owners.filter_map(|it| Some((it.slots, cluster.named(&it.name)?)));
    let may_be = |node: usize| match row {
        Row::KillBoth => !cluster.nodes[node].standing().votes,
        _ => node != leader,
    };
    let (_, victim) = owners.filter(|(_, node)| may_be(*node)).max()?;
    Some(match row {
        Row::KillBoth => vec![leader, victim],
        _ => vec![victim],
    })
}

/// Kills nodes, and returns how long each key took to answer.
async fn kill(
    cluster: &mut Cluster,
    load: &Load,
    nodes: &[usize],
    report: &ClusterReport,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let names: Vec<String> = nodes
        .iter()
        .map(|it| cluster.nodes[*it].name().to_owned())
        .collect();
    load.lose(&names);
    cluster.kill(nodes, report)?;
    until("every key answers", || Ok(load.outages().is_some())).await?;
    Ok(load.outages().unwrap_or_default())
}

/// No lease of a node that was killed ends within it.
const AT_ONCE: Duration = Duration::from_millis(300);

/// How long the calls are watched after a leader was killed: another one is elected within it.
const WATCHED_FOR: Duration = Duration::from_secs(2);
