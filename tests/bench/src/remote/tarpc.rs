//! tarpc over TCP with TLS and bincode.

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use tarpc::client;
use tarpc::context::{self, Context};
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::length_delimited::LengthDelimitedCodec;

use super::tcp;
use crate::job::{Job, Ready};
use crate::load::{Caller, Link};

mod service {
    #![allow(missing_docs)]
    use bytes::Bytes;

    #[tarpc::service]
    pub(crate) trait Answers {
        async fn echo(body: Bytes) -> Bytes;
        async fn put(body: Bytes) -> u64;
    }
}

use service::{Answers, AnswersClient};

#[derive(Clone)]
struct Answering;

impl Answers for Answering {
    async fn echo(self, _: Context, body: Bytes) -> Bytes {
        body
    }

    async fn put(self, _: Context, body: Bytes) -> u64 {
        body.len() as u64
    }
}

/// Starts a server.
pub(crate) async fn serve(credentials: &Path, ip: IpAddr) -> Result<Ready, Box<dyn Error>> {
    tcp::accept(credentials, ip, |stream| async {
        let framed = codec().new_framed(stream);
        let transport = tarpc::serde_transport::new(framed, Bincode::default());
        BaseChannel::with_defaults(transport)
            .execute(Answering.serve())
            .for_each(|answering| async {
                tokio::spawn(answering);
            })
            .await;
    })
    .await
}

/// A connection.
pub(crate) struct Connected(AnswersClient);

/// Makes calls on it.
#[derive(Clone)]
pub(crate) struct Calls {
    client: AnswersClient,
    put: bool,
}

impl Link for Connected {
    type Caller = Calls;

    async fn dial(job: &Job) -> Result<Self, Box<dyn Error>> {
        let framed = codec().new_framed(tcp::connect(job).await?);
        let transport = tarpc::serde_transport::new(framed, Bincode::default());
        let client = AnswersClient::new(client::Config::default(), transport).spawn();
        Ok(Self(client))
    }

    fn caller(&self, put: bool) -> Calls {
        Calls {
            client: self.0.clone(),
            put,
        }
    }

    async fn close(self) {}
}

impl Caller for Calls {
    async fn call(&self, body: Bytes) -> bool {
        let len = body.len();
        let context = context::current();
        if self.put {
            let answer = self.client.put(context, body).await;
            answer.is_ok_and(|bytes| bytes == len as u64)
        } else {
            let answer = self.client.echo(context, body).await;
            answer.is_ok_and(|body| body.len() == len)
        }
    }
}

fn codec() -> tarpc::tokio_util::codec::length_delimited::Builder {
    let mut codec = LengthDelimitedCodec::builder();
    codec.max_frame_length(16 << 20);
    codec
}
