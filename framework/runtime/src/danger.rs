//! What can lose data: how a cluster goes on of which most voters are lost for good.
//!
//! The voters keep in their logs who is a member and who owns which slot. When the disks of most of them
//! are gone, nothing can be committed any more, and no vote brings that back. [`recover`] makes a new
//! cluster of what one voter has left, and [`inspect`] tells what that is, without changing a byte. Both
//! are for the data folder of a node that does not run.
//!
//! What comes of it is *another cluster*: it has another id, the survivor's log has another disk's id,
//! and every epoch is far above all that the lost voters may have given. A node of the cluster before is
//! refused, by its id, until it is given an empty folder. So the two can not mix, whoever comes back.
//!
//! ```text
//!  data/cluster ──────▶ names the cluster ──▶ data/control           before
//!                                       └───▶ data/control-<its id>  after: one rename is the whole step
//! ```
//!
//! It knows no network. It may depend on `env`, `net`, `data_dir`, `control` and `cluster`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use callboard_protocol::{
    cluster::MEMORY_BYTES_MAX,
    code::Code,
    id::{ClusterId, DiskId, Incarnation, NodeId, NodeName},
    membership::FormingMemory,
    slots::{Member, Standing, State},
};

use crate::{
    cluster::{
        CONTROL_FOLDER, MEMORY_FILE, control_folder, read_memory, recovered_folder, write_memory,
    },
    control::{self, Salvage},
    data_dir::DataDir,
    env::{Env, Files},
    net::StartError,
};

/// What the data folder of a node holds of its cluster.
///
/// Everything that is in the log counts, also what the node does not know to be committed: most voters may
/// have had it without this one's hearing so. Of several survivors the right one is the one whose
/// `(last_term, last_index)` is the greatest: it has all that the others have which was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The node's name.
    pub name: String,
    /// Its last life.
    pub incarnation: Incarnation,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The id of its disk, as sixteen hexadecimal digits.
    pub disk: String,
    /// The latest term of the control group that it has heard of.
    pub term: u64,
    /// The term of the last entry of its log.
    pub last_term: u64,
    /// The index of the last entry of its log.
    pub last_index: u64,
    /// Up to which index it knows the entries for committed.
    pub committed: u64,
    /// The version of the control group's state, after the last entry.
    pub version: u64,
    /// Who votes, after the last entry.
    pub voters: Vec<FoundVoter>,
    /// The members, after the last entry, in the order of their names.
    pub members: Vec<FoundMember>,
    /// Whether the node itself votes.
    pub votes: bool,
    /// Whether it is the only voter, so that nothing is lost.
    pub is_alone: bool,
}

/// One that votes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FoundVoter {
    /// Its disk, as sixteen hexadecimal digits.
    pub disk: String,
    /// The member that has the disk; nothing if none has.
    pub node: Option<String>,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FoundMember {
    /// Its name.
    pub name: String,
    /// Its life.
    pub incarnation: Incarnation,
    /// Whether its lease had not ended, as far as the log says.
    pub live: bool,
    /// How many slots it owned, over all types.
    pub slots: usize,
}

/// What [`recover`] has done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// What was there before.
    pub found: Found,
    /// The cluster that the node belongs to now.
    pub cluster: ClusterId,
    /// Where the files are that were replaced, as they were: `cluster`, `control/log` and
    /// `control/snapshot`.
    pub kept: PathBuf,
}

/// Why a cluster can not be recovered from a folder. But for [`Io`](Self::Io), nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// A process has it.
    #[error("data folder {0}: another process runs with it; stop that node first")]
    InUse(PathBuf),
    /// No node has run with it.
    #[error("data folder {0}: no node has run with it; name the folder of a voter that survived")]
    NoNode(PathBuf),
    /// The node belongs to no cluster, or has no log of one.
    #[error("node {name} has no log of a cluster; name the folder of a voter that survived")]
    NoLog {
        /// The node.
        name: String,
    },
    /// The node does not vote: others have the log that counts.
    #[error("node {name} is no voter; name the folder of one of the voters: {voters}")]
    NoVoter {
        /// The node.
        name: String,
        /// Those that vote, as far as it knows.
        voters: String,
    },
    /// The node is the only voter: nothing is lost.
    #[error(
        "node {name} is the only voter of its cluster, so most of the voters are there; start it"
    )]
    NothingLost {
        /// The node.
        name: String,
    },
    /// A file is damaged, was written by a later version, or does not go with the others.
    #[error("{0}; take the folder of another voter, or form a new cluster")]
    Unreadable(String),
    /// The disk failed. The old state is in force, or the new one: [`inspect`] tells which, and both are
    /// whole.
    #[error("{0}; make room on the disk, or mend it, and look again")]
    Io(String),
}

