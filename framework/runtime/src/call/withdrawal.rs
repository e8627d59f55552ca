//! What a node was started with and hosts no more: services that were given up.
//!
//! Whoever is linked is told, and later hellos do not name it. Calls that come all the same are refused
//! by the service's own cell, which knows why.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::{
    code::{CallError, Code},
    id::InterfaceId,
};

use crate::net::Link;

use super::{hub::Hub, interface::MethodSpec, session::Session};

/// The interfaces of a node that it hosts no more.
#[derive(Debug, Default)]
pub(super) struct Withdrawals(Mutex<BTreeSet<InterfaceId>>);

impl Withdrawals {
    pub(super) fn list(&self) -> Vec<InterfaceId> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<InterfaceId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Hosts an interface no more, for good, and tells the peers.
    pub(crate) fn withdraw(&self, interface: InterfaceId) {
        // BEFORE the sessions are looked at: one that comes later tells its peer itself.
        self.withdrawals.lock().insert(interface);
        for session in &*self.sessions() {
            session.link.withdraw(vec![interface], self.limits());
        }
    }

    /// Tells a peer whose link has come up what is hosted no more: its hello may be older.
    pub(super) fn tell_withdrawals(&self, link: &Link) {
        let withdrawn = self.withdrawals.list();
        if !withdrawn.is_empty() {
            link.withdraw(withdrawn, self.limits());
        }
    }
}

/// Says why a peer that was started with a service is not asked.
pub(super) fn withdrawn(spec: &MethodSpec, session: &Arc<Session>) -> CallError {
    let detail = "it has given the service up, and its log says why";
    spec.error_on(Code::ServiceGivenUp, &session.peer_name())
        .with_detail(detail)
}
