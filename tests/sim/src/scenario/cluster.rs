//! Nodes that form a cluster, join it and hold leases in it, under faults.
//!
//! | phase | what goes on | what is judged |
//! | --- | --- | --- |
//! | storm | the nodes form a cluster while the nemesis makes faults, crashes with a torn disk among them | all promises of safety, at every step |
//! | calm | no faults | all nodes hold a lease, and know the same members, within the bound |
//!
//! What is judged is what each node says of itself at every tick, all at the same moment: no node sees
//! what another one does, and the world does.

use crate::harness::sometimes::sometimes;
use crate::harness::trace::{self, event};
use crate::harness::{Failure, Run, Verdict};
use crate::nemesis::{Fault, Nemesis, Planned, Targets, draw};
use crate::world::{Boot, DiskTrouble, Machine, World};
use callboard::cluster::Position;
use callboard::net::{Authority, Identity, PeerKind, StartError};
use callboard::{
    Builder, ClusterId, ClusterName, Code, Incarnation, Node, NodeId, NodeName, Profile,
};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Runs the world of a seed.
pub(super) fn run(run: Run) -> Verdict {
    let mut rng = run.seed.stream("cluster");
    let machines = *pick(&mut rng, &[3, 3, 4, 5]);
    let profile = *pick(&mut rng, &[Profile::lan(), Profile::fast()]);
    let mut world = World::new(run, 1500);
    let board = Arc::new(Board::default());
    let identities = match identities(machines) {
        Ok(identities) => identities,
        Err(error) => {
            let failure = Failure::now("setup", error.to_string());
            return Verdict {
                failure: Some(failure),
                ..Verdict::default()
            };
        }
    };
    for (number, identity) in identities.into_iter().enumerate() {
        let mut machine = Machine::new(format!("n{}", number + 1), address(number));
        machine.plant = world.plant(&machine.name);
        let board = Arc::clone(&board);
        let forms = number < EXPECT;
        world.add(
            machine,
            Box::new(move |boot| {
                let (board, identity) = (Arc::clone(&board), identity.clone());
                Box::pin(program(board, number, forms, profile, identity, boot))
            }),
        );
    }
    let targets = Targets {
        machines,
        start: Duration::from_millis(100),
        end: STORM,
    };
    let mut plan = draw(&mut rng, &targets);
    plan.retain(|planned| !matches!(planned.fault, Fault::Leave { .. }));
    if rng.random_bool(0.5) {
        plan.extend(power_cuts(&mut rng, machines));
    }
    // A stream of its own: the rest of a world stays as it was before there were suspensions.
    let mut rng = run.seed.stream("suspensions");
    if rng.random_bool(0.5) {
        plan.extend(suspensions(&mut rng, machines));
    }
    // A stream of its own too.
    let mut disks = run.seed.stream("disks");
    if disks.random_bool(0.5) {
        plan.extend(disk_troubles(&mut disks, machines, STORM));
    }
    let mut story = Story {
        run,
        nemesis: Nemesis::new(plan, machines),
        world,
        board,
        judge: Judge::default(),
        machines,
    };
    let failure = story.tell().err();
    Verdict {
        failure,
        totals: story.judge.totals(),
    }
}

/// What the nodes say of themselves.
#[derive(Debug, Default)]
struct Board(Mutex<BTreeMap<usize, Said>>);

/// What a node says of itself, and until when it holds its lease by the time of the world.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) position: Position,
    pub(super) lease_until: Option<Duration>,
}

