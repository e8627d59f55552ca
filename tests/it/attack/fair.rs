//! What the others notice of an attack.
//!
//! Other clients offer a stated load, so many calls a second whatever becomes of them, in turns with
//! and without the attack, which has a stated rate too. What is compared is how many of the calls were
//! answered rightly in time. It is not the peak: with attacker, node and callers on the same two
//! cores, a peak would measure the cores that the attacker's own work takes from the node. At
//! the stated load both have cores left, and what is lost then, the node has lost: calls that it refused,
//! forgot, or kept behind the attacker's.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use callboard::prelude::*;
use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;

use super::target::{BankRef, Target};

/// The share of the calls that has to be answered with an attack, of those without.
const SHARE: f64 = 0.9;

/// What two clients offer together.
const CALLS_A_SECOND: u32 = 500;
const WINDOW: Duration = Duration::from_millis(600);
const ROUNDS: u64 = 2;
const IN_TIME: Duration = Duration::from_secs(1);

/// What the node may have more in its memory after an attack than before.
const GROWTH_BYTES: u64 = 64 << 20;

/// Clients that behave.
pub struct Others<'a> {
    target: &'a Target,
    clients: Vec<Client>,
    banks: Vec<BankRef>,
}

impl<'a> Others<'a> {
    pub async fn new(target: &'a Target) -> Self {
        let clients = vec![target.connect("ada").await, target.connect("grace").await];
        let banks = clients
            .iter()
            .map(|client| client.service::<super::target::Bank>());
        let others = Self {
            target,
            banks: banks.collect(),
            clients,
        };
        // What is made on first use is no growth.
        others.offer().await;
        others
    }

    pub fn bank(&self) -> &BankRef {
        &self.banks[0]
    }

    /// Runs an attack in turns with peace, and compares what becomes of the others' calls and of the
    /// node's memory. `blow` is called so many times a second, one after the other; it gets the
    /// number of the blow and panics if it was not parried. Returns how many there were.
    pub async fn endure<F: Future<Output = ()>>(
        &self,
        what: &str,
        blows_a_second: u32,
        blow: impl Fn(u64) -> F,
    ) -> u64 {
        let before = self.target.resident_bytes();
        let (mut peace, mut war, mut blows) = (0, 0, 0);
        for _ in 0..ROUNDS {
            peace += self.offer().await;
            let over = AtomicBool::new(false);
            let offered = async {
                let answered = self.offer().await;
                over.store(true, Ordering::Relaxed);
                answered
            };
            let attack = async {
                let mut tick = tokio::time::interval(Duration::from_secs(1) / blows_a_second);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !over.load(Ordering::Relaxed) {
                    tick.tick().await;
                    blow(blows).await;
                    blows += 1;
                }
            };
            war += tokio::join!(offered, attack).0;
        }
        let share = f64::from(war) / f64::from(peace.max(1));
        let grown = self.target.resident_bytes().saturating_sub(before);
        println!(
            "{what}: {blows} blows; others had {war} of {peace} calls answered; {} KiB more",
            grown >> 10
        );
        assert!(share >= SHARE, "{what}: {war} of {peace} calls of others");
        assert!(grown <= GROWTH_BYTES, "{what}: {} MiB more", grown >> 20);
        blows
    }

    /// Offers the load for a window; returns how many calls were answered rightly in time.
    async fn offer(&self) -> u32 {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / CALLS_A_SECOND);
        // A late tick is made up for: the number of calls offered is always the same.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let calls = CALLS_A_SECOND * u32::try_from(WINDOW.as_millis()).expect("short") / 1000;
        let mut offered = Vec::new();
        for number in 0..u64::from(calls) {
            tick.tick().await;
            let bank = self.banks[number as usize % self.banks.len()].clone();
            offered.push(tokio::spawn(async move {
                bank.echo(number).timeout(IN_TIME).await == Ok(number)
            }));
        }
        let answered = join_all(offered).await;
        answered
            .into_iter()
            .filter(|right| matches!(right, Ok(true)))
            .count() as u32
    }

    pub async fn leave(self) {
        for client in self.clients {
            client.close().await;
        }
    }
}
