use std::fmt::Debug;
use std::time::UNIX_EPOCH;

use super::*;
use crate::wire::{DecodeError, DecodeLimits, decode, encode_into, shape_of};

/// Checks that a value survives, and that it needs exactly the depth its type says: the value has to
/// nest as deep as its type can.
fn survives<T: Wire + PartialEq + Debug>(value: T) {
    let mut bytes = Vec::new();
    encode_into(&value, &mut bytes, usize::MAX).expect("encodes");
    let depth = shape_of::<T>().expect("has a shape").depth;
    let limits = |depth| DecodeLimits {
        depth,
        budget_bytes: 1 << 20,
    };
    assert_eq!(decode::<T>(&bytes, &limits(depth)).as_ref(), Ok(&value));
    if depth > 0 {
        let too_deep = Err(DecodeError::TooDeep { depth: depth - 1 });
        assert_eq!(
            decode::<T>(&bytes, &limits(depth - 1)),
            too_deep,
            "{value:?}"
        );
    }
}

#[test]
fn numbers_and_texts_survive_at_their_depth() {
    survives((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX));
    survives((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, isize::MIN));
    survives((f32::MIN, f64::MAX, true, 'é', (), PhantomData::<u8>));
    survives((
        String::from("a"),
        Box::<str>::from("b"),
        Cow::<'static, str>::Borrowed("c"),
    ));
    survives((
        NonZeroU8::MIN,
        NonZeroI128::MAX,
        NonZeroUsize::MAX,
        NonZeroI16::MIN,
    ));
    survives((Wrapping(7_u8), Reverse(8_u16), Box::new(9_u32)));
    survives(7_u8);
    survives(String::from("text"));
}

#[test]
fn collections_survive_at_their_depth() {
    survives(vec![1_u16]);
    survives(VecDeque::from([1_u16]));
    survives(LinkedList::from([1_u16]));
    survives(BTreeSet::from([1_u16]));
    survives(HashSet::<u16>::from([1]));
    survives(BTreeMap::from([(1_u8, vec![2_u8])]));
    survives(HashMap::<u8, Vec<u8>>::from([(1, vec![2])]));
    survives(vec![1_u8, 2].into_boxed_slice());
    survives(Some(Some(vec![Some(1_u8)])));
    survives(Ok::<Vec<u8>, String>(vec![1]));
    survives(Err::<u8, Vec<String>>(vec!["no".into()]));
    survives(1_u8..5);
    survives(1_u8..=5);
    survives([7_u8; 32]);
    survives([0_u8; 0]);
    survives([[1_u8; 2]; 2]);
    survives(((((1_u8,),),),));
    survives((
        1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8, 7_u8, 8_u8, 9_u8, 10_u8, 11_u8, 12_u8,
    ));
    let heap = BinaryHeap::from([3_u8, 1, 2]);
    let mut bytes = Vec::new();
    encode_into(&heap, &mut bytes, 100).expect("encodes");
    let limits = DecodeLimits {
        depth: 1,
        budget_bytes: 100,
    };
    let heap: BinaryHeap<u8> = decode(&bytes, &limits).expect("decodes");
    assert_eq!(heap.into_sorted_vec(), [1, 2, 3]);
}

#[test]
fn times_and_addresses_survive_at_their_depth() {
    survives(Duration::from_nanos(u64::MAX));
    survives(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    survives(Ipv4Addr::LOCALHOST);
    survives(Ipv6Addr::LOCALHOST);
    survives(IpAddr::from(Ipv4Addr::LOCALHOST));
    survives(IpAddr::from(Ipv6Addr::LOCALHOST));
    survives(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
    survives(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, 0));
    survives("127.0.0.1:80".parse::<SocketAddr>().expect("valid"));
    survives("[::1]:80".parse::<SocketAddr>().expect("valid"));
}

#[test]
fn types_of_callboard_survive_at_their_depth() {
    let (node, incarnation, actor) = (NodeId(u64::MAX), Incarnation(1), ActorId(2));
    survives(node);
    survives(incarnation);
    survives(actor);
    survives(ActorAddr {
        node,
        incarnation,
        actor,
    });
    survives(CallId(3));
    survives(InterfaceId::of("Greeter"));
    survives(MethodId::of("Greeter", "say_hello"));
    survives(ClusterName::new("shop").expect("valid"));
    survives(NodeName::new("n1").expect("valid"));
    survives(Code::MailboxFull);
    survives(CallError::new(Code::MailboxFull, "actor Cart").with_detail("1024 waiting"));
}

#[cfg(feature = "bytes")]
#[test]
fn byte_strings_survive_at_their_depth() {
    survives(bytes::Bytes::from_static(b"bytes"));
    survives(bytes::BytesMut::from(&b"bytes"[..]));
    assert_eq!(shape_of::<bytes::Bytes>().expect("has a shape").depth, 0);
}

#[cfg(feature = "uuid")]
#[test]
fn uuids_survive_at_their_depth() {
    survives(uuid::Uuid::from_u128(u128::MAX));
}

#[cfg(feature = "time")]
#[test]
fn dates_survive_at_their_depth() {
    let moment = time::OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1);
    survives(moment);
    survives(moment.date());
    survives(moment.time());
    survives(moment.offset());
    survives(time::PrimitiveDateTime::new(moment.date(), moment.time()));
    survives(time::Duration::milliseconds(-1));
}
