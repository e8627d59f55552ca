//! What the service answers from: the parts of one node.
//!
//! Depends on the reports; reads `call`, `cluster` and `net`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use callboard_protocol::{
    code::Code,
    id::{ClusterName, InterfaceId, NodeId},
    membership,
    slots::{Member, Standing},
    time::Time,
};

use super::{
    cluster_report::{ClusterReport, MemberReport, MemberState, Placement, TypeReport},
    drain::Asked,
    node_report::NodeReport,
    seats_report::{ChoiceReport, SeatReport, SeatsReport, VoterChoice},
};
use crate::{
    call::Hub,
    cluster::{Cluster, Ownership, PlacedBy, Tally},
    net::Net,
};

/// The parts of one node, as far as the service needs them.
pub(crate) struct Desk {
    pub(crate) hub: Arc<Hub>,
    pub(crate) net: Arc<Net>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) cluster_name: ClusterName,
    /// How long the node waits for what is in flight.
    pub(crate) grace: Duration,
    /// What has become of a drain that somebody has asked for.
    pub(crate) asked: Mutex<Asked>,
}

impl Desk {
    pub(super) fn cluster(&self) -> ClusterReport {
        let status = self.cluster.status();
        let tallies = self.ownership.tallies();
        let names = self.interface_names();
        let mut members = match self.ownership.placed_by() {
            PlacedBy::Group => self.placed_members(&tallies, &names),
            PlacedBy::Unknown | PlacedBy::WhoAsks => self.linked_members(&names),
        };
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let mut types: Vec<_> = tallies.iter().map(|it| type_report(it, &names)).collect();
        for of_type in &mut types {
            let live = members.iter().filter(|it| it.state == MemberState::Live);
            let hosting = live.filter(|it| it.hosts.contains(&of_type.name));
            of_type.hosts = hosting.map(|it| it.name.clone()).collect();
        }
        types.sort_by(|a, b| a.name.cmp(&b.name));
        ClusterReport {
            by: self.hub.me().name.clone(),
            cluster: self.cluster_name.to_string(),
            cluster_id: status.cluster.map(|it| it.to_string()),
            placement: match self.ownership.placed_by() {
                PlacedBy::Unknown => Placement::Unknown,
                PlacedBy::WhoAsks => Placement::WhoAsks,
                PlacedBy::Group => Placement::Group,
            },
            version: self.ownership.version().0,
            leader: status.leader.map(|it| self.name_of(it)),
            lease_left_ms: self.lease_left_ms(),
            members,
            types,
        }
    }

    pub(super) fn node(&self) -> NodeReport {
        let status = self.cluster.status();
        let trouble = status.trouble.as_ref();
        NodeReport {
            name: self.hub.me().name.clone(),
            incarnation: self.ownership.me().incarnation.0,
            addr: self.net.local_addr().to_string(),
            callboard: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: millis(self.hub.lease_now() - Time::ZERO),
            linked_nodes: self.net.members().len() as u64,
            version: self.ownership.version().0,
            term: status.term,
            leads: status.is_leader,
            votes: status.votes,
            lease_left_ms: self.lease_left_ms(),
            slots: self.ownership.slots() as u64,
            trouble: trouble
                .map(|it| format!("{}: {}", it.code, it.detail))
                .or_else(|| {
                    Some(format!(
                        "{}: {}",
                        Code::NotJoined,
                        status.unleased.as_ref()?
                    ))
                }),
        }
    }

    pub(super) fn seats(&self) -> SeatsReport {
        let status = self.cluster.status();
        let members = self.ownership.members();
        let seats = status.voters.iter().chain(&status.learners).map(|disk| {
            let mut of_disk = members.iter().filter(|(it, _)| it.disk == Some(*disk));
            let member = of_disk.next();
            SeatReport {
                node: member.map(|(it, _)| it.name.to_string()),
                disk: disk.to_string(),
                votes: status.voters.contains(disk),
                leads: member.is_some_and(|(it, _)| status.leader == Some(it.id())),
                live: member.is_some_and(|(_, standing)| *standing != Standing::Lapsed),
            }
        });
        let mut seats: Vec<_> = seats.collect();
        seats.sort_by(|a, b| a.node.cmp(&b.node));
        let choices = status.choices.iter().map(|(node, choice)| ChoiceReport {
            node: self.name_of(*node),
            choice: match choice {
                membership::VoterChoice::Wanted => VoterChoice::Add,
                membership::VoterChoice::Barred => VoterChoice::Remove,
            },
        });
        let mut choices: Vec<_> = choices.collect();
        choices.sort_by(|a, b| a.node.cmp(&b.node));
        SeatsReport {
            by: self.hub.me().name.clone(),
            seated: !status.voters.is_empty(),
            term: status.term,
            applied: status.applied,
            seats,
            choices,
        }
    }

