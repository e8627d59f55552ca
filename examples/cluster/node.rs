//! The node role: forms or joins the cluster, hosts the services and the carts, tells the driver who is
//! there, stops when told to.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use callboard::prelude::*;
use tokio::sync::mpsc;

use crate::args::{EXIT_RUN, NodeArgs};
use crate::cart::Cart;
use crate::services::{Greeter, Lobby};
use crate::split::{self, Split};
use crate::words::{Told, Word};
use crate::{complain, credentials, lifeline, planted, turns};

/// Runs a node until the driver says stop or is gone.
pub(crate) async fn run(args: NodeArgs) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "error".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(EXIT_RUN, &error.to_string()),
    }
}

async fn serve(args: NodeArgs) -> Result<(), Box<dyn std::error::Error>> {
    let split = Arc::new(Split::default());
    let mut told = lifeline::hold(args.directory.clone(), split.clone())?;
    turns::write_to(&args.trace())?;
    // ANCHOR: node
    let mut builder = Node::builder()
        .name(&args.name)
        .listen(args.listen)
        .seeds(args.seed.iter().copied())
        .identity(credentials::load(&args.directory, &args.name)?)
        // The same one when it is started again: its name, its log, the cluster it belongs to.
        .data_dir(args.data())
        .profile(args.profile.times())
        .host::<Greeter>()
        .host::<Lobby>()
        .host::<Cart>()
        .grace(GRACE);
    if let Some(founders) = args.founders {
        builder = builder.bootstrap_expect(founders);
    }
    let mut env = split::env(split);
    env.plant = planted::plant(args.plant);
    let node = builder.env(env).start().await?;
    // ANCHOR_END: node
    tell(&Word::Ready(node.local_addr()))?;
    let drains = until_told(&node, &args.name, &mut told).await?;
    if drains {
        // ANCHOR: drain
        node.drain(DRAIN_LIMIT).await?;
        // ANCHOR_END: drain
    }
    node.stop().await;
    Ok(())
}

/// Tells the driver what changes until it says that this node is to end; returns whether it is to hand
/// over what it owns before.
async fn until_told(
    node: &Node,
    name: &str,
    told: &mut mpsc::Receiver<Told>,
) -> std::io::Result<bool> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut names = Vec::new();
    let mut stands = None;
    // Both branches are cancel safe. A closed channel cannot happen: the thread never returns.
    loop {
        tokio::select! {
            Some(told) = told.recv() => return Ok(told == Told::Drain),
            _ = ticks.tick() => {
                let now = members(node, name);
                if now != names {
                    tell(&Word::Members(now.clone()))?;
                    names = now;
                }
                let now = Word::Stands {
                    member: node.joined(Duration::ZERO).await.is_ok(),
                    leads: node.leader() == Some(node.id()),
                    votes: node.votes(),
                };
                if stands.as_ref() != Some(&now) {
                    tell(&now)?;
                    stands = Some(now);
                }
            }
        }
    }
}

/// The members that this node is linked with, and itself, in order.
fn members(node: &Node, own: &str) -> Vec<String> {
    let mut names: Vec<String> = node
        .members()
        .into_iter()
        .map(|member| member.name)
        .collect();
    names.push(own.to_owned());
    names.sort();
    names
}

fn tell(word: &Word) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, word)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// What is in flight when the node is told to stop gets this long. Less than the driver waits.
const GRACE: Duration = Duration::from_secs(3);

/// What handing over may take: twice what all slots of one node of three take.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// How often the list of members is compared with what was told.
const LOOK_EVERY: Duration = Duration::from_millis(20);
