//! A node for terminals started by hand, and a client for it.
//!
//! ```text
//! terminal 1   cargo run --example node -- --name n1 --listen 127.0.0.1:4001
//! terminal 2   cargo run --example node -- --name n2 --listen 127.0.0.1:4002 --join 127.0.0.1:4001
//! terminal 3   cargo run --example node -- --call Ada --join 127.0.0.1:4001
//! ```
//!
//! With `--data` and, on the first three, `--expect 3`, nodes form a cluster that places the guests of
//! `--visit`. See the tutorial about it in the book.
//!
//! The certificates come from the development authority, which is made in your state folder on first
//! use; it works on loopback addresses only. With `--ca`, `--cert` and `--key` they are your own, and
//! the certificate says the name. Ctrl-C stops a node in order. One of a cluster is drained before, so
//! that no call fails, unless Ctrl-C is pressed once more; SIGTERM does the same.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callboard::{net::Identity, prelude::*};
use callboard_examples::flags;
use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// Runs a Callboard node that hosts a Greeter, or with --call calls one.
#[derive(Debug, Parser)]
#[command(name = "node")]
struct Args {
    /// The node's name: unique in the cluster [default: n1, or as --cert says]
    #[arg(long)]
    name: Option<String>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = flags::address)]
    listen: SocketAddr,
    /// A node that is already there; it tells of all others. May be repeated
    #[arg(long, value_name = "ADDR", value_parser = flags::address)]
    join: Vec<SocketAddr>,
    /// A directory that is this node's own, so that it knows itself again after a restart
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many nodes form the cluster, this one included; without it the node joins one that it meets
    #[arg(long, value_name = "NODES", requires = "data")]
    expect: Option<u32>,
    /// The authority's certificate, as PEM; without it the development authority is used
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    ca: Option<PathBuf>,
    /// This node's or client's certificate, for spiffe://CLUSTER/node/NAME or .../client/NAME
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// The certificate's private key; only its owner may be able to read it
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
    /// Host nothing: connect to the nodes given by --join, say hello to this name, and end
    #[arg(long, value_name = "NAME", requires = "join", conflicts_with_all = ["data", "expect"])]
    call: Option<String>,
    /// Host nothing: let these guests visit, and say at which node each of them is looked after
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "join", conflicts_with_all = ["data", "expect", "call"])]
    visit: Vec<String>,
    /// How many calls to make with --call
    #[arg(long, default_value_t = 5, requires = "call")]
    times: u32,
}

// ANCHOR: service
/// Says hello, and says on its own terminal that it did.
#[derive(Default, Service)]
struct Greeter;

#[handlers]
impl Greeter {
    /// Says hello from the node that happens to answer.
    #[handler(idempotent)]
    pub async fn say_hello(&self, ctx: &Ctx<Self>, name: String) -> String {
        println!("saying hello to {name}");
        format!("Hello, {name}! This is {}.", ctx.node_name())
    }
}
// ANCHOR_END: service

// ANCHOR: guest
/// Counts the visits of a guest. The guest's name is the key: the first visit makes the actor, at the
/// node that the cluster has given the key to, and the count goes along when the key moves.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover)]
struct Guest {
    visits: u32,
}

#[handlers]
impl Guest {
    /// Counts a visit, and says where that was.
    pub fn visit(&mut self, ctx: &Ctx<Self>) -> String {
        self.visits += 1;
        format!("visit {} at {}", self.visits, ctx.node_name())
    }
}
// ANCHOR_END: guest

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    show_log();
    let args = Args::parse();
    match &args.call {
        Some(name) => call(&args, name).await,
        None if args.visit.is_empty() => serve(&args).await,
        None => visit(&args).await,
    }
}

// ANCHOR: logs
/// Writes warnings to stderr, or what `RUST_LOG` asks for.
fn show_log() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // No colours in a file.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
// ANCHOR_END: logs

