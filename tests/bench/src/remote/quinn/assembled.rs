//! What a team would assemble from quinn, postcard and channels: the same stream as by hand,
//! with a decode, a hop through the mailbox of an actor and an encode for each call, and callers that
//! wait for their typed reply.

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::settings;
use crate::job::{Job, Ready};
use crate::load::{Caller, Link};
use crate::remote::frames::{Kind, Outbox, read_frames};

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Echo(Bytes),
    Put(Bytes),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
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
pub(crate) fn serve(
    credentials: &Path,
    ip: IpAddr,
) -> Result<(Ready, quinn::Endpoint), Box<dyn Error>> {
    let endpoint = settings::server(credentials, ip)?;
    let ready = Ready::here(endpoint.local_addr()?);
    let (mailbox, messages) = mpsc::channel(MAILBOX);
    tokio::spawn(act(messages));
    tokio::spawn(super::accept(endpoint.clone(), move |send, recv| {
        dispatch(send, recv, mailbox.clone())
    }));
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
) {
    let outbox = Outbox::new();
    let writing = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writing.write_to(send).await });
    // However the stream ends, it has ended.
    let _ = read_frames(&mut recv, |frame| {
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
}

/// A connection with typed calls.
pub(crate) struct Assembled {
    _endpoint: quinn::Endpoint,
    connection: quinn::Connection,
    shared: Calls,
    tasks: [JoinHandle<std::io::Result<()>>; 2],
}

/// Makes them.
#[derive(Clone)]
pub(crate) struct Calls {
    outbox: Arc<Outbox>,
    put: bool,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>,
    ids: Arc<AtomicU64>,
}

impl Link for Assembled {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let (endpoint, connection) =
            settings::connect(&job.credentials, job.server()?.addr).await?;
        let (send, mut recv) = connection.open_bi().await?;
        let outbox = Outbox::new();
        let writing = Arc::clone(&outbox);
        let writer = tokio::spawn(async move { writing.write_to(send).await });
        let shared = Calls {
            outbox,
            put: false,
            waiting: Arc::default(),
            ids: Arc::default(),
        };
        let waiting = Arc::clone(&shared.waiting);
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
        Ok(Self {
            _endpoint: endpoint,
            connection,
            shared,
            tasks: [writer, reader],
        })
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            put,
            ..self.shared.clone()
        }
    }

    async fn close(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.connection.close(0u32.into(), b"done");
    }
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let len = body.len();
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let request = if self.put {
            Request::Put(body)
        } else {
            Request::Echo(body)
        };
        let Ok(bytes) = postcard::to_allocvec(&request) else {
            return false;
        };
        let (tell, told) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, tell);
        self.outbox.push(Kind::Echo, id, &Bytes::from(bytes));
        match told.await {
            Ok(Reply::Echo(body)) => body.len() == len,
            Ok(Reply::Put(bytes)) => bytes == len as u64,
            Err(_) => false,
        }
    }
}

const MAILBOX: usize = 1024;
