//! Values whose encoding goes wrong, over a link: none, one that cannot be read back, and one that
//! takes more than it may. Each is an error of its call, names the side at fault, and leaves the
//! link as it was.

use std::fmt::Debug;

use callboard::{
    __private::WireShape,
    Code, Ran,
    net::{Config, PeerKind},
    prelude::*,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::support::{DEADLINE, Town, quick, soon};

/// Writes one thing and reads another.
#[derive(Clone, Debug, PartialEq)]
pub struct Lopsided;

impl Serialize for Lopsided {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        7_u8.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lopsided {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // 7 is no boolean.
        bool::deserialize(deserializer).map(|_| Self)
    }
}

impl callboard::Wire for Lopsided {
    fn describe(shape: &mut WireShape) {
        shape.opaque("lopsided/1");
    }
}

/// Its reader refuses the value, whatever the bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picky(u32);

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u32::deserialize(deserializer)?;
        Err(de::Error::custom(format!("{value} is not to my taste")))
    }
}

impl callboard::Wire for Picky {
    fn describe(shape: &mut WireShape) {
        shape.opaque("picky/1");
    }
}

/// It has no encoding.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Mute;

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("it does not speak"))
    }
}

impl callboard::Wire for Mute {
    fn describe(shape: &mut WireShape) {
        shape.opaque("mute/1");
    }
}

/// It says that it nests less than it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deep(Option<Box<Deep>>);

impl Deep {
    fn of(levels: u32) -> Self {
        (1..levels).fold(Self(None), |inner, _| Self(Some(Box::new(inner))))
    }
}

impl callboard::Wire for Deep {
    fn describe(shape: &mut WireShape) {
        shape.opaque_with_depth("deep/1", 3);
    }
}

#[derive(Default, Service)]
pub struct Press;

#[handlers]
impl Press {
    pub fn ping(&self) -> u32 {
        1
    }

    pub async fn take_lopsided(&self, value: Lopsided) {
        unreachable!("{value:?} was read");
    }

    pub async fn take_picky(&self, value: Picky) {
        unreachable!("{value:?} was read");
    }

    pub async fn take_mute(&self, value: Mute) {
        unreachable!("{value:?} was read");
    }

    pub async fn take_deep(&self, value: Deep) {
        unreachable!("{value:?} was read");
    }

    pub async fn take_many(&self, values: Vec<String>) -> u32 {
        values.len() as u32
    }

    pub fn give_lopsided(&self) -> Lopsided {
        Lopsided
    }

    pub fn give_picky(&self) -> Picky {
        Picky(5)
    }

    pub fn give_mute(&self) -> Mute {
        Mute
    }

    pub fn give_deep(&self, levels: u32) -> Deep {
        Deep::of(levels)
    }

    pub fn give_many(&self, count: u32) -> Vec<String> {
        vec![String::new(); count as usize]
    }

    pub fn lopsided_items(&self) -> impl Stream<Item = Lopsided> + use<> {
        stream::iter([Lopsided, Lopsided])
    }

    pub fn mute_items(&self) -> impl Stream<Item = Mute> + use<> {
        stream::iter([Mute, Mute])
    }
}

/// The fewest bytes that a body may become, so that few values are too many.
fn sparing() -> Config {
    let mut config = quick();
    config.limits.decode_bytes_min = 1 << 10;
    config.limits.decode_amplification_max = 2;
    config
}

async fn pair(town: &Town, there: Config, here: Config) -> (Node, Client) {
    let node = town
        .node("host")
        .config(there)
        .host::<Press>()
        .start()
        .await
        .expect("starts");
    let client = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .config(here)
        .seed(node.local_addr())
        .connect()
        .await
        .expect("connects");
    (node, client)
}

/// Checks what became of a call, and that the link takes the next one.
async fn fails<T: Debug>(
    press: &PressRef,
    call: callboard::Call<impl callboard::__private::Method<Output = Result<T, CallError>>>,
    expected: (Code, Ran),
    says: &str,
) {
    let error = soon(call.timeout(DEADLINE)).await.expect_err("an error");
    assert_eq!((error.code(), error.ran()), expected, "{error}");
    assert!(error.detail().contains(says), "{error}");
    assert_eq!(soon(press.ping().timeout(DEADLINE)).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_cannot_be_read_back_are_refused_before_the_handler_runs() {
    let town = Town::new();
    let (node, client) = pair(&town, quick(), quick()).await;
    let press = client.service::<Press>();
    let expected = (Code::BodyUndecodable, Ran::Refused);
    fails(&press, press.take_lopsided(Lopsided), expected, "boolean").await;
    fails(&press, press.take_picky(Picky(3)), expected, "3 is not").await;
    let expected = (Code::BodyOverLimit, Ran::Refused);
    fails(&press, press.take_deep(Deep::of(30)), expected, "deeper").await;
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_cannot_be_read_say_that_the_handler_ran() {
    let town = Town::new();
    let (node, client) = pair(&town, quick(), quick()).await;
    let press = client.service::<Press>();
    let expected = (Code::ReplyUndecodable, Ran::MayHaveRun);
    fails(&press, press.give_lopsided(), expected, "boolean").await;
    fails(&press, press.give_picky(), expected, "5 is not").await;
    fails(&press, press.give_deep(30), expected, "deeper").await;
    let items = soon(press.lopsided_items().timeout(DEADLINE)).await;
    let items: Vec<_> = items.expect("a stream").collect().await;
    let codes: Vec<_> = items
        .into_iter()
        .map(|item| item.expect_err("not read").code())
        .collect();
    assert_eq!(codes, [Code::ReplyUndecodable]);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_would_take_too_much_memory_is_refused_by_whoever_reads_it() {
    let town = Town::new();
    let (node, client) = pair(&town, sparing(), quick()).await;
    let press = client.service::<Press>();
    let some = soon(press.take_many(vec![String::new(); 10]).timeout(DEADLINE)).await;
    assert_eq!(some, Ok(10));
    let many = press.take_many(vec![String::new(); 5_000]);
    let expected = (Code::BodyOverLimit, Ran::Refused);
    fails(&press, many, expected, "bytes of memory").await;
    client.close().await;
    node.stop().await;

    let (node, client) = pair(&town, quick(), sparing()).await;
    let press = client.service::<Press>();
    let some = soon(press.give_many(10).timeout(DEADLINE)).await;
    assert_eq!(some.map(|some| some.len()), Ok(10));
    let expected = (Code::ReplyUndecodable, Ran::MayHaveRun);
    fails(&press, press.give_many(5_000), expected, "bytes of memory").await;
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_without_an_encoding_is_an_error_of_the_side_that_has_it() {
    let town = Town::new();
    let (node, client) = pair(&town, quick(), quick()).await;
    let press = client.service::<Press>();
    let expected = (Code::BodyUnencodable, Ran::NotSent);
    fails(&press, press.take_mute(Mute), expected, "no encoding").await;
    let expected = (Code::ReplyUnencodable, Ran::MayHaveRun);
    fails(&press, press.give_mute(), expected, "no encoding").await;
    let items = soon(press.mute_items().timeout(DEADLINE)).await;
    let items: Vec<_> = items.expect("a stream").collect().await;
    let codes: Vec<_> = items
        .into_iter()
        .map(|item| item.expect_err("not written").code())
        .collect();
    assert_eq!(codes, [Code::ReplyUnencodable]);
    client.close().await;
    node.stop().await;
}
