//! The load: so many callers, each of which calls again as soon as it has its answer, and the meter
//! that reads what they did within a window of time.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;

use crate::job::{Figures, Job};
use crate::usage;

/// Makes one call and checks its answer.
pub(crate) trait Caller: Clone + Send + 'static {
    /// Makes a call with this body. Returns whether the answer was right.
    fn call(&self, body: Bytes) -> impl Future<Output = bool> + Send;
}

/// Counts what is done. Each caller counts for itself, so that they do not share a cache line.
#[derive(Debug)]
pub(crate) struct Meter {
    counters: Vec<Arc<Counter>>,
    timed: bool,
    measuring: Arc<AtomicBool>,
}

/// One caller's counts.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counter {
    done: AtomicU64,
    failed: AtomicU64,
    timed: bool,
    measuring: Arc<AtomicBool>,
    nanos: Mutex<Histogram<u64>>,
}

impl Meter {
    /// A meter without counters.
    pub(crate) fn new(timed: bool) -> Self {
        Self {
            counters: Vec::new(),
            timed,
            measuring: Arc::default(),
        }
    }

    /// Adds a counter.
    pub(crate) fn counter(&mut self) -> Arc<Counter> {
        let counter = Arc::new(Counter {
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            timed: self.timed,
            measuring: Arc::clone(&self.measuring),
            nanos: Mutex::new(new_histogram()),
        });
        self.counters.push(Arc::clone(&counter));
        counter
    }

    /// Waits for the warm-up, then measures the window.
    pub(crate) async fn measure(&self, job: &Job) -> io::Result<Figures> {
        tokio::time::sleep(job.warm).await;
        self.measuring.store(true, Ordering::Relaxed);
        let own = std::process::id();
        let before = (self.done(), usage::cpu(own)?, usage::cpu(job.server.pid)?);
        let start = Instant::now();
        tokio::time::sleep(job.window).await;
        let took = start.elapsed();
        let after = (self.done(), usage::cpu(own)?, usage::cpu(job.server.pid)?);
        let done = (after.0 - before.0) as f64;
        let mut figures = Figures::default();
        figures.set("calls_per_s", done / took.as_secs_f64());
        figures.set(
            "body_bytes_per_s",
            done * job.work.bytes() as f64 / took.as_secs_f64(),
        );
        if done > 0.0 {
            let client = nanos(after.1 - before.1) / done;
            let server = nanos(after.2 - before.2) / done;
            figures.set("cpu_client_ns", client);
            figures.set("cpu_server_ns", server);
            figures.set("cpu_ns", client + server);
        }
        self.add_latencies(&mut figures);
        let failed = self.counters.iter().map(|counter| {
            // Only its being zero matters.
            counter.failed.load(Ordering::Relaxed)
        });
        figures.set("failed", failed.sum::<u64>() as f64);
        Ok(figures)
    }

    fn add_latencies(&self, figures: &mut Figures) {
        let mut all = new_histogram();
        for counter in &self.counters {
            let nanos = counter.nanos.lock().unwrap_or_else(PoisonError::into_inner);
            // Both have the same bounds, so adding cannot fail.
            let _ = all.add(&*nanos);
        }
        if !all.is_empty() {
            figures.set("p50_ns", all.value_at_quantile(0.5) as f64);
            figures.set("p99_ns", all.value_at_quantile(0.99) as f64);
            figures.set("max_ns", all.max() as f64);
        }
    }

    fn done(&self) -> u64 {
        let done = self.counters.iter().map(|counter| {
            // A count that is a call behind is as good.
            counter.done.load(Ordering::Relaxed)
        });
        done.sum()
    }
}

impl Counter {
    /// When a call starts, if calls are timed.
    pub(crate) fn start(&self) -> Option<Instant> {
        self.timed.then(Instant::now)
    }

    /// Counts a call.
    pub(crate) fn end(&self, start: Option<Instant>, right: bool) {
        if !right {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        if let Some(start) = start
            && self.measuring.load(Ordering::Relaxed)
        {
            let mut nanos = self.nanos.lock().unwrap_or_else(PoisonError::into_inner);
            nanos.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

/// Keeps `job.work.in_flight()` calls in flight, from as many tasks, and measures.
pub(crate) async fn closed_loop<C: Caller>(caller: C, job: &Job) -> io::Result<Figures> {
    let body = body(job.work.bytes());
    let mut meter = Meter::new(job.work.timed());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..job.work.in_flight() {
        let (caller, body, counter) = (caller.clone(), body.clone(), meter.counter());
        tasks.spawn(async move {
            loop {
                let start = counter.start();
                let right = caller.call(body.clone()).await;
                counter.end(start, right);
                if !right {
                    // A contender that refuses at once must not spin.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    let figures = meter.measure(job).await;
    tasks.shutdown().await;
    figures
}

/// A body that does not compress and is the same in every run.
pub(crate) fn body(bytes: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

fn new_histogram() -> Histogram<u64> {
    // From 100 ns to a minute, exact to a thousandth.
    Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("the bounds are in their ranges")
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
