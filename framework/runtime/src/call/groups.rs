//! What a node looks after when it drains and stops: its services, and groups of actors.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use callboard_protocol::{code::CallError, id::ActorAddr};
use tokio_util::sync::CancellationToken;

use crate::actor::{Child, Guardian};

use super::{hub::Hub, server::Hosted};

impl Hub {
    /// Waits until no call waits in a hosted service or runs there, and no stream is open that has a deadline; returns
    /// whether that was so `within` that time. Calls may come meanwhile, and after.
    pub(crate) async fn quiet(&self, within: Duration) -> bool {
        let is_quiet = || {
            let services = self.hosted_services();
            let mut children = services.iter().filter_map(|it| it.supervised());
            children.all(|(_, it)| it.running() + it.waiting() + it.streams() == 0)
        };
        let quiet = async {
            // A look now and then costs the calls nothing, which a word from each that ends would.
            while !is_quiet() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(within, quiet).await.is_ok()
    }

    /// Returns what is cancelled as soon as the node is to stop, BEFORE anything of it ends.
    pub(crate) fn stop_asked(&self) -> &CancellationToken {
        &self.stop_asked
    }

    /// Notes a group of actors that ends with the node. On one that stops it takes no actors.
    pub(crate) fn new_group(&self, group: Guardian) -> Guardian {
        self.groups().push(group.clone());
        // AFTER it is noted: a stop that has not begun here finds it.
        if self.is_stopping() {
            group.kill();
        }
        group
    }

    /// Forgets the groups that have stopped.
    pub(crate) fn forget_stopped_groups(&self) {
        self.groups().retain(|group| !group.is_over());
    }

    /// Takes the groups, the youngest first.
    pub(crate) fn take_groups(&self) -> Vec<Guardian> {
        let mut groups = std::mem::take(&mut *self.groups());
        groups.reverse();
        groups
    }

    /// Says how an actor of this node is not there any more.
    pub(super) fn gone(&self, addr: &ActorAddr) -> String {
        match self.is_mine(addr) {
            true => format!("actor {addr} has ended"),
            false => {
                format!(
                    "actor {addr} is of an earlier life of the node, which has started again, unless its log warns of another \
                     process of its name"
                )
            }
        }
    }

    fn groups(&self) -> MutexGuard<'_, Vec<Guardian>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the node's policy against what is hosted.
    ///
    /// # Errors
    /// `ConfigInvalid` for a rule that names a hosted interface and none of its methods.
    pub(crate) fn check_policy(&self) -> Result<(), CallError> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let faces = self.known_faces().into_iter();
        let mut hosted = faces.filter(|face| hosts.contains_key(&face.id));
        hosted.try_for_each(|face| face.check_policy(self.policy()))
    }

    /// Returns how many calls run of each hosted service that has any.
    pub(crate) fn running(&self) -> BTreeMap<&'static str, usize> {
        let services = self.hosted_services();
        let running = services.iter().map(|it| (it.name(), it.running()));
        running.filter(|(_, calls)| *calls > 0).collect()
    }

    /// Returns the services and actors that have calls which run or wait, or streams that are waited for, if the node
    /// is to stop: nothing otherwise.
    pub(crate) fn to_end(&self) -> Vec<Arc<dyn Child>> {
        if !self.stop_asked.is_cancelled() {
            return Vec::new();
        }
        let actors: Vec<_> = {
            let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
            actors.values().cloned().collect()
        };
        let hosted = self.hosted_services().into_iter().chain(actors);
        let children = hosted.filter_map(|it| Some(it.supervised()?.1));
        children
            .filter(|it| it.running() + it.waiting() + it.streams() > 0)
            .collect()
    }

    fn hosted_services(&self) -> Vec<Arc<dyn Hosted>> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let services = hosts.values().filter(|host| host.keys().is_none());
        services.cloned().collect()
    }
}

/// How often it is looked whether calls still run.
const LOOK_EVERY: Duration = Duration::from_millis(5);
