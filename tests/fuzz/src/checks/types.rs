//! Types of every form that `#[derive(Wire)]` and the implementations for foreign types know, with
//! values of them to begin from.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque},
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
    num::{NonZeroU16, Wrapping},
    ops::{Range, RangeInclusive},
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use callboard::{ActorAddr, CallError, Code, NodeName, prelude::*};
use serde::{Deserialize, Serialize};

/// A record with what most records have.
#[derive(Debug, PartialEq, Wire)]
pub struct Order {
    id: u64,
    items: Vec<Item>,
    note: Option<String>,
    state: State,
    by_day: BTreeMap<i16, Float>,
    pages: Page<Item>,
}

/// A pair.
#[derive(Debug, PartialEq, Wire)]
pub struct Item(String, u32);

/// Variants of every form.
#[derive(Debug, PartialEq, Wire)]
pub enum State {
    Open,
    Paid(i64),
    Sent { at: i128, by: (char, bool) },
    Returned(Nothing, Option<Option<u8>>),
}

/// A record without fields.
#[derive(Debug, PartialEq, Wire)]
pub struct Nothing;

/// A generic record.
#[derive(Debug, PartialEq, Wire)]
pub struct Page<T> {
    entries: Vec<T>,
    next: Option<u32>,
}

/// Equal if the bits are, so that one that is no number is equal to itself.
#[derive(Debug, Wire)]
pub struct Float(f64, f32);

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        let bits = |float: &Self| (float.0.to_bits(), float.1.to_bits());
        bits(self) == bits(other)
    }
}

/// Numbers of every width.
#[derive(Debug, PartialEq, Wire)]
pub struct Numbers {
    unsigned: (u8, u16, u32, u64, u128, usize),
    signed: (i8, i16, i32, i64, i128, isize),
    checked: (NonZeroU16, Wrapping<u32>, char, bool),
}

/// Contains itself, two levels a round.
#[derive(Debug, PartialEq, Wire)]
#[wire(depth = 20)]
pub struct Tree {
    children: Vec<Tree>,
    label: u8,
}

/// Contains itself by way of another type and by boxes.
#[derive(Debug, PartialEq, Wire)]
#[wire(depth = 16)]
pub enum Expression {
    Number(i64),
    Sum(Vec<Expression>),
    Not(Box<Expression>),
    Call {
        name: Box<str>,
        arguments: Arguments,
    },
    Both(Box<(Expression, Expression)>),
}

/// Contains the type that contains it.
#[derive(Debug, PartialEq, Wire)]
pub struct Arguments(BTreeMap<String, Expression>);

/// Collections of every form.
#[derive(Debug, PartialEq, Wire)]
pub struct Collections {
    lists: (Vec<Vec<u8>>, VecDeque<u16>),
    more_lists: (LinkedList<u16>, Box<[u32]>),
    sets: (BTreeSet<String>, HashSet<u16>),
    map: HashMap<u32, String>,
    arrays: ([u16; 32], [(); 3], Vec<()>),
    ranges: (Range<u8>, RangeInclusive<u16>),
    texts: (Cow<'static, str>, Box<str>),
    rest: (Result<u8, String>, PhantomData<Tree>, ()),
}

/// Elements that are long in memory and short on the wire, in nodes that have room for several.
#[derive(Debug, PartialEq, Wire)]
pub struct Sparse {
    sets: Vec<BTreeSet<Option<[[u64; 8]; 16]>>>,
    maps: Vec<BTreeMap<u8, Option<[[u64; 8]; 16]>>>,
    chain: LinkedList<()>,
}

/// Values of foreign crates.
#[derive(Debug, PartialEq, Wire)]
pub struct Foreign {
    std: (Duration, SystemTime, IpAddr, SocketAddr),
    dates: (time::Date, time::Time, time::PrimitiveDateTime),
    instants: (time::OffsetDateTime, time::UtcOffset, time::Duration),
    ids: Vec<uuid::Uuid>,
    bytes: (Bytes, BytesMut),
    #[wire(opaque = "opaque/1")]
    opaque: Opaque,
}

/// A type of serde's own derive.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Opaque {
    nested: Option<Box<Opaque>>,
    text: String,
}

/// What the framework itself puts into bodies.
#[derive(Debug, PartialEq, Wire)]
pub struct Words {
    error: CallError,
    code: Code,
    name: NodeName,
    addr: ActorAddr,
    board: BoardRef,
    desk: DeskRef,
    clerk: ClerkRef,
}

