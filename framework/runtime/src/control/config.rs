//! The times and bounds of a group, and the library's part of a member that goes by them.
//!
//! Depends on `memory`, `timeout` and the library.

use callboard_protocol::id::DiskId;
use raft::RawNode;

use super::error::Error;
use super::memory::Memory;
use super::timeout::NEVER_TICKS;

/// The times of a group, in ticks, and when it makes a snapshot.
///
/// How long a tick is is the driver's choice. The election of `membership::Profile` bounds
/// `election_ticks`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// A member that has heard of no leader for this time, or up to twice that, campaigns; a leader
    /// that has heard of no quorum for this time steps down. At least 2, and more than
    /// `heartbeat_ticks`; 10 by default. Fewer find a lost leader sooner, and take a slow one for
    /// lost.
    pub election_ticks: usize,
    /// A leader sends heartbeats at this interval. At least 1; 2 by default.
    pub heartbeat_ticks: usize,
    /// A snapshot is made when so many entries are applied that the last one does not cover: 4096
    /// by default. Fewer make a start shorter, and write the state more often.
    pub snapshot_entries: u64,
    /// And when the log has this length, in bytes: 4 MiB by default.
    pub log_bytes: u64,
    /// How many entries that a snapshot covers are kept in memory for members that are a little
    /// behind, who would get the whole state otherwise: 1024 by default.
    pub kept_entries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            election_ticks: 10,
            heartbeat_ticks: 2,
            snapshot_entries: 4096,
            log_bytes: 4 * 1024 * 1024,
            kept_entries: 1024,
        }
    }
}

/// Makes the library's part of a member.
pub(super) fn library(
    config: Config,
    id: DiskId,
    memory: Memory,
) -> Result<RawNode<Memory>, Error> {
    let config = raft::Config {
        id: id.0,
        applied: memory.snapshot_of().get_metadata().index,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        min_election_tick: NEVER_TICKS,
        max_election_tick: NEVER_TICKS + 1,
        max_size_per_msg: MESSAGE_ENTRIES_BYTES,
        max_inflight_msgs: INFLIGHT_MESSAGES,
        check_quorum: true,
        pre_vote: true,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        ..raft::Config::default()
    };
    // What it would log is what the driver sees.
    let silent = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, memory, &silent).map_err(|error| Error::Contradiction(error.to_string()))
}

/// How many bytes of commands a leader holds that are not committed: 16 MiB.
pub(super) const UNCOMMITTED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How many bytes of entries a message has, one entry aside: 256 KiB. A longer one is lost more
/// easily, and takes the line from heartbeats.
const MESSAGE_ENTRIES_BYTES: u64 = 256 * 1024;

/// How many messages with entries are on their way to one member without an answer.
const INFLIGHT_MESSAGES: usize = 64;
