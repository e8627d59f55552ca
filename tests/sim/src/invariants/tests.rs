//! Every promise is shown events that break it, and the same events without the fault.

use super::Court;
use crate::ledger::{Event, Ledger, Outcome, Usage, Work};
use callboard_protocol::code::Code;
use callboard_protocol::supervision::Strategy;
use std::time::Duration;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Shows the events to all invariants of a world of one machine; returns which one is broken by
/// `end`.
fn broken_by(events: &[(u64, Event)], end: u64) -> Option<String> {
    broken_in(Court::new(1), events, end)
}

fn broken_in(mut court: Court, events: &[(u64, Event)], end: u64) -> Option<String> {
    let ledger = Ledger::default();
    for (at, event) in events {
        crate::harness::trace::set_now(ms(*at));
        ledger.record(event.clone());
        if let Err(failure) = court.judge(&ledger, ms(*at)) {
            return Some(failure.invariant);
        }
    }
    court
        .judge(&ledger, ms(end))
        .err()
        .map(|failure| failure.invariant)
}

fn issued(token: u64) -> Event {
    Event::Issued {
        token,
        what: "Echo/echo",
        by: 0,
        deadline: ms(100),
        is_idempotent: false,
        work: Work::EndsWithCaller,
    }
}

/// A call of an actor that waits at most until `deadline`.
fn asked(token: u64, work: Work, deadline: u64) -> Event {
    Event::Issued {
        token,
        what: "Log/append",
        by: 0,
        deadline: ms(deadline),
        is_idempotent: false,
        work,
    }
}

fn finished(token: u64) -> Event {
    Event::Finished { token, on: 0 }
}

fn failed(token: u64, code: Code) -> Event {
    Event::Ended {
        token,
        outcome: Outcome::Failed { code },
    }
}

fn started(token: u64) -> Event {
    Event::Started { token, on: 0 }
}

#[test]
fn a_call_that_ends_in_time_breaks_nothing() {
    let events = [
        (1, issued(1)),
        (5, started(1)),
        (6, Event::Finished { token: 1, on: 0 }),
        (
            9,
            Event::Ended {
                token: 1,
                outcome: Outcome::Answered { echo: 1 },
            },
        ),
    ];
    assert_eq!(broken_by(&events, 1000), None);
}

#[test]
fn a_call_that_never_ends_is_found() {
    let broken = broken_by(&[(1, issued(1))], 106);
    assert_eq!(broken.as_deref(), Some("every-call-ends-by-its-deadline"));
}

#[test]
fn a_call_of_a_paused_machine_may_end_when_it_goes_on() {
    let events = [
        (1, issued(1)),
        (
            50,
            Event::Paused {
                machine: 0,
                until: ms(300),
            },
        ),
    ];
    assert_eq!(broken_by(&events, 305), None);
    assert_eq!(
        broken_by(&events, 306).as_deref(),
        Some("every-call-ends-by-its-deadline")
    );
}

#[test]
fn a_call_dies_with_its_machine() {
    let events = [(1, issued(1)), (50, Event::Crashed { machine: 0 })];
    assert_eq!(broken_by(&events, 1000), None);
}

#[test]
fn a_run_that_was_denied_is_found_in_either_order() {
    let before = [
        (1, issued(1)),
        (2, started(1)),
        (3, failed(1, Code::NoHost)),
    ];
    let after = [
        (1, issued(1)),
        (2, failed(1, Code::NoHost)),
        (3, started(1)),
    ];
    for events in [before, after] {
        assert_eq!(
            broken_by(&events, 4).as_deref(),
            Some("an-error-tells-the-truth")
        );
    }
    let honest = [
        (1, issued(1)),
        (2, started(1)),
        (3, failed(1, Code::PeerLost)),
    ];
    assert_eq!(broken_by(&honest, 4), None);
}

