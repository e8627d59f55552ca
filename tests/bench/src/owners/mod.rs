//! What keyed actors go through when nodes are lost, drained and added: `callboard-bench owners`.
//!
//! ```text
//! driver ── starts, SIGKILLs, drains, starts again ──> node processes (this executable), each with a trace
//!   └── a client: calls every key all the time, sees how long none answers
//! ```
//!
//! Times are those of a caller, from the signal to the answer. Whether two turns of a key overlapped is
//! read from what the processes have written down, when they are dead.
//!
//! | file | holds |
//! | --- | --- |
//! | `options` | the command line |
//! | `cluster`, `node`, `words` | the processes, and what they say |
//! | `turns` | the actor, and its traces |
//! | `load` | the calls |
//! | `kills` | the rows in which nodes are killed |
//! | `moves` | the rows in which slots are moved |
//! | `cold` | first calls beside others |
//! | `alone` | rows that one process is enough for: idle keys, and forming |
//! | `found` | what is printed |

mod alone;
mod cluster;
mod cold;
mod found;
mod kills;
mod load;
mod moves;
mod node;
mod options;
mod turns;
mod words;

use std::error::Error;
use std::time::Instant;

pub(crate) use self::alone::run as alone;
pub(crate) use self::node::run as node;
pub(crate) use self::options::Options;
use self::options::{Row, Times};

/// Measures what the options say. Returns whether everything was measured.
pub(crate) async fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let started = Instant::now();
    let (mut all, mut failed) = (Vec::new(), false);
    for row in options.rows() {
        for profile in options.profiles(*row) {
            let seconds = started.elapsed().as_secs_f64();
            eprintln!("{seconds:5.0} s  {row:?}, {profile:?}");
            match measure(*row, profile, options).await {
                Ok(found) => {
                    found.print(options.json)?;
                    all.push(found);
                }
                Err(error) => {
                    eprintln!("error: {row:?}, {profile:?}: {error}");
                    failed = true;
                }
            }
        }
    }
    found::sum_up(&all, options.json, started.elapsed());
    Ok(!failed)
}

async fn measure(
    row: Row,
    profile: Times,
    options: &Options,
) -> Result<found::Found, Box<dyn Error>> {
    match row {
        Row::Kill | Row::KillBoth => kills::owners(row, profile, options).await,
        Row::KillLeader => kills::leader(profile, options).await,
        Row::Drain => moves::drain(profile, options).await,
        Row::Add => moves::add(profile, options).await,
        Row::Cold => cold::measure(profile, options).await,
        Row::Idle => alone::idle(profile, options).await,
        Row::Form => alone::form(profile, options).await,
    }
}
