//! Has a node make an actor, and tells it what becomes of it.
//!
//! Depends on `desk` and `hosts`.

use std::{sync::Arc, time::Duration};

use callboard_protocol::{
    code::{CallError, Code, HandlerError, Ran, Retry},
    id::{ActorAddr, ActorId},
    spawning::KEPT_WITHIN,
};
use tokio::time::{Instant, sleep};

use crate::{
    call::{Address, Definition, Hub, Ref, Reference, Session},
    service::{hosting::FaceOf, naming::patience},
    task::Tasks,
};

use super::{
    Spawning,
    desk::SpawnDeskRef,
    hosts::{Host, Wanted},
};

/// Makes an actor on the node of this name.
///
/// # Errors
/// `PeerUnreachable`, `PeerDenied`, `NotHosted`, `NodeStopping`, `UnknownMethod`, `TooManyActors`, `Forbidden`; `PeerLost` and
/// `DeadlineExceeded` if the node does not answer.
///
/// # Cancel safety
/// Dropped before it is done, an actor that was made ends.
pub(crate) fn spawn_on<T: Definition>(hub: &Arc<Hub>, node: String) -> Spawning<T::Ref> {
    let hub = hub.clone();
    Box::pin(async move {
        let at = by_name(&hub, Wanted::of::<T>(), &node).await?;
        Ok(made_ref::<T>(&hub, at))
    })
}

/// Returns the ref of an actor that was made.
pub(super) fn made_ref<T: Definition>(hub: &Arc<Hub>, at: ActorAddr) -> T::Ref {
    let raw = Ref::<FaceOf<T>>::new(Address::Spawned(at), hub.clone(), None);
    T::Ref::from_raw(raw.attached(hub.clone()))
}

async fn by_name(hub: &Arc<Hub>, wanted: Wanted, node: &str) -> Result<ActorAddr, CallError> {
    let gives_up = Instant::now() + patience(hub) * 2;
    let mut request: Option<Request> = None;
    let mut lost: Option<CallError> = None;
    loop {
        let host = wanted.host_named(hub, node).await;
        let failed = match (host, &mut request) {
            (Ok(Host::Here), _) => return wanted.make_here(hub),
            (Ok(Host::Peer(session, desk)), request) => {
                let request = request.get_or_insert_with(|| Request::new(hub));
                match request.ask(wanted, &session, desk).await {
                    Ok(at) => return Ok(at),
                    Err(error) => error,
                }
            }
            // It was there a moment ago: it is asked again, for the same actor, when it is back.
            (Err(error), Some(_)) => error,
            (Err(error), None) => return Err(error),
        };
        if !may_pass(failed.code()) || Instant::now() >= gives_up {
            return Err(lost.unwrap_or(failed));
        }
        // What is told is that an actor may be there.
        lost = lost.or(Some(failed).filter(|it| it.ran() == Ran::MayHaveRun));
        sleep(ASK_AGAIN_AFTER).await;
    }
}

/// Returns whether the same node may do in a moment what it has not done now.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::PeerLost
            // The call was for a life of the node that is over.
            | Code::ActorGone
            | Code::PeerUnreachable
            | Code::DeadlineExceeded
            | Code::ExpiredInQueue
            | Code::MailboxFull
            | Code::SendBufferFull
            | Code::TooManyInFlight
    )
}

/// A request for one actor, until the actor is known of. Dropped before that, its node is told that no actor is wanted.
pub(super) struct Request {
    hub: Arc<Hub>,
    id: u128,
    /// Whom it was put to, if an actor may have come of it.
    open: Option<SpawnDeskRef>,
}

impl Request {
    pub(super) fn new(hub: &Arc<Hub>) -> Self {
        Self {
            hub: hub.clone(),
            id: u128::from(hub.random()) << 64 | u128::from(hub.random()),
            open: None,
        }
    }

    /// Asks a node. It may be asked again: that makes no second actor.
    ///
    /// # Errors
    /// What its call says, or why it makes none.
    pub(super) async fn ask(
        &mut self,
        wanted: Wanted,
        session: &Session,
        desk: SpawnDeskRef,
    ) -> Result<ActorAddr, CallError> {
        let earlier = self.open.replace(desk.clone());
        let reply = desk.spawn(wanted.interface.0, self.id);
        match reply.timeout(patience(&self.hub)).await {
            Ok(actor) => {
                self.open = None;
                tell(&self.hub, desk, self.id, Word::Keep);
                let peer = session.link.peer();
                Ok(ActorAddr {
                    node: peer.id,
                    incarnation: peer.incarnation,
                    actor: ActorId(actor),
                })
            }
            Err(error) => {
                let made_none = match &error {
                    HandlerError::App(_) => true,
                    HandlerError::Call(error) => error.ran() != Ran::MayHaveRun,
                };
                if made_none {
                    // But an earlier try may have made one.
                    self.open = earlier;
                }
                Err(wanted.error_of(session, error))
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Dropped where no runtime is: nobody is told, and the actor ends when its time is over.
        if let Some(desk) = self.open.take()
            && Tasks::can_run()
        {
            tell(&self.hub, desk, self.id, Word::LetGo);
        }
    }
}

/// What a node is told of an actor that it has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Keep,
    LetGo,
}

/// Tells a node in the background, until it has answered, or its actor has ended by itself.
fn tell(hub: &Arc<Hub>, desk: SpawnDeskRef, request: u128, word: Word) {
    let patience = patience(hub);
    hub.tasks().spawn("spawned", async move {
        let until = Instant::now() + KEPT_WITHIN;
        while Instant::now() < until {
            let told = match word {
                Word::Keep => desk.keep(request).timeout(patience).await,
                Word::LetGo => desk.let_go(request).timeout(patience).await,
            };
            match told.map_err(CallError::from) {
                Ok(()) => return,
                Err(error) if error.retry() == Retry::Never => return,
                Err(_) => sleep(ASK_AGAIN_AFTER).await,
            }
        }
    });
}

/// A node that has not answered has too much to do, or is about to be linked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
