use std::collections::{BTreeMap, BTreeSet, LinkedList};

use serde::{Deserialize, Serialize};

use super::*;
use crate::garbage::{Random, mutate};
use crate::wire::{Shape, shape_of};

/// Decodes with the depth of the type and the default limits, as a node does: from a frame, and as
/// the only part of a body, which must make no difference.
fn decode_as_a_node<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let limits = limits_for::<T>(bytes.len());
    let whole = decode::<T>(bytes, &limits);
    let part = decode_parts::<T>(vec![bytes.to_vec()], &limits);
    // Compared as bytes, since not every value equals itself (NaN).
    let encoded = |value: &Result<T, DecodeError>| value.as_ref().map(encode).map_err(Clone::clone);
    assert_eq!(encoded(&part), encoded(&whole), "of {bytes:?}");
    whole
}

fn limits_for<T: Wire>(len: usize) -> DecodeLimits {
    let depth = shape_of::<T>().expect("has a shape").depth;
    DecodeLimits::for_body(len, depth, &Limits::default())
}

/// The parts of an encoding, up to a number.
struct Collected {
    parts: Vec<Vec<u8>>,
    most: usize,
}

impl Parts for Collected {
    fn split(&mut self, before: &mut Vec<u8>, long: &[u8]) -> bool {
        assert!(long.len() >= LONG_BYTES_MIN);
        if self.parts.len() >= self.most {
            return false;
        }
        self.parts.extend([std::mem::take(before), long.to_vec()]);
        true
    }
}

fn parts_of<T: Serialize>(
    value: &T,
    most: usize,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, EncodeError> {
    let parts = Vec::new();
    let (mut collected, mut last) = (Collected { parts, most }, Vec::new());
    encode_parts(value, &mut last, &mut collected, bytes_max)?;
    collected.parts.push(last);
    Ok(collected.parts)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes, usize::MAX).expect("encodes");
    bytes
}

fn round_trip<T: Wire + PartialEq + fmt::Debug>(value: T) {
    let bytes = encode(&value);
    assert_eq!(postcard::to_allocvec(&value).expect("encodes"), bytes);
    assert_eq!(decode_as_a_node::<T>(&bytes).expect("decodes"), value);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    items: Vec<Item>,
    note: Option<String>,
    state: State,
    by_day: BTreeMap<i16, f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item(String, u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Paid(i64),
    Sent { at: i128, by: (char, bool) },
}

impl Wire for Order {
    fn describe(shape: &mut Shape) {
        shape.record::<Self>("Order", None, |fields| {
            fields.field::<u64>("id");
            fields.field::<Vec<Item>>("items");
            fields.field::<Option<String>>("note");
            fields.field::<State>("state");
            fields.field::<BTreeMap<i16, f32>>("by_day");
        });
    }
}

impl Wire for Item {
    fn describe(shape: &mut Shape) {
        shape.record::<Self>("Item", None, |fields| {
            fields.field::<String>("0");
            fields.field::<u32>("1");
        });
    }
}

impl Wire for State {
    fn describe(shape: &mut Shape) {
        shape.choice::<Self>("State", None, |variants| {
            variants.variant("Open", |_| {});
            variants.variant("Paid", |fields| fields.field::<i64>("0"));
            variants.variant("Sent", |fields| {
                fields.field::<i128>("at");
                fields.field::<(char, bool)>("by");
            });
        });
    }
}

fn order() -> Order {
    Order {
        id: u64::MAX,
        items: vec![Item("tea".into(), 2), Item(String::new(), u32::MAX)],
        note: Some("für Ada".into()),
        state: State::Sent {
            at: i128::MIN,
            by: ('€', true),
        },
        by_day: BTreeMap::from([(i16::MIN, 1.5), (-1, f32::NEG_INFINITY), (300, 0.0)]),
    }
}

/// A recursive type of one level a value.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum List {
    End,
    More(Box<List>),
}

impl Wire for List {
    fn describe(shape: &mut Shape) {
        shape.choice::<Self>("List", Some(32), |variants| {
            variants.variant("End", |_| {});
            variants.variant("More", |fields| fields.field::<Box<List>>("0"));
        });
    }
}

/// A recursive type of two levels a value.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

