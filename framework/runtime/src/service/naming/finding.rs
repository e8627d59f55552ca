//! Looks a name up: here, then on every linked node.
//!
//! Depends on `asking` and `desk`.

use std::sync::Arc;

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, InterfaceId},
    naming::check_name,
    wire::hello::PeerKind,
};
use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    call::{Address, Definition, Hub, Ref, Reference, interface_id},
    service::hosting::FaceOf,
};

use super::asking::{Asked, Asking, patience, subject};

/// Returns the ref of the actor that has a name.
///
/// # Errors
/// `NameInvalid`, `NameUnknown`, `NameOfOtherType`, `NoHost` for a client without a link, `NodeStopping`.
///
/// # Cancel safety
/// Dropping it loses nothing.
pub(crate) async fn find<T: Definition>(hub: &Arc<Hub>, name: &str) -> Result<T::Ref, CallError> {
    let wanted = interface_id::<FaceOf<T>>();
    let actor = look_up(hub, name, wanted, T::NAME).await?;
    let raw = Ref::<FaceOf<T>>::new(Address::Spawned(actor), hub.clone(), None);
    Ok(T::Ref::from_raw(raw.attached(hub.clone())))
}

async fn look_up(
    hub: &Arc<Hub>,
    name: &str,
    wanted: InterfaceId,
    type_name: &str,
) -> Result<ActorAddr, CallError> {
    check_name(name)
        .map_err(|why| CallError::new(Code::NameInvalid, subject(name)).with_detail(why))?;
    if let Some(found) = hub.named(name) {
        let at = (found.actor, found.interface, found.kind);
        return typed(hub, name, at, (wanted, type_name));
    }
    let mut asking = Asking::new(hub, name)?;
    let mut answers = Answers::default();
    while let Some(nodes) = asking.next().await {
        let mut questions = FuturesUnordered::new();
        for Asked { session, desk } in nodes {
            asking.note(&session);
            let Some(desk) = desk else {
                answers.old.push(session.peer_name());
                continue;
            };
            questions.push(async move {
                let answer = desk.find(name).timeout(patience(hub)).await;
                (session, answer)
            });
        }
        while let Some((session, answer)) = questions.next().await {
            match answer {
                Ok(Some(listed)) => {
                    let at = (listed.at.into(), listed.interface(), &*listed.kind);
                    return typed(hub, name, at, (wanted, type_name));
                }
                Ok(None) => answers.without.push(session.peer_name()),
                Err(error) => {
                    let (node, code) = (session.peer_name(), error.code());
                    answers.silent.push(format!("{node} ({})", code.text()));
                }
            }
        }
    }
    Err(answers.unknown(hub, name))
}

/// Checks that the actor that has the name is of the type that is wanted.
fn typed(
    hub: &Hub,
    name: &str,
    (actor, interface, kind): (ActorAddr, InterfaceId, &str),
    (wanted, type_name): (InterfaceId, &str),
) -> Result<ActorAddr, CallError> {
    if interface == wanted {
        return Ok(actor);
    }
    let node = hub.node_name(actor.node);
    let detail =
        format!("{actor} on {node}, which has it, is of the type {kind}, and not {type_name}");
    Err(CallError::new(Code::NameOfOtherType, subject(name)).with_detail(detail))
}

/// What those said who do not have the name.
#[derive(Default)]
struct Answers {
    without: Vec<String>,
    silent: Vec<String>,
    old: Vec<String>,
}

impl Answers {
    fn unknown(mut self, hub: &Hub, name: &str) -> CallError {
        let is_client = hub.me().kind == PeerKind::Client;
        if is_client && self.without.len() + self.silent.len() + self.old.len() == 0 {
            return CallError::new(Code::NoHost, subject(name))
                .with_detail("no link to any node is up");
        }
        if !is_client {
            self.without.push(format!("this node, {}", hub.me().name));
        }
        let mut detail = format!("asked: {}", listed(&mut self.without));
        for (list, what) in [
            (&mut self.silent, "without an answer"),
            (&mut self.old, "of a version that knows no names"),
        ] {
            if !list.is_empty() {
                detail = format!("{detail}; {what}: {}", listed(list));
            }
        }
        CallError::new(Code::NameUnknown, subject(name)).with_detail(detail)
    }
}

/// Returns the first few of a list as text, and how many more there are.
fn listed(nodes: &mut [String]) -> String {
    nodes.sort();
    let first = nodes.get(..LISTED_MAX).unwrap_or(nodes).join(", ");
    match nodes.len().saturating_sub(LISTED_MAX) {
        0 if nodes.is_empty() => "none".to_owned(),
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// So many nodes are named in an error, which has a bound.
const LISTED_MAX: usize = 8;
