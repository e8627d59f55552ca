//! The frames of [`raw`](super::raw) on one TCP connection with TLS.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::frames::Sink;
use super::raw::{Stream, Transport, answer};
use crate::credentials::{self, SERVER_NAME};
use crate::job::{Job, Ready};

/// One TCP connection with TLS.
pub(crate) struct TcpTls;

impl Transport for TcpTls {
    type Send = WriteHalf<client::TlsStream<TcpStream>>;
    type Recv = ReadHalf<client::TlsStream<TcpStream>>;
    type Held = ();

    async fn open(job: &Job) -> Result<Stream<Self>, Box<dyn Error>> {
        let stream = connect(job).await?;
        let (recv, send) = tokio::io::split(stream);
        Ok(Stream {
            held: (),
            send,
            recv,
        })
    }

    async fn another((): &()) -> Result<Option<(Self::Send, Self::Recv)>, Box<dyn Error>> {
        Ok(None)
    }

    async fn close((): ()) {}
}

impl Sink for WriteHalf<client::TlsStream<TcpStream>> {
    async fn write_pieces(&mut self, pieces: &mut [Bytes]) -> io::Result<()> {
        write(self, pieces).await
    }
}

impl Sink for WriteHalf<server::TlsStream<TcpStream>> {
    async fn write_pieces(&mut self, pieces: &mut [Bytes]) -> io::Result<()> {
        write(self, pieces).await
    }
}

async fn write<W: AsyncWriteExt + Unpin>(to: &mut W, pieces: &[Bytes]) -> io::Result<()> {
    for piece in pieces {
        to.write_all(piece).await?;
    }
    to.flush().await
}

/// Dials with TLS.
pub(crate) async fn connect(job: &Job) -> Result<client::TlsStream<TcpStream>, Box<dyn Error>> {
    let connector = connector(&job.credentials)?;
    let stream = TcpStream::connect(job.server()?.addr).await?;
    stream.set_nodelay(true)?;
    Ok(connector.connect(server_name()?, stream).await?)
}

/// What dials with TLS, for those who bring their own sockets.
pub(crate) fn connector(credentials: &Path) -> Result<TlsConnector, Box<dyn Error>> {
    Ok(Arc::new(credentials::client(credentials, ALPN)?).into())
}

/// What accepts TLS.
pub(crate) fn acceptor(credentials: &Path) -> Result<TlsAcceptor, Box<dyn Error>> {
    Ok(Arc::new(credentials::server(credentials, ALPN)?).into())
}

/// The name that servers are asked for.
pub(crate) fn server_name() -> Result<ServerName<'static>, Box<dyn Error>> {
    Ok(ServerName::try_from(SERVER_NAME)?)
}

/// Answers frames on every connection.
pub(crate) async fn serve(credentials: &Path, ip: IpAddr) -> Result<Ready, Box<dyn Error>> {
    accept(credentials, ip, |stream| async {
        let (recv, send) = tokio::io::split(stream);
        // However the stream ends, it has ended.
        let _ = answer(send, recv).await;
    })
    .await
}

/// Runs `each` on every connection.
pub(crate) async fn accept<F>(
    credentials: &Path,
    ip: IpAddr,
    each: impl Fn(server::TlsStream<TcpStream>) -> F + Send + Sync + Clone + 'static,
) -> Result<Ready, Box<dyn Error>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = acceptor(credentials)?;
    let listener = TcpListener::bind((ip, 0)).await?;
    let ready = Ready::here(listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, each) = (acceptor.clone(), each.clone());
            tokio::spawn(async move {
                if stream.set_nodelay(true).is_ok()
                    && let Ok(stream) = acceptor.accept(stream).await
                {
                    each(stream).await;
                }
            });
        }
    });
    Ok(ready)
}

const ALPN: &[u8] = b"bench/1";
