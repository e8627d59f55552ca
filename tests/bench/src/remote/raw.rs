//! Frames on one stream by hand, no types, no actors: what the stream itself can do.
//!
//! Without caller tasks, whoever reads a reply makes the next call on the spot: nothing is faster.
//! With them, each waits for its reply as callers do. The stream is QUIC's, or TCP's with TLS.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::frames::{Kind, Outbox, Sink, read_frames};
use crate::job::{Figures, Job, Work};
use crate::load::{self, Caller, Link};
use crate::meter::Meter;

/// A transport that gives one stream each way.
pub(crate) trait Transport: Sized + Send + 'static {
    /// The way out.
    type Send: Sink + Send + 'static;
    /// The way in.
    type Recv: AsyncRead + Unpin + Send + 'static;
    /// What has to live as long as the stream does.
    type Held: Send + 'static;

    /// Dials and opens the stream.
    fn open(job: &Job) -> impl Future<Output = Result<Stream<Self>, Box<dyn Error>>>;

    /// Opens one more stream on the same connection, if it can have several.
    fn another(
        held: &Self::Held,
    ) -> impl Future<Output = Result<Option<(Self::Send, Self::Recv)>, Box<dyn Error>>>;

    /// Ends what is held.
    fn close(held: Self::Held) -> impl Future<Output = ()>;
}

/// Such a stream.
pub(crate) struct Stream<T: Transport> {
    pub(crate) held: T::Held,
    pub(crate) send: T::Send,
    pub(crate) recv: T::Recv,
}

/// Answers on one stream until it ends.
pub(crate) async fn answer<S, R>(send: S, mut recv: R) -> io::Result<()>
where
    S: Sink + Send + 'static,
    R: AsyncRead + Unpin,
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

/// Makes each next call where the last reply is read.
pub(crate) async fn without_callers<T: Transport>(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let Stream {
        held,
        send,
        mut recv,
    } = T::open(job).await?;
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let body = load::body(job.work.bytes());
    let (kind, answer_bytes) = match job.work {
        Work::Put { .. } => (Kind::Put, size_of::<u64>()),
        _ => (Kind::Echo, body.len()),
    };
    let mut meter = Meter::new(job.timed);
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
    T::close(held).await;
    Ok(figures)
}

/// A stream whose calls are made from tasks that wait for their replies.
pub(crate) struct Framed<T: Transport> {
    held: T::Held,
    shared: Calls,
    /// Writers and readers.
    tasks: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    transport: PhantomData<fn() -> T>,
}

/// Makes calls on a [`Framed`] stream.
#[derive(Clone)]
pub(crate) struct Calls {
    outbox: Arc<Outbox>,
    kind: Kind,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>,
    ids: Arc<AtomicU64>,
}

impl<T: Transport> Link for Framed<T> {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let Stream { held, send, recv } = T::open(job).await?;
        let (shared, tasks) = calls_on(send, recv);
        Ok(Self {
            held,
            shared,
            tasks: Mutex::new(tasks.into()),
            transport: PhantomData,
        })
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            kind: if put { Kind::Put } else { Kind::Echo },
            ..self.shared.clone()
        }
    }

    async fn caller_of_another(&self) -> Result<Calls, Box<dyn Error>> {
        let Some((send, recv)) = T::another(&self.held).await? else {
            return Ok(self.caller(true));
        };
        let (calls, tasks) = calls_on(send, recv);
        let mut held = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(tasks);
        Ok(Calls {
            kind: Kind::Put,
            ..calls
        })
    }

    async fn close(self) {
        let tasks = self.tasks.into_inner();
        for task in tasks.unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
        T::close(self.held).await;
    }
}

/// Starts to write and read frames on a stream.
fn calls_on<S, R>(send: S, mut recv: R) -> (Calls, [JoinHandle<io::Result<()>>; 2])
where
    S: Sink + Send + 'static,
    R: AsyncRead + Unpin + Send + 'static,
{
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let calls = Calls {
        outbox,
        kind: Kind::Echo,
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
    (calls, [writer, reader])
}

impl Calls {
    async fn ask(&self, kind: Kind, body: &Bytes) -> Option<Bytes> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, tell);
        self.outbox.push(kind, id, body);
        told.await.ok()
    }
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let answer = self.ask(self.kind, &body).await;
        let wanted = match self.kind {
            Kind::Echo => body.len(),
            _ => size_of::<u64>(),
        };
        answer.is_some_and(|answer| answer.len() == wanted)
    }

    async fn send(&self, body: Bytes, _slow: bool) -> bool {
        self.outbox.writable().await;
        self.outbox.push(Kind::Send, 0, &body);
        true
    }

    async fn handled(&self) -> Option<u64> {
        let answer = self.ask(Kind::Count, &Bytes::new()).await?;
        Some(u64::from_le_bytes(answer.as_ref().try_into().ok()?))
    }
}
