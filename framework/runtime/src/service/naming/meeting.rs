//! Compares the names of two nodes when a link between them comes up.
//!
//! The one with the lower id tells its names, the other one decides: so there is one decision about each. What is claimed
//! from then on is asked over the link. Depends on `asking` and `desk`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard_protocol::{
    code::{HandlerError, Retry},
    id::ActorAddr,
};

use crate::call::{Hub, Session};

use super::{
    asking::{is_node, patience},
    desk::{self, HeldFor, Kept, NameDeskRef},
};

/// Compares names with each node that this one is linked with, until the node ends.
pub(crate) async fn meet_peers(hub: Arc<Hub>) {
    let Some(mut changes) = hub.net().map(|net| net.link_changes()) else {
        return;
    };
    let token = hub.tasks().token().clone();
    let mut met = BTreeSet::new();
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        let sessions = hub.sessions();
        let linked = sessions.iter().filter(|it| is_node(it));
        let linked: Vec<_> = linked.map(|it| (it.link.session(), it)).collect();
        let new = linked.iter().filter(|(number, _)| !met.contains(number));
        for (_, session) in new.filter(|(_, it)| hub.me().id < it.node()) {
            let Some(desk) = desk::of_peer(&hub, session) else {
                continue;
            };
            let meeting = meet(hub.clone(), (*session).clone(), desk);
            hub.tasks().spawn("names", meeting);
        }
        met = linked.iter().map(|(number, _)| *number).collect();
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Tells a peer the names that this node's actors have, until it has said which of them are lost.
async fn meet(hub: Arc<Hub>, session: Arc<Session>, desk: NameDeskRef) {
    let names = hub.names_held().into_iter();
    let mut left: BTreeSet<(String, ActorAddr)> = names.map(|(name, at, _)| (name, at)).collect();
    while !left.is_empty() && session.link.is_up() && !hub.is_stopping() {
        // Anew for each try: the time goes on meanwhile, and actors end.
        let held = hub.names_held();
        let told: Vec<_> = held
            .into_iter()
            .filter(|(name, at, _)| left.contains(&(name.clone(), *at)))
            .take(NAMES_AT_ONCE)
            .collect();
        if told.is_empty() {
            return;
        }
        let names = told.iter().map(|(name, at, held)| HeldFor {
            name: name.clone(),
            at: (*at).into(),
            held: *held,
        });
        let answer = desk.meet(names.collect::<Vec<_>>()).timeout(patience(&hub));
        let lost = match answer.await {
            Ok(lost) => lost,
            Err(HandlerError::Call(error)) if error.retry() != Retry::Never => {
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            Err(error) => {
                let peer = session.peer_name();
                tracing::warn!(
                    %error,
                    "{peer} does not compare names with this node, so both may have actors of one name; let it, \
                     in its policy: `allow_anyone(\"callboard.names/*\")`"
                );
                return;
            }
        };
        for (name, at, _) in told {
            let to = lost.iter().find(|it| it.name == name);
            if let Some(Kept { by, .. }) = to {
                hub.give_name_up(&name, at, (*by).into());
            }
            left.remove(&(name, at));
        }
    }
}

/// So many names fit into a frame on a lane, each as long as it may be.
const NAMES_AT_ONCE: usize = 128;

/// A peer that has refused to answer has too much to do.
const RETRY_AFTER: Duration = Duration::from_secs(1);
