//! A cluster on one machine, in one command: three node processes that answer each other and a
//! client over QUIC with mutual TLS, while one of them is killed and started again.
//!
//! ```text
//! cargo run --example cluster
//! cargo run --example cluster -- --help
//! ```
//!
//! One binary plays two roles. Started by hand it is the *driver*: it makes a throw-away authority,
//! starts itself once more for each node, makes calls as a client, breaks what the script says, and
//! sums up. Started by the driver it is a *node*.
//!
//! ```text
//!  driver ── stdin: stop, drain, split; EOF when it is gone ──> node n1 ─┐
//!    │    <─ stdout: ready, members, leads ──────────────────           │ QUIC, mutual TLS
//!    ├─ load (a callboard client) ══════ QUIC, mutual TLS ══>  node n2 ─┤ between all of them
//!    └─ script: SIGKILL, SIGSTOP, start again ─────────────>  node n3 ─┘
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `services.rs`, `cart.rs` | the Greeter, the Lobby, the Room and the Cart: all that is specific to this cluster |
//! | `node.rs` | the node role |
//! | `turns.rs` | the trace that a node writes of the turns of its carts |
//! | `split.rs` | a node's socket that loses packets when the script says so |
//! | `load.rs`, `shoppers.rs` | the load generator: calls at a steady rate, each counted once |
//! | `driver.rs`, `starting.rs`, `steps.rs`, `ending.rs` | the driver role: its phases, and what the script does |
//! | `planted.rs` | bugs that a test plants, to show that the traces tell of them |
//! | `process.rs` | one node process: its pipes, its signals, its end |
//! | `lifeline.rs` | how a node notices that its driver is gone |
//! | `credentials.rs` | the throw-away authority |
//! | `args.rs`, `words.rs`, `signals.rs` | the command line; what a node tells the driver; Ctrl-C |

mod args;
mod cart;
mod credentials;
mod driver;
mod ending;
mod lifeline;
mod load;
mod node;
mod planted;
mod process;
mod services;
mod shoppers;
mod signals;
mod split;
mod starting;
mod steps;
mod turns;
#[cfg_attr(target_os = "linux", path = "wake_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "wake_elsewhere.rs")]
mod wake;
mod words;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Role};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(args::EXIT_RUN, &format!("no runtime: {error}")),
    };
    match args.role {
        Some(Role::Node(node)) => runtime.block_on(node::run(node)),
        None => match args.driver.plan() {
            Ok(plan) => runtime.block_on(driver::run(plan)),
            Err(why) => complain(args::EXIT_USAGE, &why),
        },
    }
}

/// Says on standard error why the program ends, if anybody still reads it.
fn complain(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::from(code)
}
