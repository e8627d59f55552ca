use std::collections::BTreeSet;

use serde::Deserialize;

use super::*;

/// Declares a type that is only described: its encoding does not matter here.
macro_rules! described {
    ($ty:ident, $shape:ident => $describe:expr) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $ty;
        impl Wire for $ty {
            fn describe($shape: &mut Shape) {
                $describe
            }
        }
    };
}

fn fingerprint<T: Wire>() -> u64 {
    shape_of::<T>().expect("has a shape").fingerprint
}

fn depth<T: Wire>() -> u32 {
    shape_of::<T>().expect("has a shape").depth
}

mod here {
    use super::*;
    described!(Point, shape => shape.record::<Self>("Point", None, |fields| {
        fields.field::<i32>("x");
        fields.field::<i32>("y");
    }));
}

mod there {
    use super::*;
    described!(Point, shape => shape.record::<Self>("Point", None, |fields| {
        fields.field::<i32>("x");
        fields.field::<i32>("y");
    }));
}

#[test]
fn moving_a_type_to_another_module_keeps_its_fingerprint() {
    assert_eq!(fingerprint::<here::Point>(), fingerprint::<there::Point>());
    assert_eq!(
        fingerprint::<(here::Point, here::Point)>(),
        fingerprint::<(here::Point, there::Point)>(),
        "two types of one declaration are one type on the wire"
    );
}

#[test]
fn names_order_and_types_of_fields_count() {
    described!(Renamed, shape => shape.record::<Self>("Pixel", None, |fields| {
        fields.field::<i32>("x");
        fields.field::<i32>("y");
    }));
    described!(Swapped, shape => shape.record::<Self>("Point", None, |fields| {
        fields.field::<i32>("y");
        fields.field::<i32>("x");
    }));
    described!(Wider, shape => shape.record::<Self>("Point", None, |fields| {
        fields.field::<i32>("x");
        fields.field::<i64>("y");
    }));
    described!(Longer, shape => shape.record::<Self>("Point", None, |fields| {
        fields.field::<i32>("x");
        fields.field::<i32>("y");
        fields.field::<i32>("z");
    }));
    described!(Choice, shape => shape.choice::<Self>("Point", None, |variants| {
        variants.variant("x", |fields| fields.field::<i32>("0"));
        variants.variant("y", |fields| fields.field::<i32>("0"));
    }));
    described!(OtherChoice, shape => shape.choice::<Self>("Point", None, |variants| {
        variants.variant("y", |fields| fields.field::<i32>("0"));
        variants.variant("x", |fields| fields.field::<i32>("0"));
    }));
    described!(Unit, shape => shape.record::<Self>("Point", None, |_| {}));
    let all = BTreeSet::from([
        fingerprint::<here::Point>(),
        fingerprint::<Renamed>(),
        fingerprint::<Swapped>(),
        fingerprint::<Wider>(),
        fingerprint::<Longer>(),
        fingerprint::<Choice>(),
        fingerprint::<OtherChoice>(),
        fingerprint::<Unit>(),
        fingerprint::<(i32, i32)>(),
        fingerprint::<[i32; 2]>(),
    ]);
    assert_eq!(all.len(), 10);
}

#[test]
fn names_cannot_be_shifted_between_fields() {
    described!(A, shape => shape.record::<Self>("R", None, |fields| {
        fields.opaque("ab", "c");
    }));
    described!(B, shape => shape.record::<Self>("R", None, |fields| {
        fields.opaque("a", "bc");
    }));
    assert_ne!(fingerprint::<A>(), fingerprint::<B>());
}

