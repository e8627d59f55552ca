//! Which of several nodes to ask: the better of two chosen at random, by latency and load.
//!
//! Two random choices avoid both the crowding of "always the best" and the blindness of
//! round robin. (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.) The
//! cost of a node is its latency times the calls that it has to answer before ours; latency is a
//! moving average that rises at once and falls slowly, as in Finagle's `PeakEwma`.
//!
//! A caller that makes one call at a time finds every node idle. Its calls then spread in
//! proportion to the nodes' speeds: were the faster always taken, one slow reply to the first call
//! would send all the others elsewhere, and nobody would ever find out that it was chance.

use std::time::Duration;

use crate::time::Time;

/// What is known about the load of one choice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Load {
    /// Calls that this caller sent it and that it has not answered.
    pub in_flight: usize,
    /// Its latency, from [`Latency::get`]; zero when nothing was measured.
    pub latency: Duration,
}

impl Load {
    /// Returns the expected time until a further call is answered, in nanoseconds.
    #[must_use]
    pub fn cost(&self) -> u128 {
        let waiting = self.in_flight as u128;
        if self.latency.is_zero() && waiting > 0 {
            // Not measured, and the first calls are out: one is enough until it has answered.
            return UNMEASURED_COST.saturating_mul(waiting);
        }
        self.latency
            .max(NOISE)
            .as_nanos()
            .saturating_mul(waiting + 1)
    }

    fn is_measured_and_idle(&self) -> bool {
        self.in_flight == 0 && !self.latency.is_zero()
    }
}

/// Chooses one of `len` by two loads and a random number, and returns its index.
///
/// Returns nothing when there is no choice. The number's halves pick two different candidates, and
/// only their loads are asked for; of one choice, not even that. If both are idle, each is taken with
/// a chance in inverse proportion to its cost: one that is ten times slower gets a tenth of the calls.
/// Otherwise the cheaper is taken, the first one on a tie.
#[must_use]
pub fn choose(len: usize, random: u64, mut load: impl FnMut(usize) -> Load) -> Option<usize> {
    let (first, second) = candidates(len, random)?;
    if first == second {
        return Some(first);
    }
    let (a, b) = (load(first), load(second));
    let takes_second = if a.is_measured_and_idle() && b.is_measured_and_idle() {
        // The lowest bits had no part in the choice of the candidates: that is by the highest.
        let share = u128::from(random & 0xffff);
        share.saturating_mul(a.cost().saturating_add(b.cost())) < a.cost() << 16
    } else {
        b.cost() < a.cost()
    };
    Some(if takes_second { second } else { first })
}

/// Returns the two candidates among `len` choices that [`choose`] compares, which are the same
/// when there is only one choice.
#[must_use]
pub fn candidates(len: usize, random: u64) -> Option<(usize, usize)> {
    match len {
        0 => None,
        1 => Some((0, 0)),
        _ => {
            let first = below(random >> 32, len);
            // One of the others: those from `first` on move up by one.
            let other = below(random & 0xffff_ffff, len - 1);
            Some((first, if other < first { other } else { other + 1 }))
        }
    }
}

/// A moving average of latencies that rises at once and falls slowly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Latency {
    average_nanos: u64,
    observed_at: Time,
    half_life: Duration,
}

impl Latency {
    /// Makes an average of nothing. `half_life` is the time in which an old value loses half of its
    /// weight: 1 s suits calls of milliseconds.
    #[must_use]
    pub const fn new(half_life: Duration) -> Self {
        Self {
            average_nanos: 0,
            observed_at: Time::ZERO,
            half_life,
        }
    }

    /// Takes in the latency of a call that was answered at `now`.
    ///
    /// What the average has above a faster answer it loses by its age, and half of it in any case:
    /// a few fast answers make a slow one forgotten, however soon they come. With a quarter for a
    /// half, one in 70 callers that make 400 calls one at a time had one of two equal hosts answer
    /// more than 70 % of them; without, one in 7.
    pub fn observe(&mut self, latency: Duration, now: Time) {
        let nanos = nanos_of(latency);
        self.average_nanos = if nanos >= self.average_nanos {
            nanos
        } else {
            let above = self.average_nanos - nanos;
            self.mixed(nanos, now).min(self.average_nanos - above / 2)
        };
        self.observed_at = self.observed_at.max(now);
    }

