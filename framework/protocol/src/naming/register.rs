//! The names of one node's actors.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    id::{ActorAddr, NodeId},
    time::Time,
};

/// The names of one node's actors, and those that it is asking for. `T` is what its owner keeps with each.
#[derive(Debug)]
pub struct Register<T> {
    me: NodeId,
    names_max: usize,
    next: u64,
    claims: BTreeMap<Box<str>, Claim<T>>,
}

/// A name of this node, or one that it is asking for.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim<T> {
    /// Tells it from earlier and later claims of the same name on this node.
    pub number: u64,
    /// Whose name it is, or is to be.
    pub actor: ActorAddr,
    /// What the owner keeps with it.
    pub kept: T,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The others are being asked. One of them that asks too, and goes before this node, outbids it.
    Asking { outbid: Option<ActorAddr> },
    /// It is the actor's, since then.
    Held { since: Time },
}

/// Why a name is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unclaimed {
    /// It is no name.
    #[error("{0}")]
    Invalid(&'static str),
    /// The node has as many names as it may.
    #[error("the node has {most} names already")]
    Full {
        /// How many it may have.
        most: usize,
    },
    /// It is that of an actor of this node, or is being asked for by one; maybe the same.
    #[error("it is that of {0}")]
    Taken(ActorAddr),
}

/// What becomes of one name of a peer when two nodes compare theirs.
#[derive(Debug, PartialEq, Eq)]
pub enum Meeting<T> {
    /// The peer keeps it: nobody here has it.
    Theirs,
    /// The peer loses it to this actor, which has held it for longer.
    Ours(ActorAddr),
    /// This node's actor has lost it, and it was taken out here: what was kept with it.
    Lost(Claim<T>),
}

impl<T> Register<T> {
    /// Makes an empty one, for a node that may have so many names.
    #[must_use]
    pub fn new(me: NodeId, names_max: usize) -> Self {
        Self {
            me,
            names_max,
            next: 0,
            claims: BTreeMap::new(),
        }
    }

    /// Begins to ask for a name; returns the number of the claim.
    ///
    /// # Errors
    /// [`Unclaimed`]; nothing was changed.
    pub fn begin(&mut self, name: &str, actor: ActorAddr, kept: T) -> Result<u64, Unclaimed> {
        check_name(name).map_err(Unclaimed::Invalid)?;
        if let Some(claim) = self.claims.get(name) {
            return Err(Unclaimed::Taken(claim.actor));
        }
        if self.claims.len() >= self.names_max {
            let most = self.names_max;
            return Err(Unclaimed::Full { most });
        }
        self.next += 1;
        let claim = Claim {
            number: self.next,
            actor,
            kept,
            stage: Stage::Asking { outbid: None },
        };
        self.claims.insert(name.into(), claim);
        Ok(self.next)
    }

    /// A peer asks for a name, for this actor: returns the actor of this node that keeps it from that, if one
    /// does. Of two that ask at the same time the one on the node with the lower id goes first.
    pub fn asked(&mut self, name: &str, by: ActorAddr) -> Option<ActorAddr> {
        let claim = self.claims.get_mut(name)?;
        match &mut claim.stage {
            Stage::Held { .. } => Some(claim.actor),
            Stage::Asking { outbid: Some(_) } => None,
            Stage::Asking { .. } if self.me < by.node => Some(claim.actor),
            Stage::Asking { outbid } => {
                *outbid = Some(by);
                None
            }
        }
    }

    /// All that are linked have been asked, and none has the name: the claim's actor has it from now on.
    /// Returns whether that is so; it is not if the claim was removed.
    ///
    /// # Errors
    /// The actor for which a peer has asked meanwhile that goes first. The claim is removed.
    pub fn settle(&mut self, name: &str, number: u64, now: Time) -> Result<bool, ActorAddr> {
        let Some(claim) = self.claim(name, number) else {
            return Ok(false);
        };
        match claim.stage {
            Stage::Asking {
                outbid: Some(other),
            } => {
                self.claims.remove(name);
                Err(other)
            }
            Stage::Asking { outbid: None } => {
                claim.stage = Stage::Held { since: now };
                Ok(true)
            }
            Stage::Held { .. } => Ok(true),
        }
    }

