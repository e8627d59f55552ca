//! What runs on a machine: a node that hosts and calls, or a client that calls.

use super::super::cluster::{EXPECT, pick, start};
use super::board::{Board, Phase};
use super::callers::Caller;
use super::cart::{Cart, Till};
use crate::harness::sometimes::sometimes;
use crate::harness::trace::event;
use crate::ledger::MachineNumber;
use crate::world::Boot;
use callboard::admin::{VoterChoice, VoterError};
use callboard::{Client, Code, Node};
use rand::Rng;
use rand::rngs::SmallRng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Runs the program of a machine until it leaves, its power fails, or the world ends.
pub(super) async fn run(board: Arc<Board>, machine: MachineNumber, boot: Boot) {
    board.set_leaving(machine, false);
    if boot.restarts == 0 {
        tokio::time::sleep(board.setup.first_boot[machine]).await;
    }
    match board.setup.is_node(machine) {
        true => run_node(board, machine, boot).await,
        false => run_client(board, machine, boot).await,
    }
}

async fn run_node(board: Arc<Board>, machine: MachineNumber, boot: Boot) {
    let setup = &board.setup;
    let make = || {
        let node = Node::builder()
            .listen(setup.addr(machine))
            .seed(setup.addr(if machine == 0 { 1 } else { 0 }))
            .identity(setup.identity(machine))
            .data_dir("/data")
            .profile(setup.profile)
            .slots(setup.slots)
            .voter_gone_max(setup.gone_max)
            .host::<Cart>()
            .host::<Till>()
            .grace(GRACE)
            .env(boot.env.clone());
        match machine < EXPECT {
            true => node.bootstrap_expect(u32::try_from(EXPECT).unwrap_or(u32::MAX)),
            false => node,
        }
    };
    let node = Arc::new(start(&boot.name, make).await);
    event!("{} is up", boot.name);
    let keys = (0..setup.keys).map(|key| format!("k{key}"));
    let caller = Caller {
        board: board.clone(),
        machine,
        carts: keys.clone().map(|key| node.actor::<Cart>(key)).collect(),
        tills: keys.map(|key| node.actor::<Till>(key)).collect(),
    };
    board.set_node(machine, &node);
    start_calling(&caller, &boot);
    if setup.chooses {
        let name = format!("choices of {}, boot {}", boot.name, boot.restarts);
        tokio::spawn(choose(board.clone(), machine, board.seed.stream(&name)));
    }
    while !board.is_leaving(machine) {
        board.ask(machine);
        tokio::time::sleep(TELL_EVERY).await;
    }
    let drained = {
        let mut drain = std::pin::pin!(node.drain(DRAIN_MAX));
        loop {
            tokio::select! {
                biased;
                drained = &mut drain => break drained,
                () = tokio::time::sleep(TELL_EVERY) => drop(board.ask(machine)),
            }
        }
    };
    match drained {
        Ok(()) => {
            sometimes!("a-machine-left-in-good-order");
            if has_forwarded(&node.metrics()) {
                sometimes!("a-send-went-along");
            }
        }
        // It still acts, and would while it stops, when nobody could ask it any more. Its power fails later.
        Err(error) => {
            event!("{} is not drained: {error}", boot.name);
            loop {
                board.ask(machine);
                tokio::time::sleep(TELL_EVERY).await;
            }
        }
    }
    // A turn that ends asks it for a moment only.
    match Arc::into_inner(node) {
        Some(node) => node.stop().await,
        None => panic!("nothing else holds a node"),
    }
    let mut state = board.state();
    state.said.remove(&machine);
    state.left.insert(machine);
    event!("{} has left", boot.name);
}

/// While there are faults: has nodes vote, or not, whenever this one leads.
async fn choose(board: Arc<Board>, machine: MachineNumber, mut rng: SmallRng) {
    loop {
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..3000))).await;
        if board.state().phase != Phase::Storm {
            return;
        }
        let name = board.setup.name(rng.random_range(0..board.setup.nodes));
        let choices = [VoterChoice::Add, VoterChoice::Remove, VoterChoice::Auto];
        let choice = *pick(&mut rng, &choices);
        let leads = |node: &Arc<Node>| node.position().leads.is_some();
        let Some(node) = board.node(machine).filter(leads) else {
            continue;
        };
        let chosen = node.choose_voter(name.clone(), choice);
        drop(node);
        let chosen = tokio::time::timeout(CHOOSE_MAX, chosen).await;
        event!("{choice:?} is chosen for {name}: {chosen:?}");
        match chosen {
            Ok(Ok(())) => sometimes!("a-voter-was-chosen"),
            Ok(Err(VoterError::Refused { .. })) => sometimes!("a-choice-was-refused"),
            _ => {}
        }
    }
}

/// Returns whether a node has forwarded sends, by its metrics.
fn has_forwarded(metrics: &str) -> bool {
    let lines = metrics.lines();
    let mut counts = lines.filter_map(|it| it.strip_prefix("callboard_sends_forwarded_total "));
    counts.any(|count| count.trim() != "0")
}

async fn run_client(board: Arc<Board>, machine: MachineNumber, boot: Boot) {
    let setup = &board.setup;
    let client = loop {
        let connected = Client::builder()
            .bind(SocketAddr::new(boot.ip, 0))
            .seeds((0..setup.nodes).map(|node| setup.addr(node)))
            .identity(setup.identity(machine))
            .env(boot.env.clone())
            .wait(CONNECT_WAIT)
            .connect()
            .await;
        match connected {
            Ok(client) => break client,
            Err(error) if error.code() != Code::SeedUnreachable => {
                panic!("{} did not start: {error}", boot.name)
            }
            Err(error) => event!("{} did not connect: {error}", boot.name),
        }
    };
    event!("{} is up", boot.name);
    let keys = (0..setup.keys).map(|key| format!("k{key}"));
    let caller = Caller {
        board: board.clone(),
        machine,
        carts: keys.clone().map(|key| client.actor::<Cart>(key)).collect(),
        tills: keys.map(|key| client.actor::<Till>(key)).collect(),
    };
    start_calling(&caller, &boot);
    while !board.is_leaving(machine) {
        tokio::time::sleep(TELL_EVERY).await;
    }
    client.close().await;
    board.state().left.insert(machine);
    event!("{} has left", boot.name);
}

fn start_calling(caller: &Caller, boot: &Boot) {
    let name = format!("worker of {}, boot {}", boot.name, boot.restarts);
    let rng = caller.board.seed.stream(&name);
    tokio::spawn(caller.clone().work(rng));
    let name = format!("letters of {}, boot {}", boot.name, boot.restarts);
    tokio::spawn(caller.clone().post(caller.board.seed.stream(&name)));
    tokio::spawn(caller.clone().ask());
}

/// How often a node says how it stands.
const TELL_EVERY: Duration = Duration::from_millis(1);

/// How long a node that leaves may take for that.
const DRAIN_MAX: Duration = Duration::from_secs(8);

/// How long an answer to a choice is waited for.
const CHOOSE_MAX: Duration = Duration::from_secs(2);

/// How long turns that run may take when their node stops.
const GRACE: Duration = Duration::from_secs(2);

const CONNECT_WAIT: Duration = Duration::from_millis(500);