impl Wire for Tree {
    fn describe(shape: &mut Shape) {
        shape.record::<Self>("Tree", Some(20), |fields| {
            fields.field::<Vec<Tree>>("children")
        });
    }
}

fn list(len: usize) -> List {
    (0..len).fold(List::End, |rest, _| List::More(Box::new(rest)))
}

#[test]
fn values_of_every_kind_survive() {
    round_trip(order());
    round_trip(Order {
        state: State::Open,
        note: None,
        ..order()
    });
    round_trip(Order {
        state: State::Paid(-1),
        ..order()
    });
    round_trip((
        u8::MAX,
        i8::MIN,
        u16::MAX,
        i16::MIN,
        u32::MAX,
        i32::MIN,
        u64::MAX,
        i64::MIN,
    ));
    round_trip((
        u128::MAX,
        i128::MIN,
        usize::MAX,
        isize::MIN,
        f64::MIN_POSITIVE,
        'a',
        (),
    ));
    round_trip((
        (),
        [1_u16; 32],
        [(); 3],
        "text".to_owned(),
        vec![vec![0_u8; 300]; 3],
    ));
}

#[test]
fn encoding_a_known_value_gives_known_bytes() {
    let bytes = encode(&(300_u32, "hi", Some(-1_i64), [true, false]));
    assert_eq!(bytes, [0xac, 0x02, 2, b'h', b'i', 1, 1, 1, 0]);
}

#[test]
fn encoding_appends_and_stops_at_the_cap_without_a_trace() {
    let mut out = vec![7];
    encode_into("abc", &mut out, 4).expect("fits exactly");
    assert_eq!(out, [7, 3, b'a', b'b', b'c']);
    for bytes_max in 0..4 {
        assert_eq!(
            encode_into("abc", &mut out, bytes_max),
            Err(EncodeError::TooLarge { bytes_max })
        );
        assert_eq!(out, [7, 3, b'a', b'b', b'c']);
    }
}

#[test]
fn a_long_text_is_a_part_of_its_own_and_is_taken_over() {
    let value = (
        7_u8,
        "ab".repeat(100_000),
        Some("short".to_owned()),
        "c".repeat(LONG_BYTES_MIN),
        vec!["d".repeat(LONG_BYTES_MIN - 1)],
    );
    let whole = encode(&value);
    let limits = limits_for::<(u8, String, Option<String>, String, Vec<String>)>(whole.len());
    for most in [0, 2, 4, 6] {
        let parts = parts_of(&value, most, whole.len()).expect("encodes");
        assert_eq!(parts.concat(), whole);
        assert_eq!(parts.len(), most.min(4) + 1);
        let at = parts.get(1).map(|part| part.as_ptr());
        let decoded = decode_parts(parts, &limits);
        let decoded: (u8, String, Option<String>, String, Vec<String>) = decoded.expect("decodes");
        if let Some(at) = at {
            assert_eq!(decoded.1.as_ptr(), at, "not copied");
        }
        assert_eq!(decoded, value);
    }
    for bytes_max in [0, 1, 5, 64 << 10, 200_003, whole.len() - 1] {
        assert_eq!(
            parts_of(&value, 6, bytes_max),
            Err(EncodeError::TooLarge { bytes_max })
        );
    }
}

#[test]
fn a_byte_string_in_a_part_may_be_read_as_a_sequence() {
    struct AsBytes(Vec<u8>);
    impl Serialize for AsBytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    let bytes = vec![200; LONG_BYTES_MIN];
    let value = (1_u8, AsBytes(bytes.clone()), "behind".to_owned());
    let parts = parts_of(&value, 2, usize::MAX).expect("encodes");
    assert_eq!(parts.len(), 3);
    let limits = limits_for::<(u8, Vec<u8>, String)>(2 * LONG_BYTES_MIN);
    let decoded: (u8, Vec<u8>, String) = decode_parts(parts, &limits).expect("decodes");
    assert_eq!(decoded, (1, bytes, "behind".to_owned()));
}

