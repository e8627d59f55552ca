use std::collections::BTreeMap;

use super::*;
use crate::garbage::Random;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn expired<T>(wheel: &mut TimerWheel<T>, now: Time) -> Vec<T> {
    std::iter::from_fn(|| wheel.pop_expired(now)).collect()
}

#[test]
fn a_timer_fires_at_the_first_whole_millisecond_and_not_before() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    wheel.insert(Time::from_nanos(1_000_001), "a");
    assert_eq!(wheel.next_deadline(), Some(ms(2)));
    assert_eq!(wheel.pop_expired(Time::from_nanos(1_999_999)), None);
    assert_eq!(wheel.pop_expired(ms(2)), Some("a"));
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn timers_of_one_millisecond_fire_in_the_order_they_were_set() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    // Set from far, from near and at the last moment: on three levels, for the same tick.
    wheel.insert(ms(10_000), 1);
    wheel.insert(ms(10_000), 2);
    assert_eq!(wheel.pop_expired(ms(9_980)), None);
    wheel.insert(ms(10_000), 3);
    assert_eq!(wheel.pop_expired(ms(9_990)), None);
    wheel.insert(ms(10_000), 4);
    wheel.insert(ms(9_991), 0);
    assert_eq!(expired(&mut wheel, ms(20_000)), [0, 1, 2, 3, 4]);
}

#[test]
fn a_removed_timer_does_not_fire_and_its_key_is_spent() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    let key = wheel.insert(ms(5), "a");
    assert_eq!(wheel.remove(key), Some("a"));
    assert_eq!(wheel.remove(key), None);
    assert_eq!(wheel.next_deadline(), None);
    let fired = wheel.insert(ms(5), "?");
    *wheel.get_mut(fired).expect("it waits") = "b";
    assert_eq!(wheel.pop_expired(ms(5)), Some("b"));
    assert_eq!(wheel.remove(fired), None);
    assert_eq!(wheel.get_mut(fired), None);
    assert!(wheel.is_empty());
}

#[test]
fn a_time_that_has_passed_fires_at_once() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    assert_eq!(wheel.pop_expired(ms(1000)), None);
    wheel.insert(ms(10), "late");
    assert_eq!(wheel.next_deadline(), Some(ms(1000)));
    assert_eq!(wheel.pop_expired(ms(1000)), Some("late"));
}

#[test]
fn timers_that_were_not_taken_stay_due() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    for n in 0..3 {
        wheel.insert(ms(5), n);
    }
    assert_eq!(wheel.pop_expired(ms(9)), Some(0));
    assert_eq!(wheel.len(), 2);
    assert_eq!(expired(&mut wheel, ms(9)), [1, 2]);
}

#[test]
fn the_end_of_time_is_a_timer_like_any_other() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    wheel.insert(Time::MAX, "never");
    wheel.insert(ms(1), "soon");
    assert_eq!(expired(&mut wheel, ms(u64::MAX / 2_000_000)), ["soon"]);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn following_the_deadlines_fires_a_far_timer_on_time_with_few_wakeups() {
    let mut wheel = TimerWheel::new(Time::ZERO);
    let at = ms(365 * 24 * 3600 * 1000 + 12_345);
    wheel.insert(at, "year");
    for _ in 0..LEVELS {
        let next = wheel.next_deadline().expect("a timer waits");
        assert!(next <= at);
        if let Some(value) = wheel.pop_expired(next) {
            assert_eq!((value, next), ("year", at));
            return;
        }
    }
    panic!("it never fired");
}

/// A moment at a distance that reaches every level the tests can turn through.
fn later(now: u64, random: &mut Random) -> u64 {
    let bits = random.below(30);
    now + random.next() % (1 << bits)
}

#[test]
fn random_operations_match_a_model_of_an_ordered_map() {
    for seed in 1..=30 {
        let mut random = Random::new(seed);
        let mut wheel = TimerWheel::new(Time::ZERO);
        let mut model: BTreeMap<(u64, u64), TimerKey> = BTreeMap::new();
        let mut gone = Vec::new();
        let mut now_ns = 0;
        for value in 0..3000 {
            match random.below(8) {
                0..4 => {
                    let now = now_ns / NANOS_IN_TICK;
                    let at = later(now, &mut random) * NANOS_IN_TICK + random.next() % 1_000_000;
                    let tick = at.div_ceil(NANOS_IN_TICK).max(now);
                    let key = wheel.insert(Time::from_nanos(at), (tick, value));
                    model.insert((tick, value), key);
                }
                4..6 => {
                    let from = (later(now_ns / NANOS_IN_TICK, &mut random), 0);
                    if let Some((&timer, &key)) = model.range(from..).next() {
                        assert_eq!(wheel.remove(key), Some(timer));
                        model.remove(&timer);
                        gone.push(key);
                    }
                }
                6 => {
                    if let Some(&key) = gone.get(random.below(gone.len().max(1))) {
                        assert_eq!(wheel.remove(key), None);
                    }
                }
                _ => {
                    now_ns = match wheel.next_deadline() {
                        Some(next) if random.below(2) == 0 => now_ns.max(next.as_nanos()),
                        _ => later(now_ns / NANOS_IN_TICK, &mut random) * NANOS_IN_TICK + 7,
                    };
                    let now = now_ns / NANOS_IN_TICK;
                    let waiting = model.split_off(&(now + 1, 0));
                    let due: Vec<(u64, u64)> = model.keys().copied().collect();
                    gone.extend(model.values());
                    model = waiting;
                    let fired: Vec<_> = expired(&mut wheel, Time::from_nanos(now_ns));
                    assert_eq!(fired, due, "seed {seed} at {now}");
                }
            }
            check_next_deadline(&wheel, &model, now_ns / NANOS_IN_TICK);
        }
    }
}

fn check_next_deadline(
    wheel: &TimerWheel<(u64, u64)>,
    model: &BTreeMap<(u64, u64), TimerKey>,
    now: u64,
) {
    assert_eq!(wheel.len(), model.len());
    let first = model.keys().next().map(|(tick, _)| ms(*tick));
    match (wheel.next_deadline(), first) {
        (Some(next), Some(first)) => assert!(next <= first && next >= ms(now)),
        (next, first) => assert_eq!(next, first),
    }
}
