//! Those who are measured between two processes, a module each, and the two roles of a process.
//!
//! A server prints one line when it is ready and runs until its standard input ends. A client is
//! given its [`Job`] and prints the [`Figures`] that it found.

pub(crate) mod ours;
pub(crate) mod quinn;

use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;

use crate::job::{Contender, Figures, Job, Ready};

/// Runs a server until standard input ends.
pub(crate) fn serve(contender: Contender, credentials: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = runtime(contender)?;
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whatever ends the input ends the server.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    runtime.block_on(async {
        match contender {
            Contender::Ours | Contender::OursService | Contender::OursOneThread => {
                let (ready, node) = ours::serve(credentials).await?;
                tell(&ready)?;
                let _ = end.await;
                drop(node);
            }
            Contender::Raw | Contender::RawCallers => {
                let (ready, _endpoint) = quinn::raw::serve(credentials).await?;
                tell(&ready)?;
                let _ = end.await;
            }
            Contender::Assembled => {
                let (ready, _endpoint) = quinn::assembled::serve(credentials).await?;
                tell(&ready)?;
                let _ = end.await;
            }
        }
        Ok(())
    })
}

/// Makes load and returns what it found.
pub(crate) fn load(job: &Job) -> Result<Figures, Box<dyn Error>> {
    runtime(job.contender)?.block_on(async {
        match job.contender {
            Contender::Ours | Contender::OursService | Contender::OursOneThread => {
                ours::load(job).await
            }
            Contender::Raw | Contender::RawCallers => quinn::raw::load(job).await,
            Contender::Assembled => quinn::assembled::load(job).await,
        }
    })
}

/// What `#[tokio::main]` makes, except for those who are faster on one thread.
fn runtime(contender: Contender) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match contender {
        Contender::OursOneThread
        | Contender::Raw
        | Contender::RawCallers
        | Contender::Assembled => tokio::runtime::Builder::new_current_thread(),
        Contender::Ours | Contender::OursService => {
            tokio::runtime::Builder::new_multi_thread()
        }
    };
    builder.enable_all().build()
}

fn tell(ready: &Ready) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, ready)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
