//! The loads between two processes, the same for everybody: who is measured brings a [`Link`].

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::job::{Figures, Job, SMALL_BYTES, Target, Work};
use crate::meter::{Latencies, Meter};
use crate::usage;

/// A connection to a server.
pub(crate) trait Link: Sized + Send + 'static {
    /// Makes its calls.
    type Caller: Caller;

    /// Connects. Returns when calls can be made.
    fn dial(job: &Job) -> impl Future<Output = Result<Self, Box<dyn Error>>>;

    /// Returns one who calls: with `put` the answer is the length of the body, else the body.
    fn caller(&self, put: bool) -> Self::Caller;

    /// Returns one who puts to another target over the same connection. Where there are no targets,
    /// it is as [`caller`](Self::caller).
    fn caller_of_another(&self) -> impl Future<Output = Result<Self::Caller, Box<dyn Error>>> {
        let caller = self.caller(true);
        async { Ok(caller) }
    }

    /// Disconnects.
    fn close(self) -> impl Future<Output = ()>;
}

/// Makes calls and checks their answers.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Makes a call with this body. Returns whether the answer was right.
    fn call(&self, body: Bytes) -> impl Future<Output = bool> + Send;

    /// Sends a message without waiting for an answer, to a target that may be `slow`. Returns
    /// whether it was accepted.
    fn send(&self, body: Bytes, slow: bool) -> impl Future<Output = bool> + Send {
        let _ = (body, slow);
        async { false }
    }

    /// Returns how many of the messages sent the target has handled, if it says so.
    fn handled(&self) -> impl Future<Output = Option<u64>> + Send {
        async { None }
    }
}

/// Does what the job says.
pub(crate) async fn run<L: Link>(job: &Job) -> Result<Figures, Box<dyn Error>> {
    if job.work == Work::Connect {
        return connects::<L>(job).await;
    }
    let link = L::dial(job).await?;
    let figures = match job.work {
        Work::Put { .. } => calls(link.caller(true), job).await,
        Work::Beside { large_for, .. } => {
            let large = match large_for {
                Target::Same => link.caller(true),
                Target::Another => link.caller_of_another().await?,
            };
            beside(link.caller(false), large, job).await
        }
        Work::Send { .. } => sends(link.caller(false), job, false).await,
        Work::SendSlow { .. } => sends(link.caller(false), job, true).await,
        _ => calls(link.caller(false), job).await,
    };
    link.close().await;
    figures
}

/// Keeps `job.work.in_flight()` calls in flight, from as many tasks, and measures.
pub(crate) async fn calls<C: Caller>(caller: C, job: &Job) -> Result<Figures, Box<dyn Error>> {
    let mut meter = Meter::new(job.timed);
    let mut tasks = JoinSet::new();
    let body = body(job.work.bytes());
    keep_calling(&caller, &body, job.work.in_flight(), &mut meter, &mut tasks);
    let figures = meter.measure(job).await;
    tasks.shutdown().await;
    Ok(figures?)
}

