//! What a node tells of itself: metrics in the OpenMetrics text format, and traces.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use callboard::{Code, prelude::*};
use tokio::sync::Notify;
use tracing::{Subscriber, field::Field, span};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::support::{Town, eventually, hears};

#[derive(Default, Service)]
pub struct Front;

#[handlers]
impl Front {
    /// Asks the back, wherever it is.
    pub async fn ask(&self, ctx: &Ctx<Self>, number: u32) -> Result<u32, CallError> {
        tracing::info!("asking the back");
        ctx.service::<Back>().answer(number).await
    }
}

#[derive(Default, Service)]
pub struct Back;

#[handlers]
impl Back {
    pub async fn answer(&self, number: u32) -> u32 {
        number + 1
    }

    pub async fn panics(&self) -> u32 {
        panic!("on purpose");
    }

    pub async fn hangs(&self) {
        std::future::pending::<()>().await;
    }
}

/// A service of which one host is asked and does not answer.
#[derive(Service)]
pub struct Desk {
    answers: bool,
    asked: Arc<Notify>,
}

#[handlers]
impl Desk {
    #[handler(idempotent)]
    pub async fn ask(&self) {
        self.asked.notify_one();
        if !self.answers {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Default, Actor)]
pub struct Busy;

#[handlers]
impl Busy {
    pub async fn hold(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// The value of the sample with this name and these labels.
fn sample(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.parse().unwrap_or_else(|_| panic!("{name} {value}"))
}

/// Checks the text line by line against the grammar of OpenMetrics 1.0, as far as it is used here,
/// and returns the number of samples.
fn check_open_metrics(text: &str) -> usize {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
    let mut kinds = BTreeMap::new();
    let mut samples = 0;
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (what, name) = (words.next().expect(line), words.next().expect(line));
            let rest = words.next().expect(line);
            match what {
                "TYPE" => assert!(kinds.insert(name, rest).is_none(), "twice: {line}"),
                "HELP" => assert!(!rest.is_empty(), "{line}"),
                "UNIT" => assert!(name.ends_with(rest), "{line}"),
                other => panic!("{other}: {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        value.parse::<f64>().expect(line);
        let name = match series.split_once('{') {
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').expect(line);
                for label in labels.split("\",") {
                    let (key, value) = label.split_once("=\"").expect(line);
                    assert!(
                        key.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                        "{line}"
                    );
                    assert!(!value.trim_end_matches('"').contains('"'), "{line}");
                }
                name
            }
            None => series,
        };
        let (family, kind) = kinds
            .iter()
            .filter(|(family, _)| name.starts_with(**family))
            .max_by_key(|(family, _)| family.len())
            .expect(line);
        let suffix = &name[family.len()..];
        let suffixes: &[&str] = match *kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{other}: {line}"),
        };
        assert!(suffixes.contains(&suffix), "{line}");
        assert!(name.starts_with("callboard_"), "{line}");
        samples += 1;
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_count_what_was_done() {
    let town = Town::new();
    let node = town.node("n1").host::<Back>().start().await.expect("n1");
    let client = town.client(node.local_addr()).await;
    let back = client.service::<Back>();
    for number in 0..5 {
        assert_eq!(back.answer(number).await, Ok(number + 1));
    }
    back.answer(1).send().await.expect("sent");
    assert!(back.panics().await.is_err());
    let late = back.hangs().timeout(Duration::from_millis(100)).await;
    assert!(late.is_err());
    let hanging = tokio::spawn(back.hangs());
    let busy = node.spawn::<Busy>();
    let held = [(); 3].map(|()| tokio::spawn(busy.hold()));
    eventually("two wait", || {
        sample(&node.metrics(), "callboard_mailbox_depth{actor=\"Busy\"}") == 2.0
    })
    .await;
    eventually("it is in flight", || {
        sample(
            &client.metrics(),
            "callboard_calls_in_flight{method=\"Back/hangs\"}",
        ) == 1.0
    })
    .await;

    let text = client.metrics();
    assert!(check_open_metrics(&text) > 20, "{text}");
    let value = |name: &str| sample(&text, name);
    assert_eq!(value("callboard_calls_total{method=\"Back/answer\"}"), 5.0);
    assert_eq!(value("callboard_sends_total{method=\"Back/answer\"}"), 1.0);
    assert_eq!(value("callboard_calls_total{method=\"Back/hangs\"}"), 2.0);
    for (method, code) in [
        ("panics", Code::Panicked),
        ("hangs", Code::DeadlineExceeded),
    ] {
        let name = format!(
            "callboard_call_errors_total{{method=\"Back/{method}\",code=\"{}\"}}",
            code.text()
        );
        assert_eq!(value(&name), 1.0, "{name}");
    }
    let count = "callboard_call_duration_seconds_count{method=\"Back/answer\"}";
    assert_eq!(value(count), 5.0);
    assert!(value("callboard_call_duration_seconds_sum{method=\"Back/hangs\"}") >= 0.02);
    assert_eq!(
        value("callboard_calls_in_flight{method=\"Back/answer\"}"),
        0.0
    );
    assert_eq!(value("callboard_links"), 1.0);
    let rtt = value("callboard_link_rtt_seconds{peer=\"n1\"}");
    assert!(rtt > 0.0 && rtt < 10.0, "{rtt}");
    assert!(value("callboard_link_sent_bytes{peer=\"n1\"}") > 50.0);
    assert!(value("callboard_link_received_bytes{peer=\"n1\"}") > 50.0);
    assert!(value("callboard_link_lost_packets{peer=\"n1\"}") >= 0.0);

    let waits = "callboard_mailbox_wait_seconds_count{actor=\"Back\"}";
    eventually("all have arrived", || sample(&node.metrics(), waits) == 9.0).await;
    let text = node.metrics();
    assert!(check_open_metrics(&text) > 20, "{text}");
    assert_eq!(
        sample(&text, "callboard_mailbox_depth{actor=\"Back\"}"),
        0.0
    );

    hanging.abort();
    held.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("nothing is in flight", || {
        sample(
            &client.metrics(),
            "callboard_calls_in_flight{method=\"Back/hangs\"}",
        ) == 0.0
    })
    .await;
    client.close().await;
    drop(node);
}

#[tokio::test]
async fn a_call_that_goes_on_at_another_host_is_one_call_and_one_retry() {
    let town = Town::new();
    let asked = Arc::new(Notify::new());
    let desk = |answers: bool, asked: &Arc<Notify>| {
        let asked = asked.clone();
        move |_: &Ctx<Desk>| Desk {
            answers,
            asked: asked.clone(),
        }
    };
    let silent = town.node("n1").host_with(desk(false, &asked));
    let silent = silent.start().await.expect("n1");
    let other = town.node("n2").host_with(desk(true, &Arc::default()));
    let other = other.seed(silent.local_addr()).start().await.expect("n2");
    let client = town.client(silent.local_addr()).await;
    eventually("both are linked", || client.members().len() == 2).await;
    let desk = client.service::<Desk>();
    let mut made = 1.0;
    let mut call = desk.ask();
    loop {
        tokio::select! {
            () = asked.notified() => break,
            answered = &mut call => answered.expect("the other answers"),
        }
        (call, made) = (desk.ask(), made + 1.0);
    }
    drop(silent);
    assert_eq!(call.await, Ok(()));
    let text = client.metrics();
    let of = |name: &str| sample(&text, &format!("{name}{{method=\"Desk/ask\"}}"));
    assert_eq!(of("callboard_calls_total"), made);
    assert_eq!(of("callboard_call_retries_total"), 1.0);
    assert_eq!(of("callboard_calls_in_flight"), 0.0);
    assert!(
        !text.contains("callboard_call_errors_total{method=\"Desk/ask\""),
        "{text}"
    );
    client.close().await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_counts_what_it_served_by_method_and_code() {
    let town = Town::new();
    let node = town.node("n1").host::<Back>().start().await.expect("n1");
    let client = town.client(node.local_addr()).await;
    for back in [client.service::<Back>(), node.service::<Back>()] {
        for number in 0..3 {
            assert_eq!(back.answer(number).await, Ok(number + 1));
        }
        back.answer(1).send().await.expect("sent");
        assert!(back.panics().await.is_err());
        let late = back.hangs().timeout(Duration::from_millis(100)).await;
        assert!(late.is_err());
    }
    let served = |method: &str| format!("callboard_served_total{{method=\"Back/{method}\"}}");
    eventually("all have ended", || {
        let text = node.metrics();
        let ended = |method, count| text.contains(&format!("{} {count}\n", served(method)));
        ended("answer", 8) && ended("panics", 2) && ended("hangs", 2)
    })
    .await;
    let text = node.metrics();
    check_open_metrics(&text);
    let value = |name: &str| sample(&text, name);
    let panicked = format!(
        "callboard_served_errors_total{{method=\"Back/panics\",code=\"{}\"}}",
        Code::Panicked.text()
    );
    assert_eq!(value(&panicked), 2.0);
    let turns = "callboard_turn_duration_seconds";
    assert_eq!(
        value(&format!("{turns}_count{{method=\"Back/answer\"}}")),
        8.0
    );
    // Dropped when the caller went: as long as the deadlines, and no error of the host.
    assert!(value(&format!("{turns}_sum{{method=\"Back/hangs\"}}")) >= 0.03);
    assert!(!text.contains("callboard_served_errors_total{method=\"Back/hangs\""));
    // A node has no series of what it only calls.
    assert!(!client.metrics().contains("callboard_served_total{"));
    client.close().await;
    node.stop().await;
}

/// The fields of our spans, and for events the span they happened in.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<Fields>>>);

type Fields = BTreeMap<String, String>;

struct Visit(Fields);

impl tracing::field::Visit for Visit {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0
            .insert(field.name().to_string(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traced {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let name = attributes.metadata().name();
        if !attributes.metadata().target().starts_with("callboard") {
            return;
        }
        let mut visit = Visit(Fields::from([("span".to_string(), name.to_string())]));
        attributes.record(&mut visit);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(visit.0.clone());
        }
        if visit.0.contains_key("trace_id") {
            self.0.lock().expect("traced").push(visit.0);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, ctx: Context<'_, S>) {
        let mut visit = Visit(Fields::new());
        event.record(&mut visit);
        let span = ctx.event_span(event);
        let within = span.and_then(|span| span.extensions().get::<Fields>().cloned());
        if visit
            .0
            .get("message")
            .is_some_and(|text| text == "asking the back")
        {
            let mut fields = within.unwrap_or_default();
            fields.insert("event".into(), "asking".into());
            self.0.lock().expect("traced").push(fields);
        }
    }
}

/// Makes one call that crosses two nodes and returns the spans and events it left. All runs on this
/// thread, so that the subscriber is seen by all of it and by no other test.
async fn traced_call(share: f64) -> Vec<Fields> {
    let traced = Traced::default();
    let subscriber = tracing_subscriber::registry().with(traced.clone());
    let _guards = hears(subscriber);
    let town = Town::new();
    let front = town
        .node("front")
        .host::<Front>()
        .start()
        .await
        .expect("front");
    let back = town
        .node("back")
        .host::<Back>()
        .seed(front.local_addr())
        .start()
        .await
        .expect("back");
    let caller = town
        .node("caller")
        .trace_share(share)
        .seed(front.local_addr())
        .start()
        .await
        .expect("caller");
    eventually("all are linked", || {
        [&front, &back, &caller]
            .iter()
            .all(|node| node.members().len() == 2)
    })
    .await;
    assert_eq!(caller.service::<Front>().ask(41).await, Ok(42));
    caller.stop().await;
    back.stop().await;
    front.stop().await;
    let traced = traced.0.lock().expect("traced");
    traced.clone()
}

#[tokio::test]
async fn a_sampled_call_carries_one_trace_through_two_nodes() {
    let traced = traced_call(1.0).await;
    let seen: Vec<_> = traced
        .iter()
        .map(|fields| {
            let field = |name: &str| fields.get(name).map_or("", String::as_str);
            (
                field("span"),
                field("method"),
                field("node"),
                field("event"),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("call", "Front/ask", "caller", ""),
            ("turn", "Front/ask", "front", ""),
            ("turn", "Front/ask", "front", "asking"),
            ("call", "Back/answer", "front", ""),
            ("turn", "Back/answer", "back", ""),
        ]
    );
    let trace = &traced[0]["trace_id"];
    assert_eq!(trace.len(), 32, "W3C: 16 bytes in hexadecimal");
    assert!(traced.iter().all(|fields| &fields["trace_id"] == trace));
    assert_eq!(
        traced[0]["span_id"].len(),
        16,
        "W3C: 8 bytes in hexadecimal"
    );
    assert_eq!(traced[1]["parent_id"], traced[0]["span_id"]);
    assert_eq!(traced[4]["parent_id"], traced[3]["span_id"]);
    assert_ne!(traced[0]["span_id"], traced[3]["span_id"]);
}

#[tokio::test]
async fn a_call_that_is_not_sampled_leaves_no_span() {
    let traced = traced_call(0.0).await;
    // The event itself, in no span of a trace.
    assert_eq!(traced.len(), 1, "{traced:?}");
    assert!(!traced[0].contains_key("trace_id"), "{traced:?}");
}
