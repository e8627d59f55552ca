//! Why no calls are made from here any more. Above all: the end of the runtime that a node or a client was started on.
//!
//! A runtime that ends drops the tasks of the node at whatever await they are, and from then on nobody looks at
//! its clock. Whoever still has a ref, on another runtime, must be told so and not wait.

use std::sync::{Arc, atomic::Ordering};

use callboard_protocol::wire::hello::PeerKind;
use tokio_util::sync::CancellationToken;

use crate::actor::Guardian;

use super::hub::Hub;

impl Hub {
    /// Ends what this node has, with its actors, should its runtime end before it does.
    pub(crate) fn end_with_runtime(self: &Arc<Self>, guardian: Option<Guardian>) {
        let token = self.tasks().token().clone();
        let end = EndOnDrop {
            hub: self.clone(),
            guardian,
            token: token.clone(),
        };
        self.tasks().spawn("runtime-end", async move {
            let _end = end;
            token.cancelled().await;
        });
    }

    /// Returns whether the runtime has ended that this node was started on.
    pub(crate) fn is_adrift(&self) -> bool {
        self.adrift.load(Ordering::Acquire)
    }

    /// Ends what a client has that was dropped; it may have been closed before.
    pub(crate) fn end_dropped(&self) {
        // BEFORE anybody is woken: whoever is asks why.
        let dropped = !self.is_stopping();
        self.dropped.store(dropped, Ordering::Release);
        self.end();
    }

    /// Returns why no call is made from here any more: the node has stopped, or the client is closed,
    /// which has nothing that would have to end first, or was dropped, or their runtime has ended.
    pub(crate) fn over(&self) -> Option<&'static str> {
        match self.me().kind {
            PeerKind::Client if self.is_adrift() => Some(CLIENT_ADRIFT),
            _ if self.is_adrift() => Some(NODE_ADRIFT),
            PeerKind::Client if self.dropped.load(Ordering::Acquire) => Some(CLIENT_DROPPED),
            PeerKind::Client => self.is_stopping().then_some("this client is closed"),
            _ => self
                .deadlines()
                .is_over()
                .then_some("this node has stopped"),
        }
    }
}

const NODE_ADRIFT: &str = "the runtime has ended that this node was started on; start a node in each test, or keep its \
                           runtime for as long as the node is used";

const CLIENT_ADRIFT: &str = "the runtime has ended that this client was connected on; connect a client in each test, or \
                             keep its runtime for as long as the client is used";

const CLIENT_DROPPED: &str = "this client was dropped; keep it, or a clone of it, for as long as the refs that it gave are used";

