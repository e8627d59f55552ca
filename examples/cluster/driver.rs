//! The driver role: starts the nodes, calls, breaks, waits, cleans up, sums up.
//!
//! Everything that happens (a node's word, its end, a signal, the room's watch) comes through one
//! channel and is handled in one place, [`Driver::handle`]; the phases only wait for what they need.
//! Whatever ends the run, the way out is the same: [`Driver::finish`].

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callboard::net::{Authority, PeerKind};
use callboard::prelude::*;
use callboard_examples::members::Views;
use callboard_examples::report::{Asserted, Event, Reporter, Summary};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::args::{EXIT_RUN, Plan};
use crate::complain;
use crate::credentials;
use crate::lifeline::DIRECTORY_PREFIX;
use crate::load::{DEADLINE, Load, Pace, Unended};
use crate::process::{Exit, Order, Process, Start};
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
    directory: TempDir,
    authority: Authority,
    report: Reporter,
    inbox: mpsc::Receiver<Happening>,
    /// For those that tell.
    tell: mpsc::Sender<Happening>,
    started: Instant,
    /// When the first call was made.
    began: Option<Instant>,
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
        let (directory, authority) = credentials::make(DIRECTORY_PREFIX, &plan.nodes)
            .map_err(|error| format!("no authority for this run: {error}"))?;
        let now = Instant::now();
        let member = |name: &String| Member {
            name: name.clone(),
            addr: None,
            state: State::Down,
            process: None,
            since: now,
            answered_before: None,
            start_again: false,
        };
        Ok(Self {
            members: plan.nodes.iter().map(member).collect(),
            views: Views::default(),
            load: None,
            summary: Summary::of_nothing(&plan.nodes),
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
        self.drain().await
    }

    /// Starts the first node, then the others with the first one as their only seed, and waits until
    /// every node sees every other.
    async fn start_nodes(&mut self) -> Result<(), Stop> {
        let limit = Instant::now() + START_LIMIT;
        self.start(0)?;
        let first_up = |driver: &Self| driver.members.iter().take(1).all(Member::is_up);
        self.wait(limit, "the first node did not come up", first_up)
            .await?;
        for index in 1..self.members.len() {
            self.start(index)?;
        }
        let all = |driver: &Self| {
            driver.members.iter().all(Member::is_up) && driver.views.have_agreed(&driver.running())
        };
        self.wait(limit, "the nodes did not find each other", all)
            .await
    }

    async fn connect(&mut self) -> Result<(), Stop> {
        let from = Instant::now();
        let identity = "load"
            .parse()
            .map_err(|error| Stop::Failed(format!("the client has no name: {error}")))
            .and_then(|name| {
                let issued = self.authority.issue(name, PeerKind::Client);
                issued.map_err(|error| Stop::Failed(error.to_string()))
            })?;
        let seeds: Vec<SocketAddr> = self
            .members
            .iter()
            .filter_map(|member| member.addr)
            .collect();
        let client = Client::builder()
            .seeds(seeds)
            .identity(identity)
            .connect()
            .await
            .map_err(|error| Stop::Failed(format!("the client cannot connect: {error}")))?;
        self.say(&Event::Connected {
            took_ms: from.elapsed().as_millis() as u64,
        })?;
        let pace = Pace {
            rate: self.plan.rate,
            in_flight_max: self.plan.in_flight_max,
        };
        self.began = Some(Instant::now());
        self.load = Some(Load::start(client, pace, self.tell.clone()));
        Ok(())
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
            if now >= end {
                return Ok(());
            }
            let step = self.plan.script.next_at().map_or(end, |at| began + at);
            let next = step.min(second).min(end).min(now + LOOK_EVERY);
            self.pump(next, |_| false).await?;
        }
    }

    /// Begins no more calls and waits for those in flight. Each of them ends by its deadline.
    async fn drain(&mut self) -> Result<(), Stop> {
        let Some(load) = &self.load else {
            return Ok(());
        };
        load.end();
        let in_flight = load.in_flight();
        if in_flight > 0 {
            self.say(&Event::Draining { in_flight })?;
        }
        self.wait_ended(DEADLINE + HUNG_AFTER).await
    }

    async fn wait_ended(&mut self, limit: Duration) -> Result<(), Stop> {
        let limit = Instant::now() + limit;
        let ended = |driver: &Self| driver.load.as_ref().is_none_or(Load::has_ended);
        while !ended(self) && Instant::now() < limit {
            self.pump(Instant::now() + LOOK_EVERY, ended).await?;
        }
        Ok(())
    }

    /// The way out, whatever led to it: ends the load and the nodes, removes the directory, sums up.
    async fn finish(mut self, end: Result<(), Stop>) -> ExitCode {
        let mut code = 0;
        let mut unended = Unended::Hung;
        if let Err(Stop::Early { code: early }) = end {
            code = early;
            unended = Unended::CutOff;
            if let Some(load) = &self.load {
                load.end();
                // Another signal only means that the rest is to be faster still.
                let _ = self.wait_ended(CUT_OFF_AFTER).await;
            }
        }
        for step in self.plan.script.clone().remaining() {
            self.step_failed(step, "the run ended before it").ok();
        }
        self.fail_unfinished_restarts();
        if let Some(load) = self.load.take() {
            load.finish(unended, &mut self.summary).await;
        }
        self.stop_nodes().await;
        // Says why if it cannot, for that is a promise: no file stays behind.
        let path = self.directory.path().to_owned();
        if let Err(error) = std::fs::remove_dir_all(&path) {
            complain(
                EXIT_RUN,
                &format!("{} cannot be removed: {error}", path.display()),
            );
            code = code.max(EXIT_RUN);
        }
        self.sum_up();
        let summary = std::mem::take(&mut self.summary);
        let passed = summary.passed();
        // Nobody may be reading any more; the exit code says the same.
        let _ = self.say(&Event::Summary(Box::new(summary)));
        match end {
            Err(Stop::Failed(why)) => complain(EXIT_RUN, &why),
            _ if code == 0 && !passed => ExitCode::from(EXIT_RUN),
            _ => ExitCode::from(code),
        }
    }

    async fn stop_nodes(&mut self) {
        for (order, limit) in [(Order::Stop, STOP_LIMIT), (Order::Kill, STOP_LIMIT)] {
            for member in &mut self.members {
                member.start_again = false;
                if let Some(process) = &member.process {
                    // A paused process hears nothing.
                    process.order(Order::Resume);
                    process.order(order);
                    member.state = State::Ending;
                }
            }
            let limit = Instant::now() + limit;
            let gone = |driver: &Self| driver.members.iter().all(|member| member.process.is_none());
            while !gone(self) && Instant::now() < limit {
                match self.pump(limit, gone).await {
                    Ok(()) => {}
                    // Output that nobody reads stops no clean-up; another signal hastens it.
                    Err(Stop::Early { code: EXIT_PIPE }) => {}
                    Err(_) => break,
                }
            }
        }
    }

    fn sum_up(&mut self) {
        let summary = &mut self.summary;
        let ran = self
            .began
            .map_or(Duration::ZERO, |began| began.elapsed().min(self.plan.run));
        summary.calls_per_s = (summary.calls_ok as f64 / ran.as_secs_f64().max(1e-3)) as u64;
        summary.nodes = self.plan.nodes.len() as u64;
        summary.rate = self.plan.rate;
        summary.for_ms = ran.as_millis() as u64;
        if let Some(expression) = &self.plan.assert {
            let numbers = summary.clone();
            let field = |name: &str| numbers.field(name);
            let holds = expression.holds(field).unwrap_or(false);
            let untrue = if holds {
                Vec::new()
            } else {
                expression.untrue(field)
            };
            summary.assert = Some(Asserted {
                expression: expression.to_string(),
                holds,
                untrue,
            });
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
    async fn wait(
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
    async fn pump(&mut self, limit: Instant, done: impl Fn(&Self) -> bool) -> Result<(), Stop> {
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

    /// Starts a node's process; at the address it had before, if any.
    pub(crate) fn start(&mut self, index: usize) -> Result<(), Stop> {
        let seeds: Vec<SocketAddr> = self
            .members
            .iter()
            .filter(|member| member.is_up())
            .filter_map(|member| member.addr)
            .collect();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let member = &mut self.members[index];
        let start = Start {
            name: &member.name,
            listen: member.addr.unwrap_or(anywhere),
            seeds: &seeds,
            directory: self.directory.path(),
        };
        let process = Process::start(&start, self.tell.clone())
            .map_err(|error| Stop::Failed(format!("{} cannot be started: {error}", member.name)))?;
        member.process = Some(process);
        member.state = State::Starting;
        member.since = Instant::now();
        Ok(())
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

    /// Time for what needs no wall clock.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Member {
    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

/// The first start of an executable may have to wait for a slow disk.
const START_LIMIT: Duration = Duration::from_secs(20);
/// A node that has not stopped in order by then is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// A call that has not ended that long after its deadline never will.
const HUNG_AFTER: Duration = Duration::from_secs(2);
/// What calls in flight get when a signal ends the run.
const CUT_OFF_AFTER: Duration = Duration::from_millis(500);
/// How often it is looked whether a node answers again or all calls have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Happenings that may wait to be handled; more of them make the tellers wait.
const INBOX_MAX: usize = 1024;
/// What a shell reports for a program that died of SIGPIPE.
const EXIT_PIPE: u8 = 128 + 13;