#[test]
fn a_reply_to_the_wrong_call_is_found() {
    let wrong = Event::Ended {
        token: 1,
        outcome: Outcome::Answered { echo: 2 },
    };
    let broken = broken_by(&[(1, issued(1)), (2, wrong)], 3);
    assert_eq!(broken.as_deref(), Some("no-reply-reaches-the-wrong-call"));
}

#[test]
fn a_second_run_is_found_unless_it_is_harmless() {
    let broken = broken_by(&[(1, issued(1)), (2, started(1)), (3, started(1))], 4);
    assert_eq!(broken.as_deref(), Some("nothing-runs-twice"));
    let harmless = Event::Issued {
        token: 1,
        what: "Echo/echo",
        by: 0,
        deadline: ms(100),
        is_idempotent: true,
        work: Work::EndsWithCaller,
    };
    assert_eq!(
        broken_by(&[(1, harmless), (2, started(1)), (3, started(1))], 4),
        None
    );
}

#[test]
fn a_message_that_overtakes_another_is_found_and_a_gap_is_fine() {
    let arrived = |sequence| Event::Arrived {
        token: sequence,
        actor: 7,
        sender: 1,
        sequence,
    };
    assert_eq!(broken_by(&[(1, arrived(1)), (2, arrived(3))], 3), None);
    let broken = broken_by(&[(1, arrived(3)), (2, arrived(2))], 3);
    assert_eq!(broken.as_deref(), Some("order-is-kept-per-pair"));
    let broken = broken_by(&[(1, arrived(3)), (2, arrived(3))], 3);
    assert_eq!(broken.as_deref(), Some("order-is-kept-per-pair"));
}

#[test]
fn a_stream_with_a_gap_or_an_early_end_is_found() {
    let item = |index| Event::Item { token: 1, index };
    let gap = broken_by(&[(1, item(0)), (2, item(2))], 3);
    let early = broken_by(
        &[(
            1,
            Event::StreamEnded {
                token: 1,
                items: 1,
                wanted: 2,
            },
        )],
        3,
    );
    assert_eq!(gap.as_deref(), Some("streams-have-no-gaps"));
    assert_eq!(early.as_deref(), Some("streams-have-no-gaps"));
}

#[test]
fn work_that_goes_on_after_its_call_was_dropped_is_found() {
    let recovered = Event::Recovered { machine: 0 };
    let dropped = [
        (1, Event::Calmed),
        (2, recovered),
        (3, issued(1)),
        (4, started(1)),
        (50, Event::Dropped { token: 1 }),
    ];
    assert_eq!(broken_by(&dropped, 5001), None);
    assert_eq!(
        broken_by(&dropped, 5002).as_deref(),
        Some("dropped-work-stops")
    );
}

#[test]
fn a_turn_alone_on_a_machine_that_stands_still_may_end_when_it_goes_on() {
    let paused = Event::Paused {
        machine: 0,
        until: ms(9000),
    };
    let dropped = [
        (6000, asked(1, Work::RunsToItsEnd, 7000)),
        (6000, started(1)),
        (6001, paused),
        (6002, Event::Dropped { token: 1 }),
    ];
    assert_eq!(broken_by(&dropped, 9250), None);
    assert_eq!(
        broken_by(&dropped, 9251).as_deref(),
        Some("dropped-work-stops")
    );
}

#[test]
fn a_turn_that_begins_after_its_caller_has_gone_is_found() {
    let begins = |at| {
        [
            (1, Event::Calmed),
            (6000, asked(1, Work::RunsToItsEnd, 9000)),
            (7000, Event::Dropped { token: 1 }),
            (at, started(1)),
            (at + 1, finished(1)),
        ]
    };
    assert_eq!(broken_by(&begins(7250), 7300), None);
    assert_eq!(
        broken_by(&begins(7251), 7300).as_deref(),
        Some("dropped-work-stops")
    );
}

