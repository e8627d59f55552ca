//! Nodes that this one has met, as errors tell of those that are gone: their names, and whether one
//! side denies the other.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use callboard_protocol::{
    code::Code,
    id::{NodeId, NodeName},
};

use crate::net::LinkDown;

/// The nodes that a link was up with, or that were met and refused.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<BTreeMap<NodeId, Met>>);

#[derive(Debug)]
struct Met {
    name: NodeName,
    /// Whose list names whom, if that was what ended or refused the last connection.
    denial: Option<String>,
}

impl Names {
    /// A link with the node is up.
    pub(crate) fn linked(&self, id: NodeId, name: &NodeName) {
        self.note(id, name, None);
    }

    /// The link with the node has ended, or none came up, for this reason.
    pub(crate) fn parted(&self, id: NodeId, name: &NodeName, why: &LinkDown) {
        let denial = (why.code == Code::PeerDenied).then(|| why.detail.clone());
        self.note(id, name, denial);
    }

    /// Returns the name of a node that was met.
    pub(crate) fn name(&self, id: NodeId) -> Option<String> {
        self.read().get(&id).map(|met| met.name.to_string())
    }

    /// Returns whose deny list keeps the node away, if one does.
    pub(crate) fn denial(&self, id: NodeId) -> Option<String> {
        self.read().get(&id)?.denial.clone()
    }

    /// Returns the first node that a deny list keeps away, and whose list that is.
    pub(crate) fn first_denied(&self) -> Option<(String, String)> {
        let met = self.read();
        let mut denied = met
            .values()
            .filter_map(|met| Some((met.name.to_string(), met.denial.clone()?)));
        denied.next()
    }

    fn note(&self, id: NodeId, name: &NodeName, denial: Option<String>) {
        let mut met = self.write();
        if met.len() >= NAMES_MAX && !met.contains_key(&id) {
            met.pop_first();
        }
        let name = name.clone();
        met.insert(id, Met { name, denial });
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<NodeId, Met>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<NodeId, Met>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as a list of members names.
const NAMES_MAX: usize = 4096;
