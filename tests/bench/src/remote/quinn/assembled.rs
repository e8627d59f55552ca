//! What a team would assemble from quinn, postcard and channels: the same stream as [`raw`](super::raw),
//! with a decode, a hop through the mailbox of an actor and an encode for each call, and callers that
//! wait for their typed reply.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::frames::{Kind, Outbox, read_frames};
use super::{raw, settings};
use crate::job::{Figures, Job, Ready};
use crate::load::{Caller, closed_loop};

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Echo(Bytes),
    Put(Bytes),
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Echo(Bytes),
    Put(u64),
}

/// What waits in the actor's mailbox.
struct Message {
    request: Request,
    id: u64,
    reply_to: Arc<Outbox>,
}

/// Answers on every stream of every connection, through one actor.
pub(crate) async fn serve(credentials: &Path) -> Result<(Ready, quinn::Endpoint), Box<dyn Error>> {
    let endpoint = settings::server(credentials)?;
    let ready = Ready {
        addr: endpoint.local_addr()?,
        pid: std::process::id(),
    };
    let (mailbox, messages) = mpsc::channel(MAILBOX);
    tokio::spawn(act(messages));
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            let mailbox = mailbox.clone();
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    while let Ok((send, recv)) = connection.accept_bi().await {
                        tokio::spawn(dispatch(send, recv, mailbox.clone()));
                    }
                }
            });
        }
    });
    Ok((ready, endpoint))
}

/// The actor.
async fn act(mut messages: mpsc::Receiver<Message>) {
    let mut batch = Vec::with_capacity(MAILBOX);
    while messages.recv_many(&mut batch, MAILBOX).await > 0 {
        for message in batch.drain(..) {
            let reply = match message.request {
                Request::Echo(body) => Reply::Echo(body),
                Request::Put(body) => Reply::Put(body.len() as u64),
            };
            if let Ok(bytes) = postcard::to_allocvec(&reply) {
                message
                    .reply_to
                    .push(Kind::Echo, message.id, &Bytes::from(bytes));
            }
        }
    }
}

/// Decodes what comes on one stream and puts it into the mailbox; what does not fit is dropped, and
/// its caller finds out by waiting.
async fn dispatch(
    send: quinn::SendStream,
    mut recv: quinn::RecvStream,
    mailbox: mpsc::Sender<Message>,
) -> std::io::Result<()> {
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let ended = read_frames(&mut recv, |frame| {
        let Ok(request) = postcard::from_bytes(frame.body) else {
            return false;
        };
        let message = Message {
            request,
            id: frame.id,
            reply_to: Arc::clone(&outbox),
        };
        // A closed mailbox is the end of the process.
        let _ = mailbox.try_send(message);
        true
    })
    .await;
    writer.abort();
    ended
}

/// Calls it.
pub(crate) async fn load(job: &Job) -> Result<Figures, Box<dyn Error>> {
    let (_endpoint, connection) = settings::connect(&job.credentials, job.server.addr).await?;
    let (send, mut recv) = connection.open_bi().await?;
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    let waiting = Arc::new(Mutex::new(HashMap::<u64, oneshot::Sender<Reply>>::new()));
    let calls = Calls {
        outbox,
        kind: raw::kind(&job.work),
        waiting: Arc::clone(&waiting),
        ids: Arc::default(),
    };
    let reader = tokio::spawn(async move {
        read_frames(&mut recv, |frame| {
            let Ok(reply) = postcard::from_bytes(frame.body) else {
                return false;
            };
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(caller) = waiting.remove(&frame.id) {
                // The caller may have gone at the end of the run.
                let _ = caller.send(reply);
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
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>,
    ids: Arc<AtomicU64>,
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let len = body.len();
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let request = match self.kind {
            Kind::Put => Request::Put(body),
            _ => Request::Echo(body),
        };
        let Ok(bytes) = postcard::to_allocvec(&request) else {
            return false;
        };
        let (tell, told) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, tell);
        self.outbox.push(self.kind, id, &Bytes::from(bytes));
        match told.await {
            Ok(Reply::Echo(body)) => body.len() == len,
            Ok(Reply::Put(bytes)) => bytes == len as u64,
            Err(_) => false,
        }
    }
}

const MAILBOX: usize = 1024;