#[test]
fn equal_encodings_have_one_fingerprint() {
    use std::borrow::Cow;
    use std::collections::{BTreeMap, VecDeque};
    assert_eq!(fingerprint::<Vec<u8>>(), fingerprint::<VecDeque<u8>>());
    assert_eq!(fingerprint::<Vec<u8>>(), fingerprint::<Box<[u8]>>());
    assert_eq!(fingerprint::<String>(), fingerprint::<Cow<'static, str>>());
    assert_eq!(
        fingerprint::<Box<here::Point>>(),
        fingerprint::<here::Point>()
    );
    assert_ne!(fingerprint::<Vec<u8>>(), fingerprint::<BTreeSet<u8>>());
    assert_ne!(
        fingerprint::<Vec<(u8, u8)>>(),
        fingerprint::<BTreeMap<u8, u8>>()
    );
}

#[test]
fn golden_fingerprints() {
    // Both sides of a link compare these, so a change of them refuses every call between an old
    // and a new version.
    let golden: [(u64, u64); 6] = [
        (fingerprint::<u32>(), 0x0817_e14d_2e43_3b1e),
        (fingerprint::<(String,)>(), 0xbb0b_6aaf_0289_69ea),
        (fingerprint::<Option<Vec<[u8; 4]>>>(), 0xf246_eb07_67c8_811f),
        (
            fingerprint::<Result<here::Point, String>>(),
            0xe619_711f_b1e4_fdf3,
        ),
        (fingerprint::<List>(), 0x6bc7_ed21_eddf_4eb1),
        (fingerprint::<Expr>(), 0x0e08_2b7a_b107_d174),
    ];
    for (at, (ours, golden)) in golden.into_iter().enumerate() {
        assert_eq!(format!("{ours:#018x}"), format!("{golden:#018x}"), "{at}");
    }
}

described!(List, shape => shape.choice::<Self>("List", Some(32), |variants| {
    variants.variant("End", |_| {});
    variants.variant("More", |fields| fields.field::<Box<List>>("0"));
}));

// Mutually recursive; only one of them states a depth.
described!(Expr, shape => shape.choice::<Self>("Expr", None, |variants| {
    variants.variant("Number", |fields| fields.field::<i64>("0"));
    variants.variant("Block", |fields| fields.field::<Vec<Stmt>>("0"));
    variants.variant("Call", |fields| fields.field::<Vec<Expr2>>("0"));
}));
described!(Expr2, shape => shape.record::<Self>("Expr2", Some(5), |fields| {
    fields.field::<Box<Expr>>("expr");
}));
described!(Stmt, shape => shape.record::<Self>("Stmt", Some(10), |fields| {
    fields.field::<Expr>("expr");
    fields.field::<Option<Box<Stmt>>>("next");
    fields.field::<Vec<Expr2>>("more");
}));

#[test]
fn depth_counts_the_levels_that_the_decoder_enters() {
    assert_eq!(depth::<u64>(), 0);
    assert_eq!(depth::<String>(), 0);
    assert_eq!(depth::<(String,)>(), 1);
    assert_eq!(depth::<Vec<Option<here::Point>>>(), 3);
    assert_eq!(depth::<Box<Result<u8, String>>>(), 1);
    assert_eq!(depth::<List>(), 32);
    assert_eq!(depth::<Vec<List>>(), 33);
    assert_eq!(depth::<(Vec<List>, u8, [[[u8; 1]; 1]; 1])>(), 34);
}

#[test]
fn a_recursive_type_without_a_depth_is_refused_by_name() {
    described!(Node, shape => shape.record::<Self>("Node", None, |fields| {
        fields.field::<Vec<Node>>("children");
    }));
    let error = shape_of::<Vec<Node>>().expect_err("refused");
    let ShapeError::UnboundedRecursion { type_name } = error else {
        panic!("{error}")
    };
    assert!(type_name.ends_with("::Node"), "{type_name}");
    assert!(error.to_string().contains("#[wire(depth = 32)]"));
}

#[test]
fn any_type_of_a_cycle_may_state_the_depth() {
    // From Expr: itself, a list, Stmt, a list and Expr2, ten times.
    assert_eq!(depth::<Expr>(), 50);
    assert_eq!(depth::<Vec<Expr>>(), 51);
    // It is the same when another type of the cycle was met before.
    assert_eq!(depth::<Stmt>(), depth::<(Expr, Stmt)>() - 1);
    assert_eq!(
        depth::<(Expr, Stmt, Expr2)>(),
        depth::<(Expr2, Stmt, Expr)>()
    );
    described!(Ping, shape => shape.record::<Self>("Ping", None, |fields| {
        fields.field::<Vec<Pong>>("0");
    }));
    described!(Pong, shape => shape.record::<Self>("Pong", None, |fields| {
        fields.field::<Vec<Ping>>("0");
    }));
    assert!(matches!(
        shape_of::<Ping>(),
        Err(ShapeError::UnboundedRecursion { .. })
    ));
}

#[test]
fn the_stated_depth_is_no_part_of_the_fingerprint() {
    mod deeper {
        use super::*;
        described!(List, shape => shape.choice::<Self>("List", Some(64), |variants| {
            variants.variant("End", |_| {});
            variants.variant("More", |fields| fields.field::<Box<List>>("0"));
        }));
    }
    assert_eq!(fingerprint::<List>(), fingerprint::<deeper::List>());
    assert_eq!(depth::<deeper::List>(), 64);
}

#[test]
fn a_type_over_the_deepest_nesting_is_refused() {
    described!(Deep, shape => shape.record::<Self>("Deep", Some(100), |fields| {
        fields.field::<Vec<Option<Deep>>>("0");
    }));
    let error = shape_of::<Deep>().expect_err("refused");
    assert!(
        matches!(error, ShapeError::TooDeep { levels: 300, .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("Deep states a depth of 100 and takes 3 for each round: #[wire(depth = 85)]"),
        "{text}"
    );
    described!(Endless, shape => shape.record::<Self>("Endless", Some(u32::MAX), |fields| {
        fields.field::<(Endless, Vec<Endless>)>("0");
    }));
    let error = shape_of::<Vec<Endless>>().expect_err("refused");
    assert!(
        matches!(
            error,
            ShapeError::TooDeep {
                levels: u32::MAX,
                ..
            }
        ),
        "{error}"
    );
    described!(Foreign, shape => shape.opaque_with_depth("Foreign/1", 255));
    assert_eq!(depth::<Vec<Foreign>>(), 256);
    assert!(shape_of::<Vec<Vec<Foreign>>>().is_err());
}

#[test]
fn a_recursion_is_told_in_the_rounds_that_its_type_states() {
    described!(Tree, shape => shape.record::<Self>("Tree", Some(8), |fields| {
        fields.field::<Vec<Tree>>("0");
    }));
    described!(Small, shape => shape.record::<Self>("Small", Some(2), |fields| {
        fields.field::<Option<Box<Small>>>("0");
    }));
    assert_eq!(shape_of::<Vec<u8>>().expect("a shape").recursion, None);
    for shape in [shape_of::<(Tree, Small)>(), shape_of::<(Small, Tree)>()] {
        let shape = shape.expect("a shape");
        let recursion = shape.recursion.expect("a recursion");
        assert!(recursion.type_name.ends_with("Tree"), "{recursion:?}");
        assert_eq!((recursion.rounds, recursion.levels_each), (8, 2));
        assert_eq!(shape.depth, 17);
    }
}

#[test]
fn a_type_that_describes_nothing_is_refused() {
    described!(Mute, _shape => {});
    let error = shape_of::<(u8, Mute)>().expect_err("refused");
    assert!(matches!(error, ShapeError::Undescribed { .. }), "{error}");
}

/// One of many types that all contain each other.
#[derive(Debug, Serialize, Deserialize)]
struct Knot<const N: usize>;

impl<const N: usize> Wire for Knot<N> {
    fn describe(shape: &mut Shape) {
        shape.record::<Self>("Knot", Some(2), |fields| {
            fields.opaque("n", &N.to_string());
            macro_rules! field {
                ($($n:literal)*) => { $(fields.field::<Vec<Knot<$n>>>("0");)* };
            }
            field!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24);
        });
    }
}

#[test]
fn many_types_that_all_contain_each_other_are_walked_once_each() {
    // There are 25! ways through them; the longest has 25 records and the 24
    // lists between them, and the 16 levels of the foreign type.
    let info = shape_of::<Vec<Knot<3>>>().expect("has a shape");
    assert_eq!(info, shape_of::<Vec<Knot<3>>>().expect("has a shape"));
    assert_eq!(info.depth, 1 + 2 * (25 + 24 + 16));
    assert_ne!(info.fingerprint, fingerprint::<Vec<Knot<4>>>());
}

#[test]
fn the_shape_of_a_recursive_type_does_not_depend_on_where_it_is_used() {
    // If it did, describing the outer type first or the list first would differ.
    let mut alone = Shape::default();
    let first = alone.child::<Vec<List>>();
    let mut after = Shape::default();
    after.child::<(u8, Option<List>)>();
    let second = after.child::<Vec<List>>();
    assert_eq!(first.fingerprint, second.fingerprint);
    let mut inside = Shape::default();
    let mut nested = None;
    inside.record::<u8>("Outer", None, |fields| {
        fields.field::<Vec<List>>("0");
        nested = fields.shape.known.get(&TypeId::of::<Vec<List>>()).copied();
    });
    assert_eq!(nested.map(|node| node.fingerprint), Some(first.fingerprint));
}
