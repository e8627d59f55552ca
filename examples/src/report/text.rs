//! The lines that a person reads: a time, one word for what it is about, and the rest.
//!
//! Plain characters only, so that a log file reads like the terminal.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Event, Named, Second, Summary};
use crate::span;

/// The lines of an event, each with its line end.
pub(super) fn lines(at: Option<Duration>, event: &Event) -> String {
    let (word, rest) = match event {
        Event::Summary(summary) => return summary_lines(summary),
        Event::Started {
            nodes,
            rate,
            for_ms,
            script,
            directory,
        } => {
            return started_lines(*nodes, *rate, *for_ms, script, directory);
        }
        Event::Calls(second) => ("calls", calls(second)),
        event => plain(event),
    };
    line(at, word, &rest)
}

fn line(at: Option<Duration>, word: &str, rest: &str) -> String {
    let time = at.map_or_else(String::new, |at| format!("{:.2}s", at.as_secs_f64()));
    format!("{time:>8}  {word:<9} {rest}\n")
}

fn plain(event: &Event) -> (&'static str, String) {
    match event {
        Event::Up {
            node,
            addr,
            pid,
            took_ms,
        } => (
            "up",
            format!("{node} listens on {addr}, process {pid} ({took_ms} ms)"),
        ),
        Event::Agreed { nodes, took_ms } => {
            let took = span::brief(took_ms * 1_000);
            let see = match nodes.len() {
                1 => "sees nobody else",
                _ => "see each other",
            };
            (
                "members",
                format!("{} {see} ({took} later)", nodes.join(" ")),
            )
        }
        Event::Connected { took_ms } => (
            "client",
            format!("connected, over QUIC with mutual TLS ({took_ms} ms)"),
        ),
        Event::RoomOpened { node, number } => (
            "room",
            format!("room {number} spawned on {node}; its ref goes round with the calls"),
        ),
        Event::RoomLost { node, reason } => ("room", format!("gone with {node}: {reason}")),
        Event::Step { action, node } => ("script", format!("{action} {node}{}", signal(action))),
        Event::StepFailed { step, reason } => ("script", format!("FAILED: {step}: {reason}")),
        Event::Exited {
            node,
            how,
            expected: true,
        } => ("exited", format!("{node}: {how}")),
        Event::Exited {
            node,
            how,
            expected: false,
        } => ("exited", format!("{node}: {how} - nobody asked for that")),
        Event::Answers { node, took_ms } => {
            let took = span::brief(took_ms * 1_000);
            (
                "answers",
                format!("{node} takes calls again ({took} later)"),
            )
        }
        Event::Said { node, line } => ("says", format!("{node}: {line}")),
        Event::Draining { in_flight } => (
            "end",
            format!("no more calls; waiting for {in_flight} in flight"),
        ),
        Event::Interrupted { signal } => ("end", format!("{signal}: cleaning up")),
        event => placed(event),
    }
}

/// What is about the cluster and its carts.
fn placed(event: &Event) -> (&'static str, String) {
    match event {
        Event::Formed {
            took_ms,
            leader,
            owner,
        } => {
            let took = span::brief(took_ms * 1_000);
            let leads = leader.as_ref().map(|leader| format!("{leader} leads it, "));
            let leads = leads.unwrap_or_default();
            (
                "cluster",
                format!("formed: {leads}alice's cart is on {owner} ({took} later)"),
            )
        }
        Event::Recovered { keys, took_ms } => {
            let took = span::brief(took_ms * 1_000);
            let what = format!("all {keys} carts of the killed node answer again");
            ("carts", format!("{what} ({took} after the kill)"))
        }
        Event::Unanswered { what } => ("carts", format!("NO ANSWER: {what}")),
        Event::Finding { what } => ("TRACE", what.clone()),
        _ => unreachable!("written by the other functions"),
    }
}

fn signal(action: &str) -> &'static str {
    match action {
        "kill" => " with SIGKILL",
        "pause" => " with SIGSTOP",
        "resume" => " with SIGCONT",
        "partition" => " from the other nodes",
        "heal" => ": it reaches the other nodes again",
        _ => "",
    }
}

fn started_lines(nodes: usize, rate: u64, for_ms: u64, script: &str, directory: &str) -> String {
    let span = span::exact(Duration::from_millis(for_ms));
    let script = if script.is_empty() {
        "nothing goes wrong"
    } else {
        script
    };
    let processes = if nodes == 1 { "process" } else { "processes" };
    format!(
        "callboard cluster: {nodes} node {processes}, {rate} calls a second for {span}\n\
         script:    {script}\n\
         authority: {directory} (throw-away; removed at the end)\n\n"
    )
}

fn calls(second: &Second) -> String {
    let mut text = format!(
        "{:>6}/s  p50 {:>6}  p99 {:>6}  failed {}",
        second.ok,
        span::brief(second.p50_us),
        span::brief(second.p99_us),
        second.failed,
    );
    for (name, value) in [("refused", second.refused), ("retried", second.retried)] {
        if value > 0 {
            let _ = write!(text, "  {name} {value}");
        }
    }
    let _ = write!(text, "  room {}", second.actor_ok);
    if second.actor_failed > 0 {
        let _ = write!(text, " ({} failed)", second.actor_failed);
    }
    let _ = write!(text, "  carts {}", second.keyed_ok);
    if second.keyed_failed > 0 {
        let _ = write!(text, " ({} failed)", second.keyed_failed);
    }
    text.push_str("  |");
    for (node, answered) in &second.answered.0 {
        let answered = answered.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let _ = write!(text, "  {node} {answered:>4}");
    }
    text
}