#[test]
fn damaged_parts_are_errors_and_never_more_than_their_bytes_say() {
    type Value = (u8, String, Vec<u16>, String);
    let long = "x".repeat(LONG_BYTES_MIN);
    let value: Value = (1, long, vec![2, 3], "behind".to_owned());
    let whole = encode(&value);
    let limits = limits_for::<Value>(whole.len());
    let valid = parts_of(&value, 6, usize::MAX).expect("encodes");
    let mut random = Random::new(11);
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut parts = valid.clone();
        match random.below(4) {
            0 => {
                let at = random.below(parts.len());
                parts[at] = mutate(&parts[at], &mut random);
            }
            1 => drop(parts.remove(random.below(parts.len()))),
            2 => parts.insert(random.below(parts.len()), random.bytes(9)),
            _ => {
                let at = random.below(parts.len());
                let keep = random.below(parts[at].len() + 1);
                let cut = parts[at].split_off(keep);
                parts.insert(at + 1, cut);
            }
        }
        let all = parts.concat();
        match decode_parts::<Value>(parts, &limits) {
            Ok(found) => assert_eq!(decode::<Value>(&all, &limits), Ok(found), "as a whole"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 500, "only {refused}: the test tests nothing");
    let over = DecodeLimits {
        budget_bytes: LONG_BYTES_MIN as u64,
        ..limits
    };
    assert!(matches!(
        decode_parts::<Value>(valid, &over),
        Err(DecodeError::OverBudget { .. })
    ));
}

#[test]
fn a_sequence_of_unknown_length_has_no_encoding() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..5).filter(|n| n % 2 == 0))
        }
    }
    let mut out = Vec::new();
    let error = encode_into(&(1_u8, Endless), &mut out, 100).expect_err("fails");
    assert!(matches!(error, EncodeError::Unsupported { .. }), "{error}");
    assert!(out.is_empty());
}

#[test]
fn bytes_behind_the_value_are_refused() {
    let error = decode_as_a_node::<u8>(&[1, 2, 3]).expect_err("fails");
    assert_eq!(error, DecodeError::TrailingBytes { count: 2 });
    assert_eq!(error.code(), Code::BodyUndecodable);
}

#[test]
fn a_recursive_value_of_its_stated_depth_decodes_and_one_more_does_not() {
    round_trip(list(31));
    let error = decode_as_a_node::<List>(&encode(&list(32))).expect_err("fails");
    assert_eq!(error, DecodeError::TooDeep { depth: 32 });
    assert_eq!(error.code(), Code::BodyOverLimit);
}

#[test]
fn a_body_nested_60_000_deep_is_refused_without_overflowing_the_stack() {
    let mut bytes = vec![1; 60_000];
    bytes.push(0);
    assert_eq!(
        decode_as_a_node::<List>(&bytes),
        Err(DecodeError::TooDeep { depth: 32 })
    );
    assert_eq!(
        decode_as_a_node::<Tree>(&bytes),
        Err(DecodeError::TooDeep { depth: 40 })
    );
    // Also where whoever calls asks for a depth over the cap.
    let limits = DecodeLimits::for_body(bytes.len(), u32::MAX, &Limits::default());
    assert_eq!(
        decode::<List>(&bytes, &limits),
        Err(DecodeError::TooDeep { depth: 256 })
    );
}

#[test]
fn the_deepest_allowed_value_of_a_wide_type_fits_the_stack() {
    // Tests run on a stack of 2 MiB like workers, and without optimisation, where frames are largest.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wide {
        numbers: [u64; 32],
        child: Option<Box<Wide>>,
    }
    impl Wire for Wide {
        fn describe(shape: &mut Shape) {
            shape.record::<Self>("Wide", Some(128), |fields| {
                fields.field::<[u64; 32]>("numbers");
                fields.field::<Option<Box<Wide>>>("child");
            });
        }
    }
    assert_eq!(shape_of::<Wide>().expect("has a shape").depth, 256);
    let wide = |child| Wide {
        numbers: [1; 32],
        child,
    };
    round_trip((0..127).fold(wide(None), |child, _| wide(Some(Box::new(child)))));
}

#[test]
fn a_hundred_million_elements_without_a_size_are_refused_early() {
    let bytes = encode(&100_000_000_u64);
    let error = decode_as_a_node::<Vec<()>>(&bytes).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    let error = decode_as_a_node::<Vec<[u64; 0]>>(&bytes).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    // A thousand of them are a value like any other.
    round_trip(vec![(); 1000]);
}

