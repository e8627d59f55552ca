//! The same events as text and as JSON.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no test panics while it writes")
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn said(format: Format, at: Option<Duration>, event: &Event) -> String {
    let out = Shared::default();
    Reporter::new(format, out.clone())
        .say(at, event)
        .expect("memory takes everything");
    let bytes = out
        .0
        .lock()
        .expect("no test panics while it writes")
        .clone();
    String::from_utf8(bytes).expect("text is UTF-8")
}

fn nodes() -> Vec<String> {
    ["n1", "n2", "n10"].map(String::from).to_vec()
}

#[test]
fn a_json_event_is_one_line_with_its_name_first_and_its_time() {
    let event = Event::Step {
        action: "kill".to_owned(),
        node: "n3".to_owned(),
    };
    let line = said(Format::Json, Some(Duration::from_millis(5_003)), &event);
    assert_eq!(
        line,
        "{\"event\":\"step\",\"action\":\"kill\",\"node\":\"n3\",\"t_ms\":5003}\n"
    );
}

#[test]
fn a_text_event_is_a_time_a_word_and_a_sentence() {
    let event = Event::Step {
        action: "kill".to_owned(),
        node: "n3".to_owned(),
    };
    let line = said(Format::Text, Some(Duration::from_millis(5_003)), &event);
    assert_eq!(line, "   5.00s  script    kill n3 with SIGKILL\n");
    let line = said(Format::Text, None, &Event::Connected { took_ms: 12 });
    assert_eq!(
        line,
        "          client    connected, over QUIC with mutual TLS (12 ms)\n"
    );
}

#[test]
fn a_second_names_the_nodes_in_order_and_says_which_do_not_run() {
    let answered = vec![
        ("n1".to_owned(), Some(990)),
        ("n2".to_owned(), None),
        ("n10".to_owned(), Some(1_010)),
    ];
    let second = Second {
        ok: 2_000,
        p50_us: 312,
        p99_us: 1_400,
        actor_ok: 50,
        keyed_ok: 500,
        answered: Named(answered),
        ..Second::default()
    };
    let event = Event::Calls(second);
    let at = Some(Duration::from_secs(1));
    assert_eq!(
        said(Format::Text, at, &event),
        "   1.00s  calls       2000/s  p50  312us  p99 1.40ms  failed 0  room 50  carts 500  \
         |  n1  990  n2    -  n10 1010\n"
    );
    let json = said(Format::Json, at, &event);
    assert!(
        json.contains(r#""answered":{"n1":990,"n2":null,"n10":1010}"#),
        "{json}"
    );
}

#[test]
fn the_summary_is_flat_and_has_every_promised_name() {
    let mut summary = Summary::of_nothing(&nodes());
    summary.calls_ok = 7;
    let line = said(Format::Json, None, &Event::Summary(Box::new(summary)));
    let object: Value = serde_json::from_str(&line).expect("a line is a JSON object");
    assert_eq!(object["event"], "summary");
    assert_eq!(object["calls_ok"], 7);
    for name in [
        "calls_issued",
        "calls_failed",
        "calls_refused",
        "calls_retried",
        "p50_us",
        "p99_us",
        "actor_calls_issued",
        "actor_calls_ok",
        "actor_calls_failed",
        "actor_calls_refused",
        "keyed_calls_issued",
        "keyed_calls_ok",
        "keyed_calls_failed",
        "keyed_calls_refused",
        "overlapping_turns",
        "epoch_regressions",
        "keys_unanswered",
        "moved_slots",
        "failed_during_drain",
        "answered_n10",
    ] {
        assert_eq!(object[name], 0, "{name}");
    }
}

#[test]
fn a_number_is_found_by_the_name_it_has_in_json() {
    let mut summary = Summary::of_nothing(&nodes());
    summary.p99_us = 1_400;
    assert_eq!(summary.field("p99_us"), Some(1_400.0));
    assert_eq!(summary.field("answered_n2"), Some(0.0));
    assert_eq!(summary.field("answered_n4"), None);
    assert_eq!(summary.field("errors"), None);
    summary.outage_ms.max = 3_100;
    assert_eq!(summary.field("outage_ms.max"), Some(3_100.0));
    assert_eq!(summary.field("outage_ms"), None);
    assert!(summary.field_names().contains(&"outage_ms.p99".to_owned()));
    assert!(summary.field_names().contains(&"calls_refused".to_owned()));
    assert!(!summary.field_names().contains(&"errors".to_owned()));
}

#[test]
fn a_summary_says_what_did_not_hold() {
    let mut summary = Summary::of_nothing(&nodes());
    summary.calls_issued = 10;
    summary.calls_ok = 9;
    summary.calls_failed = 1;
    summary.answered = Named(vec![("answered_n1".to_owned(), 9)]);
    summary.errors = Named(vec![("CB1003 peer-lost".to_owned(), 1)]);
    summary.assert = Some(Asserted {
        expression: "calls_failed==0".to_owned(),
        holds: false,
        untrue: vec!["calls_failed==0 (calls_failed is 1)".to_owned()],
    });
    let text = said(Format::Text, None, &Event::Summary(Box::new(summary)));
    for part in [
        "10 issued = 9 ok + 1 failed + 0 refused",
        "n1 9 (100%)",
        "errors    CB1003 peer-lost: 1",
        "DOES NOT HOLD: calls_failed==0",
        "not true: calls_failed==0 (calls_failed is 1)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
