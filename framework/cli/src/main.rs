//! The `callboard` command: asks the nodes of a running cluster how it is, and has them drained.
//!
//! It is a client of the service `callboard.admin`, which every node hosts, and decides nothing.
//!
//! | file | its job |
//! | --- | --- |
//! | `args` | the command line |
//! | `connect` | the way into the cluster |
//! | `status`, `nodes` | the commands, one a file |
//! | `failure` | what went wrong, what to do, and the exit codes |
//! | `output`, `table` | text in columns, or JSON |

mod args;
mod connect;
mod failure;
mod nodes;
mod output;
mod status;
mod table;

use std::process::ExitCode;

use clap::Parser;

use self::{
    args::{Args, Command},
    failure::Failure,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("callboard: {failure}");
            failure.exit_code()
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Status(common) => status::run(&common).await,
        Command::Nodes(common) => nodes::run(&common).await,
    }
}