#[test]
fn a_megabyte_that_would_become_136_is_refused() {
    type Wide = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u64, u64);
    assert_eq!(size_of::<Wide>(), 136);
    // Seven bytes each when all is empty.
    let mut bytes = encode(&149_796_u64);
    bytes.resize(bytes.len() + 7 * 149_796, 0);
    decode_as_a_node::<Vec<Wide>>(&bytes).expect("19 times its bytes are allowed");
    // A byte of an empty optional becomes all of it.
    let mut bytes = encode(&1_000_000_u64);
    bytes.resize(bytes.len() + 1_000_000, 0);
    let error = decode_as_a_node::<Vec<Option<Wide>>>(&bytes).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    // Hidden behind a pointer it is the same.
    let error = decode_as_a_node::<Vec<Box<Option<Wide>>>>(&bytes).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    let error = decode_as_a_node::<BTreeMap<u8, Option<Wide>>>(&bytes).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
}

#[test]
fn trees_of_one_element_are_charged_the_node_that_each_takes() {
    // A node of std's B-tree has room for eleven elements, and each list node has two pointers.
    type Long = Option<[u64; 32]>;
    let budget = |depth, bytes| DecodeLimits {
        depth,
        budget_bytes: bytes,
    };
    let node = (size_of::<BTreeSet<Long>>() + 11 * size_of::<Long>() + 16) as u64;
    let set = encode(&BTreeSet::<Long>::from([None]));
    decode::<BTreeSet<Long>>(&set, &budget(2, node)).expect("that is enough");
    let error = decode::<BTreeSet<Long>>(&set, &budget(2, node - 1)).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    // 84 kB would take 116 MB.
    let sets = encode(&vec![BTreeSet::<Long>::from([None]); 40_000]);
    let error = decode_as_a_node::<Vec<BTreeSet<Long>>>(&sets).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    let maps = encode(&vec![BTreeMap::<u8, Long>::from([(1, None)]); 4_000]);
    let error = decode_as_a_node::<Vec<BTreeMap<u8, Long>>>(&maps).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    // Five bytes would take 16 MB.
    let links = encode(&1_000_000_u64);
    let error = decode_as_a_node::<LinkedList<()>>(&links).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    // What has one buffer for all is charged as before.
    decode::<Vec<Long>>(&set, &budget(2, 24 + size_of::<Long>() as u64)).expect("enough");
    round_trip(vec![BTreeMap::from([(1_u64, "tea".to_owned())]); 1_000]);
}

#[test]
fn empty_lists_and_texts_of_24_bytes_each_are_within_the_budget() {
    round_trip(vec![Vec::<u8>::new(); 1_000_000]);
    round_trip(vec![String::new(); 1_000_000]);
}

#[test]
fn a_length_of_four_gibibytes_reserves_nothing() {
    let mut bytes = encode(&(1_u64 << 32));
    bytes.extend([0; 100]);
    let over_budget = |error| assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
    over_budget(decode_as_a_node::<Vec<u64>>(&bytes).expect_err("fails"));
    over_budget(decode_as_a_node::<Vec<String>>(&bytes).expect_err("fails"));
    over_budget(decode_as_a_node::<BTreeMap<u8, u8>>(&bytes).expect_err("fails"));
    over_budget(decode_as_a_node::<BTreeMap<(), u8>>(&bytes).expect_err("fails"));
    assert_eq!(
        decode_as_a_node::<String>(&bytes),
        Err(DecodeError::UnexpectedEnd)
    );
    let longest = encode(&u64::MAX);
    assert_eq!(
        decode_as_a_node::<String>(&longest),
        Err(DecodeError::UnexpectedEnd)
    );
    over_budget(decode_as_a_node::<Vec<u64>>(&[&longest[..], &[0]].concat()).expect_err("fails"));
    // A length within the budget that the bytes do not keep is not reserved whole either.
    let mut bytes = encode(&40_000_u64);
    bytes.extend([0; 100]);
    assert_eq!(
        decode_as_a_node::<Vec<u64>>(&bytes),
        Err(DecodeError::UnexpectedEnd)
    );
}