impl RecoverError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::InUse(_) => Code::DataDirLocked,
            Self::Unreadable(_) => Code::LogUnreadable,
            Self::Io(_) => Code::Io,
            _ => Code::NotRecoverable,
        }
    }
}

/// Looks at what the data folder of a node that does not run holds of its cluster, and changes nothing.
///
/// It reads the whole log, and takes as long as the disk does.
///
/// # Errors
/// [`RecoverError`]: [`InUse`](RecoverError::InUse), [`NoNode`](RecoverError::NoNode),
/// [`NoLog`](RecoverError::NoLog), [`Unreadable`](RecoverError::Unreadable), [`Io`](RecoverError::Io).
pub fn inspect(env: &Env, folder: &Path) -> Result<Found, RecoverError> {
    Remains::open(env, folder).map(|remains| remains.found())
}

/// Makes the voter that a data folder is of the only one of a new cluster, which has all that its log has.
///
/// **What the lost voters had committed and this one has not is lost**, and nobody can tell what it was.
/// If the lost voters are not lost, two clusters go on, each with owners of its own for the same keys:
/// see to it that no node of the cluster before runs again with its folder.
///
/// A crash at any moment leaves the old state or the new one, whole. It reads and writes the whole log,
/// and takes as long as the disk does.
///
/// # Errors
/// [`RecoverError`], each of them. After [`Io`](RecoverError::Io) the new state may be in force.
pub fn recover(env: &Env, folder: &Path) -> Result<Recovered, RecoverError> {
    let remains = Remains::open(env, folder)?;
    let found = remains.found();
    found.check()?;
    let kept = folder.join(format!("before-{}", found.cluster));
    remains.keep(&kept)?;
    let cluster = remains.begin_anew()?;
    // Removed only AFTER the new state is in force; it was copied BEFORE.
    control::remove(&*env.files, &remains.control).map_err(of_log)?;
    Ok(Recovered {
        found,
        cluster,
        kept,
    })
}

impl Found {
    /// Returns whether [`recover`] would go on with this.
    ///
    /// # Errors
    /// [`RecoverError::NoVoter`], [`RecoverError::NothingLost`].
    pub fn check(&self) -> Result<(), RecoverError> {
        let name = self.name.clone();
        if !self.votes {
            let voters: Vec<String> = self.voters.iter().map(ToString::to_string).collect();
            let voters = voters.join(", ");
            return Err(RecoverError::NoVoter { name, voters });
        }
        match self.is_alone {
            true => Err(RecoverError::NothingLost { name }),
            false => Ok(()),
        }
    }
}

/// The node's name, or that of a disk whose node is not known.
impl fmt::Display for FoundVoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => f.write_str(node),
            None => write!(f, "the node with disk {}", self.disk),
        }
    }
}

/// A data folder, which nobody else has, and what was read of it.
struct Remains<'a> {
    env: &'a Env,
    folder: &'a Path,
    _lock: DataDir,
    name: NodeName,
    incarnation: Incarnation,
    cluster: ClusterId,
    /// The folder of the log.
    control: PathBuf,
    salvage: Salvage,
}

impl<'a> Remains<'a> {
    fn open(env: &'a Env, folder: &'a Path) -> Result<Self, RecoverError> {
        // BEFORE it is locked: that makes the folder, and a file in it.
        let has_lived = env.files.exists(&folder.join("life"));
        if !has_lived.map_err(|error| of_file(folder, &error))? {
            return Err(RecoverError::NoNode(folder.to_owned()));
        }
        let lock = DataDir::open(env, folder).map_err(|error| of_folder(folder, &error))?;
        let lived = lock.name.as_deref().zip(lock.last());
        let lived = lived.and_then(|(name, last)| Some((NodeName::new(name).ok()?, last)));
        let (name, incarnation) = lived.ok_or_else(|| RecoverError::NoNode(folder.to_owned()))?;
        let no_log = || RecoverError::NoLog {
            name: name.to_string(),
        };
        let memory = read_memory(env, folder).map_err(|error| of_folder(folder, &error))?;
        let cluster = memory.cluster.ok_or_else(no_log)?;
        let control = control_folder(&*env.files, folder, Some(cluster));
        let control = control.map_err(|error| of_file(folder, &error))?;
        let salvage = Salvage::read(&*env.files, &control).map_err(of_log)?;
        let salvage = salvage.ok_or_else(no_log)?;
        if salvage.state.cluster() != Some(cluster) {
            return Err(RecoverError::Unreadable(format!(
                "folder {}: its log is of another cluster than {cluster}, which its file `{MEMORY_FILE}` names",
                control.display()
            )));
        }
        Ok(Self {
            env,
            folder,
            _lock: lock,
            name,
            incarnation,
            cluster,
            control,
            salvage,
        })
    }