    /// Returns the average at `now`. It falls towards zero while nothing is observed, so that a
    /// node that was slow once is tried again.
    #[must_use]
    pub fn get(&self, now: Time) -> Duration {
        Duration::from_nanos(self.mixed(0, now))
    }

    /// Mixes a smaller value into the average, with the more weight the older the average is: what
    /// the average has above the value halves with each half-life.
    ///
    /// Between two halvings it falls in a straight line: close to the curve, without floating point.
    fn mixed(&self, nanos: u64, now: Time) -> u64 {
        let age = nanos_of(now.saturating_since(self.observed_at));
        if age == 0 {
            // Of what was read together. Divisions cost more than all the rest of it.
            return self.average_nanos.max(nanos);
        }
        let half_life = nanos_of(self.half_life).max(1);
        let above = self.average_nanos.saturating_sub(nanos);
        let halvings = u32::try_from(age / half_life).unwrap_or(u32::MAX);
        let whole = above.checked_shr(halvings).unwrap_or(0);
        let left = whole - scaled(whole / 2, age % half_life, half_life);
        nanos.saturating_add(left)
    }
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns `value × part / whole`, for a part that is not more than the whole.
fn scaled(value: u64, part: u64, whole: u64) -> u64 {
    match value.checked_mul(part) {
        Some(product) => product / whole,
        // It fits again after the division.
        None => (u128::from(value) * u128::from(part) / u128::from(whole)) as u64,
    }
}

impl Default for Latency {
    /// With a half-life of 1 s: a node that stood still for 3 s is among the fast ones again after
    /// 12 s without a further slow call.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

/// Maps 32 random bits to a number below `len`, without the cost of a division.
/// (Lemire, "Fast Random Integer Generation in an Interval", 2019, without its rejection step.)
fn below(random: u64, len: usize) -> usize {
    let product = u128::from(random) * len as u128;
    usize::try_from(product >> 32).expect("it is less than a usize")
}

/// Latencies below this are equal: what tells them apart is chance, and the one that looks fastest
/// would get most of the calls.
const NOISE: Duration = Duration::from_millis(1);

/// What a call costs that waits at a node without a measured latency, in nanoseconds: 1 s.
const UNMEASURED_COST: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::garbage::Random;

    fn load(in_flight: usize, latency_ms: u64) -> Load {
        Load {
            in_flight,
            latency: Duration::from_millis(latency_ms),
        }
    }

    fn of(loads: &[Load], random: u64) -> Option<usize> {
        choose(loads.len(), random, |index| loads[index])
    }

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn of_none_there_is_no_choice_and_of_one_only_this() {
        assert_eq!(choose(0, 7, |_| unreachable!("there is none")), None);
        assert_eq!(
            choose(1, u64::MAX, |_| unreachable!("there is one")),
            Some(0)
        );
    }

    #[test]
    fn of_two_that_are_busy_the_cheaper_is_always_taken() {
        let mut random = Random::new(1);
        for _ in 0..1000 {
            assert_eq!(of(&[load(4, 10), load(0, 20)], random.next()), Some(1));
            assert_eq!(of(&[load(1, 10), load(1, 20)], random.next()), Some(0));
        }
    }

    #[test]
    fn of_idle_ones_each_is_taken_in_proportion_to_its_speed() {
        let mut random = Random::new(5);
        let mut share = |loads: &[Load]| {
            let mut taken = vec![0; loads.len()];
            for _ in 0..10_000 {
                taken[of(loads, random.next()).expect("a choice")] += 1;
            }
            taken
        };
        let [fast, slow] = share(&[load(0, 10), load(0, 90)])[..] else {
            panic!("two choices");
        };
        assert!((800..1200).contains(&slow), "{fast} {slow}");
        // What is below a millisecond is equal, wherever it stands in the list.
        for count in [2, 3, 40] {
            let mut loads = vec![load(0, 1); count];
            loads[0].latency = Duration::from_micros(80);
            let taken = share(&loads);
            let even = 10_000 / count;
            let close = |taken: &usize| taken.abs_diff(even) < even / 4;
            assert!(taken.iter().all(close), "{taken:?}");
        }
    }

