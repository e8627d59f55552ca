//! Measures Callboard beside its rivals, interleaved in one run.

mod credentials;
mod job;
mod load;
mod remote;
mod usage;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::job::{Contender, Figures, Job, Ready, Work};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("serve") => {
            let contender = serde_json::from_str(&args[2])?;
            remote::serve(contender, &PathBuf::from(&args[3]))
        }
        Some("load") => {
            let figures = remote::load(&serde_json::from_str(&args[2])?)?;
            println!("{}", serde_json::to_string(&figures)?);
            Ok(())
        }
        _ => first(),
    }
}

fn first() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    credentials::make(dir.path())?;
    use Contender::*;
    for round in 0..3 {
        for in_flight in [64, 1024, 1] {
            for contender in [Ours, OursService, OursOneThread, Raw, RawCallers, Assembled] {
                let (mut child, ready) = server(contender, dir.path())?;
                let job = Job {
                    contender,
                    work: Work::Echo { bytes: 128, in_flight },
                    server: ready,
                    credentials: dir.path().into(),
                    warm: Duration::from_millis(300),
                    window: Duration::from_millis(1000),
                };
                let out = Command::new(std::env::current_exe()?)
                    .args(["load", &serde_json::to_string(&job)?])
                    .stderr(Stdio::inherit())
                    .output()?;
                let figures: Figures = serde_json::from_slice(&out.stdout)?;
                println!("{round} {contender:15} {in_flight:5} {}", serde_json::to_string(&figures)?);
                drop(child.stdin.take());
                child.wait()?;
            }
        }
    }
    Ok(())
}

fn server(contender: Contender, dir: &std::path::Path) -> Result<(Child, Ready), Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", &serde_json::to_string(&contender)?])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    Ok((child, serde_json::from_str(&line)?))
}
