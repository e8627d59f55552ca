//! Two builds of one program in one cluster: the same names, some with other types and methods.
//! What agrees works, and what does not is refused by name before anything runs.

use callboard::{Code, Ran, prelude::*};
use futures_util::stream;

use crate::support::{DEADLINE, Town, code, eventually, soon};

/// Writes one build. What is the same in both stands here; none of what differs may run.
macro_rules! build {
    (
        $build:ident, depth $depth:literal, number $number:ty, item { $($field:tt)* },
        own { $($own:tt)* }
    ) => {
        mod $build {
            use super::*;

            #[derive(Debug, Wire)]
            pub struct Item {
                $($field)*
            }

            /// How deep it may go is a limit of the build, and no part of the type.
            #[derive(Debug, Wire)]
            #[wire(depth = $depth)]
            pub struct Tree {
                branches: Vec<Tree>,
            }

            impl Tree {
                /// A tree of so many levels with one branch each.
                pub fn grown(levels: u32) -> Self {
                    let branches = (1..levels.min(2)).map(|_| Self::grown(levels - 1));
                    Self {
                        branches: branches.collect(),
                    }
                }

                pub fn levels(&self) -> u32 {
                    1 + self.branches.iter().map(Self::levels).max().unwrap_or(0)
                }
            }

            #[derive(Default, Service)]
            pub struct Depot;

            #[handlers]
            impl Depot {
                pub fn same(&self, number: u32) -> u32 {
                    number + 1
                }

                pub fn measure(&self, tree: Tree) -> u32 {
                    tree.levels()
                }

                pub fn grow(&self, levels: u32) -> Tree {
                    Tree::grown(levels)
                }

                pub fn reply(&self) -> Item {
                    unreachable!("{RAN}")
                }

                pub fn arguments(&self, item: Item) {
                    unreachable!("{RAN} {item:?}")
                }

                pub fn inbound(&self, _numbers: Inbound<$number>) {
                    unreachable!("{RAN}")
                }

                pub fn outbound(&self) -> impl Stream<Item = $number> + use<> {
                    stream::once(async { unreachable!("{RAN}") })
                }

                pub fn hire(&self, ctx: &Ctx<Self>) -> WorkerRef {
                    ctx.spawn::<Worker>()
                }

                $($own)*
            }

            #[derive(Default, Actor)]
            pub struct Worker;

            #[handlers]
            impl Worker {
                pub fn same(&mut self, number: u32) -> u32 {
                    number + 1
                }

                pub fn reply(&self) -> Item {
                    unreachable!("{RAN}")
                }

                pub fn arguments(&mut self, item: Item) {
                    unreachable!("{RAN} {item:?}")
                }

                pub fn inbound(&self, _numbers: Inbound<$number>) {
                    unreachable!("{RAN}")
                }

                pub fn outbound(&self) -> impl Stream<Item = $number> + use<> {
                    stream::once(async { unreachable!("{RAN}") })
                }

                $($own)*
            }
        }
    };
}

build! {
    old, depth 2, number u32, item { pub name: String },
    own {
        pub fn removed(&self) -> u32 {
            1
        }

        pub fn streams(&self) -> u32 {
            unreachable!("{RAN}")
        }
    }
}

build! {
    new, depth 64, number u64, item { pub name: String, pub count: u32 },
    own {
        pub fn added(&self) -> u32 {
            2
        }

        pub fn streams(&self) -> impl Stream<Item = u32> + use<> {
            stream::once(async { unreachable!("{RAN}") })
        }
    }
}

/// What a handler says that was called with the types of the other build.
const RAN: &str = "it ran for a caller of the other build";

