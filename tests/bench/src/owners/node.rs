//! A node process: forms or joins the cluster, hosts the keys, says how it stands, until it is told to
//! drain, or its standard input ends.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;

use callboard::prelude::*;
use callboard_protocol::slots::SlotCount;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::turns::{self, Carried, Held};
use super::words::{DRAIN, Keys, Spec, Standing, Word};
use crate::credentials;

/// Runs the node that is told as JSON. It returns when it has drained.
pub(crate) fn run(spec: &str) -> Result<(), Box<dyn Error>> {
    let spec: Spec = serde_json::from_str(spec)?;
    turns::write_to(&spec.trace())?;
    let (pass_on, told) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line == DRAIN {
                // It is told once.
                let _ = pass_on.try_send(());
            }
        }
        // Whatever ended the input, the driver is gone. A busy runtime must not keep the process.
        std::process::exit(1);
    });
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(spec, told))
}

async fn serve(spec: Spec, mut told: mpsc::Receiver<()>) -> Result<(), Box<dyn Error>> {
    let mut builder = Node::builder()
        .name(&spec.name)
        .listen(spec.listen)
        .seeds(spec.seeds.iter().copied())
        .identity(credentials::ours(&spec.folder, &spec.name)?)
        .profile(spec.profile.profile())
        .slots(SlotCount::new(spec.slots)?);
    if spec.part.has_disk() {
        builder = builder.data_dir(spec.data());
    }
    if let Some(founders) = spec.part.founders() {
        builder = builder.bootstrap_expect(founders);
    }
    builder = match spec.keys {
        _ if !spec.part.hosts() => builder,
        Keys::Held => builder.host::<Held>(),
        Keys::Carried => builder.host::<Carried>(),
    };
    let node = builder.start().await?;
    say(&Word::Ready(node.local_addr()))?;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut said = None;
    // Both branches are cancel safe.
    while !tokio::select! {
        told = told.recv() => told.is_some(),
        _ = ticks.tick() => false,
    } {
        let now = standing(&node, spec.keys).await;
        if said != Some(now) {
            say(&Word::Stands(now))?;
            said = Some(now);
        }
    }
    let drained = node.drain(DRAINS_WITHIN).await;
    say(&Word::Drained(drained.err().map(|it| it.to_string())))?;
    node.stop().await;
    Ok(())
}

async fn standing(node: &Node, keys: Keys) -> Standing {
    // There are thousands of them, and where nothing is moved nobody asks.
    let epochs = match keys {
        Keys::Held => 0,
        Keys::Carried => node.entries().iter().map(|(_, it)| it.epoch.0).sum(),
    };
    Standing {
        member: node.joined(Duration::ZERO).await.is_ok(),
        leads: node.leader() == Some(node.id()),
        votes: node.votes(),
        epochs,
    }
}

fn say(word: &Word) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, word)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Twice what all slots of one node of two take.
const DRAINS_WITHIN: Duration = Duration::from_secs(40);

/// How often it is looked whether what was told has changed.
const LOOK_EVERY: Duration = Duration::from_millis(10);
