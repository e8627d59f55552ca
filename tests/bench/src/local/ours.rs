//! Callboard: spawned actors of one node, with bounded mailboxes, deadlines and metrics.

use std::error::Error;

use callboard::prelude::*;

use super::Target;
use crate::credentials;
use crate::job::Job;

/// Adds numbers up.
#[derive(Debug, Default, Actor)]
pub(crate) struct Sum {
    sum: u64,
}

#[handlers]
impl Sum {
    /// Adds a number and returns the sum.
    pub fn add(&mut self, number: u64) -> u64 {
        self.sum += number;
        self.sum
    }
}

pub(super) struct Home(Node);

impl super::Home for Home {
    type Target = SumRef;

    async fn open(job: &Job) -> Result<Self, Box<dyn Error>> {
        let node = Node::builder()
            .identity(credentials::ours(&job.credentials, "server")?)
            .start()
            .await?;
        Ok(Self(node))
    }

    async fn spawn(&self) -> Result<SumRef, Box<dyn Error>> {
        Ok(self.0.spawn::<Sum>())
    }

    async fn close(self) {
        self.0.stop().await;
    }
}

impl Target for SumRef {
    async fn send(&self, number: u64) -> bool {
        self.add(number).send().await.is_ok()
    }

    async fn call(&self, number: u64) -> Option<u64> {
        self.add(number).await.ok()
    }
}
