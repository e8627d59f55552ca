use std::{sync::Arc, time::Duration};

use callboard_macros::{Actor, handlers};
use callboard_protocol::{
    code::{Code, HandlerError},
    id::{ActorId, Incarnation, NodeId},
    rights::Policy,
    spawning::KEPT_WITHIN,
    supervision::Strategy,
    wire::{Limits, hello::PeerKind},
};
use tokio::time::sleep;

use super::{
    desk::{SpawnDesk, SpawnDeskRef},
    *,
};
use crate::{
    CallLimits,
    call::{Hub, Me, interface_id},
    env::Env,
    service::{hosting, hosting::guardian},
    task::Tasks,
};

#[derive(Default, Actor)]
#[actor(crate = crate, placement = "pinned")]
pub(crate) struct Lodge;

#[handlers(crate = crate)]
impl Lodge {
    pub fn enter(&self) {}
}

/// Has a node host the service no more that others ask: as one of an earlier version, which has none.
pub(crate) fn as_an_earlier_version(hub: &Hub) {
    hub.withdraw(interface_id::<SpawnDesk>());
}

/// Makes a node that hosts lodges, and the desk that makes them.
fn opened() -> (Arc<Hub>, SpawnDeskRef) {
    let me = Me {
        id: NodeId(1),
        name: "one".to_owned(),
        incarnation: Incarnation(1),
        kind: PeerKind::Node,
    };
    let hub = Hub::new(
        me,
        Env::real(),
        Tasks::new("one"),
        Limits::default(),
        CallLimits::default(),
        Policy::default(),
        Duration::from_secs(3),
    );
    let guardian = guardian(&hub, Strategy::OneForOne);
    host(&hub, &guardian).expect("hosted");
    host_placed::<Lodge>(&hub, &guardian, Arc::new(|_| Lodge)).expect("hosted");
    let desk = hosting::service_ref::<SpawnDesk>(&hub);
    (hub, desk)
}

fn lodge() -> u32 {
    interface_id::<Lodge>().0
}

fn is_there(hub: &Hub, actor: u64) -> bool {
    hub.actor(ActorId(actor)).is_some()
}

/// Waits until the actor is gone. The clock stands still, so that it goes by what is run.
async fn gone(hub: &Hub, actor: u64) {
    while is_there(hub, actor) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_made_again_makes_no_second_actor() {
    let (hub, desk) = opened();
    let first = desk.spawn(lodge(), 7u128).await.expect("made");
    for _ in 0..3 {
        assert_eq!(desk.spawn(lodge(), 7u128).await, Ok(first));
    }
    assert_eq!(hub.placed_len(), 1);
    let other = desk.spawn(lodge(), 8u128).await.expect("made");
    assert_ne!(other, first);
    desk.keep(7u128).await.expect("known");
    assert_eq!(desk.spawn(lodge(), 7u128).await, Ok(first), "also late");
    assert_eq!(hub.placed_len(), 2);
    hub.shut().await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_nobody_keeps_ends_by_itself_and_one_that_is_kept_stays() {
    let (hub, desk) = opened();
    let kept = desk.spawn(lodge(), 1u128).await.expect("made");
    let lost = desk.spawn(lodge(), 2u128).await.expect("made");
    desk.keep(1u128).await.expect("known");
    sleep(KEPT_WITHIN - Duration::from_millis(1)).await;
    assert!(is_there(&hub, lost), "its caller may just be slow");
    sleep(Duration::from_millis(2)).await;
    gone(&hub, lost).await;
    assert!(is_there(&hub, kept));
    assert_eq!(hub.spawn_requests_len(), 0);
    // Its place is free as well.
    while hub.placed_len() > 1 {
        tokio::task::yield_now().await;
    }
    hub.shut().await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_its_caller_lets_go_ends_and_is_not_made_again() {
    let (hub, desk) = opened();
    let actor = desk.spawn(lodge(), 1u128).await.expect("made");
    desk.let_go(1u128).await.expect("taken in");
    gone(&hub, actor).await;
    // Word of it may be there before the request is.
    desk.let_go(2u128).await.expect("taken in");
    for request in [1u128, 2] {
        let refused = desk.spawn(lodge(), request).await;
        let Err(HandlerError::App(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.code(), Code::ActorStopped);
    }
    hub.shut().await;
}
