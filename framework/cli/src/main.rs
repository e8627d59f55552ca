//! The `callboard` command: asks the nodes of a running cluster how it is, and has them drained.
//!
//! It is a client of the service `callboard.admin`, which every node hosts, and decides nothing. `recover`
//! alone works on the data folder of a node that does not run.
//!
//! | file | its job |
//! | --- | --- |
//! | `args` | the command line |
//! | `connect` | the way into the cluster |
//! | `status`, `nodes`, `why`, `actors`, `drain`, `voters` | the commands, one a file |
//! | `choose` | `voters add`, `remove` and `auto` |
//! | `recover` | what one voter has left, and a cluster made of it |
//! | `actor` | which actor a command is about, and who can say where it is |
//! | `failure` | what went wrong, what to do, and the exit codes |
//! | `output`, `table` | text in columns, or JSON |

mod actor;
mod actors;
mod args;
mod choose;
mod connect;
mod drain;
mod failure;
mod nodes;
mod output;
mod recover;
mod status;
mod table;
mod voters;
mod why;

use std::process::ExitCode;

use clap::Parser;

use self::{
    args::{Actors, Args, Command, Voters},
    choose::Choice,
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
        Command::Why { actor, common } => why::run(&actor, &common).await,
        Command::Actors { command } => match command {
            Actors::Get { actor, common } => actors::get(&actor, &common).await,
        },
        Command::Drain { node, common } => drain::run(&node, &common).await,
        Command::Voters { command, common } => match command {
            None => voters::run(&common).await,
            Some(Voters::Add { chosen, common }) => chosen.run(Choice::Add, &common).await,
            Some(Voters::Remove { chosen, common }) => chosen.run(Choice::Remove, &common).await,
            Some(Voters::Auto { chosen, common }) => chosen.run(Choice::Auto, &common).await,
        },
        Command::Recover(wanted) => recover::run(&wanted),
    }
}
