//! What came back for a call of a peer, when it is not a reply in a frame: a body on a stream, an
//! error, the end of the session.

use std::{sync::Arc, time::Duration};

use callboard_protocol::code::{CallError, Code};

use crate::net::{Link, Loss, StreamError, Ticket};

use super::{
    attempts::ran_out, codec::Encoding, hub::Hub, inflow::read_body, interface::MethodSpec,
    pending::Returned, session::Session, streams::Halves,
};

/// Turns what came back into the reply's bytes, and notes what it says of the peer. `within` is how
/// long the call may take.
///
/// A full mailbox says something of a service, of which other nodes have one too, and nothing of the node
/// if it is one actor's.
pub(super) async fn settle(
    hub: &Hub,
    spec: &'static MethodSpec,
    session: &Arc<Session>,
    ticket: &Ticket,
    returned: Returned,
    of_service: bool,
    within: Duration,
) -> Result<Encoding<'static>, CallError> {
    match returned {
        Returned::Body(body, _) => Ok(body.into()),
        Returned::OnStream(halves) => {
            let _receiving = session.receiving();
            on_stream(hub, spec, session, halves).await
        }
        Returned::Failed(error) => {
            let now = hub.now();
            match error.code() {
                Code::NodeStopping | Code::NotHosted => session.avoid_until(now + AVOID),
                Code::MailboxFull if of_service => session.avoid_until(now + AVOID_FULL),
                _ => {}
            }
            Err(named(spec, session, error))
        }
        Returned::SessionLost => {
            let down = session.link.closed().await;
            let error = lost(spec, session, ticket, &down.to_string());
            Err(match down.loss {
                // Nothing is to be looked for at the node.
                Loss::OwnStandstill(_) if error.code() == Code::PeerLost => {
                    error.with_advice(STOOD_STILL)
                }
                _ => error,
            })
        }
        Returned::LifeOver => Err(spec
            .error_on(Code::LeaseLost, &session.peer_name())
            .with_detail("its lease has ended, so that nothing it answers counts")),
        Returned::TooLate => Err(ran_out(hub, spec, true, within, Some(session))),
    }
}

/// Names the method in what a host says that found no actor or service for the call: it knows the
/// method by its number only.
fn named(spec: &MethodSpec, session: &Session, error: CallError) -> CallError {
    let node = session.peer_name();
    if error.code() != Code::UnknownMethod && error.subject() != node {
        return error;
    }
    spec.error_on(error.code(), &node)
        .with_detail(error.detail().to_owned())
}

async fn on_stream(
    hub: &Hub,
    spec: &'static MethodSpec,
    session: &Session,
    halves: Halves,
) -> Result<Encoding<'static>, CallError> {
    let error = match halves.recv.await {
        Ok(mut recv) => match read_body(&mut recv, session.bodies(), hub).await {
            Ok(Some(body)) => return Ok(body),
            Ok(None) => {
                let error = spec.error(Code::ReplyUndecodable);
                return Err(error.with_detail("not a body on its stream"));
            }
            Err(error) => Some(error),
        },
        // The stream has not come: there is no link for it any more, or it took too long.
        Err(_) => None,
    };
    let why = match error {
        // The link knows why, whichever side has closed it.
        Some(StreamError::Down(_)) => session.link.closed().await.to_string(),
        None if !session.link.is_up() => session.link.closed().await.to_string(),
        Some(error) => error.to_string(),
        None => "it did not come".to_owned(),
    };
    Err(spec
        .error_on(Code::PeerLost, &session.peer_name())
        .with_detail(format!("the reply's stream was lost: {why}")))
}

/// Says whether a call whose session ended may have run: not if its bytes never left the buffer.
pub(super) fn lost(
    spec: &'static MethodSpec,
    session: &Session,
    ticket: &Ticket,
    why: &str,
) -> CallError {
    let link: &Link = &session.link;
    let code = if link.left(ticket) {
        Code::PeerLost
    } else {
        Code::PeerUnreachable
    };
    let error = spec.error_on(code, &session.peer_name());
    // The code is said once.
    let same = format!("{} {}: ", code.text(), code.name());
    error.with_detail(why.strip_prefix(&same).unwrap_or(why).to_owned())
}

/// What to do about a call that was lost as this process stood still.
const STOOD_STILL: &str =
    "retry when the method is idempotent, and look why this process stood still, as its log says";

/// How long a node that refused a call as a whole is not chosen for others.
const AVOID: Duration = Duration::from_secs(1);

/// How long a node with a full mailbox is not chosen for others; refusing is fast, so its latency
/// alone would make it the most attractive.
const AVOID_FULL: Duration = Duration::from_millis(100);
