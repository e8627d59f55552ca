//! The node role: hosts the services, tells the driver who is there, stops when told to.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use callboard::prelude::*;

use crate::args::{EXIT_RUN, NodeArgs};
use crate::services::{Greeter, Lobby};
use crate::words::Word;
use crate::{complain, credentials, lifeline};

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
    let mut stopped = lifeline::hold(args.directory.clone())?;
    let node = Node::builder()
        .name(&args.name)
        .listen(args.listen)
        .seeds(args.seed)
        .identity(credentials::load(&args.directory, &args.name)?)
        .host::<Greeter>()
        .host::<Lobby>()
        .grace(GRACE)
        .start()
        .await?;
    tell(&Word::Ready(node.local_addr()))?;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut told = Vec::new();
    // Both branches are cancel safe. A closed channel cannot happen: the thread never returns.
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = ticks.tick() => {
                let names = members(&node, &args.name);
                if names != told {
                    tell(&Word::Members(names.clone()))?;
                    told = names;
                }
            }
        }
    }
    node.stop().await;
    Ok(())
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

/// How often the list of members is compared with what was told.
const LOOK_EVERY: Duration = Duration::from_millis(20);
