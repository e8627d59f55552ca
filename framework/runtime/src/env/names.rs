//! Looking names up.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// Finds the addresses of hosts by their names.
pub trait Names: Debug + Send + Sync + 'static {
    /// Begins to look up a name with a port, such as `node1.internal:4001`.
    fn look_up(&self, name: &str) -> Lookup;
}

/// What a lookup ends with: the addresses, each with the port that was asked for, or why there are
/// none. It ends by itself, after as long as the resolver tries.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Knows no names.
#[derive(Debug)]
pub(super) struct NoNames;

impl Names for NoNames {
    fn look_up(&self, _: &str) -> Lookup {
        let why = io::Error::new(
            io::ErrorKind::Unsupported,
            "this environment knows no names",
        );
        Box::pin(std::future::ready(Err(why)))
    }
}
