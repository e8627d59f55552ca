//! How the slots of a group are shared out, counted.
//!
//! Reads a view; depends on nothing else of the module.

use std::collections::{BTreeMap, BTreeSet};

use callboard_protocol::{
    id::InterfaceId,
    slots::{Group, Owner, Standing, Table, View},
};

/// How the slots of a group are shared out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// The types of the group.
    pub(crate) types: BTreeSet<InterfaceId>,
    pub(crate) slots: u64,
    /// On their way from one node to another.
    pub(crate) moving: u64,
    /// Owned by no member that lives.
    pub(crate) unowned: u64,
    /// How many each member that lives owns.
    pub(crate) owned: BTreeMap<Owner, u64>,
}

impl Tally {
    pub(super) fn of(view: &View, group: &Group, table: &Table) -> Self {
        let mut tally = Self {
            types: group.types.clone(),
            slots: 0,
            moving: 0,
            unowned: 0,
            owned: BTreeMap::new(),
        };
        let live = view.members().filter(|(_, it)| *it != Standing::Lapsed);
        let live: BTreeSet<Owner> = live.map(|(member, _)| member.owner()).collect();
        for (_, entry) in table.iter() {
            tally.slots += 1;
            tally.moving += u64::from(entry.moving.is_some());
            match entry.owner.filter(|owner| live.contains(owner)) {
                Some(owner) => *tally.owned.entry(owner).or_default() += 1,
                None => tally.unowned += 1,
            }
        }
        tally
    }
}
