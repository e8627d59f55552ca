//! gRPC by tonic over HTTP/2 and TLS: unary, and with calls multiplexed by hand on one stream.
//!
//! The windows are Callboard's, the rest is tonic's default; `TCP_NODELAY` is one of those.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
use tonic::{Request, Response, Status, Streaming};

use crate::credentials::SERVER_NAME;
use crate::job::{Contender, Job, Ready};
use crate::load::{Caller, Link};

/// What travels. In a unary call the id is not used.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bool, tag = "2")]
    put: bool,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

mod generated {
    #![allow(missing_docs, unreachable_pub, rust_2018_idioms)]
    include!(concat!(env!("OUT_DIR"), "/bench.Answers.rs"));
}

use generated::answers_client::AnswersClient;
use generated::answers_server::{Answers, AnswersServer};

struct Answering;

impl Message {
    fn answered(self) -> Self {
        let body = if self.put {
            Bytes::copy_from_slice(&(self.body.len() as u64).to_le_bytes())
        } else {
            self.body
        };
        Self { body, ..self }
    }

    fn is_answer_to(&self, put: bool, len: usize) -> bool {
        self.body.len() == if put { size_of::<u64>() } else { len }
    }
}

#[tonic::async_trait]
impl Answers for Answering {
    async fn echo(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        Ok(Response::new(request.into_inner().answered()))
    }

    async fn put(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        Ok(Response::new(request.into_inner().answered()))
    }

    type StreamStream = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let answers = request
            .into_inner()
            .map(|message| message.map(Message::answered));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Starts a server.
pub(crate) async fn serve(credentials: &Path, ip: IpAddr) -> Result<Ready, Box<dyn Error>> {
    let identity = identity(credentials, "server")?;
    let tls = ServerTlsConfig::new()
        .identity(identity)
        .client_ca_root(authority(credentials)?);
    let listener = tokio::net::TcpListener::bind((ip, 0)).await?;
    let ready = Ready::here(listener.local_addr()?);
    let connections = TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    });
    let server = Server::builder()
        .tls_config(tls)?
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .add_service(AnswersServer::new(Answering))
        .serve_with_incoming(connections);
    tokio::spawn(server);
    Ok(ready)
}

/// A channel: one connection.
pub(crate) struct Connected {
    calls: Calls,
}

/// Makes calls on it.
#[derive(Clone)]
pub(crate) struct Calls {
    client: AnswersClient<Channel>,
    put: bool,
    /// Only where calls are multiplexed by hand.
    stream: Option<Multiplexed>,
}

/// Calls on one stream.
#[derive(Clone)]
struct Multiplexed {
    out: mpsc::Sender<Message>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Message>>>>,
    ids: Arc<AtomicU64>,
}

impl Link for Connected {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(authority(&job.credentials)?)
            .identity(identity(&job.credentials, "client")?)
            .domain_name(SERVER_NAME);
        let channel = Endpoint::from_shared(format!("https://{}", job.server()?.addr))?
            .tls_config(tls)?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect()
            .await?;
        let mut client = AnswersClient::new(channel);
        let stream = match job.contender {
            Contender::TonicBidi => Some(multiplexed(&mut client).await?),
            _ => None,
        };
        let calls = Calls {
            client,
            put: false,
            stream,
        };
        Ok(Self { calls })
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            put,
            ..self.calls.clone()
        }
    }

    async fn close(self) {}
}

async fn multiplexed(client: &mut AnswersClient<Channel>) -> Result<Multiplexed, Status> {
    let (out, messages) = mpsc::channel(1024);
    let mut answers = client
        .stream(ReceiverStream::new(messages))
        .await?
        .into_inner();
    let stream = Multiplexed {
        out,
        waiting: Arc::default(),
        ids: Arc::default(),
    };
    let waiting = Arc::clone(&stream.waiting);
    tokio::spawn(async move {
        while let Ok(Some(message)) = answers.message().await {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(caller) = waiting.remove(&message.id) {
                // The caller may have gone at the end of the run.
                let _ = caller.send(message);
            }
        }
    });
    Ok(stream)
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let (put, len) = (self.put, body.len());
        let Some(stream) = &self.stream else {
            let mut client = self.client.clone();
            let message = Message { id: 0, put, body };
            let answer = if put {
                client.put(message).await
            } else {
                client.echo(message).await
            };
            return answer.is_ok_and(|answer| answer.into_inner().is_answer_to(put, len));
        };
        let id = stream.ids.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        stream
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, tell);
        if stream.out.send(Message { id, put, body }).await.is_err() {
            return false;
        }
        told.await.is_ok_and(|answer| answer.is_answer_to(put, len))
    }
}

fn authority(credentials: &Path) -> std::io::Result<Certificate> {
    Ok(Certificate::from_pem(fs::read(credentials.join("ca.pem"))?))
}

fn identity(credentials: &Path, name: &str) -> std::io::Result<Identity> {
    let certificate = fs::read(credentials.join(format!("{name}.pem")))?;
    let key = fs::read(credentials.join(format!("{name}.key")))?;
    Ok(Identity::from_pem(certificate, key))
}

const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
