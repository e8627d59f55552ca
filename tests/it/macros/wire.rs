//! `#[derive(Wire)]`: what it writes reads back, in postcard and in formats with names.

use std::{collections::BTreeMap, fmt::Debug};

use callboard::{Limits, Wire};
use callboard_protocol::wire::{DecodeLimits, decode, encode_into, shape_of};

#[derive(Clone, Debug, PartialEq, Wire)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Wire)]
struct Empty {}

#[derive(Clone, Debug, PartialEq, Wire)]
struct Newtype(String);

#[derive(Clone, Debug, PartialEq, Wire)]
struct Pair(u8, Vec<Newtype>);

#[derive(Clone, Debug, PartialEq, Wire)]
struct Named {
    r#type: u32,
    map: BTreeMap<String, Option<Pair>>,
}

#[derive(Clone, Debug, PartialEq, Wire)]
enum Shape {
    Unit,
    Empty(),
    Newtype(Newtype),
    Tuple(u8, Named),
    Record { name: String, r#in: Vec<Shape2> },
    Bare {},
}

#[derive(Clone, Debug, PartialEq, Wire)]
enum Shape2 {
    Only,
}

#[derive(Clone, Debug, PartialEq, Wire)]
#[wire(depth = 8)]
struct Tree<T: Clone, const N: usize>
where
    T: PartialEq,
{
    value: T,
    children: Vec<Tree<T, N>>,
}

/// A type that names itself as its own.
#[derive(Clone, Debug, PartialEq, Wire)]
#[wire(depth = 8)]
enum Term<T: Clone>
where
    Self: Sized,
{
    Leaf(T),
    Not(Box<Self>),
    Both(Box<Self>, Box<Self>),
    Any { of: Vec<Self>, digits: [u8; 2] },
}

#[derive(Clone, Debug, PartialEq, Wire)]
struct Digits([u8; Self::COUNT]);

impl Digits {
    const COUNT: usize = 3;
}

/// A foreign type: it has serde impls and is not `Wire`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Foreign(u16);

#[derive(Clone, Debug, PartialEq, Wire)]
enum Holder {
    One(#[wire(opaque = "foreign/1")] Foreign),
    Two {
        #[wire(opaque = "foreign/1")]
        foreign: Foreign,
        count: u8,
    },
}

#[derive(Clone, Debug, PartialEq, Wire, serde::Serialize, serde::Deserialize)]
#[wire(opaque = "money/1")]
#[serde(transparent)]
struct Money {
    cents: u64,
}

fn limits() -> DecodeLimits {
    DecodeLimits::for_body(1 << 16, 32, &Limits::default())
}

fn reads_back<T: Wire + Clone + Debug + PartialEq>(value: T) {
    let mut bytes = Vec::new();
    encode_into(&value, &mut bytes, 1 << 16).expect("encoded");
    let back: T = decode(&bytes, &limits()).expect("decoded");
    assert_eq!(back, value, "in postcard");
    let text = serde_json::to_string(&value).expect("encoded");
    let back: T = serde_json::from_str(&text).expect("decoded");
    assert_eq!(back, value, "in {text}");
    shape_of::<T>().expect("a shape");
}

#[test]
fn values_of_every_shape_read_back() {
    let pair = Pair(1, vec![Newtype("a".to_string())]);
    let map = BTreeMap::from([("some".to_string(), Some(pair)), ("none".to_string(), None)]);
    let named = Named { r#type: 3, map };
    reads_back(Unit);
    reads_back(Empty {});
    reads_back(named.clone());
    let record = Shape::Record {
        name: "n".to_string(),
        r#in: vec![Shape2::Only],
    };
    let newtype = Shape::Newtype(Newtype(String::new()));
    let tuple = Shape::Tuple(7, named);
    for shape in [
        Shape::Unit,
        Shape::Empty(),
        newtype,
        tuple,
        record,
        Shape::Bare {},
    ] {
        reads_back(shape);
    }
    let leaf = Tree::<_, 3> {
        value: Unit,
        children: Vec::new(),
    };
    reads_back(Tree::<_, 3> {
        value: Unit,
        children: vec![leaf.clone(), leaf],
    });
    let term = Term::Not(Box::new(Term::Leaf(1_u8)));
    let both = Term::Both(Box::new(term.clone()), Box::new(term));
    reads_back(Term::Any {
        of: vec![both],
        digits: [1, 2],
    });
    reads_back(Digits([1, 2, 3]));
    reads_back(Holder::One(Foreign(1)));
    reads_back(Holder::Two {
        foreign: Foreign(2),
        count: 3,
    });
    reads_back(Money { cents: 5 });
}

#[test]
fn names_may_come_in_any_order_and_unknown_ones_are_ignored() {
    let text = r#"{"map": {}, "newer": [1, {"x": 2}], "type": 3}"#;
    let named: Named = serde_json::from_str(text).expect("decoded");
    assert_eq!(named.r#type, 3);
    let twice = serde_json::from_str::<Named>(r#"{"map": {}, "map": {}, "type": 3}"#);
    assert!(
        twice
            .expect_err("refused")
            .to_string()
            .contains("duplicate field `map`")
    );
    let missing = serde_json::from_str::<Named>(r#"{"type": 3}"#);
    assert!(
        missing
            .expect_err("refused")
            .to_string()
            .contains("missing field `map`")
    );
    assert!(serde_json::from_str::<Shape>(r#""Unheard""#).is_err());
}

#[test]
fn bytes_that_stop_early_are_an_error() {
    let mut bytes = Vec::new();
    encode_into(
        &Pair(1, vec![Newtype("abc".to_string())]),
        &mut bytes,
        1 << 16,
    )
    .expect("encoded");
    for len in 0..bytes.len() {
        assert!(decode::<Pair>(&bytes[..len], &limits()).is_err(), "{len}");
    }
}

#[test]
fn the_fingerprint_is_of_names_and_types_not_of_places() {
    mod elsewhere {
        #[derive(callboard::Wire)]
        pub(super) struct Newtype(String);
        #[derive(callboard::Wire)]
        pub(super) struct Pair(u16, Vec<Newtype>);
    }
    let fingerprint = |shape: Result<callboard_protocol::wire::ShapeInfo, _>| {
        let shape: Result<_, callboard_protocol::wire::ShapeError> = shape;
        shape.expect("a shape").fingerprint
    };
    let moved = fingerprint(shape_of::<elsewhere::Newtype>());
    assert_eq!(fingerprint(shape_of::<Newtype>()), moved);
    let changed = fingerprint(shape_of::<elsewhere::Pair>());
    assert_ne!(fingerprint(shape_of::<Pair>()), changed);
}

#[test]
fn a_ref_travels_in_a_message() {
    fn is_wire<T: Wire>() {}
    #[derive(Wire)]
    struct Join {
        who: super::definitions::RoomRef,
    }
    is_wire::<Join>();
    let describe = shape_of::<Join>().expect("a shape");
    assert!(describe.depth >= 1);
    let _ = |join: Join| join.who;
}