#[test]
fn a_turn_alone_that_had_begun_runs_on_but_waits_no_longer_than_its_deadline() {
    let dropped = [
        (1, Event::Calmed),
        (6000, asked(1, Work::RunsToItsEnd, 9000)),
        (6001, started(1)),
        (6002, Event::Dropped { token: 1 }),
    ];
    assert_eq!(broken_by(&dropped, 9251), None);
    assert_eq!(
        broken_by(&dropped, 9252).as_deref(),
        Some("dropped-work-stops")
    );
}

#[test]
fn the_deadline_of_a_call_that_was_long_under_way_counts_from_its_arrival() {
    let ended = [
        (5000, asked(1, Work::RunsToItsEnd, 12_000)),
        (5500, Event::Calmed),
        (5501, Event::Recovered { machine: 0 }),
        (5501, started(1)),
        (12_000, Event::Dropped { token: 1 }),
    ];
    assert_eq!(broken_by(&ended, 12_751), None);
    assert_eq!(
        broken_by(&ended, 12_752).as_deref(),
        Some("dropped-work-stops")
    );
}

#[test]
fn a_send_is_not_over_when_it_was_handed_over_but_at_its_deadline() {
    let sent = Event::Ended {
        token: 1,
        outcome: Outcome::Sent,
    };
    let begins = |at| {
        [
            (1, Event::Calmed),
            (6000, asked(1, Work::Sent, 7000)),
            (6000, sent.clone()),
            (at, started(1)),
            (at + 1, finished(1)),
        ]
    };
    assert_eq!(broken_by(&begins(7250), 7300), None);
    assert_eq!(
        broken_by(&begins(7251), 7300).as_deref(),
        Some("dropped-work-stops")
    );
}

#[test]
fn a_turn_that_begins_after_the_machine_of_its_caller_was_lost_is_found() {
    let begins = |at| {
        let by_another = Event::Issued {
            token: 1,
            what: "Log/append",
            by: 1,
            deadline: ms(9000),
            is_idempotent: false,
            work: Work::RunsToItsEnd,
        };
        [
            (1, by_another),
            (2, Event::Crashed { machine: 1 }),
            (2, Event::Calmed),
            (at, started(1)),
            (at + 1, finished(1)),
        ]
    };
    assert_eq!(broken_by(&begins(5002), 5100), None);
    assert_eq!(
        broken_by(&begins(5003), 5100).as_deref(),
        Some("dropped-work-stops")
    );
}

/// An incarnation of an actor that is in the place of its number.
fn began(actor: u64, strategy: Strategy) -> Event {
    Event::Began {
        actor,
        on: 0,
        place: usize::try_from(actor).unwrap_or(usize::MAX),
        strategy,
    }
}

/// Lets the second of three actors fail, and those begin anew that are named.
fn broken_by_restart(strategy: Strategy, restarted: &[u64]) -> Option<String> {
    let mut events: Vec<_> = (1..4).map(|actor| (1, began(actor, strategy))).collect();
    events.push((50, Event::Failing { actor: 2 }));
    events.extend(restarted.iter().map(|&actor| (60, began(actor, strategy))));
    broken_by(&events, 301)
}

#[test]
fn a_sibling_that_is_not_restarted_and_one_that_should_not_be_are_found() {
    let restarts = [
        (Strategy::OneForOne, vec![2]),
        (Strategy::OneForAll, vec![1, 2, 3]),
        (Strategy::RestForOne, vec![2, 3]),
    ];
    for (strategy, right) in restarts {
        assert_eq!(broken_by_restart(strategy, &right), None, "{strategy:?}");
        let one_less = &right[..right.len() - 1];
        assert_eq!(
            broken_by_restart(strategy, one_less).as_deref(),
            Some("a-group-restarts-together"),
            "{strategy:?}"
        );
    }
    assert_eq!(
        broken_by_restart(Strategy::RestForOne, &[1, 2, 3]).as_deref(),
        Some("a-group-restarts-together")
    );
}

