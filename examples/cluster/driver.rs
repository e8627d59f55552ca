//! The driver role: starts the nodes (`starting.rs`), calls, breaks (`steps.rs`), waits, cleans up and
//! sums up (`ending.rs`).
//!
//! Everything that happens (a node's word, its end, a signal, the room's watch) comes through one
//! channel and is handled in one place, [`Driver::handle`]; the phases only wait for what they need.
//! Whatever ends the run, the way out is the same: [`Driver::finish`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callboard::net::Authority;
use callboard_examples::faults::Faults;
use callboard_examples::members::Views;
use callboard_examples::report::{Event, Reporter, Summary};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::args::{EXIT_RUN, Plan};
use crate::complain;
use crate::credentials;
use crate::lifeline::DIRECTORY_PREFIX;
use crate::load::Load;
use crate::process::{Exit, Process};
use crate::signals;
use crate::words::Word;

/// Something that the driver has to know of.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A node said something that the driver understands.
    Word { node: String, word: Word },
    /// A node wrote something else.
    Said { node: String, line: String },
    /// A node process is gone.
    Exited { node: String, how: Exit },
    /// A room was opened on a node.
    RoomOpened { node: String },
    /// The room's watch fired.
    RoomLost { node: String, reason: String },
    /// A signal asks to end, with the exit code that goes with it.
    Signal { name: &'static str, code: u8 },
}

/// Why a run ends before its time.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A signal, or nobody reads the output any more.
    Early { code: u8 },
    /// Something that the run cannot do without.
    Failed(String),
}

impl From<io::Error> for Stop {
    /// The only I/O that ends a run is its output: a closed pipe, or a full disk under a log.
    fn from(_: io::Error) -> Self {
        Self::Early { code: EXIT_PIPE }
    }
}

/// One node as the driver sees it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Known once it was up; kept, so that it is started again at the same address.
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) state: State,
    pub(crate) process: Option<Process>,
    /// When it was last started or resumed.
    pub(crate) since: Instant,
    /// Set while its first answer after that is waited for: the answers it had given before.
    pub(crate) answered_before: Option<u64>,
    /// Whether it is to be started again as soon as it has ended.
    pub(crate) start_again: bool,
    /// How often it was started.
    pub(crate) life: u32,
    /// Whether it has been a member of the cluster in this life.
    pub(crate) has_joined: bool,
    /// Whether it says that it votes in the control group.
    pub(crate) votes: bool,
    /// Whether it says that it leads the control group.
    pub(crate) leads: bool,
    /// Whether it is cut off from the other nodes.
    pub(crate) is_split: bool,
    /// Set while it drains: the calls that had not been answered well before.
    pub(crate) not_ok_before: Option<u64>,
}

/// What a node process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running, and not asked to.
    Down,
    /// Started, and has not said that it is ready.
    Starting,
    /// Ready.
    Up,
    /// Under SIGSTOP.
    Paused,
    /// Told to end.
    Ending,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) plan: Plan,
    pub(crate) members: Vec<Member>,
    pub(crate) views: Views,
    pub(crate) load: Option<Load>,
    pub(crate) summary: Summary,
    /// What was done to the nodes, by the clock of the turns.
    pub(crate) faults: Faults,
    /// To whom the step of that number was done.
    pub(crate) done_to: BTreeMap<usize, Vec<usize>>,
    /// Who was killed by the last step that killed.
    pub(crate) last_killed: Vec<usize>,
    /// While carts of killed nodes are waited for: how many, and since when.
    pub(crate) outage: Option<(usize, Instant)>,
    pub(crate) directory: TempDir,
    pub(crate) authority: Authority,
    report: Reporter,
    inbox: mpsc::Receiver<Happening>,
    /// For those that tell.
    pub(crate) tell: mpsc::Sender<Happening>,
    started: Instant,
    /// When the first call was made.
    pub(crate) began: Option<Instant>,
}

/// Runs the whole thing and returns the exit code that `--help` promises.
pub(crate) async fn run(plan: Plan) -> ExitCode {
    let (tell, inbox) = mpsc::channel(INBOX_MAX);
    // BEFORE anything exists that would have to be cleaned up.
    if let Err(error) = signals::listen(&tell) {
        return complain(EXIT_RUN, &format!("signals cannot be handled: {error}"));
    }
    let mut driver = match Driver::new(plan, tell, inbox) {
        Ok(driver) => driver,
        Err(why) => return complain(EXIT_RUN, &why),
    };
    let end = driver.play().await;
    driver.finish(end).await
}

impl Driver {
    fn new(
        plan: Plan,
        tell: mpsc::Sender<Happening>,
        inbox: mpsc::Receiver<Happening>,
    ) -> Result<Self, String> {
        let nodes = [&plan.nodes[..], &plan.added].concat();
        let (directory, authority) = credentials::make(DIRECTORY_PREFIX, &nodes)
            .map_err(|error| format!("no authority for this run: {error}"))?;
        let now = Instant::now();
        Ok(Self {
            members: plan
                .nodes
                .iter()
                .map(|name| Member::new(name, now))
                .collect(),
            views: Views::default(),
            load: None,
            summary: Summary::of_nothing(&nodes),
            faults: Faults::default(),
            done_to: BTreeMap::new(),
            last_killed: Vec::new(),
            outage: None,
            directory,
            authority,
            report: Reporter::new(plan.format, io::stdout()),
            plan,
            inbox,
            tell,
            started: now,
            began: None,
        })
    }

