//! The meter: reads what callers did within a window of time.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::job::{Figures, Job};
use crate::usage;

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
    measuring: Arc<AtomicBool>,
    /// Only where calls are timed.
    latencies: Option<Mutex<Latencies>>,
}

/// How long calls took.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

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
            measuring: Arc::clone(&self.measuring),
            latencies: self.timed.then(|| Mutex::new(Latencies::new())),
        });
        self.counters.push(Arc::clone(&counter));
        counter
    }

    /// Waits for the warm-up, then measures the window.
    pub(crate) async fn measure(&self, job: &Job) -> io::Result<Figures> {
        tokio::time::sleep(job.warm).await;
        self.measuring.store(true, Ordering::Relaxed);
        let own = std::process::id();
        let other = job.server.as_ref().map(|server| server.pid);
        let cpu = || -> io::Result<(Duration, Duration)> {
            let other = other.map_or(Ok(Duration::ZERO), usage::cpu)?;
            Ok((usage::cpu(own)?, other))
        };
        let before = (self.done(), cpu()?);
        let start = Instant::now();
        tokio::time::sleep(job.window).await;
        let took = start.elapsed().as_secs_f64();
        let after = (self.done(), cpu()?);
        let done = (after.0 - before.0) as f64;
        let mut figures = Figures::default();
        figures.set("calls_per_s", done / took);
        figures.set("body_bytes_per_s", done * job.work.bytes() as f64 / took);
        if done > 0.0 {
            let client = (after.1.0 - before.1.0).as_secs_f64() * 1e9 / done;
            let server = (after.1.1 - before.1.1).as_secs_f64() * 1e9 / done;
            figures.set("cpu_client_ns", client);
            figures.set("cpu_server_ns", server);
            figures.set("cpu_ns", client + server);
        }
        let mut all = Latencies::new();
        for latencies in self.counters.iter().filter_map(|c| c.latencies.as_ref()) {
            all.add(&latencies.lock().unwrap_or_else(PoisonError::into_inner));
        }
        all.write(&mut figures);
        let failed = self
            .counters
            .iter()
            .map(|c| c.failed.load(Ordering::Relaxed));
        figures.set("failed", failed.sum::<u64>() as f64);
        Ok(figures)
    }

    /// What all counters have counted so far; one that is a call behind is as good.
    pub(crate) fn done(&self) -> u64 {
        let done = self.counters.iter().map(|c| c.done.load(Ordering::Relaxed));
        done.sum()
    }
}

impl Counter {
    /// When a call starts, if calls are timed.
    pub(crate) fn start(&self) -> Option<Instant> {
        self.latencies.as_ref().map(|_| Instant::now())
    }

    /// Counts a call.
    pub(crate) fn end(&self, start: Option<Instant>, right: bool) {
        if !right {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        if let (Some(start), Some(latencies)) = (start, &self.latencies)
            && self.measuring.load(Ordering::Relaxed)
        {
            let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.record(start.elapsed());
        }
    }
}

impl Latencies {
    pub(crate) fn new() -> Self {
        // From 100 ns to a minute, exact to a thousandth.
        let histogram = Histogram::new_with_bounds(100, 60_000_000_000, 3);
        Self(histogram.expect("the bounds are in their ranges"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0
            .saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds, so adding cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// Writes the quantiles, if anything was recorded.
    pub(crate) fn write(&self, figures: &mut Figures) {
        if !self.0.is_empty() {
            figures.set("p50_ns", self.0.value_at_quantile(0.5) as f64);
            figures.set("p99_ns", self.0.value_at_quantile(0.99) as f64);
            figures.set("max_ns", self.0.max() as f64);
        }
    }
}