/// Is dropped with its task: after the token was cancelled, or by a runtime that ends.
struct EndOnDrop {
    hub: Arc<Hub>,
    guardian: Option<Guardian>,
    token: CancellationToken,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if self.token.is_cancelled() {
            return;
        }
        let hub = &self.hub;
        // BEFORE anybody is woken: whoever is asks why.
        hub.adrift.store(true, Ordering::Release);
        hub.set_stopping();
        hub.deadlines().end();
        tracing::warn!(
            node = %hub.me().name,
            "the runtime has ended that it was started on, without `stop` before: what was in flight is lost, and later \
             calls through it get CB1024"
        );
        for guardian in hub.take_groups().iter().chain(&self.guardian) {
            guardian.kill();
        }
        hub.end();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin, time::Duration};

    use callboard_macros::{Actor, handlers};
    use callboard_protocol::{
        code::{CallError, Code},
        id::{ClusterName, NodeName},
        wire::hello::PeerKind,
    };
    use futures_util::{Stream, poll};
    use tokio::{runtime::Runtime, time::timeout};

    use crate::{Client, Node, call::tests::Oracle, net::Authority};

    #[derive(Default, Actor)]
    #[actor(crate = crate)]
    pub(crate) struct Sleeper;

    #[handlers(crate = crate)]
    impl Sleeper {
        pub fn wake(&self) {}

        pub async fn sleep(&self) {
            pending::<()>().await;
        }

        pub fn dreams(&self) -> impl Stream<Item = u32> + use<> {
            futures_util::stream::pending()
        }
    }

    #[derive(Default, Actor)]
    #[actor(crate = crate, key = String)]
    pub(crate) struct Bed;

    #[handlers(crate = crate)]
    impl Bed {
        pub fn make(&mut self) {}
    }

    fn runtime() -> Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all();
        builder.build().expect("a runtime")
    }

    async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
        let soon = timeout(Duration::from_secs(20), what.into_future());
        soon.await.expect("it ends")
    }

    fn assert_adrift(error: &CallError) {
        assert_eq!(error.code(), Code::NodeStopping, "{error}");
        assert!(
            error.to_string().contains("the runtime has ended"),
            "{error}"
        );
    }

    fn authority() -> Authority {
        Authority::throw_away(ClusterName::new("test").expect("a name")).expect("an authority")
    }

    async fn start(authority: &Authority, name: &str) -> Node {
        let name = NodeName::new(name).expect("a name");
        let identity = authority.issue(name, PeerKind::Node).expect("issued");
        let builder = Node::builder().identity(identity);
        let started = builder.host::<Oracle>().host::<Bed>().start().await;
        started.expect("starts")
    }

    #[test]
    fn calls_through_a_node_whose_runtime_has_ended_end_at_once() {
        let (first, second) = (runtime(), runtime());
        let node = first.block_on(start(&authority(), "n1"));
        let sleeper = first.block_on(async { node.spawn::<Sleeper>() });
        let oracle = node.service::<Oracle>();
        let bed = node.actor::<Bed>("b");
        second.block_on(async {
            sleeper.wake().await.expect("it runs");
            oracle.ask(1).await.expect("it runs");
            bed.make().await.expect("it runs");
            let mut dreams = sleeper.dreams().await.expect("a stream");
            let mut asleep = pin!(sleeper.sleep().timeout(Duration::from_secs(600)));
            assert!(poll!(&mut asleep).is_pending());
            let ended = tokio::task::spawn_blocking(move || drop(first));
            soon(ended).await.expect("it ends");
            soon(asleep).await.expect_err("cut");
            soon(dreams.next()).await.expect("an end").expect_err("cut");
            assert_adrift(&soon(sleeper.wake()).await.expect_err("refused"));
            assert_adrift(&soon(sleeper.wake().send()).await.expect_err("refused"));
            assert_adrift(&soon(oracle.ask(1)).await.expect_err("refused"));
            assert_adrift(&soon(oracle.ask(1).send()).await.expect_err("refused"));
            assert_adrift(&soon(bed.make()).await.expect_err("refused"));
            assert_adrift(&soon(bed.make().send()).await.expect_err("refused"));
            let other = node.actor::<Bed>("never active");
            assert_adrift(&soon(other.make()).await.expect_err("refused"));
            let late = node.spawn::<Sleeper>();
            assert_adrift(&soon(late.wake()).await.expect_err("refused"));
            soon(crate::watch(&sleeper)).await;
            soon(node.stopping()).await;
            soon(node.stop()).await;
        });
    }

    #[test]
    fn calls_through_a_client_whose_runtime_has_ended_end_at_once() {
        let (first, second) = (runtime(), runtime());
        let authority = authority();
        let node = second.block_on(start(&authority, "n1"));
        let name = NodeName::new("c1").expect("a name");
        let identity = authority.issue(name, PeerKind::Client).expect("issued");
        let client = Client::builder().identity(identity).seed(node.local_addr());
        let client = first.block_on(client.connect()).expect("connects");
        let oracle = client.service::<Oracle>();
        second.block_on(async {
            oracle.ask(1).await.expect("it runs");
            let ended = tokio::task::spawn_blocking(move || drop(first));
            soon(ended).await.expect("it ends");
            assert_adrift(&soon(oracle.ask(1)).await.expect_err("refused"));
            assert_adrift(&soon(oracle.ask(1).send()).await.expect_err("refused"));
            soon(client.close()).await;
            node.stop().await;
        });
    }
}