impl Board {
    fn said(&self) -> MutexGuard<'_, BTreeMap<usize, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn program(
    board: Arc<Board>,
    number: usize,
    forms: bool,
    profile: Profile,
    identity: Identity,
    boot: Boot,
) {
    let addr = |number| SocketAddr::new(Ipv4Addr::new(10, 0, 0, address(number)).into(), PORT);
    let make = || {
        let node = Node::builder()
            .listen(addr(number))
            .seed(addr(if number == 0 { 1 } else { 0 }))
            .identity(identity.clone())
            .data_dir("/data")
            .profile(profile)
            .env(boot.env.clone());
        match forms {
            true => node.bootstrap_expect(u32::try_from(EXPECT).unwrap_or(u32::MAX)),
            false => node,
        }
    };
    let node = start(&boot.name, make).await;
    event!("{} is up", boot.name);
    let mut before = None;
    loop {
        let position = node.position();
        let lease_until = position.lease_left.map(|left| trace::now() + left);
        let seen = (
            position.cluster,
            position.leads,
            position.version,
            position.me,
        );
        if before != Some(seen) {
            event!("{} {seen:?}", boot.name);
            before = Some(seen);
        }
        board.said().insert(
            number,
            Said {
                position,
                lease_until,
            },
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Starts a node: again and again, while its disk fails, as whatever runs it in production does.
pub(super) async fn start(name: &str, make: impl Fn() -> Builder) -> Node {
    loop {
        match make().start().await {
            Ok(node) => return node,
            Err(error) if error.code() == Code::Io => {
                sometimes!("a-node-did-not-start-for-its-disk");
                event!("{name} did not start: {error}");
            }
            Err(error) => panic!("{name} did not start: {error}"),
        }
        tokio::time::sleep(START_AGAIN).await;
    }
}

struct Story {
    run: Run,
    nemesis: Nemesis,
    world: World,
    board: Arc<Board>,
    judge: Judge,
    machines: usize,
}

impl Story {
    /// # Errors
    /// The first promise that is broken.
    fn tell(&mut self) -> Result<(), Failure> {
        while self.world.now() < STORM {
            let _ = self.nemesis.act(&mut self.world);
            self.step()?;
        }
        let _ = self.nemesis.calm(&mut self.world);
        while !self.all_agree() {
            if self.world.now() > STORM + RECOVERY {
                let said = self.board.said();
                let said: Vec<_> = said.values().map(|it| &it.position).collect();
                let detail = format!("{RECOVERY:?} after the last fault: {said:?}");
                return Err(Failure::now("a-cluster-comes-back", detail));
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.run.set_now(self.world.now());
        self.world.step();
        let mut said = self.board.said();
        // What was said before a crash holds no more.
        said.retain(|machine, _| self.world.is_up(*machine));
        match self.run.panicked() {
            Some(failure) => Err(failure),
            None => self.judge.judge(&said, self.world.now()),
        }
    }

    /// Whether all hold a lease, and know the same members.
    fn all_agree(&self) -> bool {
        let said = self.board.said();
        let first = said.values().next().map(|it| it.position.version);
        said.len() == self.machines
            && said.values().all(|it| {
                let lives = it.lease_until.is_some_and(|until| until > self.world.now());
                lives && Some(it.position.version) == first
            })
    }
}

/// Knows what was true before, and says what must not be true now.
#[derive(Debug, Default)]
pub(super) struct Judge {
    cluster: Option<ClusterId>,
    lives: BTreeMap<NodeId, Incarnation>,
    terms: BTreeMap<u64, NodeId>,
    versions: BTreeMap<u64, Vec<(NodeId, Incarnation, bool)>>,
    /// Who votes, of the nodes, and who did before its log failed.
    voting: BTreeSet<NodeId>,
    without_log: BTreeSet<NodeId>,
    leaders: u64,
    leases: u64,
}

impl Judge {
    /// # Errors
    /// The first promise that is broken.
    pub(super) fn judge(
        &mut self,
        said: &BTreeMap<usize, Said>,
        now: Duration,
    ) -> Result<(), Failure> {
        for it in said.values().map(|it| &it.position) {
            self.judge_identity(it)?;
            self.judge_state(it)?;
            self.note_log(it);
        }
        for holder in said.values() {
            let until = holder.lease_until.filter(|until| *until > now);
            let Some(until) = until else {
                if self.leases > 0 {
                    sometimes!("a-lease-was-lost");
                }
                continue;
            };
            self.leases += 1;
            for other in said.values() {
                judge_lease(&holder.position, until, &other.position)?;
            }
        }
        Ok(())
    }

    fn judge_identity(&mut self, it: &Position) -> Result<(), Failure> {
        let me = it.me;
        if let Some(theirs) = it.cluster {
            let ours = *self.cluster.get_or_insert(theirs);
            if ours != theirs {
                let detail = format!("{me} belongs to {theirs}, another to {ours}");
                return Err(Failure::now("a-cluster-never-forks", detail));
            }
        }
        let last = self.lives.entry(me.node).or_insert(me.incarnation);
        if me.incarnation < *last {
            let detail = format!("{me} after {last}");
            return Err(Failure::now("incarnations-only-grow", detail));
        }
        *last = me.incarnation;
        if let Some(term) = it.leads {
            if !self.terms.contains_key(&term) {
                self.leaders += 1;
                if self.leaders > 1 {
                    sometimes!("another-leader-was-elected");
                }
            }
            let leader = *self.terms.entry(term).or_insert(me.node);
            if leader != me.node {
                let detail = format!("{leader} and {} lead in term {term}", me.node);
                return Err(Failure::now("a-term-has-one-leader", detail));
            }
        }
        Ok(())
    }

    /// Counts the voters whose logs fail, and those that have theirs again.
    fn note_log(&mut self, it: &Position) {
        let node = it.me.node;
        if it.votes {
            self.voting.insert(node);
            if self.without_log.remove(&node) {
                sometimes!("a-voter-had-its-log-again");
            }
        } else if self.voting.remove(&node) && it.trouble == Some(Code::Io) {
            sometimes!("a-voter-lost-its-log");
            self.without_log.insert(node);
        }
    }

    /// A version of the state is the same wherever it is known: nothing that was committed is lost.
    fn judge_state(&mut self, it: &Position) -> Result<(), Failure> {
        let members = it.members.iter();
        let members: Vec<_> = members
            .map(|(owner, live)| (owner.node, owner.incarnation, *live))
            .collect();
        let known = self
            .versions
            .entry(it.version.0)
            .or_insert_with(|| members.clone());
        if *known != members {
            let (version, me) = (it.version.0, it.me);
            let detail = format!("version {version} is {members:?} on {me}, and was {known:?}");
            return Err(Failure::now("what-is-committed-stays", detail));
        }
        Ok(())
    }

    pub(super) fn totals(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([
            ("leaders".to_owned(), self.leaders),
            ("lease-ticks".to_owned(), self.leases),
            ("versions".to_owned(), self.versions.len() as u64),
        ])
    }
}

/// A lease that the control group has ended is held by nobody: a deposed leader renews nobody.
fn judge_lease(holder: &Position, until: Duration, other: &Position) -> Result<(), Failure> {
    let me = holder.me;
    let known = other.members.iter().find(|(it, _)| it.node == me.node);
    let Some((life, live)) = known else {
        return Ok(());
    };
    let is_over = life.incarnation > me.incarnation || (*life == me && !live);
    if is_over {
        let detail = format!(
            "{me} holds its lease until {until:?}, and {} knows of its end",
            other.me
        );
        return Err(Failure::now("a-lease-that-has-ended-is-not-held", detail));
    }
    Ok(())
}

/// Draws some moments at which the power of all machines fails, each soon after they have come back: what
/// they have agreed on since is to be found on their disks.
pub(super) fn power_cuts(rng: &mut impl Rng, machines: usize) -> Vec<Planned> {
    let mut at = Duration::from_millis(rng.random_range(1000..8000));
    let mut plan = Vec::new();
    for _ in 0..rng.random_range(1..=3) {
        let span = Duration::from_millis(rng.random_range(20..400));
        let crashes = (0..machines).map(|host| Planned {
            at,
            span,
            fault: Fault::Crash { host },
        });
        plan.extend(crashes);
        at += span + Duration::from_millis(rng.random_range(200..3000));
    }
    plan
}

/// Draws some times at which a machine is suspended, for longer than any lease lasts or shorter.
pub(super) fn suspensions(rng: &mut impl Rng, machines: usize) -> Vec<Planned> {
    let count = rng.random_range(1..=3);
    let draw = |_| {
        let host = rng.random_range(0..machines);
        Planned {
            at: Duration::from_millis(rng.random_range(2000..12_000)),
            span: Duration::from_millis(rng.random_range(200..6000)),
            fault: Fault::Suspend { host },
        }
    };
    (0..count).map(draw).collect()
}

/// Draws some troubles of disks, for longer than a lease lasts or shorter. Some begin with a loss of power, so
/// that the machine comes back while they last.
pub(super) fn disk_troubles(rng: &mut impl Rng, machines: usize, storm: Duration) -> Vec<Planned> {
    let end = u64::try_from(storm.as_millis()).unwrap_or(u64::MAX);
    let mut plan = Vec::new();
    for _ in 0..rng.random_range(2..=6) {
        let at = rng.random_range(100..end);
        let (trouble, longest) = match rng.random_range(0..8) {
            0..2 => (DiskTrouble::WritesFail, 4000),
            2..4 => (DiskTrouble::SyncsFail, 4000),
            4..6 => (DiskTrouble::Full, 6000),
            6 => {
                let span = Duration::from_millis(rng.random_range(2..400));
                (DiskTrouble::Slow(span), 8000)
            }
            _ => (DiskTrouble::Stalled, 6000),
        };
        let (host, span) = (
            rng.random_range(0..machines),
            rng.random_range(20..longest).min(end - at),
        );
        let mut push = |span, fault| {
            let (at, span) = (Duration::from_millis(at), Duration::from_millis(span));
            plan.push(Planned { at, span, fault });
        };
        push(span, Fault::Disk { host, trouble });
        if rng.random_bool(0.3) {
            push(span / 2, Fault::Crash { host });
        }
    }
    plan
}

fn identities(machines: usize) -> Result<Vec<Identity>, StartError> {
    let authority = Authority::throw_away(ClusterName::new("sim").expect("the name is valid"))?;
    let names = (1..=machines).map(|number| format!("n{number}"));
    names
        .map(|name| {
            let name = NodeName::new(name).expect("the name is valid");
            authority.issue(name, PeerKind::Node)
        })
        .collect()
}

pub(super) fn address(number: usize) -> u8 {
    u8::try_from(number + 1).unwrap_or(u8::MAX)
}

pub(super) fn pick<'a, T>(rng: &mut impl Rng, values: &'a [T]) -> &'a T {
    &values[rng.random_range(0..values.len())]
}

/// How long whatever runs a node waits before it starts one again that has ended.
const START_AGAIN: Duration = Duration::from_millis(500);

/// How many nodes form the cluster. Those beyond join it.
pub(super) const EXPECT: usize = 3;

/// The port of every node.
pub(super) const PORT: u16 = 7100;

/// How long there are faults.
const STORM: Duration = Duration::from_secs(20);

/// How long it takes until all hold a lease again: links that are dialled anew, an election, the end
/// of the leases of lives that were lost, and the seat of a log that was torn, of which the profiles'
/// times are the largest part.
const RECOVERY: Duration = Duration::from_secs(20);
