//! Gives an actor a name, if no other one has it.
//!
//! Depends on `asking`, `desk`, `error` and `held`.

use std::sync::Arc;

use callboard_protocol::{
    code::{CallError, Code, HandlerError},
    id::ActorAddr,
    naming::Unclaimed,
};
use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    actor::Guardian,
    call::{Address, Begun, Hub, Reference},
    service::{Handlers, hosting, instance::Factory},
};

use super::{
    ClaimError, HeldName,
    asking::{Asked, Asking, patience, subject},
};

/// Gives a spawned actor of this node a name.
///
/// # Errors
/// [`ClaimError`].
///
/// # Cancel safety
/// Dropped before it is done, the name is asked for no more.
pub(crate) async fn claim<R: Reference>(
    hub: &Arc<Hub>,
    name: &str,
    target: &R,
) -> Result<HeldName, ClaimError> {
    let actor = own(hub, name, target)?;
    let begun = begin(hub, name, actor, true)?;
    ask(hub, name, actor, begun).await
}

/// Spawns an actor that has a name. It is not made if another one has the name.
///
/// # Errors
/// [`ClaimError`].
///
/// # Cancel safety
/// Dropped before it is done, the name is asked for no more, and no actor was spawned.
pub(crate) async fn spawn<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    name: &str,
    factory: Factory<T>,
) -> Result<(T::Ref, HeldName), ClaimError> {
    let addr = hub.new_address();
    let begun = begin(hub, name, addr, false)?;
    let held = ask(hub, name, addr, begun).await?;
    let spawned = hosting::spawn_at::<T>(hub, guardian, factory, addr);
    held.has_begun();
    Ok((spawned, held))
}

/// Returns where an actor is that may be given a name here.
fn own<R: Reference>(hub: &Hub, name: &str, target: &R) -> Result<ActorAddr, CallError> {
    let invalid =
        |detail: String| CallError::new(Code::NameInvalid, subject(name)).with_detail(detail);
    let Address::Spawned(addr) = R::as_raw(target).address() else {
        return Err(invalid("only a spawned actor is given a name".to_owned()));
    };
    if addr.node != hub.me().id {
        let node = hub.node_name(addr.node);
        return Err(invalid(format!("the actor {addr} lives on {node}")));
    }
    match hub.is_mine(addr) && hub.actor(addr.actor).is_some() {
        true => Ok(*addr),
        false => Err(CallError::new(Code::ActorGone, subject(name))
            .with_detail(format!("actor {addr} has ended"))),
    }
}

fn begin(hub: &Hub, name: &str, actor: ActorAddr, has_begun: bool) -> Result<Begun, ClaimError> {
    let refused = |code, detail| CallError::new(code, subject(name)).with_detail(detail);
    hub.begin_claim(name, actor, has_begun)
        .map_err(|why| match why {
            Unclaimed::Taken(holder) => ClaimError::taken(hub, name, holder),
            Unclaimed::Full { .. } => refused(Code::TooManyNames, why.to_string()).into(),
            _ => refused(Code::NameInvalid, why.to_string()).into(),
        })
}

/// Asks everybody that is linked whether the name is free, until nobody is left that was not asked.
async fn ask(
    hub: &Arc<Hub>,
    name: &str,
    actor: ActorAddr,
    begun: Begun,
) -> Result<HeldName, ClaimError> {
    let Begun {
        number,
        told,
        is_held,
    } = begun;
    let held = HeldName::new(hub.clone(), name, number, actor, told);
    if is_held {
        return Ok(held);
    }
    let mut claim = Unsettled(Some(held));
    let mut asking = Asking::new(hub, name)?;
    loop {
        while let Some(nodes) = asking.next().await {
            ask_nodes(&mut asking, hub, (name, actor), nodes).await?;
        }
        if asking.is_over() {
            return Err(CallError::new(Code::DeadlineExceeded, subject(name))
                .with_detail("links come and go, so that not all nodes could be asked")
                .into());
        }
        match hub.settle_claim(name, number, || asking.has_all()) {
            Err(holder) => return Err(ClaimError::taken(hub, name, holder)),
            Ok(false) => {}
            Ok(true) => {
                let gone = || CallError::new(Code::NodeStopping, subject(name)).into();
                return claim.0.take().ok_or_else(gone);
            }
        }
        if !claim.is_there() {
            return Err(CallError::new(Code::NodeStopping, subject(name)).into());
        }
    }
}

/// Asks these nodes, all at once.
///
/// # Errors
/// The first of them that has the name, or that is linked and does not say whether it has.
async fn ask_nodes(
    asking: &mut Asking<'_>,
    hub: &Arc<Hub>,
    (name, actor): (&str, ActorAddr),
    nodes: Vec<Asked>,
) -> Result<(), ClaimError> {
    let mut questions = FuturesUnordered::new();
    for Asked { session, desk } in nodes {
        let Some(desk) = desk else {
            asking.note(&session);
            continue;
        };
        questions.push(async move {
            let answer = desk.claim(name, actor.into());
            let answer = answer.timeout(patience(hub)).await;
            (session, answer)
        });
    }
    while let Some((session, answer)) = questions.next().await {
        match answer {
            Ok(None) => {}
            Ok(Some(holder)) => return Err(ClaimError::taken(hub, name, holder.into())),
            // What it has is compared when it is linked again.
            Err(_) if !session.link.is_up() || session.link.is_leaving() => {}
            Err(HandlerError::Call(error)) if has_ended(error.code()) => {}
            Err(HandlerError::Call(error)) => return Err(unsure(name, &error).into()),
            Err(HandlerError::App(why)) => {
                let peer = session.peer_name();
                return Err(CallError::new(Code::Forbidden, subject(name))
                    .with_detail(format!("{peer} says that {why}"))
                    .into());
            }
        }
        asking.note(&session);
    }
    Ok(())
}

/// Returns whether a node that answers so has no actors any more.
fn has_ended(code: Code) -> bool {
    matches!(code, Code::NodeStopping | Code::ActorGone)
}

/// Makes the error of a claim that a node has not answered.
fn unsure(name: &str, error: &CallError) -> CallError {
    let detail = format!("{}: {}", error.subject(), error.detail());
    CallError::new(error.code(), subject(name)).with_detail(detail)
}

/// A claim that is not settled: it is given up when it is dropped.
struct Unsettled(Option<HeldName>);

impl Unsettled {
    fn is_there(&self) -> bool {
        self.0.as_ref().is_some_and(HeldName::is_claimed)
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(held) = &self.0 {
            held.release();
        }
    }
}
