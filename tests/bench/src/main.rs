//! Measures Callboard beside its rivals, interleaved in one run.
//!
//! ```text
//! run ──starts──> serve (a process)  <──calls── load (a process) ──figures──> run ──> report
//! ```
//!
//! The driver starts a fresh pair of processes for every measurement and takes the contenders of a
//! case in turn, round after round, so that whatever else the machine does hits all of them.

mod args;
mod bound;
mod case;
mod child;
mod credentials;
mod job;
mod load;
mod local;
mod lossy;
mod meter;
mod overload;
mod owners;
mod remote;
mod report;
mod run;
mod slow;
mod table;
mod usage;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Args, Role};
use crate::job::{Contender, Job};

fn main() -> ExitCode {
    // For those who take what the process has. It is installed once, here, so it cannot fail.
    let _ = credentials::provider().as_ref().clone().install_default();
    let args = Args::parse();
    let done = match &args.role {
        Some(Role::Serve {
            contender,
            credentials,
            ip,
        }) => remote::serve(*contender, credentials, *ip).map(|()| true),
        Some(Role::Owner { spec }) => owners::node(spec).map(|()| true),
        Some(Role::Alone { job }) => owners::alone(job).map(|()| true),
        Some(Role::Owners(options)) => Runtime::new()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(owners::run(options))),
        Some(Role::Load { job }) => load(job).map(|()| true),
        None => run::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the load that the job says, and prints the figures.
fn load(job: &str) -> Result<(), Box<dyn Error>> {
    let job: Job = serde_json::from_str(job)?;
    let figures = runtime(job.contender, job.server.is_some())?.block_on(async {
        if job.server.is_some() {
            remote::measure(&job).await
        } else {
            local::measure(&job).await
        }
    })?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// What `#[tokio::main]` makes, except between processes for those who were found to be faster on one
/// thread: gRPC needs 40 % less CPU time a call there, and Callboard half; ractor, tarpc and kameo
/// lose more than they gain.
fn runtime(contender: Contender, is_remote: bool) -> std::io::Result<Runtime> {
    let one_thread = is_remote
        && matches!(
            contender,
            Contender::Ours
                | Contender::OursService
                | Contender::OursKeyed
                | Contender::OursLanes4
                | Contender::OursLanes8
                | Contender::Raw
                | Contender::RawCallers
                | Contender::Assembled
                | Contender::TcpTls
                | Contender::TonicUnary
                | Contender::TonicBidi
        );
    let mut builder = if one_thread {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.enable_all().build()
}