#[test]
fn nested_lists_that_all_claim_to_be_long_are_refused_together() {
    // Each level claims 10,000 lists, within the budget by itself; serde would reserve a quarter of
    // a mebibyte for each.
    let mut bytes = Vec::new();
    for _ in 0..20 {
        bytes.extend(encode(&10_000_u64));
    }
    let error = decode_as_a_node::<Tree>(&bytes).expect_err("fails");
    assert!(matches!(error, DecodeError::OverBudget { .. }), "{error}");
}

#[test]
fn malformed_values_are_named() {
    let refused = |bytes: &[u8]| decode_as_a_node::<u16>(bytes).expect_err("fails");
    assert_eq!(refused(&[]), DecodeError::UnexpectedEnd);
    assert_eq!(refused(&[0x80]), DecodeError::UnexpectedEnd);
    assert_eq!(refused(&[0xff, 0xff, 0x04]), DecodeError::NumberTooLong);
    assert_eq!(
        refused(&[0x80, 0x80, 0x80, 0x80]),
        DecodeError::NumberTooLong
    );
    assert_eq!(decode_as_a_node::<bool>(&[2]), Err(DecodeError::BadBool));
    assert_eq!(
        decode_as_a_node::<Option<u8>>(&[2, 0]),
        Err(DecodeError::BadOption)
    );
    assert_eq!(
        decode_as_a_node::<char>(&[2, b'a', b'b']),
        Err(DecodeError::BadChar)
    );
    assert_eq!(decode_as_a_node::<char>(&[0]), Err(DecodeError::BadChar));
    assert_eq!(
        decode_as_a_node::<String>(&[1, 0xff]),
        Err(DecodeError::BadText)
    );
    let error = decode_as_a_node::<State>(&[9]).expect_err("fails");
    assert!(error.to_string().contains("variant index"), "{error}");
}

#[test]
fn a_type_that_needs_type_information_is_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
    }
    impl Wire for Untagged {
        fn describe(shape: &mut Shape) {
            shape.opaque("Untagged/1");
        }
    }
    let error = decode_as_a_node::<Untagged>(&[1]).expect_err("fails");
    assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
}

#[test]
fn a_long_reason_of_a_type_is_cut() {
    let error = <DecodeError as serde::de::Error>::custom("ü".repeat(10_000));
    assert_eq!(error.to_string().len(), 256);
}

#[test]
fn damaged_bodies_decode_like_plain_postcard_or_are_refused() {
    type Everything = (Order, Vec<(u16, i32, char)>, Option<Box<(f64, bool, u128)>>);
    let value: Everything = (
        order(),
        vec![(1, -2, 'x'), (u16::MAX, i32::MAX, '€')],
        Some(Box::new((0.5, true, 7))),
    );
    let valid = encode(&value);
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let bytes = mutate(&valid, &mut random);
        let plain = postcard::take_from_bytes::<Everything>(&bytes);
        match (decode_as_a_node::<Everything>(&bytes), plain) {
            (Ok(ours), Ok((theirs, rest))) => {
                assert!(rest.is_empty());
                // Compared as bytes, since a damaged number may be no number (NaN).
                assert_eq!(encode(&ours), encode(&theirs));
                accepted += 1;
            }
            (Err(_), Err(_)) => {}
            // Stricter than postcard: these two it accepts.
            (Err(DecodeError::TrailingBytes { .. } | DecodeError::BadChar), Ok(_)) => {}
            (ours, theirs) => panic!("{ours:?} but postcard {theirs:?} for {bytes:?}"),
        }
    }
    assert!(
        accepted > 1000,
        "only {accepted} mutants were valid: the test tests nothing"
    );
}

#[test]
fn garbage_never_panics() {
    let mut random = Random::new(42);
    for _ in 0..20_000 {
        let bytes = random.bytes(64);
        let _ = decode_as_a_node::<Order>(&bytes);
        let _ = decode_as_a_node::<List>(&bytes);
        let _ = decode_as_a_node::<Tree>(&bytes);
        let _ = decode_as_a_node::<Vec<Vec<Option<String>>>>(&bytes);
        let _ = decode_as_a_node::<(char, i128, f32, [u16; 4])>(&bytes);
    }
}
