//! The processes of a measurement: this executable again, as a server and as a load.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::job::{Contender, Figures, Job, Ready};

/// Where the processes are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where the server listens.
    pub(crate) ip: IpAddr,
    /// The network namespaces of server and load; nothing is where the driver is.
    pub(crate) namespaces: Option<[String; 2]>,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) ready: Ready,
}

impl Place {
    /// On loopback.
    pub(crate) fn loopback() -> Self {
        Self {
            ip: Ipv4Addr::LOCALHOST.into(),
            namespaces: None,
        }
    }

    fn command(&self, side: usize) -> std::io::Result<Command> {
        let own = std::env::current_exe()?;
        Ok(match &self.namespaces {
            None => Command::new(own),
            Some(names) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &names[side]]).arg(own);
                command
            }
        })
    }
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(
        contender: Contender,
        credentials: &Path,
        place: &Place,
    ) -> Result<Self, Box<dyn Error>> {
        let mut child = place
            .command(0)?
            .args(["serve", &contender.to_string()])
            .arg(credentials)
            .arg(place.ip.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        match serde_json::from_str(&line) {
            Ok(ready) => Ok(Self { child, ready }),
            Err(_) => {
                child.kill()?;
                child.wait()?;
                Err("the server did not get ready".into())
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let patience = Instant::now() + SERVER_PATIENCE;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > patience {
                // It had its time; either it is dead now or was before.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Runs a load to its end.
pub(crate) fn load(job: &Job, place: &Place) -> Result<Figures, Box<dyn Error>> {
    let mut child = place
        .command(1)?
        .args(["load", &serde_json::to_string(job)?])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let patience = Instant::now() + 2 * (job.warm + job.window) + LOAD_PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > patience {
            child.kill()?;
            child.wait()?;
            return Err("the load did not end".into());
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said)?;
    }
    if !status.success() {
        return Err(format!("the load ended with {status}").into());
    }
    Ok(serde_json::from_str(&said)?)
}

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long a server may take to end.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);

/// How long a load may take beyond what it measures.
const LOAD_PATIENCE: Duration = Duration::from_secs(40);
