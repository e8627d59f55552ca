//! Streamed replies end by the deadline of their call, held here, on another node or in a client.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use callboard::{Code, Ran, net::DenyList, prelude::*};
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use crate::support::{SOON, Town, eventually, soon};

/// Far above what the first item takes, far below the ten seconds of a call that says nothing.
const SHORT: Duration = Duration::from_millis(400);

/// Streams without an end. It tells when one is dropped.
#[derive(Service)]
pub struct Source {
    dropped: Arc<Notify>,
}

struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[handlers]
impl Source {
    /// One item, then silence.
    pub fn quiet(&self) -> impl Stream<Item = u32> + use<> {
        let guard = Guard(self.dropped.clone());
        let items = stream::once(std::future::ready(1)).chain(stream::pending());
        items.inspect(move |_| {
            let _ = &guard;
        })
    }

    /// Always one more.
    pub fn flood(&self) -> impl Stream<Item = Vec<u8>> + use<> {
        let guard = Guard(self.dropped.clone());
        stream::repeat(vec![7; 10_000]).inspect(move |_| {
            let _ = &guard;
        })
    }

    /// What comes in, for as long as it comes.
    pub fn mirror(&self, items: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        let guard = Guard(self.dropped.clone());
        items.filter_map(move |item| {
            let _ = &guard;
            std::future::ready(item.ok())
        })
    }

    #[handler(timeout = "300ms")]
    pub fn limited(&self) -> impl Stream<Item = u32> + use<> {
        stream::once(std::future::ready(1)).chain(stream::pending())
    }

    #[handler(timeout = "none")]
    pub fn endless(&self) -> impl Stream<Item = u32> + use<> {
        let guard = Guard(self.dropped.clone());
        let items = stream::once(std::future::ready(1)).chain(stream::pending());
        items.inspect(move |_| {
            let _ = &guard;
        })
    }

    #[handler(timeout = "none")]
    pub async fn never_begins(&self) -> impl Stream<Item = u32> + use<> {
        std::future::pending::<()>().await;
        stream::empty()
    }
}

/// A node, another one and a client, which all hold a ref of the node's service.
struct Stage {
    host: Node,
    other: Node,
    client: Client,
    dropped: Arc<Notify>,
}

impl Stage {
    async fn new() -> Self {
        let town = Town::new();
        let dropped = Arc::new(Notify::new());
        let given = dropped.clone();
        let host = town.node("host").host_with::<Source>(move |_| Source {
            dropped: given.clone(),
        });
        let host = host.start().await.expect("host");
        let other = town.node("other").seed(host.local_addr());
        let other = other.start().await.expect("other");
        let client = town.client(host.local_addr()).await;
        eventually("the nodes are linked", || other.members().len() == 1).await;
        Self {
            host,
            other,
            client,
            dropped,
        }
    }

