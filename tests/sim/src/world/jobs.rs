//! Work that would block: on the one thread there is, as late as the machine's disk lets it.

use super::disk::{Disk, DiskTrouble};
use crate::harness::sometimes::sometimes;
use callboard::env::{Blocking, Job};
use std::time::Duration;

/// Runs work at once, while nothing is wrong with the disk: all that nodes give away is work with it.
///
/// Work that is late begins late. What has begun and is not over when the power fails is told apart from
/// that only by what was not synced, of which a crash makes anything anyhow.
#[derive(Debug)]
pub(super) struct Jobs(pub(super) Disk);

impl Blocking for Jobs {
    fn run(&self, _name: &'static str, job: Job) {
        match self.0.trouble() {
            Some(DiskTrouble::Stalled) => {
                sometimes!("a-disk-stood-still");
                let disk = self.0.clone();
                tokio::spawn(async move {
                    while disk.trouble() == Some(DiskTrouble::Stalled) {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    job();
                });
            }
            Some(DiskTrouble::Slow(span)) => {
                sometimes!("a-disk-was-slow");
                tokio::spawn(async move {
                    tokio::time::sleep(span).await;
                    job();
                });
            }
            _ => job(),
        }
    }
}

/// A tick.
const LOOK_EVERY: Duration = Duration::from_millis(1);