    /// Removes a claim, if it is still there.
    pub fn remove(&mut self, name: &str, number: u64) -> Option<Claim<T>> {
        self.claim(name, number)?;
        self.claims.remove(name)
    }

    /// Removes all claims.
    pub fn clear(&mut self) -> impl Iterator<Item = Claim<T>> + use<T> {
        std::mem::take(&mut self.claims).into_values()
    }

    /// Compares a name that a peer's actor has held for so long with what this node has. The one that has held it for
    /// longer keeps it; if it is equal, the one on the node with the lower id.
    ///
    /// One side decides for both: the peer gives up what it is told to, see [`give_up`](Self::give_up). So there
    /// is one holder afterwards, although each of the two has measured by its own clock, and the peer's looks younger by
    /// the time that its word has taken.
    pub fn meet(&mut self, name: &str, actor: ActorAddr, held: Duration, now: Time) -> Meeting<T> {
        let Some(claim) = self.claims.get_mut(name) else {
            return Meeting::Theirs;
        };
        match &mut claim.stage {
            Stage::Asking { outbid } => {
                *outbid = Some(actor);
                Meeting::Theirs
            }
            Stage::Held { since } => {
                let ours = now.saturating_since(*since);
                if ours > held || (ours == held && self.me < actor.node) {
                    return Meeting::Ours(claim.actor);
                }
                match self.claims.remove(name) {
                    Some(claim) => Meeting::Lost(claim),
                    None => Meeting::Theirs,
                }
            }
        }
    }

    /// A peer has decided that this actor of this node has lost the name. Returns the claim, if it is still there.
    pub fn give_up(&mut self, name: &str, actor: ActorAddr) -> Option<Claim<T>> {
        let claim = self.held(name)?;
        if claim.actor != actor {
            return None;
        }
        self.claims.remove(name)
    }

    /// Returns the claim of a name that an actor of this node has.
    #[must_use]
    pub fn held(&self, name: &str) -> Option<&Claim<T>> {
        let claim = self.claims.get(name)?;
        matches!(claim.stage, Stage::Held { .. }).then_some(claim)
    }

    /// Returns a claim to change what is kept with it.
    pub fn claim(&mut self, name: &str, number: u64) -> Option<&mut Claim<T>> {
        let claim = self.claims.get_mut(name)?;
        (claim.number == number).then_some(claim)
    }

    /// Returns the names that actors of this node have, in order, and for how long each has had it.
    pub fn all_held(&self, now: Time) -> impl Iterator<Item = (&str, &Claim<T>, Duration)> {
        self.claims
            .iter()
            .filter_map(move |(name, claim)| match claim.stage {
                Stage::Held { since } => Some((&**name, claim, now.saturating_since(since))),
                Stage::Asking { .. } => None,
            })
    }

    /// Returns how many names this node has or asks for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Returns whether this node has no name and asks for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}

/// Checks that a text can be a name.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("it is longer than 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(())
}

