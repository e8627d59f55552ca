//! Every shape of a call, by one body, against refs held here, on another node and in a client.

use std::{sync::Arc, time::Duration};

use callboard::{Code, prelude::*};
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use crate::support::{Town, eventually};

/// A line of the room.
#[derive(Clone, Debug, PartialEq, Wire)]
pub struct Line {
    who: String,
    text: String,
}

/// Why a line is not taken.
#[derive(Clone, Debug, PartialEq, Wire)]
pub enum Refused {
    Empty,
    TooLong { most: u32 },
}

#[derive(Default, Service)]
pub struct Shapes;

#[handlers]
impl Shapes {
    pub fn plain(&self, number: u32) -> u32 {
        number + 1
    }

    pub async fn nothing(&self) {}

    pub async fn fallible(&self, text: String) -> Result<Line, Refused> {
        if text.is_empty() {
            Err(Refused::Empty)
        } else {
            Ok(Line {
                who: "me".into(),
                text,
            })
        }
    }

    pub fn count_to(&self, last: u32) -> impl Stream<Item = u32> + use<> {
        stream::iter(1..=last)
    }

    pub async fn sum(&self, start: u64, mut numbers: Inbound<u32>) -> Result<u64, CallError> {
        let mut sum = start;
        while let Some(number) = numbers.next().await {
            sum += u64::from(number?);
        }
        Ok(sum)
    }

    pub fn double(&self, numbers: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        numbers.filter_map(|number| async move { Some(number.ok()? * 2) })
    }

    pub async fn echo(&self, body: Vec<u8>) -> Vec<u8> {
        body
    }
}

#[derive(Default, Actor)]
pub struct Room {
    lines: Vec<Line>,
}

#[handlers]
impl Room {
    pub async fn say(&mut self, who: String, text: String) -> Result<u32, Refused> {
        if text.is_empty() {
            return Err(Refused::Empty);
        }
        if text.len() > 1000 {
            return Err(Refused::TooLong { most: 1000 });
        }
        self.lines.push(Line { who, text });
        Ok(self.lines.len() as u32)
    }

    pub fn lines(&self) -> Vec<Line> {
        self.lines.clone()
    }

    pub fn tail(&self) -> impl Stream<Item = Line> + use<> {
        stream::iter(self.lines.clone())
    }

    pub async fn say_all(&mut self, who: String, mut texts: Inbound<String>) -> u32 {
        while let Some(Ok(text)) = texts.next().await {
            self.lines.push(Line {
                who: who.clone(),
                text,
            });
        }
        self.lines.len() as u32
    }

    pub fn this(&self, ctx: &Ctx<Self>) -> RoomRef {
        ctx.this()
    }
}

async fn every_service_shape(shapes: ShapesRef) {
    assert_eq!(shapes.plain(41).await, Ok(42));
    assert_eq!(shapes.nothing().await, Ok(()));
    let line = shapes.fallible("hi").await.expect("taken");
    assert_eq!(line.text, "hi");
    let refused = shapes.fallible("").await.expect_err("empty");
    assert_eq!(refused, HandlerError::App(Refused::Empty));

    let counted = shapes.count_to(500).await.expect("a stream");
    let counted: Vec<_> = counted.map(|item| item.expect("an item")).collect().await;
    assert_eq!(counted, (1..=500).collect::<Vec<_>>());

    let sum = shapes.sum(10, stream::iter(1..=100)).await.expect("summed");
    assert_eq!(sum, 5060);

    let doubled = shapes.double(stream::iter(0..300)).await.expect("a stream");
    let doubled: Vec<_> = doubled.map(|item| item.expect("an item")).collect().await;
    assert_eq!(
        doubled,
        (0..300).map(|number| number * 2).collect::<Vec<_>>()
    );

    for size in [0, 100, 64 << 10, (64 << 10) + 1, 3 << 20] {
        let body: Vec<u8> = (0..size).map(|index| index as u8).collect();
        assert_eq!(
            shapes.echo(body.clone()).await.as_ref(),
            Ok(&body),
            "{size} bytes"
        );
    }
    shapes.plain(1).send().await.expect("sent");
}

async fn every_actor_shape(room: RoomRef) {
    let before = room.lines().await.expect("lines").len() as u32;
    assert_eq!(room.say("Ada", "hello").await, Ok(before + 1));
    let refused = room.say("Ada", "").await.expect_err("empty");
    assert_eq!(refused, HandlerError::App(Refused::Empty));
    let texts = stream::iter(["a".to_string(), "b".to_string()]);
    assert_eq!(room.say_all("Bob", texts).await, Ok(before + 3));
    let lines = room.lines().await.expect("lines");
    let tail = room.tail().await.expect("a stream");
    let tail: Vec<_> = tail.map(|item| item.expect("an item")).collect().await;
    assert_eq!(tail, lines);
    assert_eq!(room.this().await.expect("a ref"), room);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_body_runs_against_local_remote_and_client_held_refs() {
    let town = Town::new();
    let host = town
        .node("host")
        .host::<Shapes>()
        .start()
        .await
        .expect("host");
    let other = town
        .node("other")
        .seed(host.local_addr())
        .start()
        .await
        .expect("other");
    let client = town.client(host.local_addr()).await;
    crate::support::eventually("the nodes are linked", || other.members().len() == 1).await;

    every_service_shape(host.service::<Shapes>()).await;
    every_service_shape(other.service::<Shapes>()).await;
    every_service_shape(client.service::<Shapes>()).await;

    let room = host.spawn::<Room>();
    every_actor_shape(room.clone()).await;
    every_actor_shape(other.attach(room.clone())).await;
    every_actor_shape(client.attach(room)).await;

    client.close().await;
    other.stop().await;
    host.stop().await;
}

#[derive(Default, Service)]
pub struct Lobby;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Wire)]
pub struct Invitation {
    room: RoomRef,
    note: Option<String>,
}

