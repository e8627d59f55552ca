//! First calls of keys beside calls of keys that are there, through the same client at the same time.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::cluster::{Cluster, Plan};
use super::found::Found;
use super::load::Load;
use super::options::{Options, Row, Times};
use super::turns::Carried;
use super::words::{Keys, Part};

/// Makes a first call and another one every 2 ms.
pub(crate) async fn measure(profile: Times, options: &Options) -> Result<Found, Box<dyn Error>> {
    let row = Row::Cold;
    let cluster = Cluster::start(Plan {
        profile,
        slots: options.slots(),
        keys: Keys::Carried,
        parts: &[Part::Founds(3); 3],
    })
    .await?;
    cluster.balanced().await?;
    // It makes the keys that are there, and the links.
    let pace = options.pace(row);
    let load = Load::start(&cluster.client, Keys::Carried, pace).await;
    let times = options.times(row);
    let (begun, mut calls) = (Instant::now(), JoinSet::new());
    for number in 0..times {
        let due = EVERY * number;
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        let cold = (true, cluster.client.actor::<Carried>(pace.keys + number));
        let warm = (false, cluster.client.actor::<Carried>(number % pace.keys));
        // Neither is always the one that waits for the other.
        let pair = if number % 2 == 0 {
            [cold, warm]
        } else {
            [warm, cold]
        };
        for (is_cold, key) in pair {
            // Not from when it was due: the timer's grain is a millisecond.
            let from = Instant::now();
            calls.spawn(async move {
                let ended = key.touch(0).await;
                (is_cold, from.elapsed(), ended)
            });
        }
    }
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    while let Some(call) = calls.join_next().await {
        let (is_cold, took, ended) = call?;
        ended?;
        if is_cold { &mut cold } else { &mut warm }.push(took);
    }
    let mut found = Found::new(row, profile, times);
    found.quantiles("cold", &mut cold);
    found.quantiles("warm", &mut warm);
    for share in ["p50", "p99"] {
        let of = |which: &str| found.get(&format!("{which}_{share}_ms"));
        let beyond = of("cold") - of("warm");
        found.set(&format!("beyond_{share}_ms"), beyond);
    }
    found.must("beyond_p99_ms", false, 2.0);
    found.judge(cluster, load).await?;
    Ok(found)
}

/// 500 a second.
const EVERY: Duration = Duration::from_millis(2);
