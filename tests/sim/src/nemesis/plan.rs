//! Draws a plan of faults from a seed.

use super::Fault;
use crate::world::Conditions;
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// A fault with its time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    /// When it begins, in time since the start of the world.
    pub(crate) at: Duration,
    /// How long it lasts.
    pub(crate) span: Duration,
    /// What it is.
    pub(crate) fault: Fault,
}

/// What a plan may be about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    /// How many machines there are. Every one may be hit.
    pub(crate) machines: usize,
    /// Before this time nothing happens.
    pub(crate) start: Duration,
    /// At this time the last fault has ended.
    pub(crate) end: Duration,
}

/// Draws a plan.
pub(crate) fn draw(rng: &mut SmallRng, targets: &Targets) -> Vec<Planned> {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|_| rng.random_bool(0.5))
        .collect();
    let mut plan = Vec::new();
    for kind in kinds {
        for _ in 0..rng.random_range(1..=3) {
            let at = targets.start + (targets.end - targets.start).mul_f64(rng.random::<f64>());
            let span = draw_span(rng).min(targets.end - at);
            // Whole ticks, so that the text of a plan is exact.
            let (at, span) = (whole_ms(at), whole_ms(span));
            plan.push(Planned {
                at,
                span,
                fault: kind.draw(rng, targets.machines),
            });
        }
    }
    plan
}

/// Most faults are short; some outlast the timeouts of the transport, so that links break.
fn draw_span(rng: &mut SmallRng) -> Duration {
    let range = match rng.random_range(0..10) {
        0..5 => 20..500,
        5..8 => 500..2500,
        _ => 2500..7000,
    };
    Duration::from_millis(rng.random_range(range))
}

fn whole_ms(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The kinds of faults a seed may have.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Weather,
    BadLink,
    Partition,
    CutPair,
    Clog,
    Crash,
    Leave,
    Pause,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Weather,
        Kind::BadLink,
        Kind::Partition,
        Kind::CutPair,
        Kind::Clog,
        Kind::Crash,
        Kind::Leave,
        Kind::Pause,
    ];

    fn draw(self, rng: &mut SmallRng, machines: usize) -> Fault {
        let one_way = rng.random_bool(0.4);
        match self {
            Kind::Weather => Fault::Weather {
                worse: draw_conditions(rng),
            },
            Kind::BadLink => {
                let (from, to) = draw_pair(rng, machines);
                Fault::BadLink {
                    from,
                    to,
                    worse: draw_conditions(rng),
                }
            }
            Kind::Partition => {
                let size = rng.random_range(1..machines);
                let mut side = std::collections::BTreeSet::new();
                while side.len() < size {
                    side.insert(rng.random_range(0..machines));
                }
                Fault::Partition { side, one_way }
            }
            Kind::CutPair => Fault::CutPair {
                pair: draw_pair(rng, machines),
                one_way,
            },
            Kind::Clog => {
                let (from, to) = draw_pair(rng, machines);
                Fault::Clog { from, to }
            }
            Kind::Crash => Fault::Crash {
                host: rng.random_range(0..machines),
            },
            Kind::Leave => Fault::Leave {
                host: rng.random_range(0..machines),
            },
            Kind::Pause => Fault::Pause {
                host: rng.random_range(0..machines),
            },
        }
    }
}

/// Two different machines.
fn draw_pair(rng: &mut SmallRng, machines: usize) -> (usize, usize) {
    let from = rng.random_range(0..machines);
    let to = (from + rng.random_range(1..machines)) % machines;
    (from, to)
}

fn draw_conditions(rng: &mut SmallRng) -> Conditions {
    let mut some = |probability: f64, most: f64| {
        if rng.random_bool(probability) {
            rng.random_range(0.0..most)
        } else {
            0.0
        }
    };
    Conditions {
        loss: some(0.7, 0.25),
        duplication: some(0.4, 0.2),
        reordering: some(0.5, 0.5),
        corruption: some(0.3, 0.05),
        latency: Duration::from_secs_f64(some(0.4, 0.05)),
        jitter: Duration::from_secs_f64(some(0.4, 0.02)),
        detour: Duration::from_secs_f64(some(0.5, 0.2)),
        is_cut: false,
        clogged_until: None,
    }
}
