//! What is measured within one process, each time in a new one: memory that another measurement has left
//! would be counted, or used again.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use callboard::CallLimits;
use callboard::net::{Authority, PeerKind};
use callboard::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::found::Found;
use super::options::{Options, Row, Times};
use super::turns::Carried;
use crate::job::Figures;
use crate::usage;

/// What a process of its own measures.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Alone {
    /// So many keys are called once, and left idle.
    Keys(u32),
    /// So many tasks answer once, and are left waiting.
    Tasks(u32),
    /// So many nodes form a cluster, and are left alone.
    Nodes(usize, Times),
}

/// A key and nothing else. It is not forgotten for as long as anybody looks.
#[derive(Debug, Default, Actor)]
#[actor(key = u128, idle = "1h")]
pub(crate) struct Idle;

#[handlers]
impl Idle {
    /// Is there from now on.
    pub fn touch(&mut self) {}
}

/// Measures keys that are idle beside tasks that wait.
pub(crate) async fn idle(profile: Times, options: &Options) -> Result<Found, Box<dyn Error>> {
    let row = Row::Idle;
    let number = options.times(row);
    let mut found = Found::new(row, profile, number);
    for (of, job) in [("key", Alone::Keys(number)), ("task", Alone::Tasks(number))] {
        let figures = start(job)?;
        for (name, value) in &figures.0 {
            found.set(&format!("{of}_{name}"), *value);
        }
    }
    let rate = found.get("key_per_s") / found.get("task_per_s");
    found.set("key_to_task_rate", rate);
    found.must("key_bytes", false, 1024.0);
    Ok(found)
}

/// Measures clusters of several sizes.
pub(crate) async fn form(profile: Times, options: &Options) -> Result<Found, Box<dyn Error>> {
    let row = Row::Form;
    let mut found = Found::new(row, profile, options.times(row));
    let sizes: &[usize] = if options.smoke { &[3] } else { &[3, 10, 50] };
    for nodes in sizes {
        let mut all: Vec<Figures> = Vec::new();
        for _ in 0..options.times(row) {
            let figures = start(Alone::Nodes(*nodes, profile))?;
            eprintln!("         {:?}", figures.0);
            all.push(figures);
        }
        let names = all.first().map(|it| it.0.keys().cloned());
        for name in names.into_iter().flatten().collect::<Vec<_>>() {
            let mut values: Vec<f64> = all.iter().filter_map(|it| it.get(&name)).collect();
            values.sort_by(f64::total_cmp);
            found.set(&format!("{nodes:02}_{name}"), values[values.len() / 2]);
        }
    }
    Ok(found)
}

/// Runs in a process of its own, and prints what it has found.
pub(crate) fn run(job: &str) -> Result<(), Box<dyn Error>> {
    let job: Alone = serde_json::from_str(job)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        match job {
            Alone::Keys(number) => keys(number).await,
            Alone::Tasks(number) => tasks(number).await,
            Alone::Nodes(number, profile) => nodes(number, profile).await,
        }
    })?;
    println!("{}", serde_json::to_string(&figures)?);
    // BEFORE the runtime ends, which would end each task that is left.
    std::process::exit(0)
}

fn start(job: Alone) -> Result<Figures, Box<dyn Error>> {
    eprintln!("         {job:?}");
    let output = Command::new(std::env::current_exe()?)
        .args(["alone", &serde_json::to_string(&job)?])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{job:?} ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn keys(number: u32) -> Result<Figures, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::throw_away("bench".parse()?)?;
    let mut limits = CallLimits::default();
    limits.activations_max = number as usize + 1;
    let node = Node::builder()
        .identity(authority.issue("n1".parse()?, PeerKind::Node)?)
        .data_dir(folder.path())
        .bootstrap_expect(1)
        .call_limits(limits)
        .host::<Idle>()
        .start()
        .await?;
    node.joined(FORMS_WITHIN).await?;
    let figures = begin_each(number, |key| {
        // The hash of the key is spread by the runtime; the key need not be.
        let key = node.actor::<Idle>(u128::from(key));
        async move { key.touch().await.is_ok() }
    })
    .await;
    // It ends with the process: to end so many activations one by one is another matter.
    std::mem::forget(node);
    figures
}

async fn tasks(number: u32) -> Result<Figures, Box<dyn Error>> {
    let end = Arc::new(Notify::new());
    let figures = begin_each(number, |_| {
        let (answer, answered) = oneshot::channel();
        let end = end.clone();
        tokio::spawn(async move {
            // Whoever asked waits for it.
            let _ = answer.send(());
            end.notified().await;
        });
        async move { answered.await.is_ok() }
    })
    .await;
    end.notify_waiters();
    figures
}

