//! Seeds that have names: where they are now.
//!
//! A name is looked up again, at the pace of dials, for as long as none of its addresses is linked:
//! what is behind it may have moved. What it stands for then is dialled as seeds are, and what it stands
//! for no more is not. It may depend on `peers` and `mesh`, which do the dialling.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callboard_protocol::code::Code;

use super::error::LinkDown;
use super::mesh::Mesh;
use super::peers::{Backoff, Reminder};
use super::reach;

/// What is known of the names.
#[derive(Debug)]
pub(super) struct Names {
    /// The seeds that were given by their addresses.
    stated: BTreeSet<SocketAddr>,
    named: Mutex<BTreeMap<Arc<str>, Named>>,
}

#[derive(Debug, Default)]
struct Named {
    at: BTreeSet<SocketAddr>,
    /// Why the last lookup gave nothing.
    failed: Option<LinkDown>,
}

/// What a lookup changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) new: Vec<SocketAddr>,
    pub(super) gone: Vec<SocketAddr>,
}

impl Names {
    pub(super) fn new(stated: &[SocketAddr], names: &[Arc<str>]) -> Self {
        let named = names
            .iter()
            .map(|name| (Arc::clone(name), Named::default()));
        Self {
            stated: stated.iter().copied().collect(),
            named: Mutex::new(named.collect()),
        }
    }

    /// Returns why the last lookups of names gave nothing, in the order of the names.
    pub(super) fn failures(&self) -> Vec<(Arc<str>, LinkDown)> {
        let named = self.named();
        let failed = named
            .iter()
            .filter_map(|(name, named)| Some((Arc::clone(name), named.failed.clone()?)));
        failed.collect()
    }

    /// Returns whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.named().is_empty()
    }

    /// Returns whether all names stand for some address.
    pub(super) fn are_found(&self) -> bool {
        self.named().values().all(|named| !named.at.is_empty())
    }

    /// Takes in what a name stands for now. Addresses that are gone are those that nothing else of
    /// what was stated stands for.
    fn found(&self, name: &Arc<str>, found: BTreeSet<SocketAddr>) -> Moved {
        let mut all = self.named();
        let named = all.entry(Arc::clone(name)).or_default();
        named.failed = None;
        let old = std::mem::replace(&mut named.at, found.clone());
        let is_held = |addr: &SocketAddr| {
            self.stated.contains(addr) || all.values().any(|named| named.at.contains(addr))
        };
        Moved {
            new: found.difference(&old).copied().collect(),
            gone: old.into_iter().filter(|addr| !is_held(addr)).collect(),
        }
    }

    /// Takes in that a lookup gave nothing: the addresses of the last one stay.
    fn failed(&self, name: &Arc<str>, why: LinkDown) {
        self.named().entry(Arc::clone(name)).or_default().failed = Some(why);
    }

    fn addresses(&self, name: &Arc<str>) -> BTreeSet<SocketAddr> {
        let named = self.named();
        named
            .get(name)
            .map(|named| named.at.clone())
            .unwrap_or_default()
    }

    fn named(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mesh {
    /// Looks a name up whenever nothing of what it stands for is linked, until the intake stops.
    pub(super) async fn follow(self: Arc<Self>, name: Arc<str>) {
        let backoff = Backoff::new(&self.config);
        let (mut attempt, mut trouble) = (0_u32, Reminder::default());
        let stop = self.intake.token().clone();
        loop {
            let is_linked = self.has_link_to(&self.names.addresses(&name));
            if is_linked {
                attempt = 0;
            } else {
                attempt = attempt.saturating_add(1);
                // Dropping a lookup loses nothing: its answer was to be asked for again anyway.
                match stop.run_until_cancelled(self.look_up(&name)).await {
                    None => return,
                    Some(Ok(found)) => {
                        if trouble.end() {
                            tracing::warn!("seed {name} is found now");
                        }
                        self.move_seeds(self.names.found(&name, found));
                    }
                    Some(Err((why, advice))) => {
                        if trouble.is_due(self.env.clock.now()) {
                            let why = &why.detail;
                            tracing::warn!("seed {name} is not found ({why}; {advice}); trying on");
                        }
                        self.names.failed(&name, why);
                        self.changed.send_replace(());
                    }
                }
            }
            // A link that is up is looked at at the slowest pace.
            let pace = if is_linked { u32::MAX } else { attempt };
            let wait = backoff.wait(pace, self.env.entropy.next_u64());
            if stop
                .run_until_cancelled(tokio::time::sleep(wait))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Returns the addresses of a name that can be dialled from here.
    ///
    /// # Errors
    /// Why there are none, and what to do.
    async fn look_up(&self, name: &str) -> Result<BTreeSet<SocketAddr>, (LinkDown, &'static str)> {
        let unreachable = |detail| LinkDown::new(Code::PeerUnreachable, detail);
        let found = self.env.names.look_up(name).await;
        let found = found.map_err(|error| (unreachable(error.to_string()), LOOK_UP_ADVICE))?;
        let mut found: Vec<_> = found.into_iter().take(ADDRESSES_MAX).collect();
        let no_address = unreachable("the name has no address".to_owned());
        let mut refused = (no_address, LOOK_UP_ADVICE);
        let own = self.endpoint.local_addr();
        found.retain(|addr| match reach::check_dial(own, *addr) {
            Ok(()) => true,
            Err(why) => {
                refused = (why, "name the seed by another address");
                false
            }
        });
        match found.is_empty() {
            true => Err(refused),
            false => Ok(found.into_iter().collect()),
        }
    }
}

const LOOK_UP_ADVICE: &str = "check how the name is written, and that this machine can look it up, as by `getent hosts \
                              NAME`";

/// Far more nodes than are worth asking for the others.
const ADDRESSES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 4001))
    }

    fn set(addrs: &[u8]) -> BTreeSet<SocketAddr> {
        addrs.iter().copied().map(addr).collect()
    }

    #[test]
    fn an_address_is_gone_when_no_name_stands_for_it() {
        let (a, b): (Arc<str>, Arc<str>) = ("a:1".into(), "b:1".into());
        let names = Names::new(&[addr(9)], &[a.clone(), b.clone()]);
        assert!(!names.are_found());
        let moved = names.found(&a, set(&[1, 2, 9]));
        assert_eq!((moved.new.len(), moved.gone), (3, Vec::new()));
        assert_eq!(names.found(&b, set(&[2])).gone, []);
        assert!(names.are_found());
        // 1 is gone; 2 is also b's, and 9 was stated.
        let moved = names.found(&a, set(&[3]));
        assert_eq!((moved.new, moved.gone), (vec![addr(3)], vec![addr(1)]));
    }

    #[test]
    fn a_lookup_that_fails_changes_no_address() {
        let name: Arc<str> = "a:1".into();
        let names = Names::new(&[], std::slice::from_ref(&name));
        names.found(&name, set(&[1]));
        names.failed(&name, LinkDown::new(Code::PeerUnreachable, "no such host"));
        assert_eq!(names.addresses(&name), set(&[1]));
        let failures = names.failures();
        assert_eq!(failures.len(), 1);
        assert_eq!(names.found(&name, set(&[1])), Moved::default());
        assert!(names.failures().is_empty());
    }
}