    /// Returns the members that the control group knows.
    fn placed_members(
        &self,
        tallies: &[Tally],
        names: &BTreeMap<InterfaceId, String>,
    ) -> Vec<MemberReport> {
        let linked: BTreeSet<NodeId> = self.net.members().iter().map(|it| it.id).collect();
        let me = self.hub.me().id;
        let report = |(member, standing): (Member, Standing)| {
            let owner = member.owner();
            let owned = tallies.iter().filter_map(|it| it.owned.get(&owner));
            MemberReport {
                name: member.name.to_string(),
                incarnation: member.incarnation.0,
                addr: member.addr.to_string(),
                state: match standing {
                    Standing::Live => MemberState::Live,
                    Standing::Draining => MemberState::Draining,
                    Standing::Lapsed => MemberState::Lapsed,
                },
                linked: owner.node == me || linked.contains(&owner.node),
                slots: owned.sum(),
                hosts: member.hosts.iter().map(|it| named(*it, names)).collect(),
            }
        };
        self.ownership.members().into_iter().map(report).collect()
    }

    /// Returns this node and those that it is linked with.
    fn linked_members(&self, names: &BTreeMap<InterfaceId, String>) -> Vec<MemberReport> {
        let me = self.hub.me();
        let here = self.hub.directories();
        let own = MemberReport {
            name: me.name.clone(),
            incarnation: me.incarnation.0,
            addr: self.net.local_addr().to_string(),
            state: MemberState::Live,
            linked: true,
            slots: 0,
            hosts: here.iter().map(|it| named(it.interface(), names)).collect(),
        };
        let others = self.net.members().into_iter().map(|info| MemberReport {
            name: info.name.to_string(),
            incarnation: info.incarnation.0,
            addr: info.addr.to_string(),
            state: MemberState::Live,
            linked: true,
            slots: 0,
            // A hello does not say which of its interfaces have keys.
            hosts: Vec::new(),
        });
        std::iter::once(own).chain(others).collect()
    }

    /// Returns the names of the interfaces that this node hosts, and those that it is linked with.
    fn interface_names(&self) -> BTreeMap<InterfaceId, String> {
        let mut names = BTreeMap::new();
        for link in self.net.links().iter() {
            let hosts = link.peer().hosts.interfaces();
            names.extend(hosts.map(|it| (it.id, it.name.clone())));
        }
        names.extend(self.hub.hosted().into_iter().map(|it| (it.id, it.name)));
        names
    }

    pub(super) fn lease_left_ms(&self) -> Option<u64> {
        let until = self.cluster.status().lease_until?;
        let now = self.hub.lease_now();
        (until > now).then(|| millis(until - now))
    }

    /// Returns the name of a node, or its id where the name is not known.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        if node == self.hub.me().id {
            return self.hub.me().name.clone();
        }
        let members = self.ownership.members().into_iter();
        let mut of_node = members.filter(|(member, _)| member.id() == node);
        let name = of_node.next().map(|(member, _)| member.name.to_string());
        name.or_else(|| self.hub.names().name(node))
            .unwrap_or_else(|| node.to_string())
    }
}

fn type_report(tally: &Tally, names: &BTreeMap<InterfaceId, String>) -> TypeReport {
    let types: Vec<String> = tally.types.iter().map(|it| named(*it, names)).collect();
    TypeReport {
        name: types.join(", "),
        slots: tally.slots,
        moving: tally.moving,
        unowned: tally.unowned,
        hosts: Vec::new(),
    }
}

fn named(id: InterfaceId, names: &BTreeMap<InterfaceId, String>) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("node", &self.hub.me().name)
            .finish_non_exhaustive()
    }
}
