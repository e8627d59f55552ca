//! A notice board: the program of a tutorial in the book, which readers put into a crate of their own.

// ANCHOR: all
use std::{env, error::Error, io::IsTerminal};

use callboard::prelude::*;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

// ANCHOR: messages
/// What hangs on a board.
#[derive(Clone, Debug, PartialEq, Wire)]
pub struct Notice {
    who: String,
    text: String,
}

/// Why a board does not take a notice.
#[derive(Clone, Debug, PartialEq, Wire)]
pub enum NotTaken {
    Empty,
    Full { most: u32 },
}
// ANCHOR_END: messages

// ANCHOR: board
/// A board: an actor, because it has state.
#[derive(Default, Actor)]
pub struct Board {
    notices: Vec<Notice>,
}

#[handlers]
impl Board {
    /// Pins a notice and returns how many there are.
    pub fn pin(&mut self, notice: Notice) -> Result<u32, NotTaken> {
        if notice.text.is_empty() {
            return Err(NotTaken::Empty);
        }
        if self.notices.len() == 3 {
            return Err(NotTaken::Full { most: 3 });
        }
        self.notices.push(notice);
        Ok(self.notices.len() as u32)
    }

    /// Returns all notices.
    pub fn read(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    /// Panics, as a bug would.
    pub fn burn(&mut self) {
        panic!("the board is on fire");
    }
}
// ANCHOR_END: board

// ANCHOR: hall
/// Knows the board. A service: it has no state that a call could change.
#[derive(Service)]
pub struct Hall {
    board: BoardRef,
}

#[handlers]
impl Hall {
    /// Returns the ref of the board, which works on every node and in every client.
    #[handler(idempotent)]
    pub fn board(&self) -> BoardRef {
        self.board.clone()
    }
}
// ANCHOR_END: hall

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    show_log();
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["host", listen] => host(listen).await,
        ["join", seed] => join(seed).await,
        [order, seed, ref words @ ..] => {
            let client = Client::connect(seed).await?;
            let board = client.service::<Hall>().board().await?;
            println!("{}", carry_out(order, words, &board).await);
            client.close().await;
            Ok(())
        }
        _ => Err(
            "host ADDRESS | join ADDRESS | pin ADDRESS WHO TEXT | read ADDRESS | burn ADDRESS"
                .into(),
        ),
    }
}
// ANCHOR_END: main

// ANCHOR: logs
/// Writes warnings to stderr, or what `RUST_LOG` asks for.
fn show_log() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // No colours in a file.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
// ANCHOR_END: logs

// ANCHOR: host
/// Hosts the hall, with one board, until Ctrl-C.
async fn host(listen: &str) -> Result<(), Box<dyn Error>> {
    let node = Node::builder()
        .name("hall")
        .listen(listen)
        .host_with(|ctx: &Ctx<Hall>| Hall {
            board: ctx.spawn::<Board>(),
        })
        .start()
        .await?;
    println!("the hall is open at {}", node.local_addr());
    tokio::signal::ctrl_c().await?;
    tokio::select! {
        () = node.stop() => Ok(()),
        again = tokio::signal::ctrl_c() => again.map(|()| std::process::exit(130))?,
    }
}
// ANCHOR_END: host

// ANCHOR: join
/// Joins as a node that hosts nothing, and says when the board will not be there any more.
async fn join(seed: &str) -> Result<(), Box<dyn Error>> {
    let node = Node::builder().name("guard").seed(seed).start().await?;
    let board = node.service::<Hall>().board().await?;
    println!("watching the board");
    println!(
        "the board is down: {}",
        callboard::watch(&board).await.reason
    );
    node.stop().await;
    Ok(())
}
// ANCHOR_END: join

// ANCHOR: orders
/// Does with the board what the command line says, and returns what came of it.
async fn carry_out(order: &str, words: &[&str], board: &BoardRef) -> String {
    match (order, words) {
        ("pin", [who, text]) => {
            let (who, text) = (who.to_string(), text.to_string());
            match board.pin(Notice { who, text }).await {
                Ok(count) => format!("pinned, number {count}"),
                Err(HandlerError::App(why)) => format!("not taken: {why:?}"),
                Err(HandlerError::Call(error)) => format!("no answer: {error}"),
            }
        }
        ("read", []) => match board.read().await {
            Ok(notices) if notices.is_empty() => "the board is empty".to_string(),
            Ok(notices) => {
                let lines = notices
                    .iter()
                    .map(|notice| format!("{}: {}", notice.who, notice.text));
                lines.collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("no answer: {error}"),
        },
        ("burn", []) => match board.burn().await {
            Ok(()) => "it does not burn".to_string(),
            Err(error) => format!("no answer: {error}"),
        },
        _ => format!("`{order}` with {} words is no order", words.len()),
    }
}
// ANCHOR_END: orders
// ANCHOR_END: all
