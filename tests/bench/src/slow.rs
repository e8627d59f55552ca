//! Many slow consumers and a producer at full speed: what is not taken has to be refused and
//! counted, and memory has to stay where it is. Only Callboard: the others have no bound to look at.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::job::{Figures, Job};
use crate::load::body;
use crate::remote::ours::{self, Answers};
use crate::usage;

/// Makes load and returns what it found.
pub(crate) async fn measure(job: &Job, consumers: usize) -> Result<Figures, Box<dyn Error>> {
    let client = ours::connect(job).await?;
    let service = client.service::<Answers>();
    let mut slow = Vec::with_capacity(consumers);
    for _ in 0..consumers {
        slow.push(service.open_slow().await?);
    }
    let body = body(job.work.bytes());
    let (mut accepted, mut refused_here) = (0u64, 0u64);
    let (start, window) = (Instant::now(), WINDOWS * job.window);
    let (mut filled, mut most) = (None, 0.0f64);
    while start.elapsed() < window {
        for consumer in &slow {
            if consumer.take(body.clone()).send().await.is_ok() {
                accepted += 1;
            } else {
                refused_here += 1;
                tokio::task::yield_now().await;
            }
        }
        // A third of the time is enough to fill whatever fills.
        if start.elapsed() > window / WINDOWS {
            let now = resident(job)?;
            filled.get_or_insert(now);
            most = most.max(now);
        }
    }
    let offered = start.elapsed().as_secs_f64();
    let (mut handled, mut refused_there) = (0, 0);
    let mut moved = Instant::now();
    while handled + refused_there < accepted && moved.elapsed() < STALLED_AFTER {
        let mut sum = 0;
        for consumer in &slow {
            sum += consumer.taken().await.unwrap_or_default();
        }
        let refused = service.sends_refused().await?;
        if sum + refused > handled + refused_there {
            moved = Instant::now();
        }
        (handled, refused_there) = (sum, refused);
    }
    client.close().await;
    let mut figures = Figures::default();
    figures.set("offered_per_s", (accepted + refused_here) as f64 / offered);
    figures.set("accepted", accepted as f64);
    figures.set("handled", handled as f64);
    figures.set("refused_by_sender", refused_here as f64);
    figures.set("refused_by_receiver", refused_there as f64);
    let counted = (handled + refused_there) as f64;
    figures.set("uncounted", (accepted as f64 - counted).abs());
    figures.set("grown_bytes", most - filled.unwrap_or(most));
    figures.set("most_bytes", most);
    Ok(figures)
}

fn resident(job: &Job) -> Result<f64, Box<dyn Error>> {
    let own = usage::memory(std::process::id(), "VmRSS")?;
    Ok(own + usage::memory(job.server()?.pid, "VmRSS")?)
}

/// It lasts this many windows: the first fills, the others show that it stays.
const WINDOWS: u32 = 3;

/// When nothing has moved for so long, nothing will.
const STALLED_AFTER: Duration = Duration::from_secs(2);