    /// Replies of two equal hosts to calls that are made one at a time, each after the last.
    #[test]
    fn calls_one_at_a_time_spread_over_equal_hosts_in_spite_of_slow_replies() {
        for seed in 1..=200u64 {
            // Seeds far apart: the generator's first numbers after small ones are alike.
            let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut hosts = [Latency::default(); 2];
            let (mut taken, mut nanos) = ([0; 2], 0);
            for call in 0..400 {
                let now = Time::from_nanos(nanos);
                let loads = hosts.map(|host| Load {
                    in_flight: 0,
                    latency: host.get(now),
                });
                let host = of(&loads, random.next()).expect("two hosts");
                taken[host] += 1;
                // The first call finds nothing warm; one in fifty waits for a busy machine.
                let micros = match random.next() % 50 {
                    _ if call == 0 => 15_000,
                    0 => 1_000 + random.next() % 15_000,
                    _ => 200 + random.next() % 200,
                };
                nanos += micros * 1000;
                hosts[host].observe(Duration::from_micros(micros), Time::from_nanos(nanos));
            }
            let fair = 400 * 3 / 10..=400 * 7 / 10;
            assert!(fair.contains(&taken[0]), "seed {seed}: {taken:?}");
        }
    }

    #[test]
    fn candidates_differ_and_reach_every_pair() {
        let mut random = Random::new(2);
        let mut seen = [[false; 5]; 5];
        for _ in 0..2000 {
            let (a, b) = candidates(5, random.next()).expect("five choices");
            assert_ne!(a, b);
            seen[a][b] = true;
        }
        let pairs = seen.iter().flatten().filter(|seen| **seen).count();
        assert_eq!(pairs, 20);
    }

    #[test]
    fn an_unmeasured_node_gets_one_call_and_no_more_before_it_answers() {
        let mut random = Random::new(3);
        assert_eq!(of(&[load(0, 5), load(0, 0)], random.next()), Some(1));
        assert_eq!(of(&[load(0, 5), load(1, 0)], random.next()), Some(0));
    }

    #[test]
    fn calls_spread_evenly_over_equal_nodes_and_away_from_a_slow_one() {
        let mut random = Random::new(4);
        let mut loads = [load(0, 10), load(0, 10), load(0, 10), load(0, 100)];
        for _ in 0..4000 {
            let chosen = of(&loads, random.next()).expect("four choices");
            loads[chosen].in_flight += 1;
        }
        let [a, b, c, slow] = loads.map(|load| load.in_flight);
        assert!(a.abs_diff(b) < 20 && b.abs_diff(c) < 20, "{a} {b} {c}");
        assert!(slow < a / 5, "{slow} on the slow one, {a} on another");
    }

    #[test]
    fn latency_rises_at_once_and_falls_slowly() {
        let mut latency = Latency::new(Duration::from_secs(10));
        latency.observe(Duration::from_millis(10), ms(0));
        latency.observe(Duration::from_millis(100), ms(1));
        assert_eq!(latency.get(ms(1)), Duration::from_millis(100));
        latency.observe(Duration::from_millis(20), ms(2));
        assert_eq!(latency.get(ms(2)), Duration::from_millis(60));
        latency.observe(Duration::from_millis(20), ms(10_002));
        assert_eq!(latency.get(ms(10_002)).as_millis(), 40);
    }

    #[test]
    fn a_few_fast_answers_make_a_slow_one_forgotten() {
        let mut latency = Latency::default();
        latency.observe(Duration::from_millis(10), ms(0));
        for _ in 0..4 {
            latency.observe(Duration::from_millis(1), ms(0));
        }
        assert!(latency.get(ms(0)) < Duration::from_micros(1600));
    }

    #[test]
    fn a_node_that_is_not_asked_gets_cheaper() {
        let mut latency = Latency::new(Duration::from_secs(10));
        latency.observe(Duration::from_secs(1), ms(0));
        assert_eq!(latency.get(ms(10_000)), Duration::from_millis(500));
        assert!(latency.get(Time::MAX) < Duration::from_micros(1));
        // A time that goes back changes nothing.
        latency.observe(Duration::from_secs(2), ms(5_000));
        assert_eq!(latency.get(ms(0)), Duration::from_secs(2));
    }
}
