//! Bodies: values of types with `#[derive(Wire)]`, and of what the framework sends itself.
//!
//! The first byte of an input says which type the rest is read as. Beside what all decoders
//! promise: postcard's own decoder reads the same value, and refuses what is refused here for other
//! reasons than a limit; less budget changes nothing but that a limit is reached.

use std::{fmt, sync::LazyLock};

use callboard::Wire;
use callboard_protocol::wire::{
    DecodeError, DecodeLimits, Limits, decode, decode_parts, encode_into, shape_of,
};

use super::{
    Heap, Target,
    types::{Words, collections, expressions, foreign, numbers, orders, sparse, trees},
};

/// The target.
pub const TARGET: Target = Target {
    name: "bodies",
    check,
    seeds,
};

/// A type, and what its inputs begin with: its place in the list.
struct Kind {
    check: fn(&[u8], u32, Heap) -> bool,
    depth: u32,
    seeds: Vec<Vec<u8>>,
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    vec![
        kind(orders()),
        kind(numbers()),
        kind(trees()),
        kind(expressions()),
        kind(collections()),
        kind(sparse()),
        kind(foreign()),
        kind_of_bytes::<Words>(words()),
    ]
});

fn kind<T: Wire + PartialEq + fmt::Debug, const N: usize>(seeds: [T; N]) -> Kind {
    let encode = |value: &T| encoded(value);
    kind_of_bytes::<T>(seeds.iter().map(encode).collect())
}

fn kind_of_bytes<T: Wire + PartialEq + fmt::Debug>(seeds: Vec<Vec<u8>>) -> Kind {
    Kind {
        check: check_type::<T>,
        depth: shape_of::<T>().expect("the types have shapes").depth,
        seeds,
    }
}

fn check(bytes: &[u8], heap: Heap) -> bool {
    let Some((kind, body)) = bytes.split_first() else {
        return false;
    };
    let kind = KINDS.get(usize::from(*kind));
    kind.is_some_and(|kind| (kind.check)(body, kind.depth, heap))
}

fn check_type<T: Wire + PartialEq + fmt::Debug>(body: &[u8], depth: u32, heap: Heap) -> bool {
    let limits = DecodeLimits::for_body(body.len(), depth, &limits());
    let budget = usize::try_from(limits.budget_bytes).expect("it is small");
    let room = budget * OVERHEAD + body.len().min(1024) * ELEMENT_BYTES_MAX + REASON_BYTES;
    let decoded = heap.within(room, || decode::<T>(body, &limits));
    check_tighter(body, &decoded, limits);
    check_parts(body, &decoded, limits);
    match decoded {
        Ok(value) => {
            check_value(body, &value, limits);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // A text of two characters: postcard reads the first.
            if !error.is_limit() && error != DecodeError::BadChar {
                check_refused::<T>(body, &error);
            }
            false
        }
    }
}

/// A body that is one part is read as the same bytes in a frame are; one that is cut anywhere is read as
/// the same value or not at all.
fn check_parts<T: Wire + PartialEq + fmt::Debug>(
    body: &[u8],
    decoded: &Result<T, DecodeError>,
    limits: DecodeLimits,
) {
    assert_eq!(&decode_parts::<T>(vec![body.to_vec()], &limits), decoded);
    let third = body.len() / 3;
    for (first, second) in [
        (third, 2 * third),
        (1.min(third), third),
        (third, body.len()),
    ] {
        let parts = [&body[..first], &body[first..second], &body[second..]];
        let value = decode_parts::<T>(parts.map(<[u8]>::to_vec).into(), &limits);
        if let Ok(value) = value {
            assert_eq!(Ok(&value), decoded.as_ref());
        }
    }
}

fn check_value<T: Wire + PartialEq + fmt::Debug>(body: &[u8], value: &T, limits: DecodeLimits) {
    let (second, rest) = postcard::take_from_bytes::<T>(body).expect("postcard reads it too");
    assert!(rest.is_empty(), "postcard leaves {rest:?}");
    assert_eq!(&second, value, "postcard reads another value");
    let again = encoded(value);
    let limits = DecodeLimits {
        // An error with an unknown code grows by the text that says so.
        budget_bytes: limits.budget_bytes + 1024,
        ..limits
    };
    let decoded = decode::<T>(&again, &limits);
    assert_eq!(decoded.as_ref(), Ok(value));
}

/// What no limit stopped is no value to postcard either, or has bytes behind it.
fn check_refused<T: Wire>(body: &[u8], error: &DecodeError) {
    if let Ok((_, rest)) = postcard::take_from_bytes::<T>(body) {
        let expected = DecodeError::TrailingBytes { count: rest.len() };
        assert_eq!(error, &expected, "postcard reads a value");
    }
}

/// Decodes again with a part of the limits.
fn check_tighter<T: Wire + PartialEq + fmt::Debug>(
    body: &[u8],
    decoded: &Result<T, DecodeError>,
    limits: DecodeLimits,
) {
    let budget_bytes = limits.budget_bytes / 16;
    for tighter in [
        DecodeLimits {
            budget_bytes,
            ..limits
        },
        DecodeLimits {
            depth: limits.depth / 2,
            ..limits
        },
    ] {
        match decode::<T>(body, &tighter) {
            Err(error) if error.is_limit() => {}
            other => assert_eq!(&other, decoded),
        }
    }
}

fn encoded<T: Wire>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes, usize::MAX).expect("it has an encoding");
    bytes
}

/// Refs have no value outside of a node, so these bytes are put together: an error, a code, a name,
/// an address, and refs of a service, a keyed and a spawned actor.
fn words() -> Vec<Vec<u8>> {
    let own = b"\xe9\x07\x06method\x02no\xea\x07\x02n1\x01\x02\x03";
    let refs = b"\x00\x01\x05alice\x02\x01\x02\x03";
    vec![[&own[..], &refs[..]].concat()]
}

fn seeds() -> Vec<Vec<u8>> {
    let kinds = KINDS.iter().zip(0_u8..);
    kinds
        .flat_map(|(kind, number)| {
            kind.seeds
                .iter()
                .map(move |seed| [&[number], &seed[..]].concat())
        })
        .collect()
}

/// Lower than a node's at the start and higher for each byte, so that short inputs can fill the
/// budget, and those of every type can be within it.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.decode_bytes_min = 64 << 10;
    limits.decode_amplification_max = 256;
    limits
}

/// What may be taken for a charged byte: a collection that grows holds its old elements and twice the
/// room for them, a hash table is half empty.
const OVERHEAD: usize = 3;

/// At least the longest element for which a collection of these types reserves room. It does so for
/// as many as there are bytes, up to 1024, before the first one is charged.
const ELEMENT_BYTES_MAX: usize = 64;

/// The text of a refusal.
const REASON_BYTES: usize = 4096;
