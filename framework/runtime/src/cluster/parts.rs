//! What a node brings into a cluster: who it is, its data folder, its settings.
//!
//! Holds values. Depends on `data_dir`, `memory`, `site`, `control` and `env`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use callboard_protocol::{
    code::Code,
    id::{ClusterId, DiskId, Incarnation, InterfaceId, NodeName},
    membership::{FormingMemory, Profile},
    slots::{Lack, Member, Owner, SlotCount},
    time::Time,
    wire::hello::ProtocolRange,
};

use super::{memory, site::Site};
use crate::{
    control,
    data_dir::DataDir,
    env::Env,
    net::{SeedTrouble, StartError},
};

/// What a node brings into a cluster.
pub(crate) struct Parts {
    /// This life of it.
    pub(crate) owner: Owner,
    /// The life before it, which the lock of the data folder proves to be over.
    pub(crate) heir_of: Option<Incarnation>,
    /// The time that leases go by: it also runs while the machine is suspended. Everything that is
    /// decided here goes by it; a timer that stands still meanwhile makes that late, never wrong.
    pub(crate) clock: Arc<dyn Fn() -> Time + Send + Sync>,
    /// `bootstrap_expect`.
    pub(crate) expect: Option<u32>,
    /// Whether it is to join others.
    pub(crate) has_seeds: bool,
    /// Returns why no seed is linked, if more is known than that none has answered.
    pub(crate) seed_trouble: Arc<dyn Fn() -> Option<SeedTrouble> + Send + Sync>,
    /// Whether it is in development mode, where a node that reaches none of its seeds goes alone.
    pub(crate) is_development: bool,
    pub(crate) profile: Profile,
    /// After what time a voter that is gone loses its seat.
    pub(crate) gone_max: Duration,
    /// How many slots each group has, if this node forms the cluster.
    pub(crate) slots: SlotCount,
    pub(crate) data: Option<Data>,
    pub(crate) about: About,
}

/// What a node says of itself when it joins.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: NodeName,
    pub(crate) addr: SocketAddr,
    pub(crate) site: Site,
    pub(crate) hosts: BTreeSet<InterfaceId>,
    /// Those of them whose state does not end when a slot goes elsewhere.
    pub(crate) movable: BTreeSet<InterfaceId>,
    /// Those of them of which it must not own slots, and what it lacks.
    pub(crate) lacks: BTreeMap<InterfaceId, Lack>,
}

/// The data folder, as forming and joining use it. The node keeps it locked.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    dir: Weak<Mutex<DataDir>>,
    folder: PathBuf,
}

impl Parts {
    pub(super) fn now(&self) -> Time {
        (self.clock)()
    }

    /// Says that this node goes alone, if it makes a difference, and why.
    pub(super) fn log_alone(&self) {
        if self.about.hosts.is_empty() {
            return tracing::debug!("no seed is linked, and there are no keyed actors here");
        }
        let trouble = (self.seed_trouble)();
        let SeedTrouble { why, advice } = trouble.unwrap_or_else(|| SeedTrouble {
            why: "none of the seeds has answered".to_owned(),
            advice: "start a seed, and it joins it".to_owned(),
        });
        tracing::warn!(
            "{why}, so this node activates keyed actors by itself, as development mode does; {advice}"
        );
    }

    /// Returns what joins a cluster: this life of the node, with this disk.
    pub(super) fn member(&self, owner: Owner, disk: Option<DiskId>) -> Member {
        let About {
            name,
            addr,
            site,
            hosts,
            movable,
            lacks,
        } = self.about.clone();
        let Site {
            zone,
            roles,
            labels,
            weight,
        } = site;
        Member {
            name,
            incarnation: owner.incarnation,
            disk,
            addr,
            zone,
            roles,
            labels,
            hosts,
            movable,
            lacks,
            version: u32::from(ProtocolRange::OURS.max),
            weight,
        }
    }
}

impl Data {
    /// Takes the folder of a node.
    pub(crate) fn new(dir: &Arc<Mutex<DataDir>>, folder: &Path) -> Self {
        Self {
            dir: Arc::downgrade(dir),
            folder: folder.to_owned(),
        }
    }

    /// Returns the folder of the control group's files, of a node that belongs to this cluster. Blocks.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn control(
        &self,
        env: &Env,
        cluster: Option<ClusterId>,
    ) -> Result<PathBuf, control::Error> {
        let found = memory::control_folder(&*env.files, &self.folder, cluster);
        found.map_err(|error| control::Error::io(&self.folder, &error))
    }

    /// Reads what the node remembers of forming. Blocks.
    ///
    /// # Errors
    /// `Io`, or `ConfigInvalid` for contents that this did not write.
    pub(super) fn memory(&self, env: &Env) -> Result<FormingMemory, StartError> {
        memory::read_memory(env, &self.folder)
    }

    /// Writes what the node remembers of forming, which is on the disk when this returns. Blocks.
    pub(super) fn store(&self, env: &Env, memory: &FormingMemory) -> io::Result<()> {
        memory::write_memory(env, &self.folder, memory)
    }

    /// Begins the next life, which is on the disk when this returns. Blocks.
    pub(super) fn begin(&self, env: &Env, name: &str) -> Result<Incarnation, StartError> {
        let Some(dir) = self.dir.upgrade() else {
            return Err(StartError::new(Code::NodeStopping, "node"));
        };
        let mut dir = dir.lock().unwrap_or_else(PoisonError::into_inner);
        dir.begin(env, &self.folder, name)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("owner", &self.owner)
            .field("expect", &self.expect)
            .finish_non_exhaustive()
    }
}