// ANCHOR: serve
/// Hosts the Greeter, and in a cluster the guests, until Ctrl-C or SIGTERM.
async fn serve(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut builder = Node::builder()
        .listen(args.listen)
        .seeds(args.join.iter().copied())
        .host::<Greeter>();
    builder = match (&args.name, identity(args)?) {
        (Some(name), Some(identity)) => builder.name(name).identity(identity),
        (None, Some(identity)) => builder.identity(identity),
        (Some(name), None) => builder.name(name),
        (None, None) => builder.name("n1"),
    };
    if let Some(data) = &args.data {
        builder = builder.data_dir(data).host::<Guest>();
    }
    if let Some(expect) = args.expect {
        builder = builder.bootstrap_expect(expect);
    }
    let node = builder.start().await?;
    println!("{} listens on {}", node.name(), node.local_addr());
    let terminated = tokio::select! {
        () = tell_members(&node) => false,
        asked = asked_to_end() => asked?,
    };
    if terminated || node.cluster_id().is_some() {
        println!("draining");
        tokio::select! {
            drained = node.drain(Duration::from_secs(20)) => match drained {
                Ok(()) => println!("drained"),
                Err(why) => println!("not drained: {why}"),
            },
            again = asked_to_end() => drop(again?),
        }
    }
    println!("stopping");
    tokio::select! {
        () = node.stop() => Ok(()),
        again = asked_to_end() => again.map(|_| std::process::exit(INTERRUPTED))?,
    }
}
// ANCHOR_END: serve

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Waits for Ctrl-C or SIGTERM; returns whether it is the second, by which a machine that is updated
/// ends its programs.
async fn asked_to_end() -> std::io::Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted.map(|()| false),
        _ = terminated.recv() => Ok(true),
    }
}

// ANCHOR: identity
/// Reads the certificates that the flags name, if they name any.
fn identity(args: &Args) -> Result<Option<Identity>, Box<dyn Error>> {
    let (Some(ca), Some(cert), Some(key)) = (&args.ca, &args.cert, &args.key) else {
        return Ok(None);
    };
    Ok(Some(Identity::from_pem_files(ca, cert, key)?))
}
// ANCHOR_END: identity

// ANCHOR: members
/// Prints when this node is a member of the cluster and when it votes in it, and who joins and who
/// leaves.
async fn tell_members(node: &Node) {
    let mut known = BTreeSet::new();
    let (mut is_member, mut votes) = (false, false);
    loop {
        if !is_member && node.joined(Duration::ZERO).await.is_ok() {
            is_member = true;
            println!("{} is a member of the cluster", node.name());
        }
        if is_member && votes != node.votes() {
            votes = !votes;
            let how = if votes { "votes" } else { "votes no more" };
            println!("{} {how} in the cluster", node.name());
        }
        let members: BTreeSet<String> = node
            .members()
            .into_iter()
            .map(|member| member.name)
            .collect();
        for name in members.difference(&known) {
            println!("{name} joined");
        }
        for name in known.difference(&members) {
            println!("{name} left");
        }
        known = members;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
// ANCHOR_END: members

// ANCHOR: call
/// Calls as a client: the line that calls is the one a node would write.
async fn call(args: &Args, name: &str) -> Result<(), Box<dyn Error>> {
    let mut builder = Client::builder().seeds(args.join.iter().copied());
    if let Some(identity) = identity(args)? {
        builder = builder.identity(identity);
    }
    let client = builder.connect().await?;
    let greeter = client.service::<Greeter>();
    for _ in 0..args.times {
        println!("{}", greeter.say_hello(name).await?);
    }
    client.close().await;
    Ok(())
}
// ANCHOR_END: call

// ANCHOR: visit
/// Calls the actor of each guest, wherever that is.
async fn visit(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut builder = Client::builder().seeds(args.join.iter().copied());
    if let Some(identity) = identity(args)? {
        builder = builder.identity(identity);
    }
    let client = builder.connect().await?;
    let mut failed = 0;
    for name in &args.visit {
        match client.actor::<Guest>(name.as_str()).visit().await {
            Ok(visit) => println!("{name}: {visit}"),
            Err(error) => {
                println!("{name}: {error}");
                failed += 1;
            }
        }
    }
    client.close().await;
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} visits failed", args.visit.len()).into()),
    }
}
// ANCHOR_END: visit
