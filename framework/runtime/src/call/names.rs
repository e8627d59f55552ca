//! Nodes that this one has met, as errors tell of those that are gone: their names, whether one
//! side denies the other, and whether they have left in order.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use callboard_protocol::{
    code::Code,
    id::{Incarnation, NodeId, NodeName},
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
    /// Which life of it has left in order, if that was what ended the last connection.
    left: Option<Incarnation>,
}

impl Names {
    /// A link with the node is up.
    pub(crate) fn linked(&self, id: NodeId, name: &NodeName) {
        self.note(id, name, None, None);
    }

    /// The link with this life of the node has ended for this reason.
    pub(crate) fn parted(&self, id: NodeId, name: &NodeName, life: Incarnation, why: &LinkDown) {
        let left = (why.code == Code::NodeLeaving).then_some(life);
        self.note(id, name, denial(why), left);
    }

    /// No link with the node came up, for this reason.
    pub(crate) fn refused(&self, id: NodeId, name: &NodeName, why: &LinkDown) {
        self.note(id, name, denial(why), None);
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

    /// Returns whether this life of a node has left in order: what lived there is gone.
    pub(crate) fn has_left(&self, id: NodeId, life: Incarnation) -> bool {
        let met = self.read();
        let left = met.get(&id).and_then(|met| met.left);
        left.is_some_and(|left| life <= left)
    }

    /// Returns the names of nodes that have left in order and are not back, of some.
    pub(crate) fn left(&self) -> Vec<String> {
        let met = self.read();
        let left = met.values().filter(|met| met.left.is_some());
        left.map(|met| met.name.to_string())
            .take(LEFT_MAX)
            .collect()
    }

    fn note(&self, id: NodeId, name: &NodeName, denial: Option<String>, left: Option<Incarnation>) {
        let mut met = self.write();
        if met.len() >= NAMES_MAX && !met.contains_key(&id) {
            met.pop_first();
        }
        let name = name.clone();
        met.insert(id, Met { name, denial, left });
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<NodeId, Met>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<NodeId, Met>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn denial(why: &LinkDown) -> Option<String> {
    (why.code == Code::PeerDenied).then(|| why.detail.clone())
}

/// So many names are a line.
const LEFT_MAX: usize = 3;

/// As many as a list of members names.
const NAMES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_that_has_left_in_order_is_known_as_gone_until_the_node_is_linked_again() {
        let (names, id) = (Names::default(), NodeId(2));
        let name = NodeName::new("n2").expect("a name");
        let parted = |code| names.parted(id, &name, Incarnation(5), &LinkDown::new(code, ""));
        let has_left = |life| names.has_left(id, Incarnation(life));
        names.linked(id, &name);
        parted(Code::PeerTimeout);
        assert!(!has_left(5), "its process may live");
        names.linked(id, &name);
        parted(Code::NodeLeaving);
        assert!(has_left(5) && has_left(4));
        assert!(
            !has_left(6),
            "it has started again, which was heard elsewhere"
        );
        assert_eq!(names.left(), ["n2"]);
        names.linked(id, &name);
        assert!(!has_left(5), "it says itself what it knows no more");
        assert_eq!(names.left(), [""; 0]);
    }
}
