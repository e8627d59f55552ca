use callboard_protocol::wire::LONG_BYTES_MIN;

use super::*;
use crate::call::tests::hub;

#[test]
fn a_long_text_is_copied_once_and_the_rest_is_one_piece() {
    let long = "x".repeat(LONG_BYTES_MIN);
    let encoded = Encoded::of(&(1_u8, long.clone(), 2_u8), usize::MAX).expect("encodes");
    assert_eq!(encoded.len(), LONG_BYTES_MIN + 5);
    let mut whole = Vec::new();
    encoded.write_to(&mut whole);
    assert_eq!(whole[4..][..LONG_BYTES_MIN], *long.as_bytes());
    let frame = encoded.into_frame();
    assert_eq!(frame.len(), 4, "a head and three parts");
    assert_eq!(BodyHead::of(frame[0][0]), Some(BodyHead::Parts));
    assert_eq!(frame[1..].concat(), whole);

    let short = Encoded::of(&vec![7_u16; 5], usize::MAX).expect("encodes");
    let frame = short.into_frame();
    assert_eq!(BodyHead::of(frame[0][0]), Some(BodyHead::Whole));
    assert_eq!(frame.len(), 2);
}

#[test]
fn no_body_has_more_parts_than_a_frame_may_have() {
    let texts = vec!["x".repeat(LONG_BYTES_MIN); 40];
    let frame = Encoded::of(&texts, usize::MAX)
        .expect("encodes")
        .into_frame();
    assert_eq!(frame.len(), 1 + PARTS_MAX);
    let count = u8::try_from(PARTS_MAX).expect("few");
    assert_eq!(frame[0][..2], [0x14, count]);
    assert_eq!(BodyHead::table_bytes(count), Ok(frame[0].len() - 2));
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_are_lent_and_not_copied() {
    let body = Bytes::from(vec![7; LONG_BYTES_MIN]);
    let inner = body.slice(..LONG_BYTES_MIN - 1);
    let value = (inner, Some(body.clone()), Ok::<_, u8>(body.clone()));
    let frame = Encoded::of(&value, usize::MAX)
        .expect("encodes")
        .into_frame();
    // What is too short for a part goes with the rest.
    let places: Vec<_> = frame[1..].iter().map(|part| part.as_ptr()).collect();
    assert_eq!(places.len(), 5);
    assert_eq!((places[1], places[3]), (body.as_ptr(), body.as_ptr()));
}

fn name() -> Option<String> {
    decoding_hub().map(|hub| hub.me().name.clone())
}

#[tokio::test]
async fn refs_find_the_node_of_the_innermost_body_and_none_outside() {
    let (one, two) = (hub("one"), hub("two"));
    for _ in 0..2 {
        assert_eq!(name(), None);
        let outer = Scope::enter(&one);
        assert_eq!(name().as_deref(), Some("one"));
        for inner in [&two, &one] {
            let scope = Scope::enter(inner);
            assert_eq!(name().as_ref(), Some(&inner.me().name));
            drop(scope);
            assert_eq!(name().as_deref(), Some("one"));
        }
        drop(outer);
        assert_eq!(name(), None, "what is decoded later has no node");
    }
    let owners = Arc::strong_count(&two);
    drop(Scope::enter(&two));
    assert_eq!(Arc::strong_count(&two), owners, "the slot owns no node");
}
