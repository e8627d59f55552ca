//! Those who are measured within one process, a module each, and the loads, the same for everybody.

mod channels;
mod kameo;
mod ours;
mod ractor;

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::job::{Contender, Figures, Job, Work};
use crate::load::{self, Caller};
use crate::usage;

/// Starts targets in this process.
trait Home: Sized {
    /// The ref of one.
    type Target: Target;

    /// Makes what targets live in.
    async fn open(job: &Job) -> Result<Self, Box<dyn Error>>;

    /// Starts a target, supervised where the contender knows supervision.
    async fn spawn(&self) -> Result<Self::Target, Box<dyn Error>>;

    /// Ends it.
    async fn close(self);
}

/// The ref of one that adds numbers up.
trait Target: Clone + Send + Sync + 'static {
    /// Sends a number. Returns whether it was accepted.
    fn send(&self, number: u64) -> impl Future<Output = bool> + Send;

    /// Calls with a number; the answer is the sum so far.
    fn call(&self, number: u64) -> impl Future<Output = Option<u64>> + Send;
}

/// Makes load and returns what it found.
pub(crate) async fn measure(job: &Job) -> Result<Figures, Box<dyn Error>> {
    match job.contender {
        Contender::Ours => run::<ours::Home>(job).await,
        Contender::Channels => run::<channels::Home>(job).await,
        Contender::Ractor => run::<ractor::Home>(job).await,
        Contender::Kameo => run::<kameo::Home>(job).await,
        contender => Err(format!("{contender} is not local").into()),
    }
}

async fn run<H: Home>(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let home = H::open(job).await?;
    let figures = match job.work {
        Work::LocalSend { pairs } => sends(&home, job, pairs).await,
        Work::Spawn => spawns(&home, job).await,
        _ => load::calls(Calls(home.spawn().await?), job).await,
    };
    home.close().await;
    figures
}

/// A target, called with nothing.
#[derive(Clone)]
struct Calls<T>(T);

impl<T: Target> Caller for Calls<T> {
    async fn call(&self, _body: Bytes) -> bool {
        self.0.call(0).await.is_some()
    }
}

/// As many messages as take about a window, from each of so many tasks to a target of its own,
/// until the last has been handled.
async fn sends<H: Home>(home: &H, job: &Job, pairs: usize) -> Result<Figures, Box<dyn Error>> {
    let messages = (SENDS_PER_S * job.window.as_secs_f64()) as u64 / pairs as u64;
    let mut tasks = JoinSet::new();
    let (cpu, start) = (usage::cpu(std::process::id())?, Instant::now());
    for _ in 0..pairs {
        let target = home.spawn().await?;
        tasks.spawn(async move {
            let mut refused = 0u64;
            for _ in 0..messages {
                while !target.send(1).await {
                    refused += 1;
                    tokio::task::yield_now().await;
                }
            }
            // A call is refused too while the mailbox is full.
            loop {
                if let Some(sum) = target.call(0).await {
                    return (refused, sum == messages);
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let (mut refused, mut failed) = (0, 0u32);
    while let Some(ended) = tasks.join_next().await {
        let (more, right) = ended?;
        refused += more;
        failed += u32::from(!right);
    }
    let took = start.elapsed().as_secs_f64();
    let all = (messages * pairs as u64) as f64;
    let cpu = (usage::cpu(std::process::id())? - cpu).as_secs_f64();
    let mut figures = Figures::default();
    figures.set("sends_per_s", all / took);
    figures.set("cpu_ns", cpu * 1e9 / all);
    figures.set("refused", refused as f64);
    figures.set("failed", f64::from(failed));
    Ok(figures)
}

/// Spawns actors, calls each once, and looks at what they cost once they are idle.
async fn spawns<H: Home>(home: &H, job: &Job) -> Result<Figures, Box<dyn Error>> {
    let own = std::process::id();
    let actors = (SPAWNS_PER_S * job.window.as_secs_f64()) as usize;
    // What the first one needs, the others do not.
    home.spawn().await?.call(0).await;
    let (before, start) = (usage::memory(own, "VmRSS")?, Instant::now());
    let mut targets = Vec::with_capacity(actors);
    let mut failed = 0u32;
    for _ in 0..actors {
        targets.push(home.spawn().await?);
    }
    for target in &targets {
        failed += u32::from(target.call(0).await.is_none());
    }
    let took = start.elapsed().as_secs_f64();
    tokio::time::sleep(IDLE_AFTER).await;
    let grown = usage::memory(own, "VmRSS")? - before;
    let mut figures = Figures::default();
    figures.set("spawns_per_s", actors as f64 / took);
    figures.set("actor_bytes", grown / actors as f64);
    figures.set("failed", f64::from(failed));
    drop(targets);
    Ok(figures)
}

/// About what all of them manage.
const SENDS_PER_S: f64 = 1_000_000.0;
const SPAWNS_PER_S: f64 = 20_000.0;

const IDLE_AFTER: Duration = Duration::from_millis(200);
