//! One node process as the driver holds it: its pipes, its signals, its end.
//!
//! A task owns the child. It passes on what the child says and obeys [`Order`]s; a signal is sent only
//! while the child has not been waited for, so it never reaches a process that got the same number
//! later. The child ends with its driver whatever happens: see `lifeline.rs`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::driver::Happening;
use crate::words::{Told, Word};

/// What the driver can do to a node process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
    /// What its standard input says.
    Tell(Told),
}

/// How to start a node process.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) listen: SocketAddr,
    pub(crate) seeds: &'a [SocketAddr],
    pub(crate) directory: &'a Path,
    /// Which start of this node it is, from 1.
    pub(crate) life: u32,
    /// How many nodes form the cluster, if this is one of them.
    pub(crate) founders: Option<u32>,
    pub(crate) profile: &'a str,
    /// The name of a bug that is planted in it.
    pub(crate) plant: Option<&'a str>,
}

/// A node process and the task that tends it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    orders: mpsc::Sender<Order>,
    /// Ends when the process has.
    _tending: JoinHandle<()>,
}

impl Process {
    /// Starts this executable again, in the node role. What happens to it goes to `inbox`.
    ///
    /// # Errors
    ///
    /// What the system says about starting a process.
    pub(crate) fn start(start: &Start<'_>, inbox: mpsc::Sender<Happening>) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "node",
            "--name",
            start.name,
            "--listen",
            &start.listen.to_string(),
        ]);
        for seed in start.seeds {
            command.args(["--seed", &seed.to_string()]);
        }
        command.arg("--directory").arg(start.directory);
        command.args(["--life", &start.life.to_string()]);
        command.args(["--profile", start.profile]);
        if let Some(founders) = start.founders {
            command.args(["--founders", &founders.to_string()]);
        }
        if let Some(bug) = start.plant {
            command.args(["--plant", bug]);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own: Ctrl-C in a terminal reaches the driver alone, which then stops the
        // nodes in order.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child
            .id()
            .ok_or_else(|| io::Error::other("the process ended at once"))?;
        let (orders, given) = mpsc::channel(ORDERS_MAX);
        let stdin = child.stdin.take();
        let name = start.name.to_owned();
        let _tending = tokio::spawn(async move {
            let how = tend(&mut child, stdin, given, &name, &inbox).await;
            // The driver may have stopped listening; then it is ending.
            let _ = inbox.send(Happening::Exited { node: name, how }).await;
        });
        Ok(Self {
            pid,
            orders,
            _tending,
        })
    }

    /// Hands an order to the task. Nothing happens when the process has already ended.
    pub(crate) fn order(&self, order: Order) {
        // Full only if the process is ending and takes no more orders.
        let _ = self.orders.try_send(order);
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Code(0) => f.write_str("stopped in order"),
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(9) => f.write_str("ended by SIGKILL"),
            Self::Signal(15) => f.write_str("ended by SIGTERM"),
            Self::Signal(6) => f.write_str("ended by SIGABRT"),
            Self::Signal(11) => f.write_str("ended by SIGSEGV"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

/// Passes on what the child says and obeys orders until it ends.
async fn tend(
    child: &mut Child,
    mut stdin: Option<ChildStdin>,
    mut orders: mpsc::Receiver<Order>,
    name: &str,
    inbox: &mpsc::Sender<Happening>,
) -> Exit {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both are piped above and taken once")
    };
    let mut words = BufReader::new(stdout).lines();
    let mut errors = BufReader::new(stderr).lines();
    let (mut wording, mut erring) = (true, true);
    // Every branch is cancel safe: lines keep what they have read, `wait` and `recv` lose nothing.
    let status = loop {
        tokio::select! {
            status = child.wait(), if !wording && !erring => break status,
            line = words.next_line(), if wording => match line {
                Ok(Some(line)) => said(name, line, inbox).await,
                _ => wording = false,
            },
            line = errors.next_line(), if erring => match line {
                Ok(Some(line)) => complained(name, line, inbox).await,
                _ => erring = false,
            },
            Some(order) = orders.recv() => obey(child, &mut stdin, order).await,
        }
    };
    status.map_or(Exit::Code(-1), Exit::from)
}

async fn said(name: &str, line: String, inbox: &mpsc::Sender<Happening>) {
    let node = name.to_owned();
    let happening = match serde_json::from_str::<Word>(&line) {
        Ok(word) => Happening::Word { node, word },
        Err(_) => Happening::Said { node, line },
    };
    let _ = inbox.send(happening).await;
}

async fn complained(name: &str, line: String, inbox: &mpsc::Sender<Happening>) {
    let _ = inbox
        .send(Happening::Said {
            node: name.to_owned(),
            line,
        })
        .await;
}

async fn obey(child: &Child, stdin: &mut Option<ChildStdin>, order: Order) {
    let signal = match order {
        Order::Kill => Signal::KILL,
        Order::Pause => Signal::STOP,
        Order::Resume => Signal::CONT,
        Order::Tell(told) => {
            if let (Some(pipe), Ok(line)) = (stdin, serde_json::to_string(&told)) {
                // A failure means that the process is ending by itself.
                let _ = pipe.write_all(format!("{line}\n").as_bytes()).await;
            }
            return;
        }
    };
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It cannot fail for a child that was not waited for.
        let _ = kill_process(pid, signal);
    }
}

/// A node gets a handful of orders in its life; more wait for nothing.
const ORDERS_MAX: usize = 64;
