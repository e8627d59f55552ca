use super::*;

const MS_100: Duration = Duration::from_millis(100);

fn supervisor(strategy: Strategy) -> Supervisor<char> {
    let mut supervisor = Supervisor::new(strategy);
    for key in ['c', 'a', 'b'] {
        start(&mut supervisor, key);
    }
    supervisor
}

fn start(supervisor: &mut Supervisor<char>, key: char) {
    let backoff = Backoff {
        jitter_percent: 0,
        ..Backoff::default()
    };
    supervisor.child_started(key, Intensity::default(), backoff);
}

fn restart(children: &str, delay: Duration) -> Decision<char> {
    Decision::Restart {
        children: children.chars().collect(),
        delay,
    }
}

fn give_up(children: &str) -> Decision<char> {
    Decision::GiveUp {
        children: children.chars().collect(),
    }
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

#[test]
fn one_for_one_restarts_the_failed_child_alone() {
    let mut supervisor = supervisor(Strategy::OneForOne);
    assert_eq!(
        supervisor.child_failed(&'a', ms(0), 0),
        restart("a", MS_100)
    );
    assert_eq!(supervisor.children().collect::<String>(), "cab");
}

#[test]
fn one_for_all_restarts_all_in_the_order_they_were_started() {
    let mut supervisor = supervisor(Strategy::OneForAll);
    assert_eq!(
        supervisor.child_failed(&'a', ms(0), 0),
        restart("cab", MS_100)
    );
}

#[test]
fn rest_for_one_restarts_the_child_and_the_younger_ones() {
    let mut supervisor = supervisor(Strategy::RestForOne);
    assert_eq!(
        supervisor.child_failed(&'a', ms(0), 0),
        restart("ab", MS_100)
    );
}

#[test]
fn a_failure_of_a_child_that_waits_for_its_restart_is_ignored() {
    let mut supervisor = supervisor(Strategy::OneForAll);
    supervisor.child_failed(&'a', ms(0), 0);
    assert_eq!(supervisor.child_failed(&'b', ms(99), 0), Decision::Ignore);
    assert_eq!(supervisor.child_failed(&'x', ms(99), 0), Decision::Ignore);
    // From its start on it counts again, with a longer wait.
    assert_eq!(
        supervisor.child_failed(&'b', ms(100), 0),
        restart("cab", 2 * MS_100)
    );
}

#[test]
fn a_child_that_waits_for_its_own_restart_is_not_started_twice() {
    let mut supervisor = supervisor(Strategy::RestForOne);
    assert_eq!(
        supervisor.child_failed(&'b', ms(0), 0),
        restart("b", MS_100)
    );
    assert_eq!(
        supervisor.child_failed(&'a', ms(1), 0),
        restart("a", 2 * MS_100)
    );
}

#[test]
fn one_for_one_gives_up_the_child_that_failed_too_often_and_keeps_the_others() {
    let mut supervisor = supervisor(Strategy::OneForOne);
    for at in 0..5 {
        let decision = supervisor.child_failed(&'a', ms(at * 1900), 0);
        assert!(matches!(decision, Decision::Restart { .. }), "{decision:?}");
    }
    assert_eq!(
        supervisor.child_failed(&'b', ms(9500), 0),
        restart("b", MS_100)
    );
    assert_eq!(supervisor.child_failed(&'a', ms(9500), 0), give_up("a"));
    assert_eq!(supervisor.children().collect::<String>(), "cb");
    assert_eq!(supervisor.child_failed(&'a', ms(9600), 0), Decision::Ignore);
}

#[test]
fn together_they_give_up_after_too_many_failures_of_any() {
    for (strategy, given_up, left) in [
        (Strategy::OneForAll, "cab", ""),
        (Strategy::RestForOne, "ab", "c"),
    ] {
        let mut supervisor = supervisor(strategy);
        for (at, key) in (0..).zip(['a', 'b', 'c', 'a', 'b']) {
            let decision = supervisor.child_failed(&key, ms(at * 1900), 0);
            assert!(matches!(decision, Decision::Restart { .. }), "{decision:?}");
        }
        assert_eq!(
            supervisor.child_failed(&'a', ms(9500), 0),
            give_up(given_up)
        );
        assert_eq!(supervisor.children().collect::<String>(), left);
    }
}

#[test]
fn a_child_that_ended_on_purpose_is_forgotten() {
    let mut supervisor = supervisor(Strategy::OneForAll);
    assert!(supervisor.child_ended(&'c'));
    assert!(!supervisor.child_ended(&'c'));
    assert_eq!(
        supervisor.child_failed(&'b', ms(0), 0),
        restart("ab", MS_100)
    );
    // Started again it is the youngest.
    start(&mut supervisor, 'c');
    assert_eq!(supervisor.children().collect::<String>(), "abc");
}

#[test]
fn a_known_child_keeps_its_place_and_takes_new_settings() {
    let mut supervisor = supervisor(Strategy::OneForOne);
    supervisor.child_started('c', Intensity::new(0, MS_100), Backoff::default());
    assert_eq!(supervisor.children().collect::<String>(), "cab");
    assert_eq!(supervisor.child_failed(&'c', ms(0), 0), give_up("c"));
}