#[handlers]
impl Lobby {
    pub async fn enter(&self, invitation: Invitation) -> Result<u32, CallError> {
        let room = invitation.room;
        match room.say("lobby", "hello").await {
            Ok(count) => Ok(count),
            Err(HandlerError::Call(error)) => Err(error),
            Err(HandlerError::App(_)) => Ok(0),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ref_in_a_message_works_on_the_node_it_arrives_at() {
    let town = Town::new();
    let one = town.node("one").start().await.expect("one");
    let two = town
        .node("two")
        .host::<Lobby>()
        .seed(one.local_addr())
        .start()
        .await
        .expect("two");
    crate::support::eventually("linked", || two.members().len() == 1).await;
    let room = one.spawn::<Room>();
    let invitation = Invitation {
        room: room.clone(),
        note: None,
    };
    assert_eq!(one.service::<Lobby>().enter(invitation).await, Ok(1));
    assert_eq!(room.lines().await.expect("lines").len(), 1);
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ref_decoded_outside_a_call_says_that_it_is_detached() {
    let town = Town::new();
    let one = town.node("one").start().await.expect("one");
    let room = one.spawn::<Room>();
    let json = serde_json::to_string(&room).expect("encodes");
    let detached: RoomRef = serde_json::from_str(&json).expect("decodes");
    let error = detached.lines().await.expect_err("detached");
    assert_eq!(error.code(), Code::Detached);
    assert!(one.attach(detached).lines().await.is_ok());
    one.stop().await;
}

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Tally {
    count: u32,
}

#[handlers]
impl Tally {
    pub fn add(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    pub fn whose(&self, ctx: &Ctx<Self>) -> String {
        ctx.key().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_actor_has_one_activation_for_each_key_on_its_node() {
    let town = Town::new();
    let node = town.node("one").host::<Tally>().start().await.expect("one");
    let alice = node.actor::<Tally>("alice");
    assert_eq!(alice.add().await, Ok(1));
    assert_eq!(node.actor::<Tally>("alice").add().await, Ok(2));
    assert_eq!(node.actor::<Tally>("bob").add().await, Ok(1));
    assert_eq!(alice.whose().await, Ok("alice".to_string()));
    assert_eq!(TallyRef::key(&alice), "alice");
    let client = town.client(node.local_addr()).await;
    let error = client
        .actor::<Tally>("alice")
        .add()
        .await
        .expect_err("not from a client");
    assert_eq!(error.code(), Code::KeyedElsewhere);
    let said = "a client hosts no actors, and no control group places the keys of Tally; linked nodes that host \
                it: 1 of 1";
    assert_eq!(error.detail(), said);
    client.close().await;
    // A node that forgot to host the type.
    let other = town.node("two").seed(node.local_addr()).start().await;
    let other = other.expect("two");
    eventually("they are linked", || !other.members().is_empty()).await;
    let error = other.actor::<Tally>("alice").add().await;
    let error = error.expect_err("not hosted");
    assert_eq!(error.code(), Code::KeyedElsewhere);
    let said = "this node does not host Tally: add `.host::<Tally>()` to its builder; linked nodes that host it: \
                1 of 1";
    assert_eq!(error.detail(), said);
    other.stop().await;
    node.stop().await;
}

/// Sleeps until told; says what became of its handlers.
#[derive(Service)]
pub struct Sleeper {
    dropped: Arc<Notify>,
}

struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[handlers]
impl Sleeper {
    pub async fn sleep(&self) {
        let _guard = Guard(self.dropped.clone());
        std::future::pending::<()>().await;
    }

    pub fn forever(&self) -> impl Stream<Item = u32> + use<> {
        let guard = Guard(self.dropped.clone());
        stream::repeat(1).inspect(move |_| {
            let _ = &guard;
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_call_or_a_stream_drops_the_handler_here_and_there() {
    let town = Town::new();
    let dropped = Arc::new(Notify::new());
    let given = dropped.clone();
    let host = town
        .node("host")
        .host_with::<Sleeper>(move |_| Sleeper {
            dropped: given.clone(),
        })
        .start()
        .await
        .expect("host");
    let client = town.client(host.local_addr()).await;
    for sleeper in [host.service::<Sleeper>(), client.service::<Sleeper>()] {
        let call = sleeper.sleep();
        let timed = tokio::time::timeout(Duration::from_millis(50), call).await;
        assert!(timed.is_err());
        let heard = tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await;
        assert!(heard.is_ok(), "the handler was not dropped");

        let mut items = sleeper.forever().await.expect("a stream");
        assert!(items.next().await.is_some());
        drop(items);
        let heard = tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await;
        assert!(heard.is_ok(), "the stream was not dropped");
    }
    client.close().await;
    host.stop().await;
}
