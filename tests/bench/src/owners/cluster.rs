//! The cluster that is measured: its processes, and a client that may ask how it is.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard::admin::{Admin, ClusterReport, MemberState};
use callboard::prelude::*;
use callboard_examples::trace::{Judge, Verdict};
use tempfile::TempDir;

use super::options::Times;
use super::words::{DRAIN, Keys, Part, Spec, Standing, TRACE, Word};
use crate::credentials;

/// A cluster of node processes. They end when this is dropped.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) nodes: Vec<Process>,
    folder: TempDir,
}

/// A node: its process, while it has one, and what it has said.
pub(crate) struct Process {
    spec: Spec,
    running: Option<Running>,
    /// The incarnation of the life that was ended last.
    ended: u64,
}

struct Running {
    child: Child,
    /// Its end is the process's.
    stdin: ChildStdin,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    addr: Option<SocketAddr>,
    standing: Standing,
    drained: Option<Option<String>>,
}

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) profile: Times,
    /// How many slots there are.
    pub(crate) slots: u32,
    pub(crate) keys: Keys,
    /// A node for each.
    pub(crate) parts: &'a [Part],
}

impl Cluster {
    /// Starts a node for each part, the first one before the others, which have it as their seed. Returns
    /// when all are members, as many vote as can, and every slot has an owner.
    pub(crate) async fn start(plan: Plan<'_>) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new()
            .prefix("callboard-bench-")
            .tempdir()?;
        let names: Vec<String> = (1..=plan.parts.len())
            .map(|number| format!("n{number}"))
            .collect();
        let identity = credentials::cluster(folder.path(), &names)?;
        let mut nodes: Vec<Process> = Vec::new();
        for (name, part) in names.into_iter().zip(plan.parts) {
            let spec = Spec {
                name,
                listen: (Ipv4Addr::LOCALHOST, 0).into(),
                seeds: nodes.iter().map(|it| it.spec.listen).collect(),
                folder: folder.path().to_owned(),
                life: 0,
                profile: plan.profile,
                slots: plan.slots,
                keys: plan.keys,
                part: *part,
            };
            let mut node = Process {
                spec,
                running: None,
                ended: 0,
            };
            node.start()?;
            node.ready().await?;
            nodes.push(node);
        }
        let seeds: Vec<SocketAddr> = nodes.iter().map(|it| it.spec.listen).collect();
        let client = Client::builder()
            .seeds(seeds)
            .identity(identity)
            .connect()
            .await?;
        let cluster = Self {
            client,
            nodes,
            folder,
        };
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Sends SIGKILL to nodes, one right after the other.
    pub(crate) fn kill(&mut self, nodes: &[usize], report: &ClusterReport) -> io::Result<()> {
        for node in nodes {
            if let Some(running) = &mut self.nodes[*node].running {
                running.child.kill()?;
            }
        }
        for node in nodes {
            self.nodes[*node].ends(report);
        }
        Ok(())
    }

    /// Tells a node to give away what it has, and waits until its process has ended in order.
    pub(crate) async fn drain(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let report = self.settled().await?;
        let node = &mut self.nodes[node];
        node.tell(DRAIN)?;
        let mut ended = None;
        let ends = || {
            let running = node.running.as_mut().ok_or("it does not run")?;
            ended = running.child.try_wait()?;
            Ok(ended.is_some())
        };
        until("a node has drained", ends).await?;
        let drained = node.heard().and_then(|it| it.drained.clone());
        node.ends(&report);
        match (drained, ended) {
            (Some(None), Some(status)) if status.success() => Ok(()),
            (said, status) => {
                Err(format!("{} did not drain: {said:?}, {status:?}", node.name()).into())
            }
        }
    }

    /// Starts nodes again, as the same ones, at the same addresses. Returns when everything is as after
    /// [`start`](Self::start).
    pub(crate) async fn restart(
        &mut self,
        nodes: &[usize],
    ) -> Result<ClusterReport, Box<dyn Error>> {
        for node in nodes {
            let all = self.nodes.iter().map(|it| it.spec.listen);
            let own = self.nodes[*node].spec.listen;
            let seeds = all.filter(|it| *it != own).collect();
            self.nodes[*node].spec.seeds = seeds;
            self.nodes[*node].start()?;
        }
        self.settled().await
    }

    /// Waits until all nodes that run are members, as many vote as can, one leads, and every slot has an
    /// owner and stays where it is. Returns what the cluster says of itself then.
    pub(crate) async fn settled(&self) -> Result<ClusterReport, Box<dyn Error>> {
        let limit = Instant::now() + SETTLES_WITHIN;
        let mut why = "it was not asked".to_owned();
        while Instant::now() < limit {
            match self.look().await {
                Ok(report) => return Ok(report),
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(format!("the cluster does not settle: {why}").into())
    }

    /// The same, and those that host keys own as many slots each, or one more.
    pub(crate) async fn balanced(&self) -> Result<ClusterReport, Box<dyn Error>> {
        let limit = Instant::now() + SETTLES_WITHIN;
        loop {
            let report = self.settled().await?;
            let hosts = report.members.iter().filter(|it| !it.hosts.is_empty());
            let slots: Vec<u64> = hosts.map(|it| it.slots).collect();
            let (least, most) = (slots.iter().min(), slots.iter().max());
            if least
                .zip(most)
                .is_some_and(|(least, most)| most - least <= 1)
            {
                return Ok(report);
            }
            if Instant::now() > limit {
                return Err(format!("the slots are not shared out: {slots:?}").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The epochs of all slots together, as the node says that knows most.
    pub(crate) fn epochs(&self) -> u64 {
        let epochs = self.nodes.iter().map(|it| it.standing().epochs);
        epochs.max().unwrap_or_default()
    }

    /// The number of the node of that name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|it| it.spec.name == name)
    }

    /// The number of the node that leads.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|it| it.standing().leads)
    }

    /// Ends the client and all processes, and puts together what they have written.
    pub(crate) async fn end(self) -> Result<Verdict, Box<dyn Error>> {
        self.client.close().await;
        // BEFORE anything is read: they write no more.
        drop(self.nodes);
        let mut traces = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == TRACE) {
                traces.push(BufReader::new(std::fs::File::open(path)?));
            }
        }
        let mut judge = Judge::new(Vec::new());
        judge.read(traces)?;
        Ok(judge.verdict())
    }

    /// Asks once, and says what is missing.
    async fn look(&self) -> Result<ClusterReport, Box<dyn Error>> {
        let running = || self.nodes.iter().filter(|it| it.running.is_some());
        for node in running() {
            if !node.standing().member {
                return Err(format!("{} is no member", node.spec.name).into());
            }
        }
        let disks = running().filter(|it| it.spec.part.has_disk());
        let voters = self.nodes.iter().filter(|it| it.standing().votes).count();
        // Of two the second one votes where it did when they were three, and not for their number.
        let wanted = match disks.count() {
            disks if disks < VOTERS => 1,
            _ => VOTERS,
        };
        if voters < wanted || self.leader().is_none() {
            return Err(format!("{voters} vote").into());
        }
        let report = self.client.service::<Admin>().cluster();
        let report = report.timeout(ASKED_WITHIN).await?;
        for node in running() {
            let name = &node.spec.name;
            let member = report.members.iter().find(|it| it.name == *name);
            let is_back = |it: &callboard::admin::MemberReport| {
                it.state == MemberState::Live && it.incarnation > node.ended
            };
            if !member.is_some_and(is_back) {
                return Err(format!("{name} is not known in this life").into());
            }
        }
        let open = report.types.iter().map(|it| it.moving + it.unowned);
        let (types, open) = (report.types.len(), open.sum::<u64>());
        if types == 0 || open > 0 {
            return Err(format!("{open} slots are on their way").into());
        }
        Ok(report)
    }
}

impl Process {
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// How it stands, as it has said; all false while it does not run.
    pub(crate) fn standing(&self) -> Standing {
        self.heard().map(|it| it.standing).unwrap_or_default()
    }

    /// Waits until it listens, and keeps the address for its next lives.
    async fn ready(&mut self) -> Result<(), Box<dyn Error>> {
        let addr = || self.heard().and_then(|it| it.addr);
        until("a node is ready", || Ok(addr().is_some())).await?;
        let addr = addr();
        self.spec.listen = addr.unwrap_or(self.spec.listen);
        Ok(())
    }

    fn tell(&mut self, what: &str) -> io::Result<()> {
        match &mut self.running {
            Some(running) => writeln!(running.stdin, "{what}"),
            None => Ok(()),
        }
    }

    /// Its process has ended, or is about to.
    fn ends(&mut self, report: &ClusterReport) {
        // Dropped, it is waited for.
        self.running = None;
        let member = report.members.iter().find(|it| it.name == self.spec.name);
        self.ended = member.map_or(0, |it| it.incarnation);
    }

    fn heard(&self) -> Option<MutexGuard<'_, Heard>> {
        let running = self.running.as_ref()?;
        Some(running.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(&mut self) -> Result<(), Box<dyn Error>> {
        self.spec.life += 1;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["owner", &serde_json::to_string(&self.spec)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).ok_or("it has no pipes")?;
        self.running = Some(Running {
            child,
            stdin,
            heard: heard.clone(),
        });
        std::thread::spawn(move || {
            let words = BufReader::new(stdout).lines().map_while(Result::ok);
            for word in words.filter_map(|line| serde_json::from_str(&line).ok()) {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                match word {
                    Word::Ready(addr) => heard.addr = Some(addr),
                    Word::Stands(standing) => heard.standing = standing,
                    Word::Drained(how) => heard.drained = Some(how),
                }
            }
        });
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to be done.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub(crate) async fn until(
    what: &str,
    mut holds: impl FnMut() -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let limit = Instant::now() + SETTLES_WITHIN;
    while !holds()? {
        if Instant::now() > limit {
            return Err(format!("gave up waiting until {what}").into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// How many vote where at least as many have a disk; of seven on they are more.
const VOTERS: usize = 3;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What nothing takes that goes on at all.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

const ASKED_WITHIN: Duration = Duration::from_secs(2);
