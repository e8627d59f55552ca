//! The resolver of the operating system.

use crate::env::{self, Lookup};

/// Asks the system, on a thread for blocking work.
#[derive(Debug)]
pub(crate) struct Names;

impl env::Names for Names {
    fn look_up(&self, name: &str) -> Lookup {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
    }
}