    fn found(&self) -> Found {
        let Salvage {
            disk,
            term,
            committed,
            last,
            state,
            voters,
            votes,
            is_alone,
        } = &self.salvage;
        let mut members: Vec<FoundMember> = state.members().map(|it| member(state, it)).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Found {
            name: self.name.to_string(),
            incarnation: self.incarnation,
            cluster: self.cluster,
            disk: disk.to_string(),
            term: *term,
            last_term: last.term,
            last_index: last.index,
            committed: *committed,
            version: state.version().0,
            voters: voters.iter().map(|disk| voter(state, *disk)).collect(),
            members,
            votes: *votes,
            is_alone: *is_alone,
        }
    }

    /// Copies what will be replaced.
    fn keep(&self, to: &Path) -> Result<(), RecoverError> {
        let files = &*self.env.files;
        control::copy(files, &self.control, &to.join(CONTROL_FOLDER)).map_err(of_log)?;
        let memory = self.folder.join(MEMORY_FILE);
        let copied = copy(files, &memory, &to.join(MEMORY_FILE));
        copied
            .and_then(|()| files.sync_dir(to))
            .and_then(|()| files.sync_dir(self.folder))
            .map_err(|error| of_file(&memory, &error))
    }

    /// Writes the log of the new cluster, and then that the node belongs to it.
    fn begin_anew(&self) -> Result<ClusterId, RecoverError> {
        let entropy = &self.env.entropy;
        let (high, low) = (entropy.next_u64(), entropy.next_u64());
        let cluster = ClusterId(u128::from(high) << 64 | u128::from(low));
        let disk = DiskId(entropy.next_u64().max(1));
        let state = self.salvage.state.clone();
        let state = state.recovered(cluster, NodeId::of(&self.name), disk);
        let state = state.map_err(|why| RecoverError::Unreadable(why.to_string()))?;
        let control = recovered_folder(self.folder, cluster);
        let written = self.salvage.begin_anew(self.env, &control, disk, &state);
        written.map_err(of_log)?;
        let memory = FormingMemory {
            cluster: Some(cluster),
            ..FormingMemory::default()
        };
        // The one step that counts, AFTER all that it names is on the disk.
        let named = write_memory(self.env, self.folder, &memory);
        named.map_err(|error| of_file(&self.folder.join(MEMORY_FILE), &error))?;
        Ok(cluster)
    }
}

fn voter(state: &State, disk: DiskId) -> FoundVoter {
    let mut members = state.members();
    let member = members.find(|(member, _)| member.disk == Some(disk));
    FoundVoter {
        disk: disk.to_string(),
        node: member.map(|(member, _)| member.name.to_string()),
    }
}

fn member(state: &State, (member, standing): (&Member, Standing)) -> FoundMember {
    FoundMember {
        name: member.name.to_string(),
        incarnation: member.incarnation,
        live: standing != Standing::Lapsed,
        slots: state.slots_of(member.owner()),
    }
}

/// Copies the file `cluster`, in the place of what an earlier attempt has left.
fn copy(files: &dyn Files, from: &Path, to: &Path) -> io::Result<()> {
    let bytes = files.read(from, MEMORY_BYTES_MAX)?;
    if files.exists(to)? {
        files.remove(to)?;
    }
    files.write_new(to, &bytes)
}

fn of_folder(folder: &Path, error: &StartError) -> RecoverError {
    match error.code() {
        Code::DataDirLocked => RecoverError::InUse(folder.to_owned()),
        Code::Io => RecoverError::Io(format!("{}: {}", error.subject(), error.detail())),
        _ => RecoverError::Unreadable(format!("{}: {}", error.subject(), error.detail())),
    }
}

fn of_file(path: &Path, error: &io::Error) -> RecoverError {
    RecoverError::Io(format!("file {}: {error}", path.display()))
}

fn of_log(error: control::Error) -> RecoverError {
    match error.code() {
        Code::Io => RecoverError::Io(error.to_string()),
        _ => RecoverError::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