/// A service, for its ref.
#[derive(Debug, Default, Service)]
pub struct Board;

#[handlers]
impl Board {
    /// Does nothing.
    pub fn look(&self) {}
}

/// A keyed actor, for its ref.
#[derive(Debug, Default, Actor)]
#[actor(key = String)]
pub struct Desk;

#[handlers]
impl Desk {
    /// Does nothing.
    pub fn look(&self) {}
}

/// A spawned actor, for its ref.
#[derive(Debug, Default, Actor)]
pub struct Clerk;

#[handlers]
impl Clerk {
    /// Does nothing.
    pub fn look(&self) {}
}

pub(super) fn orders() -> [Order; 2] {
    let item = |name: &str| Item(name.to_owned(), 2);
    let full = Order {
        id: u64::MAX,
        items: vec![item("tea"), item("")],
        note: Some("für Ada".to_owned()),
        state: State::Sent {
            at: i128::MIN,
            by: ('€', true),
        },
        by_day: BTreeMap::from([(-1, Float(1.5, f32::NAN)), (300, Float(0.0, -0.0))]),
        pages: Page {
            entries: vec![item("cup")],
            next: Some(3),
        },
    };
    let empty = Order {
        id: 0,
        items: Vec::new(),
        note: None,
        state: State::Returned(Nothing, Some(None)),
        by_day: BTreeMap::new(),
        pages: Page {
            entries: Vec::new(),
            next: None,
        },
    };
    [full, empty]
}

pub(super) fn numbers() -> [Numbers; 1] {
    [Numbers {
        unsigned: (u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX),
        signed: (i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, isize::MIN),
        checked: (NonZeroU16::MAX, Wrapping(u32::MAX), '\u{10ffff}', true),
    }]
}

pub(super) fn trees() -> [Tree; 1] {
    let grow = |children, label| Tree { children, label };
    let deep = (0..19).fold(grow(Vec::new(), 0), |inner, label| grow(vec![inner], label));
    [grow(
        vec![
            grow(Vec::new(), 1),
            grow(Vec::new(), 2),
            deep.children.into_iter().next().expect("it has one"),
        ],
        9,
    )]
}

pub(super) fn expressions() -> [Expression; 1] {
    let sum = Expression::Sum(vec![Expression::Number(-1), Expression::Number(i64::MAX)]);
    let not = Expression::Not(Box::new(sum));
    let pair = Expression::Both(Box::new((
        Expression::Number(0),
        Expression::Sum(Vec::new()),
    )));
    [Expression::Call {
        name: "max".into(),
        arguments: Arguments(BTreeMap::from([
            ("a".to_owned(), not),
            ("b".to_owned(), pair),
        ])),
    }]
}

pub(super) fn collections() -> [Collections; 1] {
    [Collections {
        lists: (vec![vec![0; 3], Vec::new()], VecDeque::from([1, 300])),
        more_lists: (LinkedList::from([2]), Box::from([70_000])),
        sets: (BTreeSet::from(["a".to_owned()]), HashSet::from([5, 6])),
        map: HashMap::from([(1, "one".to_owned())]),
        arrays: ([7; 32], [(); 3], vec![(); 9]),
        ranges: (1..2, 3..=400),
        texts: (Cow::Borrowed("cow"), "box".into()),
        rest: (Err("no".to_owned()), PhantomData, ()),
    }]
}

pub(super) fn sparse() -> [Sparse; 1] {
    [Sparse {
        sets: vec![BTreeSet::from([None]); 2],
        maps: vec![BTreeMap::from([(1, None)]); 2],
        chain: LinkedList::from([(); 2]),
    }]
}

pub(super) fn foreign() -> [Foreign; 1] {
    let at = time::OffsetDateTime::UNIX_EPOCH;
    let inner = Opaque {
        nested: None,
        text: "in".to_owned(),
    };
    [Foreign {
        std: (
            Duration::new(1, 999_999_999),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            "::1".parse().expect("an address"),
            "10.0.0.1:7400".parse().expect("an address"),
        ),
        dates: (
            time::Date::MIN,
            time::Time::MIDNIGHT,
            time::PrimitiveDateTime::MAX,
        ),
        instants: (at, time::UtcOffset::UTC, time::Duration::MIN),
        ids: vec![uuid::Uuid::max()],
        bytes: (Bytes::from_static(b"\x00\xff"), BytesMut::from(&b"mut"[..])),
        opaque: Opaque {
            nested: Some(Box::new(inner)),
            text: "out".to_owned(),
        },
    }]
}
