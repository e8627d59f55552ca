//! What peers say of other nodes, for as long as they say it.
//!
//! Each peer's last list is kept while the link to it is up. So news of an older incarnation is
//! told apart: it is late where somebody still is linked with the newer one, and otherwise the
//! older one is what is left, as when a second process of its name has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use callboard_protocol::id::{Incarnation, NodeId};
use callboard_protocol::wire::control::MemberInfo;

use super::dial::Dial;
use super::{Member, Peers};

impl<L: Clone + PartialEq> Peers<L> {
    /// Takes in the nodes that a linked node says it is linked with.
    pub(in super::super) fn handle_members(
        &mut self,
        teller: NodeId,
        list: Vec<MemberInfo>,
        now: Instant,
    ) {
        if !self.is_linked(teller) {
            return;
        }
        self.note_node_of_own_name(&list, now);
        let usable = |info: &MemberInfo| {
            info.id != self.me.id && !info.addr.ip().is_unspecified() && info.addr.port() != 0
        };
        let said = list.into_iter().filter(usable);
        let said: BTreeMap<_, _> = said.map(|info| (info.id, info)).collect();
        let said = Arc::new(said);
        let Some(up) = self.up.get_mut(&(teller, None)) else {
            return;
        };
        // Stored BEFORE it is looked at: who says what decides below.
        let before = std::mem::replace(&mut up.said, Arc::clone(&said));
        for id in before.keys().filter(|id| !said.contains_key(id)) {
            self.said_no_more(*id, now);
        }
        for info in said.values() {
            self.hear(info, now);
        }
    }

    /// Takes in the members of the cluster as its control group knows them. What peers say of them is
    /// newer.
    pub(in super::super) fn handle_known(&mut self, list: Vec<MemberInfo>, now: Instant) {
        self.known = list.iter().map(|info| info.id).collect();
        for info in list {
            let id = info.id;
            let is_said =
                self.is_linked(id) || self.up.values().any(|up| up.said.contains_key(&id));
            let moved = self.members.get(&id).map(|it| it.info.addr != info.addr);
            if id != self.me.id && !is_said && moved.unwrap_or(true) {
                self.hear(&info, now);
            }
        }
    }

    /// Takes in what one peer says of one node.
    fn hear(&mut self, info: &MemberInfo, now: Instant) {
        let id = info.id;
        let known = self.members.get(&id).map(|known| known.info.incarnation);
        if let Some(known) = known
            && info.incarnation < known
            && self.is_there(id, known)
        {
            // News of an earlier life, from one that has not noticed its end.
            return;
        }
        let wait = self.wait_for_the_other(id);
        let has_room = self.members.len() < self.settings.members_max;
        let is_news = match self.members.get_mut(&id) {
            Some(member) => {
                member.heard = now;
                let is_news = *info != member.info;
                if is_news {
                    member.info = info.clone();
                    member.dial.hasten(now);
                }
                is_news
            }
            None if has_room => {
                let member = Member {
                    info: info.clone(),
                    dial: Dial::due(now + wait),
                    heard: now,
                    lost: None,
                };
                self.members.insert(id, member);
                true
            }
            None => false,
        };
        // Where a seed is, it is the seed that is dialled, which may have failed for long.
        if is_news && let Some(seed) = self.seeds.get_mut(&info.addr) {
            seed.dial.not_after(now + wait);
        }
    }

    /// Takes in that one peer is linked with a node no more, or is not there to say.
    pub(super) fn said_no_more(&mut self, id: NodeId, now: Instant) {
        if let Some(member) = self.members.get_mut(&id) {
            member.heard = now;
            let incarnation = member.info.incarnation;
            if !self.is_there(id, incarnation) {
                self.recall(id, Some(incarnation), now);
            }
        }
    }

    /// Falls back to what others say of a node, but for an incarnation that has ended.
    pub(super) fn recall(&mut self, id: NodeId, ended: Option<Incarnation>, now: Instant) {
        let said = self.up.values().filter_map(|up| up.said.get(&id));
        let others = said.filter(|info| Some(info.incarnation) != ended);
        let newest = others.max_by_key(|info| info.incarnation).cloned();
        if let Some(info) = newest
            && !self.is_linked(id)
        {
            self.hear(&info, now);
        }
    }

    /// Returns whether this node or a peer of it is linked with this incarnation of a node.
    fn is_there(&self, id: NodeId, incarnation: Incarnation) -> bool {
        let linked = self.up.get(&(id, None));
        let mut said = self.up.values().filter_map(|up| up.said.get(&id));
        linked.is_some_and(|up| up.candidate.incarnation == incarnation)
            || said.any(|info| info.incarnation == incarnation)
    }

    /// Drops the members that nobody is linked with any more.
    pub(super) fn forget(&mut self, now: Instant) {
        let (up, known, keep_for) = (&self.up, &self.known, self.settings.member_forget);
        self.members.retain(|id, member| {
            if member.dial.at.is_none() || member.heard + keep_for > now {
                return true;
            }
            let is_there = known.contains(id)
                || up.contains_key(&(*id, None))
                || up.values().any(|teller| teller.said.contains_key(id));
            if is_there {
                member.heard = now;
            }
            is_there
        });
    }
}
