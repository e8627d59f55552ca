//! What only the runtime itself can send.

use std::{sync::Arc, time::Duration};

use callboard_protocol::{
    code::HandlerError,
    id::{ActorAddr, ActorId},
};

use crate::call::Hub;

use super::desk::{self, HeldFor, NotANode};

/// Has whoever the hub belongs to, which is no node, claim a name for an actor of its own, and tell of one that it has.
pub(crate) async fn a_stranger_is_refused(hub: &Arc<Hub>) {
    let sessions = hub.sessions();
    let session = sessions.first().expect("linked");
    let desk = desk::of_peer(hub, session).expect("hosted");
    let own = ActorAddr {
        node: hub.me().id,
        incarnation: hub.me().incarnation,
        actor: ActorId(1),
    };
    let refused = Err(HandlerError::App(NotANode));
    assert_eq!(desk.claim("lobby", own.into()).await, refused);
    let held = HeldFor {
        name: "lobby".to_owned(),
        at: own.into(),
        held: Duration::from_secs(3600),
    };
    assert_eq!(
        desk.meet(vec![held]).await,
        Err(HandlerError::App(NotANode))
    );
    assert_eq!(desk.find("lobby").await, Ok(None));
}