/// Makes every call that differs through a ref of one build at a host of the other.
macro_rules! refuses_what_differs {
    ($target:expr, of_service = $of_service:expr, $item:expr, $missing:ident) => {{
        let (target, of_service, item) = ($target, $of_service, $item);
        assert_eq!(soon(target.same(1).timeout(DEADLINE)).await, Ok(2));
        let differing = [
            ("reply", soon(target.reply().timeout(DEADLINE)).await.err()),
            (
                "arguments",
                soon(target.arguments(item).timeout(DEADLINE)).await.err(),
            ),
            (
                "streamed argument",
                soon(target.inbound(stream::iter([1, 2])).timeout(DEADLINE))
                    .await
                    .err(),
            ),
            (
                "reply",
                soon(target.outbound().timeout(DEADLINE)).await.err(),
            ),
            (
                "reply",
                soon(target.streams().timeout(DEADLINE)).await.err(),
            ),
        ];
        for (number, (what, error)) in differing.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("{number} was taken"));
            assert_eq!(error.code(), Code::SchemaMismatch, "{number}: {error}");
            assert_ne!(error.ran(), Ran::MayHaveRun, "{number}");
            // A spawned actor's host knows the sum of the caller's types, and not which differs: it
            // names them all.
            let detail = error.detail();
            assert!(
                detail.contains(&format!("the {what} ")),
                "{number}: {error}"
            );
            assert_ne!(
                detail.contains("together have"),
                of_service,
                "{number}: {error}"
            );
        }
        let error = soon(target.$missing().timeout(DEADLINE))
            .await
            .expect_err("the host has no such method");
        assert_eq!(
            (error.code(), error.ran()),
            (Code::UnknownMethod, Ran::Refused),
            "{error}"
        );
        let sent = soon(target.$missing().send()).await;
        assert_eq!(soon(target.same(2).timeout(DEADLINE)).await, Ok(3));
        sent
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_another_build_is_called_where_it_agrees_and_refused_where_not() {
    let town = Town::new();
    let of_old = town.node("old").host::<old::Depot>().start();
    let of_old = of_old.await.expect("starts");
    let client = town.client(of_old.local_addr()).await;
    let item = new::Item {
        name: "tea".into(),
        count: 1,
    };
    let sent = refuses_what_differs!(
        client.service::<new::Depot>(),
        of_service = true,
        item,
        added
    );
    assert_eq!(code(sent), Code::UnknownMethod);
    client.close().await;

    let of_new = town.node("new").host::<new::Depot>().start();
    let of_new = of_new.await.expect("starts");
    let client = town.client(of_new.local_addr()).await;
    let item = old::Item { name: "tea".into() };
    let sent = refuses_what_differs!(
        client.service::<old::Depot>(),
        of_service = true,
        item,
        removed
    );
    assert_eq!(code(sent), Code::UnknownMethod);
    client.close().await;
    of_new.stop().await;
    of_old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_of_another_build_is_called_where_it_agrees_and_refused_where_not() {
    let town = Town::new();
    let of_old = town.node("old").host::<old::Depot>().start();
    let of_old = of_old.await.expect("starts");
    let client = town.client(of_old.local_addr()).await;
    // The ref itself is the same in both builds: an address.
    let worker: new::WorkerRef = client.service::<new::Depot>().hire().await.expect("hired");
    let item = new::Item {
        name: "tea".into(),
        count: 1,
    };
    let sent = refuses_what_differs!(worker, of_service = false, item, added);
    // What an actor's node has is known to that node only, and a send has no way back.
    assert_eq!(sent, Ok(()));
    client.close().await;

    let of_new = town.node("new").host::<new::Depot>().start();
    let of_new = of_new.await.expect("starts");
    let client = town.client(of_new.local_addr()).await;
    let worker: old::WorkerRef = client.service::<old::Depot>().hire().await.expect("hired");
    let item = old::Item { name: "tea".into() };
    let sent = refuses_what_differs!(worker, of_service = false, item, removed);
    assert_eq!(sent, Ok(()));
    client.close().await;
    of_new.stop().await;
    of_old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_call_waits_for_the_link_to_a_node_that_agrees() {
    let town = Town::new();
    let n1 = town.node("n1").host::<old::Depot>();
    let n1 = n1.start().await.expect("starts");
    let n2 = town.node("n2").host::<new::Depot>().seed(n1.local_addr());
    let n2 = n2.start().await.expect("starts");
    eventually("the nodes are linked", || n1.members().len() == 1).await;
    for _ in 0..8 {
        // It is linked with the older one first, and hears of the other one from it.
        let client = town.client(n1.local_addr()).await;
        let added = client.service::<new::Depot>().added().await;
        assert_eq!(added, Ok(2));
        client.close().await;
    }
    n2.stop().await;
    n1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_an_older_build_is_passed_over_while_a_newer_one_is_there() {
    let town = Town::new();
    let of_old = town.node("old").host::<old::Depot>().start();
    let of_old = of_old.await.expect("starts");
    let of_new = town
        .node("new")
        .host::<new::Depot>()
        .seed(of_old.local_addr())
        .start()
        .await
        .expect("starts");
    let caller = town.node("caller").seed(of_old.local_addr()).start();
    let caller = caller.await.expect("starts");
    eventually("all are linked", || {
        [&of_old, &of_new, &caller]
            .iter()
            .all(|node| node.members().len() == 2)
    })
    .await;
    let depot = caller.service::<new::Depot>();
    for _ in 0..40 {
        assert_eq!(soon(depot.added().timeout(DEADLINE)).await, Ok(2));
        // Both hosts take what both have.
        assert_eq!(soon(depot.same(1).timeout(DEADLINE)).await, Ok(2));
    }
    assert!(
        caller
            .metrics()
            .contains("callboard_call_retries_total{method=\"Depot/added\"} 0"),
        "it was tried where it could not be run"
    );
    of_new.stop().await;
    eventually("the newer one is gone", || caller.members().len() == 1).await;
    let left = soon(depot.added().timeout(DEADLINE)).await;
    assert_eq!(code(left), Code::UnknownMethod);
    caller.stop().await;
    of_old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_too_deep_for_the_other_build_is_refused_by_name() {
    let town = Town::new();
    let of_old = town.node("old").host::<old::Depot>().start();
    let of_old = of_old.await.expect("starts");
    let client = town.client(of_old.local_addr()).await;
    let depot = client.service::<new::Depot>();
    let measured = soon(depot.measure(new::Tree::grown(2)).timeout(DEADLINE)).await;
    assert_eq!(measured, Ok(2));
    let error = soon(depot.measure(new::Tree::grown(20)).timeout(DEADLINE))
        .await
        .expect_err("too deep");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::BodyOverLimit, Ran::Refused),
        "{error}"
    );
    assert!(error.detail().contains("nests deeper"), "{error}");
    client.close().await;
    of_old.stop().await;

    let of_new = town.node("new").host::<new::Depot>().start();
    let of_new = of_new.await.expect("starts");
    let client = town.client(of_new.local_addr()).await;
    let depot = client.service::<old::Depot>();
    let grown = soon(depot.grow(2).timeout(DEADLINE)).await;
    assert_eq!(grown.map(|tree| tree.levels()), Ok(2));
    let error = soon(depot.grow(20).timeout(DEADLINE))
        .await
        .expect_err("too deep");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::ReplyUndecodable, Ran::MayHaveRun),
        "{error}"
    );
    assert!(error.detail().contains("nests deeper"), "{error}");
    client.close().await;
    of_new.stop().await;
}
