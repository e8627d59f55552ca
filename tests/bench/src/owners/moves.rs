//! Slots are moved: a node is drained, or one joins.

use std::error::Error;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Plan};
use super::found::Found;
use super::load::Load;
use super::options::{Options, Row, Times};
use super::words::{Keys, Part};

/// Drains one of three nodes after the other, and starts each again, as often as asked.
pub(crate) async fn drain(profile: Times, options: &Options) -> Result<Found, Box<dyn Error>> {
    let row = Row::Drain;
    let (mut cluster, load) = start(profile, options, row, 3).await?;
    let (mut pauses, mut back) = (Vec::new(), Vec::new());
    let (mut took, mut failed) = (Vec::new(), 0);
    for time in 0..options.times(row) {
        // The one that leads is among them.
        let node = time as usize % cluster.nodes.len();
        load.take_moves();
        let (before, began) = (load.failures(), Instant::now());
        cluster.drain(node).await?;
        took.push(began.elapsed());
        failed += load.failures() - before;
        eprintln!(
            "         {} of {}: {} drained in {:.1?}",
            time + 1,
            options.times(row),
            cluster.nodes[node].name(),
            began.elapsed(),
        );
        pauses.extend(pauses_of(&load, began));
        let began = Instant::now();
        cluster.restart(&[node]).await?;
        cluster.balanced().await?;
        back.extend(pauses_of(&load, began));
    }
    let mut found = Found::new(row, profile, options.times(row));
    found.set("keys_moved", pauses.len() as f64);
    found.quantiles("pause", &mut pauses);
    found.quantiles("back", &mut back);
    found.quantiles("drain", &mut took);
    found.set("failed_in_drain", failed as f64);
    found.must("pause_p99_ms", true, 200.0);
    found.judge(cluster, load).await?;
    Ok(found)
}

/// Has a fourth node join, and drains it so that it can join again, as often as asked.
pub(crate) async fn add(profile: Times, options: &Options) -> Result<Found, Box<dyn Error>> {
    let row = Row::Add;
    let (mut cluster, load) = start(profile, options, row, 4).await?;
    let added = cluster.nodes.len() - 1;
    let ideal = f64::from(options.slots()) / cluster.nodes.len() as f64;
    let (mut took, mut moved, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
    let mut off = 0.0f64;
    for time in 0..options.times(row) {
        cluster.drain(added).await?;
        cluster.balanced().await?;
        load.take_moves();
        let (before, began) = (cluster.epochs(), Instant::now());
        cluster.restart(&[added]).await?;
        let report = cluster.balanced().await?;
        took.push(began.elapsed());
        // What the nodes say of it comes a moment later.
        tokio::time::sleep(TOLD_WITHIN).await;
        moved.push((cluster.epochs() - before) as f64);
        let shares = report.members.iter().map(|it| it.slots as f64 / ideal);
        off = shares
            .map(|it| (it - 1.0).abs() * 100.0)
            .fold(off, f64::max);
        eprintln!(
            "         {} of {}: {:?} slots went in {:.1?}",
            time + 1,
            options.times(row),
            moved.last(),
            began.elapsed(),
        );
        pauses.extend(pauses_of(&load, began));
    }
    let most = moved.iter().copied().fold(0.0, f64::max);
    let mut found = Found::new(row, profile, options.times(row));
    found.set("slots_ideal", ideal);
    found.set("slots_moved_max", most);
    found.set("beyond_ideal_percent", (most / ideal - 1.0) * 100.0);
    found.set("off_share_percent", off);
    found.quantiles("balance", &mut took);
    found.quantiles("pause", &mut pauses);
    found.must("beyond_ideal_percent", false, 5.0);
    found.must("off_share_percent", false, 10.0);
    found.must("balance_max_ms", false, 60_000.0);
    found.judge(cluster, load).await?;
    Ok(found)
}

/// How long each key was without an answer that was taken over, and says which was for longest.
fn pauses_of(load: &Load, began: Instant) -> Vec<Duration> {
    let moves = load.take_moves();
    if let Some(it) = moves.iter().max_by_key(|it| it.pause) {
        let (pause, after) = (it.pause, it.at - began);
        eprintln!(
            "         {} keys went; {} from {} to {} paused for {pause:.1?}, until {after:.1?} after the beginning",
            moves.len(),
            it.key,
            it.from,
            it.to,
        );
    }
    moves.into_iter().map(|it| it.pause).collect()
}

/// A cluster whose slots are shared out, under load.
async fn start(
    profile: Times,
    options: &Options,
    row: Row,
    nodes: usize,
) -> Result<(Cluster, Load), Box<dyn Error>> {
    let mut parts = vec![Part::Founds(3); 3];
    parts.resize(nodes, Part::Joins);
    let cluster = Cluster::start(Plan {
        profile,
        slots: options.slots(),
        keys: Keys::Carried,
        parts: &parts,
    })
    .await?;
    cluster.balanced().await?;
    let load = Load::start(&cluster.client, Keys::Carried, options.pace(row)).await;
    Ok((cluster, load))
}

const TOLD_WITHIN: Duration = Duration::from_millis(100);
