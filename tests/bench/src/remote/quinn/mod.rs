//! Rivals on quinn: by hand, and assembled.

pub(crate) mod assembled;
mod congestion;
mod settings;

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;

use crate::job::{Job, Ready};

use super::raw::{Stream, Transport, answer};

/// One bidirectional stream of one connection.
pub(crate) struct Quic;

impl Transport for Quic {
    type Send = quinn::SendStream;
    type Recv = quinn::RecvStream;
    type Held = (quinn::Endpoint, quinn::Connection);

    async fn open(job: &Job) -> Result<Stream<Self>, Box<dyn Error>> {
        let held = settings::connect(&job.credentials, job.server()?.addr).await?;
        let (send, recv) = held.1.open_bi().await?;
        Ok(Stream { held, send, recv })
    }

    async fn another(
        (_, connection): &Self::Held,
    ) -> Result<Option<(Self::Send, Self::Recv)>, Box<dyn Error>> {
        Ok(Some(connection.open_bi().await?))
    }

    async fn close((endpoint, connection): Self::Held) {
        connection.close(0u32.into(), b"done");
        endpoint.wait_idle().await;
    }
}

/// Answers frames on every stream of every connection.
pub(crate) fn serve(
    credentials: &Path,
    ip: IpAddr,
) -> Result<(Ready, quinn::Endpoint), Box<dyn Error>> {
    let endpoint = settings::server(credentials, ip)?;
    let ready = Ready::here(endpoint.local_addr()?);
    tokio::spawn(accept(endpoint.clone(), |send, recv| async {
        // However the stream ends, it has ended.
        let _ = answer(send, recv).await;
    }));
    Ok((ready, endpoint))
}

/// Runs `each` on every stream of every connection.
async fn accept<F>(
    endpoint: quinn::Endpoint,
    each: impl Fn(quinn::SendStream, quinn::RecvStream) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(incoming) = endpoint.accept().await {
        let each = each.clone();
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                while let Ok((send, recv)) = connection.accept_bi().await {
                    tokio::spawn(each(send, recv));
                }
            }
        });
    }
}