    async fn play(&mut self) -> Result<(), Stop> {
        self.say(&Event::Started {
            nodes: self.plan.nodes.len(),
            rate: self.plan.rate,
            for_ms: self.plan.run.as_millis() as u64,
            script: self.plan.script.to_string(),
            directory: self.directory.path().display().to_string(),
        })?;
        self.start_nodes().await?;
        self.connect().await?;
        self.break_things().await?;
        self.wind_down().await
    }

    /// Lets the load run for its time, carrying out the script and telling what each second was like.
    async fn break_things(&mut self) -> Result<(), Stop> {
        let Some(began) = self.began else {
            return Ok(());
        };
        let end = began + self.plan.run;
        let mut second = began + Duration::from_secs(1);
        loop {
            let now = Instant::now();
            // The last piece of a run that is no whole number of seconds is told too.
            if now >= second.min(end) {
                self.tell_second()?;
                second += Duration::from_secs(1);
            }
            // A step comes after the second that it does not belong to any more.
            while let Some(step) = self.plan.script.poll(now - began) {
                self.carry_out(&step)?;
            }
            self.look_who_answers()?;
            self.look_at_carts()?;
            if now >= end {
                return Ok(());
            }
            let step = self.plan.script.next_at().map_or(end, |at| began + at);
            let next = step.min(second).min(end).min(now + LOOK_EVERY);
            self.pump(next, |_| false).await?;
        }
    }

    fn tell_second(&mut self) -> Result<(), Stop> {
        let nodes: Vec<(String, bool)> = self
            .members
            .iter()
            .map(|member| (member.name.clone(), member.state != State::Down))
            .collect();
        let Some(load) = &mut self.load else {
            return Ok(());
        };
        let second = load.second(&nodes);
        self.say(&Event::Calls(second))
    }

    /// Waits until `done`, handling what happens, and fails with `why` at `limit`.
    pub(crate) async fn wait(
        &mut self,
        limit: Instant,
        why: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Stop> {
        let failed = |driver: &Self| driver.summary.exits_unexpected > 0;
        self.pump(limit, |driver| done(driver) || failed(driver))
            .await?;
        if done(self) {
            Ok(())
        } else {
            Err(Stop::Failed(why.to_owned()))
        }
    }

    /// Handles what happens until `limit` or until `done`.
    pub(crate) async fn pump(
        &mut self,
        limit: Instant,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Stop> {
        while !done(self) {
            // Cancel safe: `recv` loses nothing.
            match tokio::time::timeout_at(limit.into(), self.inbox.recv()).await {
                Ok(Some(happening)) => self.handle(happening)?,
                // The driver holds a sender itself, so the channel cannot be closed.
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Handles what happens until something else is done, which is dropped if the run ends before.
    pub(crate) async fn meanwhile<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stop> {
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        loop {
            // Both branches are cancel safe. The driver holds a sender itself, so there is always one.
            tokio::select! {
                Some(done) = tasks.join_next() => {
                    return done.map_err(|error| Stop::Failed(error.to_string()));
                }
                Some(happening) = self.inbox.recv() => self.handle(happening)?,
            }
        }
    }

    fn handle(&mut self, happening: Happening) -> Result<(), Stop> {
        match happening {
            Happening::Word {
                node,
                word: Word::Ready(addr),
            } => self.is_up(&node, addr),
            Happening::Word {
                node,
                word: Word::Members(names),
            } => {
                self.views.reported(&node, names);
                self.look_who_agrees()
            }
            Happening::Word {
                node,
                word:
                    Word::Stands {
                        member,
                        leads,
                        votes,
                    },
            } => {
                if let Some(it) = self.members.iter_mut().find(|it| it.name == node) {
                    it.has_joined |= member;
                    it.leads = leads;
                    it.votes = votes;
                }
                Ok(())
            }
            Happening::Said { node, line } => self.say(&Event::Said { node, line }),
            Happening::Exited { node, how } => self.is_gone(&node, how),
            Happening::RoomOpened { node } => {
                self.summary.rooms_opened += 1;
                self.say(&Event::RoomOpened {
                    node,
                    number: self.summary.rooms_opened,
                })
            }
            Happening::RoomLost { node, reason } => self.say(&Event::RoomLost { node, reason }),
            Happening::Signal { name, code } => {
                // The run ends either way; whether it can be said is not the question.
                let _ = self.say(&Event::Interrupted {
                    signal: name.to_owned(),
                });
                Err(Stop::Early { code })
            }
        }
    }

    pub(crate) fn say(&mut self, event: &Event) -> Result<(), Stop> {
        Ok(self
            .report
            .say(self.began.map(|began| began.elapsed()), event)?)
    }

    /// The nodes that are up.
    pub(crate) fn running(&self) -> BTreeSet<String> {
        let up = self.members.iter().filter(|member| member.is_up());
        up.map(|member| member.name.clone()).collect()
    }

    /// The node that says that it leads the control group. One that was deposed and has not heard of it
    /// says so too, but not for long.
    pub(crate) fn leader(&self) -> Option<&str> {
        let leads = |member: &&Member| member.is_up() && member.leads;
        self.members.iter().find(leads).map(|it| it.name.as_str())
    }

    /// Time for what needs no wall clock.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Member {
    pub(crate) fn new(name: &str, now: Instant) -> Self {
        Self {
            name: name.to_owned(),
            addr: None,
            state: State::Down,
            process: None,
            since: now,
            answered_before: None,
            start_again: false,
            life: 0,
            has_joined: false,
            votes: false,
            leads: false,
            is_split: false,
            not_ok_before: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

/// How often it is looked whether a node or a cart answers again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Happenings that may wait to be handled; more of them make the tellers wait.
const INBOX_MAX: usize = 1024;
/// What a shell reports for a program that died of SIGPIPE.
pub(crate) const EXIT_PIPE: u8 = 128 + 13;