    fn sources(&self) -> [(&'static str, SourceRef); 3] {
        [
            ("here", self.host.service::<Source>()),
            ("on another node", self.other.service::<Source>()),
            ("in a client", self.client.service::<Source>()),
        ]
    }

    /// The host has let go of a stream, whether or not its reader still holds it.
    async fn is_dropped(&self, where_from: &str) {
        let heard = tokio::time::timeout(SOON, self.dropped.notified()).await;
        assert!(heard.is_ok(), "{where_from}: the host keeps its stream");
    }

    async fn leave(self) {
        self.client.close().await;
        self.other.stop().await;
        self.host.stop().await;
    }
}

/// The stream's call was made at `begun` with [`SHORT`]; it ends with its deadline, once.
async fn ends_in_time<T: std::fmt::Debug>(held: &str, items: &mut Streaming<T>, begun: Instant) {
    let error = loop {
        match soon(items.next()).await {
            Some(Ok(_)) => assert!(begun.elapsed() < SOON, "{held}: it goes on"),
            Some(Err(error)) => break error,
            None => panic!("{held}: it looks like a stream that has ended"),
        }
    };
    let took = begun.elapsed();
    assert_eq!(
        (error.code(), error.ran()),
        (Code::DeadlineExceeded, Ran::MayHaveRun),
        "{held}: {error}"
    );
    assert!(error.to_string().contains("within 400ms"), "{error}");
    assert!(SHORT <= took && took < SOON, "{held}: it took {took:?}");
    assert!(items.next().await.is_none(), "{held}: one error is all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_at_its_calls_deadline_and_its_host_lets_go_of_it() {
    let stage = Stage::new().await;
    for (held, source) in stage.sources() {
        let begun = Instant::now();
        let items = source.quiet().timeout(SHORT).await;
        let mut items = items.expect("it begins");
        assert_eq!(soon(items.next()).await, Some(Ok(1)));
        ends_in_time(held, &mut items, begun).await;
        stage.is_dropped(held).await;

        let begun = Instant::now();
        let items = source.flood().timeout(SHORT).await;
        ends_in_time(held, &mut items.expect("it begins"), begun).await;
        stage.is_dropped(held).await;
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_of_a_stream_does_not_wait_for_its_reader_beyond_the_deadline() {
    let stage = Stage::new().await;
    for (held, source) in stage.sources() {
        let begun = Instant::now();
        let quiet = source.quiet().timeout(SHORT).await;
        let mut quiet = quiet.expect("it begins");
        // Nobody reads it meanwhile.
        stage.is_dropped(held).await;
        assert!(begun.elapsed() >= SHORT, "{held}: dropped too early");
        ends_in_time(held, &mut quiet, begun).await;

        // Nobody makes room for its next item.
        let flood = source.flood().timeout(SHORT).await;
        let flood = flood.expect("it begins");
        stage.is_dropped(held).await;
        drop(flood);
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_of_a_call_end_at_its_deadline() {
    let stage = Stage::new().await;
    for (held, source) in stage.sources() {
        let let_go = Arc::new(Notify::new());
        let guard = Guard(let_go.clone());
        let says = stream::once(std::future::ready(1)).chain(stream::pending());
        let says = says.inspect(move |_| {
            let _ = &guard;
        });
        let begun = Instant::now();
        let items = source.mirror(says).timeout(SHORT).await;
        let mut items = items.expect("it begins");
        assert_eq!(soon(items.next()).await, Some(Ok(1)));
        ends_in_time(held, &mut items, begun).await;
        stage.is_dropped(held).await;
        let heard = tokio::time::timeout(SOON, let_go.notified()).await;
        assert!(heard.is_ok(), "{held}: the argument goes on");
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeout_of_the_handler_holds_for_its_stream_unless_the_call_has_one() {
    let stage = Stage::new().await;
    for (held, source) in stage.sources() {
        let begun = Instant::now();
        let mut limited = source.limited().await.expect("it begins");
        let mut longer = source.limited().timeout(SOON * 10).await.expect("it too");
        let mut endless = source.endless().await.expect("it begins");
        let mut shorter = source.endless().timeout(SHORT).await.expect("it begins");
        for items in [&mut limited, &mut longer, &mut endless, &mut shorter] {
            assert_eq!(soon(items.next()).await, Some(Ok(1)));
        }
        let error = soon(limited.next()).await.expect("an error");
        let error = error.expect_err("its time is over");
        assert!(
            error.to_string().contains("within 300ms"),
            "{held}: {error}"
        );
        ends_in_time(held, &mut shorter, begun).await;
        stage.is_dropped(held).await;
        for (which, items) in [("longer", &mut longer), ("endless", &mut endless)] {
            let next = futures_util::poll!(items.next());
            assert!(next.is_pending(), "{held}, {which}: {next:?}");
        }
        drop(endless);
        stage.is_dropped(held).await;
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_deadline_has_to_begin_within_ten_seconds() {
    let stage = Stage::new().await;
    let calls = stage.sources().map(|(held, source)| async move {
        let begun = Instant::now();
        let error = source.never_begins().await.expect_err("it hangs");
        let took = begun.elapsed();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{held}: {error}");
        let ten = Duration::from_secs(10);
        assert!(ten <= took && took < ten + SOON, "{held}: {took:?}");
    });
    futures_util::future::join_all(calls).await;
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_link_is_lost_says_why() {
    let stage = Stage::new().await;
    let source = stage.client.service::<Source>();
    let mut items = source.endless().await.expect("it begins");
    assert_eq!(soon(items.next()).await, Some(Ok(1)));
    stage.host.deny(DenyList::of(["client"]).expect("a list"));
    let broken = soon(items.next()).await.expect("an error");
    let broken = broken.expect_err("the link is closed");
    assert_eq!(broken.code(), Code::StreamBroken, "{broken}");
    assert!(broken.detail().contains("CB2015"), "{broken}");
    stage.is_dropped("in a client").await;
    stage.leave().await;
}
