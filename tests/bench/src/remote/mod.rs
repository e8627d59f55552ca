//! Those who are measured between two processes, a module each, and the two roles of a process.
//!
//! A server prints one line when it is ready and runs until its standard input ends. A client is
//! given its [`Job`] and prints the [`Figures`] that it found.

mod frames;
mod kameo;
pub(crate) mod ours;
mod quinn;
mod ractor;
mod raw;
mod tarpc;
mod tcp;
pub(crate) mod tonic;

use std::error::Error;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::Path;

use tokio::sync::oneshot;

use self::quinn::Quic;
use crate::job::{Contender, Figures, Job, Ready, Work};
use crate::{load, overload, runtime, slow};

/// Runs a server until standard input ends.
pub(crate) fn serve(
    contender: Contender,
    credentials: &Path,
    ip: IpAddr,
) -> Result<(), Box<dyn Error>> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        // Whatever ends the input ends the server.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    runtime(contender, true)?.block_on(async {
        let (ready, held) = start(contender, credentials, ip).await?;
        tell(&ready)?;
        // An error says the same: the input has ended.
        let _ = end.await;
        drop(held);
        Ok(())
    })
}

/// Starts a server and returns what has to be held.
async fn start(
    contender: Contender,
    credentials: &Path,
    ip: IpAddr,
) -> Result<(Ready, Box<dyn std::any::Any>), Box<dyn Error>> {
    Ok(match contender {
        Contender::Ours
        | Contender::OursService
        | Contender::OursKeyed
        | Contender::OursThreads
        | Contender::OursLanes4
        | Contender::OursLanes8 => {
            let (ready, node) = ours::serve(contender, credentials, ip).await?;
            (ready, Box::new(node))
        }
        Contender::Raw | Contender::RawCallers => {
            let (ready, endpoint) = quinn::serve(credentials, ip)?;
            (ready, Box::new(endpoint))
        }
        Contender::Assembled => {
            let (ready, endpoint) = quinn::assembled::serve(credentials, ip)?;
            (ready, Box::new(endpoint))
        }
        Contender::TcpTls => (tcp::serve(credentials, ip).await?, Box::new(())),
        Contender::TonicUnary | Contender::TonicBidi => {
            (tonic::serve(credentials, ip).await?, Box::new(()))
        }
        Contender::Tarpc => (tarpc::serve(credentials, ip).await?, Box::new(())),
        Contender::Ractor => {
            let (ready, node) = ractor::serve(credentials, ip).await?;
            (ready, Box::new(node))
        }
        Contender::Kameo => (kameo::serve(ip).await?, Box::new(())),
        Contender::Channels => return Err("channels are local".into()),
    })
}

/// Makes load and returns what it found.
pub(crate) async fn measure(job: &Job) -> Result<Figures, Box<dyn Error>> {
    if let Work::SlowConsumers { consumers } = job.work {
        return slow::measure(job, consumers).await;
    }
    if job.work == Work::Overload {
        return overload::measure(job).await;
    }
    match job.contender {
        Contender::Ours
        | Contender::OursService
        | Contender::OursKeyed
        | Contender::OursThreads
        | Contender::OursLanes4
        | Contender::OursLanes8 => load::run::<ours::Connected>(job).await,
        Contender::Raw if job.work.is_calls() => raw::without_callers::<Quic>(job).await,
        Contender::Raw | Contender::RawCallers => load::run::<raw::Framed<Quic>>(job).await,
        Contender::Assembled => load::run::<quinn::assembled::Assembled>(job).await,
        Contender::TcpTls => load::run::<raw::Framed<tcp::TcpTls>>(job).await,
        Contender::TonicUnary | Contender::TonicBidi => load::run::<tonic::Connected>(job).await,
        Contender::Tarpc => load::run::<tarpc::Connected>(job).await,
        Contender::Ractor => load::run::<ractor::Connected>(job).await,
        Contender::Kameo => load::run::<kameo::Connected>(job).await,
        Contender::Channels => Err("channels are local".into()),
    }
}

fn tell(ready: &Ready) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, ready)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