fn summary_lines(summary: &Summary) -> String {
    let mut rows = vec![
        ("calls", count_row(summary)),
        ("latency", latency_row(summary)),
        ("answered", answered_row(summary)),
        ("room", room_row(summary)),
        ("carts", carts_row(summary)),
        ("turns", turns_row(summary)),
    ];
    if summary.outage_ms.max > 0 {
        rows.push(("outage", outage_row(summary)));
    }
    if !summary.errors.0.is_empty() {
        rows.push(("errors", errors_row(&summary.errors)));
    }
    for (whose, errors) in [
        ("room", &summary.actor_errors),
        ("carts", &summary.keyed_errors),
    ] {
        if !errors.0.is_empty() {
            rows.push(("", format!("{whose}: {}", errors_row(errors))));
        }
    }
    let steps = summary.steps_done + summary.steps_failed;
    if steps > 0 {
        rows.push((
            "script",
            format!("{} of {steps} steps carried out", summary.steps_done),
        ));
    }
    if let Some(assert) = &summary.assert {
        let outcome = if assert.holds {
            "holds"
        } else {
            "DOES NOT HOLD"
        };
        rows.push(("assert", format!("{outcome}: {}", assert.expression)));
        rows.extend(
            assert
                .untrue
                .iter()
                .map(|untrue| ("", format!("not true: {untrue}"))),
        );
    }
    let mut text = String::from("\nsummary\n");
    for (name, row) in rows {
        let _ = writeln!(text, "  {name:<9} {row}");
    }
    text
}

fn count_row(summary: &Summary) -> String {
    let mut row = format!(
        "{} issued = {} ok + {} failed + {} refused; {} retried; {}/s",
        summary.calls_issued,
        summary.calls_ok,
        summary.calls_failed,
        summary.calls_refused,
        summary.calls_retried,
        summary.calls_per_s,
    );
    if summary.calls_skipped > 0 {
        let _ = write!(row, "; {} due calls not begun", summary.calls_skipped);
    }
    if summary.calls_hung > 0 {
        let _ = write!(row, "; {} OUTLIVED THEIR DEADLINE", summary.calls_hung);
    }
    row
}

fn latency_row(summary: &Summary) -> String {
    format!(
        "p50 {}  p99 {}  slowest {}",
        span::brief(summary.p50_us),
        span::brief(summary.p99_us),
        span::brief(summary.slowest_us),
    )
}

fn answered_row(summary: &Summary) -> String {
    let all = summary.calls_ok.max(1);
    let shares = summary.answered.0.iter().map(|(name, count)| {
        let node = name.strip_prefix(Summary::ANSWERED).unwrap_or(name);
        format!("{node} {count} ({}%)", (count * 100 + all / 2) / all)
    });
    shares.collect::<Vec<_>>().join("  ")
}

fn room_row(summary: &Summary) -> String {
    format!(
        "{} issued = {} ok + {} failed + {} refused; p50 {}  p99 {}; opened {}",
        summary.actor_calls_issued,
        summary.actor_calls_ok,
        summary.actor_calls_failed,
        summary.actor_calls_refused,
        span::brief(summary.actor_p50_us),
        span::brief(summary.actor_p99_us),
        if summary.rooms_opened == 1 {
            "once".to_owned()
        } else {
            format!("{} times", summary.rooms_opened)
        },
    )
}

fn carts_row(summary: &Summary) -> String {
    let mut row = format!(
        "{} issued = {} ok + {} failed + {} refused; p50 {}  p99 {}",
        summary.keyed_calls_issued,
        summary.keyed_calls_ok,
        summary.keyed_calls_failed,
        summary.keyed_calls_refused,
        span::brief(summary.keyed_p50_us),
        span::brief(summary.keyed_p99_us),
    );
    if summary.carts_emptied > 0 {
        let _ = write!(row, "; {} came back empty", summary.carts_emptied);
    }
    if summary.keys_unanswered > 0 {
        let _ = write!(row, "; {} DO NOT ANSWER", summary.keys_unanswered);
    }
    if summary.failed_during_drain > 0 {
        let _ = write!(row, "; {} failed in a drain", summary.failed_during_drain);
    }
    row
}

fn turns_row(summary: &Summary) -> String {
    let mut row = format!(
        "{} traced, {} overlapping, {} under an older epoch; slots: {} moved, {} recovered",
        summary.turns,
        summary.overlapping_turns,
        summary.epoch_regressions,
        summary.moved_slots,
        summary.recovered_slots,
    );
    if summary.overlaps_of_paused > 0 {
        let _ = write!(
            row,
            "; {} overlaps of paused turns",
            summary.overlaps_of_paused
        );
    }
    row
}

fn outage_row(summary: &Summary) -> String {
    let outage = &summary.outage_ms;
    let ms = |ms: u64| span::brief(ms * 1_000);
    format!(
        "carts of killed nodes answered again within: half {}  p99 {}  all {}",
        ms(outage.p50),
        ms(outage.p99),
        ms(outage.max),
    )
}

fn errors_row(errors: &Named<u64>) -> String {
    let errors = errors
        .0
        .iter()
        .map(|(code, count)| format!("{code}: {count}"));
    errors.collect::<Vec<_>>().join(", ")
}
