//! quinn by hand: what QUIC itself can do. One stream, batched writes, no types.
//!
//! Without caller tasks, whoever reads a reply makes the next call on the spot: nothing is faster.
//! With them, each waits for its reply as callers do.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::frames::{Kind, Outbox, Sink, read_frames};
use super::settings;
use crate::job::{Contender, Figures, Job, Ready, Work};
use crate::load::{Caller, Meter, body, closed_loop};

/// Answers on every stream of every connection.
pub(crate) async fn serve(credentials: &Path) -> Result<(Ready, quinn::Endpoint), Box<dyn Error>> {
    let endpoint = settings::server(credentials)?;
    let ready = Ready {
        addr: endpoint.local_addr()?,
        pid: std::process::id(),
    };
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    while let Ok((send, recv)) = connection.accept_bi().await {
                        tokio::spawn(answer(send, recv));
                    }
                }
            });
        }
    });
    Ok((ready, endpoint))
}

/// Answers on one stream until it ends.
pub(crate) async fn answer<S, R>(send: S, mut recv: R) -> io::Result<()>
where
    S: Sink + Send + 'static,
    R: tokio::io::AsyncRead + Unpin,
{
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let mut sends = 0u64;
    let ended = read_frames(&mut recv, |frame| {
        match frame.kind {
            Kind::Echo => outbox.push_slice(frame.kind, frame.id, frame.body),
            Kind::Put => {
                let len = frame.body.len() as u64;
                outbox.push_slice(frame.kind, frame.id, &len.to_le_bytes());
            }
            Kind::Send => sends += 1,
            Kind::Count => outbox.push_slice(frame.kind, frame.id, &sends.to_le_bytes()),
        }
        true
    })
    .await;
    writer.abort();
    ended
}

/// Calls it.
pub(crate) async fn load(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let (_endpoint, connection) = settings::connect(&job.credentials, job.server.addr).await?;
    let (send, recv) = connection.open_bi().await?;
    match job.contender {
        Contender::RawCallers => from_tasks(send, recv, job).await,
        _ => from_the_reader(send, recv, job).await,
    }
}

/// Makes each next call where the last reply is read.
pub(crate) async fn from_the_reader<S, R>(
    send: S,
    mut recv: R,
    job: &Job,
) -> Result<Figures, Box<dyn Error>>
where
    S: Sink + Send + 'static,
    R: tokio::io::AsyncRead + Unpin + Send + 'static,
{
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let (kind, body) = (kind(&job.work), body(job.work.bytes()));
    let answer_bytes = match kind {
        Kind::Echo => body.len(),
        _ => size_of::<u64>(),
    };
    let mut meter = Meter::new(job.work.timed());
    let counter = meter.counter();
    let mut starts = vec![None; job.work.in_flight()];
    for (id, start) in starts.iter_mut().enumerate() {
        *start = counter.start();
        outbox.push(kind, id as u64, &body);
    }
    let reader = tokio::spawn(async move {
        read_frames(&mut recv, |frame| {
            let start = &mut starts[frame.id as usize];
            counter.end(start.take(), frame.body.len() == answer_bytes);
            *start = counter.start();
            outbox.push(kind, frame.id, &body);
            true
        })
        .await
    });
    let figures = meter.measure(job).await?;
    writer.abort();
    reader.abort();
    Ok(figures)
}

/// Makes the calls from tasks that wait for their replies.
async fn from_tasks(
    send: quinn::SendStream,
    mut recv: quinn::RecvStream,
    job: &Job,
) -> Result<Figures, Box<dyn Error>> {
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let calls = Calls {
        outbox,
        kind: kind(&job.work),
        waiting: Arc::default(),
        ids: Arc::default(),
    };
    let waiting = Arc::clone(&calls.waiting);
    let reader = tokio::spawn(async move {
        read_frames(&mut recv, |frame| {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(caller) = waiting.remove(&frame.id) {
                // The caller may have gone at the end of the run.
                let _ = caller.send(Bytes::copy_from_slice(frame.body));
            }
            true
        })
        .await
    });
    let figures = closed_loop(calls, job).await?;
    writer.abort();
    reader.abort();
    Ok(figures)
}

#[derive(Clone)]
struct Calls {
    outbox: Arc<Outbox>,
    kind: Kind,
    waiting: Arc<Mutex<std::collections::HashMap<u64, oneshot::Sender<Bytes>>>>,
    ids: Arc<AtomicU64>,
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, tell);
        self.outbox.push(self.kind, id, &body);
        let answer = told.await;
        match self.kind {
            Kind::Echo => answer.is_ok_and(|answer| answer.len() == body.len()),
            _ => answer.is_ok_and(|answer| answer.len() == size_of::<u64>()),
        }
    }
}

/// What the frames of this work ask for.
pub(crate) fn kind(work: &Work) -> Kind {
    match work {
        Work::Echo { .. } => Kind::Echo,
        Work::Put { .. } => Kind::Put,
    }
}
