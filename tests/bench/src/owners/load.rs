//! The load: every key is called all the time, one call after the other, and what each key has seen.
//!
//! A call that ends with an error is counted and made again, as a caller would; it ends no outage.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard::prelude::*;
use tokio::task::JoinSet;

use super::options::Pace;
use super::turns::{Answer, Carried, CarriedRef, Held, HeldRef};
use super::words::Keys;

/// A running load.
pub(crate) struct Load {
    keys: Vec<Arc<Mutex<Key>>>,
    counts: Arc<Mutex<Counts>>,
    ending: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

/// How the calls ended: each is in one of the three when the load has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) begun: u64,
    pub(crate) answered: u64,
    /// By code and name.
    pub(crate) failed: BTreeMap<String, u64>,
}

/// What is known of a key from its calls.
#[derive(Debug, Default)]
struct Key {
    number: u32,
    owner: Option<Answer>,
    /// When it answered last.
    last: Option<Instant>,
    /// When the call that is under way began.
    since: Option<Instant>,
    /// The longest that a call took.
    longest: Duration,
    /// How long nobody answered each time that another node did than before.
    moves: Vec<Move>,
    /// Set while its first answer after a loss is waited for.
    loss: Option<Loss>,
    /// How long that took.
    outage: Option<Duration>,
}

/// A key was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// From the last answer of the one to the first of the other.
    pub(crate) pause: Duration,
    /// When it was over.
    pub(crate) at: Instant,
    pub(crate) key: u32,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Nodes were killed.
#[derive(Debug)]
struct Loss {
    at: Instant,
    nodes: Vec<String>,
    /// The epoch under which the key was last seen: what a dead node has still sent has no higher one.
    epoch: u64,
}

impl Load {
    /// Begins to call, and returns when every key has answered.
    pub(crate) async fn start(client: &Client, keys: Keys, pace: Pace) -> Self {
        let mut load = Self {
            keys: Vec::new(),
            counts: Arc::default(),
            ending: Arc::default(),
            callers: JoinSet::new(),
        };
        for number in 0..pace.keys {
            let key = Arc::new(Mutex::new(Key {
                number,
                ..Key::default()
            }));
            load.keys.push(key.clone());
            let caller = Caller {
                target: match keys {
                    Keys::Held => Target::Held(client.actor::<Held>(number)),
                    Keys::Carried => Target::Carried(client.actor::<Carried>(number)),
                },
                key,
                counts: load.counts.clone(),
                ending: load.ending.clone(),
                pause: pace.pause,
            };
            // So that they do not all call at the same time.
            let first = pace.pause * number / pace.keys;
            load.callers.spawn(caller.call_on(first));
        }
        while load.keys.iter().any(|key| locked(key).owner.is_none()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        load
    }

    /// These nodes are lost at this moment: what any key answers from now on, and not from them, ends its
    /// outage.
    pub(crate) fn lose(&self, nodes: &[String]) {
        let at = Instant::now();
        for key in &self.keys {
            let mut key = locked(key);
            let epoch = key.owner.as_ref().map_or(0, |it| it.epoch);
            key.outage = None;
            key.loss = Some(Loss {
                at,
                nodes: nodes.to_vec(),
                epoch,
            });
        }
    }

    /// How long each key took since then, those of nodes that live included, once all have answered.
    pub(crate) fn outages(&self) -> Option<Vec<Duration>> {
        self.keys.iter().map(|key| locked(key).outage).collect()
    }

    /// Which keys were taken over by another node, and how long each was without an answer, the pause
    /// between two calls included. Forgets them.
    pub(crate) fn take_moves(&self) -> Vec<Move> {
        let moves = self
            .keys
            .iter()
            .map(|it| std::mem::take(&mut locked(it).moves));
        moves.flatten().collect()
    }

    /// How many calls have failed so far.
    pub(crate) fn failures(&self) -> u64 {
        locked(&self.counts).failures()
    }

    /// Forgets how long calls took; those under way begin anew.
    pub(crate) fn forget(&self) {
        let now = Instant::now();
        for key in &self.keys {
            let mut key = locked(key);
            key.longest = Duration::ZERO;
            key.since = key.since.map(|_| now);
        }
    }

    /// The longest that a call of any key took since then, or takes already.
    pub(crate) fn longest(&self) -> Duration {
        let longest = self.keys.iter().map(|key| {
            let key = locked(key);
            let waits = key.since.map_or(Duration::ZERO, |it| it.elapsed());
            key.longest.max(waits)
        });
        longest.max().unwrap_or_default()
    }

    /// Begins no more calls, waits for those under way, and counts.
    pub(crate) async fn end(mut self) -> Counts {
        self.ending.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        locked(&self.counts).clone()
    }
}

/// What is called.
enum Target {
    Held(HeldRef),
    Carried(CarriedRef),
}

/// Who calls one key.
struct Caller {
    target: Target,
    key: Arc<Mutex<Key>>,
    counts: Arc<Mutex<Counts>>,
    ending: Arc<AtomicBool>,
    pause: Duration,
}

impl Caller {
    async fn call_on(self, first: Duration) {
        tokio::time::sleep(first).await;
        for call in 1u32.. {
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
            locked(&self.counts).begun += 1;
            locked(&self.key).since = Some(Instant::now());
            // Some turns last, so that one is often under way when something happens to its node.
            let rest_ms = if call.is_multiple_of(LONG_EVERY) {
                LONG_MS
            } else {
                0
            };
            let ended = self.target.touch(rest_ms).await;
            let now = Instant::now();
            let answered = match ended {
                Ok(answer) => {
                    locked(&self.counts).answered += 1;
                    locked(&self.key).answered(answer, now);
                    true
                }
                Err(error) => {
                    let code = format!("{} {}", error.code(), error.code().name());
                    *locked(&self.counts).failed.entry(code).or_default() += 1;
                    false
                }
            };
            let pause = if answered { self.pause } else { AGAIN_AFTER };
            tokio::time::sleep(pause).await;
        }
    }
}

impl Target {
    async fn touch(&self, rest_ms: u32) -> Result<Answer, CallError> {
        match self {
            Self::Held(key) => key.touch(rest_ms).timeout(DEADLINE).await,
            Self::Carried(key) => key.touch(rest_ms).timeout(DEADLINE).await,
        }
    }
}

impl Key {
    fn answered(&mut self, answer: Answer, now: Instant) {
        if let Some(since) = self.since.take() {
            self.longest = self.longest.max(now - since);
        }
        let is_late = |loss: &Loss| loss.nodes.contains(&answer.node) && answer.epoch <= loss.epoch;
        if let Some(loss) = self.loss.take_if(|loss| !is_late(loss)) {
            self.outage = Some(now - loss.at);
        }
        let before = self.owner.replace(answer).zip(self.last.replace(now));
        let owner = self.owner.as_ref();
        if let Some((before, last)) = before
            && let Some(owner) = owner.filter(|it| it.node != before.node)
        {
            self.moves.push(Move {
                pause: now - last,
                at: now,
                key: self.number,
                from: before.node,
                to: owner.node.clone(),
            });
        }
    }
}

impl Counts {
    /// Those that were not answered, whatever their error.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts stay true whatever a task that held them did.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer than any profile offered takes to give a slot to another node.
const DEADLINE: Duration = Duration::from_secs(20);

const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// One turn in so many lasts.
const LONG_EVERY: u32 = 8;

const LONG_MS: u32 = 5;

const LOOK_EVERY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(node: &str, epoch: u64) -> Answer {
        let node = node.to_owned();
        Answer { node, epoch }
    }

