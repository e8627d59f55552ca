//! More calls than a node can do, from callers that do not wait for each other: how many are answered,
//! how fast, and how soon the others are refused. Only Callboard: it is measured against its own peak.
//!
//! The turns take time and no CPU, so that the peak does not depend on what the callers, who are many
//! times as many, take from the same cores.

use std::error::Error;
use std::time::{Duration, Instant};

use callboard::Code;
use callboard::prelude::*;
use tokio::task::JoinSet;

use crate::job::{Figures, Job};
use crate::remote::ours::{self, Desk, DeskRef};
use crate::usage;

/// Makes load and returns what it found.
pub(crate) async fn measure(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let client = ours::connect(job).await?;
    let (desk, server) = (client.service::<Desk>(), job.server()?.pid);
    let mut figures = Figures::default();
    let peak = peak(&desk, 2 * job.window).await?;
    figures.set("peak_per_s", peak);
    let mut base = offer(&desk, peak / 2.0, 2 * job.window).await?;
    let base = p99(&mut base.answered);
    figures.set("base_p99_ns", base.as_nanos() as f64);
    let before = usage::memory(server, "VmRSS")?;
    for times in [1, 2, 5, 10] {
        let window = 2 * job.window;
        let mut ends = offer(&desk, peak * f64::from(times), window).await?;
        let goodput = ends.answered.len() as f64 / window.as_secs_f64() / peak;
        figures.set(&format!("goodput_{times}x"), goodput);
        let slowdown = p99(&mut ends.answered).as_secs_f64() / base.as_secs_f64();
        figures.set(&format!("p99_{times}x_ratio"), slowdown);
        let refused = p99(&mut ends.refused).as_nanos() as f64;
        figures.set(&format!("refused_p99_{times}x_ns"), refused);
    }
    let grown = usage::memory(server, "VmRSS")? - before;
    figures.set("grown_bytes", grown);
    // The load has dropped: two seconds later nobody notices any more that it was high.
    offer(&desk, peak / 2.0, NORMAL_WITHIN.min(2 * job.window)).await?;
    let after = offer(&desk, peak / 2.0, job.window).await?;
    let slow = after.answered.iter().filter(|took| **took > 2 * base);
    let abnormal = slow.count() + after.refused.len();
    let all = after.answered.len() + after.refused.len();
    figures.set("abnormal_after_2s", abnormal as f64 / all.max(1) as f64);
    client.close().await;
    Ok(figures)
}

/// How long the calls of a phase took, by how they ended.
#[derive(Default)]
struct Ends {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Calls from as many callers as keep the node busy, each waiting for its replies.
async fn peak(desk: &DeskRef, window: Duration) -> Result<f64, Box<dyn Error>> {
    let (begun, mut callers) = (Instant::now(), JoinSet::new());
    for _ in 0..CALLERS {
        let desk = desk.clone();
        callers.spawn(async move {
            let mut calls = 0u32;
            while begun.elapsed() < window {
                desk.work().await?;
                calls += 1;
            }
            Ok::<_, CallError>(calls)
        });
    }
    let mut calls = 0;
    while let Some(caller) = callers.join_next().await {
        calls += caller??;
    }
    Ok(f64::from(calls) / begun.elapsed().as_secs_f64())
}

/// Calls at a rate for a time, whatever becomes of them. Each is timed from when it was due, so that a
/// load that comes late hides nothing.
async fn offer(desk: &DeskRef, a_second: f64, window: Duration) -> Result<Ends, Box<dyn Error>> {
    let (begun, mut calls) = (Instant::now(), JoinSet::new());
    let mut number = 0u32;
    loop {
        let due = Duration::from_secs_f64(f64::from(number) / a_second);
        if due >= window {
            break;
        }
        let early = due.saturating_sub(begun.elapsed());
        if !early.is_zero() {
            tokio::time::sleep(early).await;
        }
        let desk = desk.clone();
        calls.spawn(async move {
            let ended = desk.work().await;
            (begun.elapsed().saturating_sub(due), ended)
        });
        number += 1;
    }
    let mut ends = Ends::default();
    while let Some(call) = calls.join_next().await {
        match call? {
            (took, Ok(())) => ends.answered.push(took),
            (took, Err(error)) if error.code() == Code::MailboxFull => ends.refused.push(took),
            (_, Err(error)) => return Err(error.into()),
        }
    }
    Ok(ends)
}

fn p99(took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    let at = took.len() * 99 / 100;
    took.get(at).copied().unwrap_or_default()
}

/// Half as many again as turns run beside each other.
const CALLERS: usize = 12;

const NORMAL_WITHIN: Duration = Duration::from_secs(2);
