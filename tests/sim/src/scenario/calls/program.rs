//! What runs on a machine: a node that hosts and calls, or a client that calls.

use super::board::Board;
use super::hosted::{ECHO_MAILBOX, Echo, EchoRef, LOG_MAILBOX, Log, LogRef};
use super::operation::Caller;
use super::probe;
use super::watcher;
use super::worker::Worker;
use crate::harness::sometimes::sometimes;
use crate::harness::trace::event;
use crate::ledger::{Event, MachineNumber, Usage};
use crate::world::Boot;
use callboard::prelude::*;
use callboard::{Code, Held};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Runs the program of a machine until it leaves, its power fails, or the world ends.
pub(super) async fn run(board: Arc<Board>, machine: MachineNumber, boot: Boot) {
    board.set_leaving(machine, false);
    if boot.restarts > 0 {
        sometimes!("a-machine-came-back");
    } else {
        tokio::time::sleep(board.setup.first_boot[machine]).await;
    }
    if board.setup.is_node(machine) {
        run_node(board, machine, boot).await;
    } else {
        run_client(board, machine, boot).await;
    }
}

async fn run_node(board: Arc<Board>, machine: MachineNumber, boot: Boot) {
    let node = Node::builder()
        .listen(board.setup.addr(machine))
        .seed(board.setup.addr(if machine == 0 { 1 } else { 0 }))
        .identity(board.setup.identity(machine))
        .config(board.setup.config())
        .call_limits(board.setup.call_limits())
        .env(boot.env.clone());
    let hosted = board.clone();
    let node = if machine < board.setup.hosts {
        node.host_with(move |_| Echo {
            board: hosted.clone(),
            on: machine,
        })
    } else {
        node
    };
    let node = match node.start().await {
        Ok(node) => node,
        // The address is free and the identity valid: a refusal is a fault of the product.
        Err(error) => panic!("{} did not start: {error}", boot.name),
    };
    event!("{} is up", boot.name);
    let group = node.supervisor(board.setup.strategy);
    let logs = (0..board.setup.actors).map(|place| {
        let (board, number) = (board.clone(), board.number());
        group.spawn_with(move |_| Log::new(board.clone(), machine, number, place))
    });
    board.publish(machine, &logs.collect::<Vec<_>>());
    let echo = node.service::<Echo>();
    live(board, machine, boot, Part::Node(node), echo).await;
}

async fn run_client(board: Arc<Board>, machine: MachineNumber, boot: Boot) {
    let client = loop {
        let seeds = (0..board.setup.nodes).map(|node| board.setup.addr(node));
        let connected = Client::builder()
            .bind(SocketAddr::new(boot.ip, 0))
            .seeds(seeds)
            .identity(board.setup.identity(machine))
            .config(board.setup.config())
            .call_limits(board.setup.call_limits())
            .env(boot.env.clone())
            .wait(CONNECT_WAIT)
            .connect()
            .await;
        match connected {
            Ok(client) => break client,
            Err(error) if error.code() != Code::SeedUnreachable => {
                panic!("{} did not start: {error}", boot.name)
            }
            Err(error) => {
                sometimes!("a-client-did-not-connect-at-once");
                event!("{} did not connect: {error}", boot.name);
            }
        }
    };
    event!("{} is up", boot.name);
    let echo = client.service::<Echo>();
    live(board, machine, boot, Part::Client(client), echo).await;
}

/// Calls, and says what is held, until the machine is asked to leave.
async fn live(board: Arc<Board>, machine: MachineNumber, boot: Boot, part: Part, echo: EchoRef) {
    let seat = Arc::new(Seat(Mutex::new(Some(part))));
    let attach = seat.clone();
    let caller = Caller {
        board: board.clone(),
        machine,
        echo,
        attach: Arc::new(move |log| attach.attach(log)),
    };
    start_calling(&caller, &boot);
    while !board.is_leaving(machine) {
        tokio::time::sleep(HELD_EVERY).await;
        if let Some(usage) = seat.usage() {
            board.ledger.record(Event::Held { machine, usage });
        }
    }
    match seat.take() {
        Some(Part::Node(node)) => node.stop().await,
        Some(Part::Client(client)) => client.close().await,
        None => {}
    }
    sometimes!("a-machine-left-in-good-order");
    event!("{} has left", boot.name);
}

/// What a machine runs.
enum Part {
    Node(Node),
    Client(Client),
}

/// Where the callers of a machine find what it runs, until it leaves.
struct Seat(Mutex<Option<Part>>);

impl Seat {
    fn attach(&self, log: LogRef) -> LogRef {
        match &*self.part() {
            Some(Part::Node(node)) => node.attach(log),
            Some(Part::Client(client)) => client.attach(log),
            None => log,
        }
    }

    fn usage(&self) -> Option<Usage> {
        Some(match self.part().as_ref()? {
            Part::Node(node) => held(node.usage(), node.mailboxes()),
            Part::Client(client) => held(client.usage(), client.mailboxes()),
        })
    }

    fn take(&self) -> Option<Part> {
        self.part().take()
    }

    fn part(&self) -> MutexGuard<'_, Option<Part>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn start_calling(caller: &Caller, boot: &Boot) {
    let board = &caller.board;
    for worker in 0..board.setup.workers {
        let name = format!("worker {worker} of {}, boot {}", boot.name, boot.restarts);
        tokio::spawn(Worker::new(caller.clone(), board.seed.stream(&name)).run());
    }
    let name = format!("watcher of {}, boot {}", boot.name, boot.restarts);
    tokio::spawn(watcher::run(caller.clone(), board.seed.stream(&name)));
    tokio::spawn(probe::run(caller.clone()));
}

/// Joins what the node says it holds with the bounds of the mailboxes, which the definitions state.
fn held(held: Vec<Held>, mailboxes: Vec<(String, u64)>) -> Usage {
    let mut gauges: Vec<_> = held
        .into_iter()
        .map(|held| (held.what, held.now, held.most))
        .collect();
    for (name, depth) in mailboxes {
        gauges.push(if name == "Echo" {
            ("messages for Echo", depth, ECHO_MAILBOX as u64)
        } else {
            ("messages for a Log", depth, LOG_MAILBOX as u64)
        });
    }
    Usage { gauges }
}

/// How often a machine writes down what it holds.
const HELD_EVERY: Duration = Duration::from_millis(100);
const CONNECT_WAIT: Duration = Duration::from_millis(150);