    #[test]
    fn an_outage_ends_with_an_answer_that_is_not_of_the_life_that_was_killed() {
        let at = Instant::now();
        let mut key = Key::default();
        key.answered(of("n1", 3), at);
        key.loss = Some(Loss {
            at,
            nodes: vec!["n1".to_owned()],
            epoch: 3,
        });
        key.answered(of("n1", 3), at + Duration::from_millis(1));
        assert_eq!(key.outage, None, "the dead node had sent it before");
        key.answered(of("n2", 4), at + Duration::from_millis(900));
        key.answered(of("n2", 4), at + Duration::from_millis(950));
        assert_eq!(key.outage, Some(Duration::from_millis(900)));
    }

    #[test]
    fn a_move_lasts_from_the_last_answer_of_one_to_the_first_of_the_other() {
        let at = Instant::now();
        let mut key = Key::default();
        key.answered(of("n1", 3), at);
        key.answered(of("n1", 3), at + Duration::from_millis(10));
        key.answered(of("n2", 4), at + Duration::from_millis(35));
        key.answered(of("n2", 4), at + Duration::from_millis(99));
        let pauses: Vec<_> = key.moves.iter().map(|it| it.pause).collect();
        assert_eq!(pauses, [Duration::from_millis(25)]);
    }

    #[test]
    fn the_node_that_was_killed_may_answer_in_its_next_life() {
        let at = Instant::now();
        let mut key = Key {
            loss: Some(Loss {
                at,
                nodes: vec!["n1".to_owned()],
                epoch: 3,
            }),
            ..Key::default()
        };
        key.answered(of("n1", 4), at + Duration::from_millis(70));
        assert_eq!(key.outage, Some(Duration::from_millis(70)));
    }
}
