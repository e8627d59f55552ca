//! `callboard recover`: what one voter has left of its cluster, and a cluster made of it.

use std::{fmt, path::Path};

use callboard::{
    danger::{self, Found, Recovered},
    env::Env,
};
use serde::Serialize;

use crate::{
    args::Recover,
    failure::{Failure, Kind},
    output::{or_dash, print},
    table::{Column, Table},
};

pub(crate) fn run(wanted: &Recover) -> Result<(), Failure> {
    let (env, folder) = (Env::real(), &*wanted.data);
    if wanted.i_accept_data_loss {
        let done = danger::recover(&env, folder)?;
        return print(&Report::done(folder, &done), wanted.output);
    }
    let found = danger::inspect(&env, folder)?;
    print(&Report::new(folder, &found), wanted.output)?;
    found.check()?;
    Err(Failure::new(Kind::NotAccepted, warning(&found)))
}

/// Says what would be lost, and what to do first.
fn warning(found: &Found) -> String {
    let Found { name, cluster, .. } = found;
    let last = last_entry(found);
    format!(
        "nothing was changed; with --i-accept-data-loss, node {name} would be the only voter of a new \
         cluster, with all that its log has: what the lost voters had agreed on after entry {last} is \
         lost. First stop all nodes of cluster {cluster}, look at the folder of each voter that \
         survived, and take the one whose last entry is the greatest. See to it that no other node \
         runs again with its folder: with the lost voters it would go on as the old cluster, beside the \
         new one, with owners of its own for the same keys"
    )
}

/// What is printed. The names are promised.
#[derive(Debug, Serialize)]
struct Report {
    data: String,
    name: String,
    incarnation: u64,
    cluster_id: String,
    disk: String,
    term: u64,
    last_term: u64,
    last_index: u64,
    committed: u64,
    version: u64,
    votes: bool,
    voters: Vec<Voter>,
    members: Vec<Member>,
    recovered: Option<Done>,
}

#[derive(Debug, Serialize)]
struct Voter {
    node: Option<String>,
    disk: String,
}

#[derive(Debug, Serialize)]
struct Member {
    name: String,
    incarnation: u64,
    state: &'static str,
    slots: usize,
}

#[derive(Debug, Serialize)]
struct Done {
    cluster_id: String,
    kept: String,
}

impl Report {
    fn new(folder: &Path, found: &Found) -> Self {
        let voters = found.voters.iter().map(|it| Voter {
            node: it.node.clone(),
            disk: it.disk.clone(),
        });
        let members = found.members.iter().map(|it| Member {
            name: it.name.clone(),
            incarnation: it.incarnation.0,
            state: if it.live { "live" } else { "lapsed" },
            slots: it.slots,
        });
        Self {
            data: folder.display().to_string(),
            name: found.name.clone(),
            incarnation: found.incarnation.0,
            cluster_id: found.cluster.to_string(),
            disk: found.disk.clone(),
            term: found.term,
            last_term: found.last_term,
            last_index: found.last_index,
            committed: found.committed,
            version: found.version,
            votes: found.votes,
            voters: voters.collect(),
            members: members.collect(),
            recovered: None,
        }
    }

    fn done(folder: &Path, done: &Recovered) -> Self {
        Self {
            recovered: Some(Done {
                cluster_id: done.cluster.to_string(),
                kept: done.kept.display().to_string(),
            }),
            ..Self::new(folder, &done.found)
        }
    }
}

/// Returns the last entry as it is compared: its term, then its index.
fn last_entry(found: &Found) -> String {
    format!("{}/{}", found.last_term, found.last_index)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let votes = if self.votes { "votes" } else { "does not vote" };
        writeln!(f, "node        {}, which {votes}", self.name)?;
        writeln!(f, "cluster     {}", self.cluster_id)?;
        writeln!(
            f,
            "last entry  {}/{} (its term and its index), committed up to {} or more; term {}",
            self.last_term, self.last_index, self.committed, self.term
        )?;
        writeln!(f, "version     {}, after the last entry\n", self.version)?;
        let mut voters = Table::new(&[Column::Left("VOTER"), Column::Left("DISK")]);
        for it in &self.voters {
            let is_here = it.disk == self.disk;
            let here = if is_here { " (this folder)" } else { "" };
            voters.row([or_dash(it.node.clone()), format!("{}{here}", it.disk)]);
        }
        writeln!(f, "{voters}")?;
        let mut members = Table::new(&[
            Column::Left("MEMBER"),
            Column::Left("STATE"),
            Column::Right("SLOTS"),
        ]);
        for it in &self.members {
            members.row([it.name.clone(), it.state.to_owned(), it.slots.to_string()]);
        }
        write!(f, "{members}")?;
        if let Some(done) = &self.recovered {
            writeln!(
                f,
                "\nrecovered   as cluster {}, in which {} votes alone; start it with this folder\n\
                 kept        what was there before, in {}",
                done.cluster_id, self.name, done.kept
            )?;
        }
        Ok(())
    }
}