/// Begins each of so many, many at a time, and looks at what they cost when all are idle.
async fn begin_each<F: Future<Output = bool> + Send + 'static>(
    number: u32,
    begin: impl Fn(u32) -> F,
) -> Result<Figures, Box<dyn Error>> {
    let own = std::process::id();
    // What the first one needs, the others do not.
    if !begin(number).await {
        return Err("the first one was not begun".into());
    }
    let before = usage::memory(own, "VmRSS")?;
    let (began, mut under_way) = (Instant::now(), JoinSet::new());
    let failed = Arc::new(AtomicU32::new(0));
    for key in 0..number {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        let (begun, failed) = (begin(key), failed.clone());
        under_way.spawn(async move {
            failed.fetch_add(u32::from(!begun.await), Ordering::Relaxed);
        });
    }
    while under_way.join_next().await.is_some() {}
    let took = began.elapsed().as_secs_f64();
    tokio::time::sleep(IDLE_AFTER).await;
    let grown = usage::memory(own, "VmRSS")? - before;
    let failed = failed.load(Ordering::Relaxed);
    if failed > 0 {
        return Err(format!("{failed} of {number} were not begun").into());
    }
    let mut figures = Figures::default();
    figures.set("per_s", f64::from(number) / took);
    figures.set("bytes", grown / f64::from(number));
    Ok(figures)
}

async fn nodes(number: usize, profile: Times) -> Result<Figures, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::throw_away("bench".parse()?)?;
    let (began, mut seeds, mut nodes) = (Instant::now(), Vec::<SocketAddr>::new(), Vec::new());
    for index in 0..number {
        let name = format!("n{index}");
        let mut builder = Node::builder()
            .identity(authority.issue(name.parse()?, PeerKind::Node)?)
            .listen((Ipv4Addr::LOCALHOST, 0))
            .seeds(seeds.iter().copied())
            .data_dir(folder.path().join(&name))
            .profile(profile.profile())
            .host::<Carried>();
        if index < FOUNDERS {
            builder = builder.bootstrap_expect(FOUNDERS as u32);
        }
        let node = builder.start().await?;
        if index < FOUNDERS {
            seeds.push(node.local_addr());
        }
        nodes.push(node);
    }
    for node in &nodes {
        node.joined(FORMS_WITHIN).await?;
    }
    let formed = began.elapsed();
    let calm = at_rest(&nodes).await?;
    let shared = calm - began;
    let own = std::process::id();
    let (sent, cpu, began) = (sent(&nodes), usage::cpu(own)?, Instant::now());
    tokio::time::sleep(WATCHED_FOR).await;
    let (seconds, each) = (began.elapsed().as_secs_f64(), number as f64);
    let mut figures = Figures::default();
    figures.set("forms_ms", formed.as_secs_f64() * 1e3);
    figures.set("shared_out_ms", shared.as_secs_f64() * 1e3);
    let sent = self::sent(&nodes) - sent;
    figures.set("sent_bytes_per_s", sent / seconds / each);
    let cpu = (usage::cpu(own)? - cpu).as_secs_f64();
    figures.set("cpu_ms_per_s", cpu * 1e3 / seconds / each);
    let mut stopping = JoinSet::new();
    for node in nodes {
        stopping.spawn(node.stop());
    }
    while stopping.join_next().await.is_some() {}
    Ok(figures)
}

/// Waits until no slot goes anywhere any more. Returns since when none did.
async fn at_rest(nodes: &[Node]) -> Result<Instant, Box<dyn Error>> {
    let limit = Instant::now() + FORMS_WITHIN;
    let (mut calm, mut before) = (Instant::now(), 0);
    while calm.elapsed() < CALM_FOR {
        let entries = nodes.iter().flat_map(Node::entries);
        let epochs = entries.map(|(_, it)| it.epoch.0).sum::<u64>();
        if epochs != before {
            (before, calm) = (epochs, Instant::now());
        }
        if Instant::now() > limit {
            return Err("the slots are not shared out".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(calm)
}

/// The bytes that all nodes have sent over the links that they have.
fn sent(nodes: &[Node]) -> f64 {
    let of = |node: &Node| -> f64 {
        let metrics = node.metrics();
        let lines = metrics.lines();
        let sent = lines.filter(|line| line.starts_with("callboard_link_sent_bytes{"));
        sent.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    nodes.iter().map(of).sum()
}

/// As many as keep both processors busy.
const AT_ONCE: usize = 1024;

const IDLE_AFTER: Duration = Duration::from_secs(1);

const FOUNDERS: usize = 3;

const FORMS_WITHIN: Duration = Duration::from_secs(120);

/// When no slot has gone anywhere for so long, none will.
const CALM_FOR: Duration = Duration::from_secs(2);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a cluster at rest does is measured for so long.
const WATCHED_FOR: Duration = Duration::from_secs(5);