/// The longest name, in bytes: one of a file system's, so that what is called by a path or a host fits.
pub const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ActorId, Incarnation};

    fn actor(node: u64, actor: u64) -> ActorAddr {
        ActorAddr {
            node: NodeId(node),
            incarnation: Incarnation(1),
            actor: ActorId(actor),
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn node(me: u64) -> Register<()> {
        Register::new(NodeId(me), 2)
    }

    /// A node whose actor has had the name since then.
    fn holder(me: u64, since: u64) -> Register<()> {
        let mut register = node(me);
        let number = register.begin("lobby", actor(me, 1), ()).expect("free");
        assert_eq!(register.settle("lobby", number, at(since)), Ok(true));
        register
    }

    #[test]
    fn a_name_that_is_held_is_given_to_nobody_else() {
        let mut first = holder(5, 0);
        for by in [1, 9] {
            assert_eq!(first.asked("lobby", actor(by, 1)), Some(actor(5, 1)));
        }
        assert_eq!(first.asked("attic", actor(1, 1)), None);
        let again = first.begin("lobby", actor(5, 2), ());
        assert_eq!(again, Err(Unclaimed::Taken(actor(5, 1))));
        let number = first.held("lobby").expect("held").number;
        assert!(first.remove("lobby", number + 1).is_none());
        assert!(first.remove("lobby", number).is_some());
        assert_eq!(first.asked("lobby", actor(9, 1)), None);
    }

    #[test]
    fn of_two_that_ask_at_once_exactly_the_one_with_the_lower_id_gets_it() {
        let (mut low, mut high) = (node(1), node(2));
        let low_claim = low.begin("lobby", actor(1, 1), ()).expect("free");
        let high_claim = high.begin("lobby", actor(2, 1), ()).expect("free");
        assert!(low.held("lobby").is_none(), "it is only asked for");
        assert_eq!(low.asked("lobby", actor(2, 1)), Some(actor(1, 1)));
        assert_eq!(high.asked("lobby", actor(1, 1)), None);
        // It has lost, and so keeps the name from nobody.
        assert_eq!(high.asked("lobby", actor(3, 1)), None);
        assert_eq!(low.settle("lobby", low_claim, at(1)), Ok(true));
        assert_eq!(
            high.settle("lobby", high_claim, at(1)),
            Err(actor(1, 1)),
            "it was outbid"
        );
        assert!(high.is_empty());
    }

    #[test]
    fn of_two_holders_the_one_of_longer_keeps_it_whoever_decides() {
        for (low_since, high_since, low_keeps) in [(0, 5, true), (5, 0, false), (3, 3, true)] {
            let (mut low, mut high) = (holder(1, low_since), holder(2, high_since));
            let held = Duration::from_millis(10 - low_since);
            let told = high.meet("lobby", actor(1, 1), held, at(10));
            match told {
                Meeting::Lost(_) => assert!(low_keeps && high.is_empty()),
                Meeting::Ours(ours) => {
                    assert_eq!((ours, low_keeps), (actor(2, 1), false));
                    assert!(low.give_up("lobby", actor(1, 9)).is_none());
                    assert!(low.give_up("lobby", actor(1, 1)).is_some());
                }
                Meeting::Theirs => panic!("both have it"),
            }
            assert_eq!(low.is_empty(), !low_keeps);
            // The same, decided by the other one.
            let mut low = holder(1, low_since);
            let held = Duration::from_millis(10 - high_since);
            let told = low.meet("lobby", actor(2, 1), held, at(10));
            assert_eq!(matches!(told, Meeting::Ours(_)), low_keeps);
        }
    }

    #[test]
    fn a_name_that_a_peer_turns_out_to_have_is_not_taken_any_more() {
        let mut register = node(1);
        let number = register.begin("lobby", actor(1, 1), ()).expect("free");
        let told = register.meet("lobby", actor(2, 7), Duration::ZERO, at(1));
        assert_eq!(told, Meeting::Theirs);
        assert_eq!(register.settle("lobby", number, at(2)), Err(actor(2, 7)));
        assert!(register.is_empty());
        assert_eq!(register.settle("lobby", number, at(2)), Ok(false));
    }

    #[test]
    fn a_node_has_so_many_names_and_no_more_and_none_that_is_no_name() {
        let mut register = holder(1, 0);
        register.begin("attic", actor(1, 2), ()).expect("free");
        let more = register.begin("cellar", actor(1, 3), ());
        assert_eq!(more, Err(Unclaimed::Full { most: 2 }));
        let held: Vec<_> = register.all_held(at(7)).map(|it| (it.0, it.2)).collect();
        assert_eq!(held, [("lobby", Duration::from_millis(7))]);
        assert_eq!(register.len(), 2);
        assert_eq!(register.clear().count(), 2);
        for (name, fits) in [
            (String::new(), false),
            ("a\nb".to_owned(), false),
            ("é".repeat(127), true),
            ("é".repeat(128), false),
            ("rooms/lobby 1".to_owned(), true),
        ] {
            assert_eq!(check_name(&name).is_ok(), fits, "{name}");
            let begun = register.begin(&name, actor(1, 4), ());
            assert_eq!(begun.is_ok(), fits, "{name}");
        }
    }
}
