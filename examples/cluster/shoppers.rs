//! The shoppers: many carts that are called at a steady rate through the same client, one of them far
//! more than the others; and what is seen of each cart from here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callboard::prelude::*;
use callboard_examples::outages::Outages;
use callboard_examples::pacing::paced;
use callboard_examples::report::Summary;
use callboard_examples::tally::Tally;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cart::{Basket, Cart, CartRef};
use crate::load::{Pace, begun, ending_of, errors, locked};

/// Whose cart is called most; a script's `owner` is the node that has it.
pub(crate) const HOT: &str = "alice";

/// How long a call to a cart may take: longer than it takes until another node has the slots of one
/// that was lost together with the leader, for every profile offered.
pub(crate) const KEYED_DEADLINE: Duration = Duration::from_secs(8);

/// All carts, and what they answered.
#[derive(Debug)]
pub(crate) struct Shoppers {
    carts: Vec<(String, CartRef)>,
    reprice_every: usize,
    pub(crate) tally: Mutex<Tally>,
    outages: Mutex<Outages>,
    used: Mutex<BTreeSet<usize>>,
    /// When each cart was born, and how often one was born anew.
    born: Mutex<(BTreeMap<String, u64>, u64)>,
    began: Instant,
}

/// How many calls the shoppers make.
#[derive(Debug, Default)]
struct Order {
    call: usize,
    other: usize,
}

impl Shoppers {
    /// Names the carts, one call in `reprice_every` of which will be a long one. Nothing is called.
    pub(crate) fn new(client: &Client, count: usize, reprice_every: usize) -> Arc<Self> {
        let others = (1..count).map(|number| format!("shopper-{number}"));
        let names = std::iter::once(HOT.to_owned()).chain(others);
        // ANCHOR: refs
        let carts = names.map(|name| (name.clone(), client.actor::<Cart>(name)));
        // ANCHOR_END: refs
        Arc::new(Self {
            carts: carts.collect(),
            reprice_every,
            tally: Mutex::default(),
            outages: Mutex::default(),
            used: Mutex::default(),
            born: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Calls the carts until `ending` turns true: every tenth time the hot one, else one after the other.
    pub(crate) async fn shop(self: Arc<Self>, pace: Pace, ending: watch::Receiver<bool>) {
        let mut order = Order::default();
        let begin = |due: Instant, calls: &mut JoinSet<()>| {
            if !begun(&self.tally, pace.in_flight_max) {
                return;
            }
            let cart = order.next(self.carts.len());
            let reprices = order.call.is_multiple_of(self.reprice_every);
            locked(&self.used).insert(cart);
            calls.spawn(self.clone().call(cart, reprices, due));
        };
        paced((pace.rate as f64 / KEYED_SHARE).max(1.0), ending, begin).await;
    }

    /// A node is killed at this moment: its carts are called at once, so that their first answers come
    /// as soon as there is somebody to give them. Returns how many they are.
    pub(crate) fn killed(
        self: &Arc<Self>,
        node: &str,
        tasks: &mut JoinSet<()>,
        ending: &watch::Sender<bool>,
    ) -> usize {
        let keys = locked(&self.outages).killed(node, self.began.elapsed());
        let keys: BTreeSet<String> = keys.into_iter().collect();
        for (cart, _) in self.of(&keys) {
            let (this, ending) = (self.clone(), ending.subscribe());
            locked(&self.tally).issue();
            tasks.spawn(async move {
                this.call(cart, false, Instant::now()).await;
                // Held until now, so that the end waits for the answer.
                drop(ending);
            });
        }
        keys.len()
    }

    /// Calls each cart that was ever called once more, all at the same time, and returns the names of
    /// those that have not answered within the time.
    pub(crate) async fn ask_all(self: &Arc<Self>, within: Duration) -> Vec<String> {
        let mut asked = JoinSet::new();
        let used = std::mem::take(&mut *locked(&self.used));
        for cart in used {
            let this = self.clone();
            asked.spawn(async move {
                let (key, actor) = this.carts.get(cart)?;
                let began = this.began.elapsed();
                match actor.put("tea", 1).timeout(within).await {
                    Ok(basket) => {
                        this.answered(key, &basket, began);
                        None
                    }
                    Err(error) => Some(format!("{key}: {error}")),
                }
            });
        }
        let unanswered = asked.join_all().await.into_iter().flatten();
        unanswered.collect()
    }

    /// The node that answered for the hot cart last.
    pub(crate) fn owner(&self) -> Option<String> {
        locked(&self.outages).owner(HOT).map(str::to_owned)
    }

    /// How many carts of killed nodes have not answered since.
    pub(crate) fn waiting(&self) -> usize {
        locked(&self.outages).waiting()
    }

    /// Writes the totals into `summary`.
    pub(crate) fn sum_up(&self, summary: &mut Summary) {
        let tally = locked(&self.tally);
        let total = tally.total();
        summary.keyed_calls_issued = total.issued;
        summary.keyed_calls_ok = total.ok;
        summary.keyed_calls_failed = total.failed;
        summary.keyed_calls_refused = total.refused;
        summary.keyed_p50_us = total.quantile_us(0.50);
        summary.keyed_p99_us = total.quantile_us(0.99);
        summary.keyed_errors = errors(&tally);
        summary.carts_emptied = locked(&self.born).1;
        summary.outage_ms = locked(&self.outages).outage();
    }

    async fn call(self: Arc<Self>, cart: usize, reprices: bool, due: Instant) {
        let Some((key, actor)) = self.carts.get(cart) else {
            return;
        };
        let began = self.began.elapsed();
        // ANCHOR: call
        let answer = if reprices {
            actor.reprice().timeout(KEYED_DEADLINE).await
        } else {
            actor.put("tea", 2).timeout(KEYED_DEADLINE).await
        };
        // ANCHOR_END: call
        if let Ok(basket) = &answer {
            self.answered(key, basket, began);
        }
        let ending = ending_of(answer.map(|basket| basket.node), due);
        locked(&self.tally).end(ending);
    }

    fn answered(&self, key: &str, basket: &Basket, began: Duration) {
        let now = self.began.elapsed();
        locked(&self.outages).answered(key, &basket.node, began, now);
        let (born, anew) = &mut *locked(&self.born);
        match born.get_mut(key) {
            // An answer of the cart before may come late.
            Some(before) if *before >= basket.born_ns => {}
            Some(before) => {
                *before = basket.born_ns;
                *anew += 1;
            }
            None => {
                born.insert(key.to_owned(), basket.born_ns);
            }
        }
    }

    fn of(&self, keys: &BTreeSet<String>) -> impl Iterator<Item = (usize, &str)> {
        let carts = self.carts.iter().enumerate();
        let named = carts.map(|(index, (key, _))| (index, key.as_str()));
        named.filter(|(_, key)| keys.contains(*key))
    }
}

impl Order {
    /// Which cart is called next, of so many.
    fn next(&mut self, carts: usize) -> usize {
        self.call += 1;
        if self.call.is_multiple_of(HOT_EVERY) || carts == 1 {
            return 0;
        }
        self.other = self.other % (carts - 1) + 1;
        self.other
    }
}

/// One call to a cart for this many to the Greeter.
const KEYED_SHARE: f64 = 4.0;

/// One call in so many is to the hot cart.
const HOT_EVERY: usize = 10;
