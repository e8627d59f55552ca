//! Bare hosts that send each other what chance and time gave them.
//!
//! Every source of chance or time that a dependency could ask goes into datagrams and so into the
//! trace: the order of a `HashMap`, ring's generator, the environment's entropy, the wall clock, the
//! monotonic clock, and which branch of `select!` tokio takes. If one of them is not a function of the
//! seed, the hashes of two runs differ. It runs no node, so it also tells a fault of the harness from
//! one of the product.

use crate::harness::trace::event;
use crate::harness::{Run, Verdict};
use crate::nemesis::{Nemesis, Targets, draw};
use crate::world::{Boot, Machine, World};
use callboard::env::{Env, RecvMeta, Transmit, UdpSocket};
use rand::Rng;
use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs the world of a seed.
pub(super) fn run(run: Run) -> Verdict {
    let mut rng = run.seed.stream("chance");
    let mut world = World::new(run, 1500);
    let hosts = rng.random_range(3..=5);
    for number in 1..=hosts {
        world.add(
            Machine::new(format!("n{number}"), number),
            Box::new(move |boot| Box::pin(talk(boot, hosts))),
        );
    }
    let targets = Targets {
        machines: usize::from(hosts),
        start: LENGTH / 8,
        end: LENGTH * 3 / 4,
    };
    let mut nemesis = Nemesis::new(draw(&mut rng, &targets), targets.machines);
    while world.now() < LENGTH {
        if world.now() == targets.end {
            let _ = nemesis.calm(&mut world);
        }
        let _ = nemesis.act(&mut world);
        world.step();
    }
    Verdict::default()
}

async fn talk(boot: Boot, hosts: u8) {
    let socket = match boot.env.udp.bind(SocketAddr::new(boot.ip, PORT)) {
        Ok(socket) => socket,
        Err(error) => return event!("{} cannot bind: {error}", boot.name),
    };
    let mut tick = tokio::time::interval(Duration::from_millis(7));
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let text = ask(&boot.env);
                for number in 1..=hosts {
                    let to = SocketAddr::new(Ipv4Addr::new(10, 0, 0, number).into(), PORT);
                    if let Err(error) = socket.try_send(&Transmit::new(to, text.as_bytes())) {
                        event!("{} cannot send: {error}", boot.name);
                    }
                }
            }
            // Ready at the same time as the other branch now and then: tokio draws which one runs.
            len = receive(&socket) => event!("{} got {len} bytes", boot.name),
        }
    }
}

/// Asks everything that could give a different answer in another run.
fn ask(env: &Env) -> String {
    let map: HashMap<u32, u32> = (0..8).map(|n| (n, n)).collect();
    let order: Vec<u32> = map.keys().copied().collect();
    let mut ring_bytes = [0; 8];
    let ring = ring::rand::SystemRandom::new();
    let filled = ring::rand::SecureRandom::fill(&ring, &mut ring_bytes).is_ok();
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let start = Instant::now();
    let own = env.entropy.next_u64();
    format!(
        "{order:?} {ring_bytes:?} {filled} {wall:?} {start:?} {own} {:?} {:?}",
        env.clock.now(),
        env.clock.wall()
    )
}

async fn receive(socket: &Arc<dyn UdpSocket>) -> usize {
    let mut buffer = [0; 2048];
    let mut meta = [RecvMeta::default()];
    let received = std::future::poll_fn(|cx| {
        socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta)
    });
    received.await.map_or(0, |_| meta[0].len)
}

const PORT: u16 = 7000;
const LENGTH: Duration = Duration::from_secs(2);