#[test]
fn an_aborted_turn_restarts_its_actor_alone() {
    let strategy = Strategy::OneForAll;
    let aborted = |again: u64| {
        [
            (1, began(1, strategy)),
            (1, began(2, strategy)),
            (50, Event::Aborted { actor: 1 }),
            (50, began(again, strategy)),
        ]
    };
    assert_eq!(broken_by(&aborted(1), 301), None);
    assert_eq!(
        broken_by(&aborted(2), 301).as_deref(),
        Some("a-group-restarts-together")
    );
}

#[test]
fn a_watch_that_does_not_fire_is_found() {
    let watching = Event::Watching {
        watch: 9,
        by: 0,
        on: 1,
    };
    let lost = Event::Crashed { machine: 1 };
    let told = Event::Watched {
        watch: 9,
        is_down: true,
    };
    let silent = [(1, watching.clone()), (2, lost.clone())];
    assert_eq!(broken_by(&silent, 5003).as_deref(), Some("a-watch-fires"));
    assert_eq!(
        broken_by(&[(1, watching), (2, lost), (3000, told)], 9000),
        None
    );
}

#[test]
fn holding_more_than_the_bound_is_found() {
    let held = |held| Event::Held {
        machine: 0,
        usage: Usage {
            gauges: vec![("slots", held, 8)],
        },
    };
    assert_eq!(broken_by(&[(1, held(8))], 2), None);
    assert_eq!(
        broken_by(&[(1, held(9))], 2).as_deref(),
        Some("bounds-hold")
    );
}

#[test]
fn holding_anything_after_quiet_is_found() {
    let held = |held| Event::Held {
        machine: 0,
        usage: Usage {
            gauges: vec![("slots", held, 8)],
        },
    };
    assert_eq!(
        broken_by(&[(1, held(1)), (2, Event::Quiet), (1000, held(0))], 2002),
        None
    );
    let broken = broken_by(&[(1, held(1)), (2, Event::Quiet), (1000, held(1))], 2002);
    assert_eq!(broken.as_deref(), Some("nothing-leaks"));
}

#[test]
fn a_machine_that_does_not_recover_and_a_failure_afterwards_are_found() {
    let late = broken_by(&[(1, Event::Calmed)], 12_002);
    assert_eq!(late.as_deref(), Some("everything-answers-again"));
    let events = [
        (1, Event::Calmed),
        (2, Event::Recovered { machine: 0 }),
        (3, issued(1)),
        (4, failed(1, Code::PeerLost)),
    ];
    assert_eq!(
        broken_by(&events, 5).as_deref(),
        Some("everything-answers-again")
    );
}

#[test]
fn a_send_that_is_lost_while_all_that_changes_is_planned_is_found() {
    let sent = |token| Event::Issued {
        token,
        what: "Cart/note (send)",
        by: 0,
        deadline: ms(100),
        is_idempotent: false,
        work: Work::Sent,
    };
    let taken = |token| Event::Ended {
        token,
        outcome: Outcome::Sent,
    };
    let ran = |token| Event::Started { token, on: 0 };
    let broken = |events: &[Event]| {
        let events: Vec<_> = events.iter().cloned().map(|it| (10, it)).collect();
        broken_in(Court::of_owners(), &events, 1000)
    };
    let lost = Some("what-is-planned-loses-no-send".to_owned());
    assert_eq!(broken(&[Event::Orderly, sent(1), taken(1)]), lost);
    assert_eq!(broken(&[Event::Orderly, sent(1), taken(1), ran(1)]), None);
    assert_eq!(broken(&[Event::Orderly, sent(1), ran(1), taken(1)]), None);
    assert_eq!(broken(&[sent(1), taken(1)]), None, "there are faults");
    let leaving = Event::Leaving { machine: 0 };
    let left = [Event::Orderly, sent(1), taken(1), leaving];
    assert_eq!(broken(&left), None, "its sender leaves");
}