fn keep_calling<C: Caller>(
    caller: &C,
    body: &Bytes,
    in_flight: usize,
    meter: &mut Meter,
    tasks: &mut JoinSet<()>,
) {
    for _ in 0..in_flight {
        let (caller, body, counter) = (caller.clone(), body.clone(), meter.counter());
        tasks.spawn(async move {
            loop {
                let start = counter.start();
                let right = caller.call(body.clone()).await;
                counter.end(start, right);
                if !right {
                    // One that refuses at once must not spin.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
}

/// Small calls alone, then beside transfers of large bodies, one after another without a pause.
async fn beside<C: Caller>(
    caller: C,
    large_caller: C,
    job: &Job,
) -> Result<Figures, Box<dyn Error>> {
    let small = body(SMALL_BYTES);
    let mut phases = [Figures::default(), Figures::default()];
    let mut moved = 0.0;
    for (phase, figures) in phases.iter_mut().enumerate() {
        let (mut meter, mut tasks) = (Meter::new(true), JoinSet::new());
        let (mut large_meter, mut large_tasks) = (Meter::new(false), JoinSet::new());
        keep_calling(
            &caller,
            &small,
            job.work.in_flight(),
            &mut meter,
            &mut tasks,
        );
        if phase == 1 {
            let large = body(job.work.bytes());
            keep_calling(&large_caller, &large, 1, &mut large_meter, &mut large_tasks);
        }
        *figures = meter.measure(job).await?;
        moved = large_meter.done() as f64;
        tasks.shutdown().await;
        large_tasks.shutdown().await;
    }
    let [alone, beside] = phases;
    let mut figures = Figures::default();
    for name in ["p50_ns", "p99_ns", "calls_per_s", "failed"] {
        for (phase, found) in [("alone", &alone), ("beside", &beside)] {
            if let Some(value) = found.get(name) {
                figures.set(&format!("{phase}_{name}"), value);
            }
        }
    }
    if let (Some(alone), Some(beside)) = (alone.get("p99_ns"), beside.get("p99_ns")) {
        figures.set("p99_ratio", beside / alone);
    }
    let seconds = (job.warm + job.window).as_secs_f64();
    figures.set("transfers_per_s", moved / seconds);
    Ok(figures)
}

/// Sends as fast as messages are accepted, then waits until everything has arrived or nothing more
/// does.
async fn sends<C: Caller>(caller: C, job: &Job, slow: bool) -> Result<Figures, Box<dyn Error>> {
    let body = body(job.work.bytes());
    let server = job.server()?.pid;
    let before = usage::memory(server, "VmRSS")? + usage::memory(std::process::id(), "VmRSS")?;
    let start = Instant::now();
    let cpu = usage::cpu(server)? + usage::cpu(std::process::id())?;
    let (mut accepted, mut refused) = (0u64, 0u64);
    while start.elapsed() < job.window {
        for _ in 0..SENDS_BETWEEN_LOOKS {
            if caller.send(body.clone(), slow).await {
                accepted += 1;
            } else {
                refused += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    let offered = start.elapsed();
    let (mut handled, mut moved_at, mut idle) = (0, Instant::now(), Duration::ZERO);
    while handled < accepted && idle < STALLED_AFTER {
        // The question waits behind the messages, and is refused where they fill the mailbox: neither
        // says that they do not move.
        let now = caller.handled().await.unwrap_or(handled);
        if now > handled {
            (handled, moved_at, idle) = (now, Instant::now(), Duration::ZERO);
        } else {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            idle += BETWEEN_LOOKS;
        }
    }
    // Until the last one arrived: what came to nothing after that is not the contender's time.
    let took = (moved_at - start).max(offered);
    let cpu = usage::cpu(server)? + usage::cpu(std::process::id())? - cpu;
    let after = usage::memory(server, "VmHWM")? + usage::memory(std::process::id(), "VmHWM")?;
    let mut figures = Figures::default();
    figures.set("sends_per_s", handled as f64 / took.as_secs_f64());
    figures.set("accepted", accepted as f64);
    figures.set("refused", refused as f64);
    figures.set("lost", accepted.saturating_sub(handled) as f64);
    figures.set("grown_bytes", after - before);
    figures.set("cpu_ns", cpu.as_secs_f64() * 1e9 / handled.max(1) as f64);
    Ok(figures)
}

/// Connects, makes one call and disconnects, again and again.
async fn connects<L: Link>(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let body = body(SMALL_BYTES);
    let mut latencies = Latencies::new();
    let mut failed = 0u32;
    let started = Instant::now();
    while started.elapsed() < job.warm + job.window {
        let start = Instant::now();
        let link = L::dial(job).await?;
        let right = link.caller(false).call(body.clone()).await;
        let took = start.elapsed();
        link.close().await;
        if !right {
            failed += 1;
        } else if started.elapsed() > job.warm {
            latencies.record(took);
        }
    }
    let mut figures = Figures::default();
    latencies.write(&mut figures);
    figures.set("failed", f64::from(failed));
    Ok(figures)
}

/// A body that does not compress and is the same in every run.
pub(crate) fn body(bytes: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

const SENDS_BETWEEN_LOOKS: usize = 64;

/// When nothing has arrived for so long, nothing will.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// How long nobody asks when nothing has moved.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
