//! The log and the snapshot of a group as files.
//!
//! | file | what | written |
//! | --- | --- | --- |
//! | `lock` | locked for as long as the group is open | never |
//! | `log` | term, vote and entries, see `frames` | a frame is appended and synced; or anew, aside, and renamed |
//! | `snapshot` | the state up to an entry, and who were members | anew, aside, and renamed |
//! | `log.new`, `snapshot.new` | one that was not finished | removed on opening |
//!
//! The snapshot is on the disk BEFORE the log loses what it covers. Between the two, the log still
//! has entries that the snapshot covers, or, after one that came from the leader, entries that it
//! contradicts; opening leaves them out. Opening writes the log anew: what a sync that failed was to write
//! may be read as if it were on the disk, and later syncs leave it out (Rebello et al., "Can applications
//! recover from fsync failures?", USENIX ATC 2020). Decides nothing about Raft. Depends on `env` and `frames`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callboard_protocol::id::DiskId;
use callboard_protocol::slots::State;
use raft::eraftpb::{Entry, HardState, Snapshot};
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Cursor, put_bytes, put_u32, put_u64};
use super::error::Error;
use super::frames::{self, Head};
use super::record::{SNAPSHOT_BYTES_MAX, put_snapshot, read_snapshot};
use crate::env::{Entropy, Env, File, FileLock, Files, OpenMode};

/// The files of one group, which nobody else has open.
#[derive(Debug)]
pub(super) struct Disk {
    files: Arc<dyn Files>,
    entropy: Arc<dyn Entropy>,
    folder: PathBuf,
    log: Box<dyn File>,
    head: Head,
    sequence: u64,
    end: u64,
    _lock: Box<dyn FileLock>,
}

/// What the files held when they were opened.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) hard: HardState,
    /// The last snapshot; the empty one if there was none.
    pub(super) snapshot: Snapshot,
    pub(super) state: State,
    /// The entries behind the snapshot.
    pub(super) entries: Vec<Entry>,
}

/// The same, and where the log goes on.
#[derive(Debug)]
struct Read {
    head: Head,
    sequence: u64,
    end: u64,
    recovered: Recovered,
}

impl Disk {
    /// Opens the files in a folder, or makes them, with a new id of the disk.
    pub(super) fn open(env: &Env, folder: &Path) -> Result<(Self, Recovered), Error> {
        let files = Arc::clone(&env.files);
        let lock = prepare(&*files, folder)?;
        let (read, is_new) = match read_files(&*files, folder)? {
            Some(read) => (read, false),
            None => {
                let disk = DiskId(env.entropy.next_u64().max(1));
                let head = new_head(&*env.entropy, disk);
                let hard = HardState::default();
                let end = write_log(&*files, folder, head, &hard, &[])?;
                (Read::new(head, end), true)
            }
        };
        let log_path = folder.join("log");
        let log = files
            .open(&log_path, OpenMode::Write)
            .map_err(|error| Error::io(&log_path, &error))?;
        let mut disk = Self {
            files,
            entropy: Arc::clone(&env.entropy),
            folder: folder.to_owned(),
            log,
            head: read.head,
            sequence: read.sequence,
            end: read.end,
            _lock: lock,
        };
        let recovered = read.recovered;
        if !is_new {
            disk.replace_log(&recovered.hard, &recovered.entries)?;
        }
        Ok((disk, recovered))
    }

    /// Appends a frame. It is durable when this returns, unless `synced` is false.
    ///
    /// After an error it is unknown what the disk has, and nothing may be appended any more.
    pub(super) fn append(
        &mut self,
        hard: &HardState,
        entries: &[Entry],
        synced: bool,
    ) -> Result<(), Error> {
        let frame = frames::frame(self.head, self.sequence, hard, entries);
        let mut written = self.log.write_at(self.end, &frame);
        if synced {
            written = written.and_then(|()| self.log.sync());
        }
        written.map_err(|error| Error::io(self.folder.join("log"), &error))?;
        self.end += frame.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    /// Replaces the snapshot, and the log by one with these entries, which follow it.
    pub(super) fn replace(
        &mut self,
        snapshot: &Snapshot,
        hard: &HardState,
        entries: &[Entry],
    ) -> Result<(), Error> {
        let bytes = snapshot_file(self.head.disk, snapshot);
        write_anew(&*self.files, &self.folder, "snapshot", &bytes)?;
        // AFTER the snapshot is durable: the log may lose what it covers.
        self.replace_log(hard, entries)
    }

    fn replace_log(&mut self, hard: &HardState, entries: &[Entry]) -> Result<(), Error> {
        let head = new_head(&*self.entropy, self.head.disk);
        let end = write_log(&*self.files, &self.folder, head, hard, entries)?;
        let path = self.folder.join("log");
        let log = self.files.open(&path, OpenMode::Write);
        self.log = log.map_err(|error| Error::io(path, &error))?;
        (self.head, self.end, self.sequence) = (head, end, 1);
        Ok(())
    }

    pub(super) fn id(&self) -> DiskId {
        self.head.disk
    }

    /// Returns the length of the log in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        self.end
    }
}

impl Read {
    /// Returns what a log of one frame without entries holds.
    fn new(head: Head, end: u64) -> Self {
        let recovered = Recovered {
            hard: HardState::default(),
            snapshot: Snapshot::default(),
            state: State::new(),
            entries: Vec::new(),
        };
        Self {
            head,
            sequence: 1,
            end,
            recovered,
        }
    }
}

/// Reads the files in a folder as they are, without a lock; nothing when there are none.
pub(super) fn look(files: &dyn Files, folder: &Path) -> Result<Option<(DiskId, Recovered)>, Error> {
    let read = read_files(files, folder)?;
    Ok(read.map(|it| (it.head.disk, it.recovered)))
}

/// Writes the files of a group that has this snapshot and nothing else, for another disk, into a folder
/// that no group has.
pub(super) fn write_new(
    env: &Env,
    folder: &Path,
    disk: DiskId,
    snapshot: &Snapshot,
    hard: &HardState,
) -> Result<(), Error> {
    make(&*env.files, folder)?;
    let bytes = snapshot_file(disk, snapshot);
    write_anew(&*env.files, folder, "snapshot", &bytes)?;
    let head = new_head(&*env.entropy, disk);
    write_log(&*env.files, folder, head, hard, &[])?;
    Ok(())
}

/// Copies the files of a group byte by byte into another folder, in the place of what is there. They are on
/// the disk when this returns. Blocks.
///
/// # Errors
/// `Io`, or `Unreadable` for a file that is too long to be one.
pub(crate) fn copy(files: &dyn Files, from: &Path, to: &Path) -> Result<(), Error> {
    make(files, to)?;
    for (name, bytes_max) in FILES {
        let path = from.join(name);
        if is_there(files, &path)? {
            write_anew(files, to, name, &read(files, &path, bytes_max)?)?;
        }
    }
    Ok(())
}

/// Removes the files of a folder that no group has any more. Blocks.
///
/// # Errors
/// `Io`. Some of them may be left.
pub(crate) fn remove(files: &dyn Files, folder: &Path) -> Result<(), Error> {
    // The log first: without its snapshot it might be taken for a whole one.
    for (name, _) in FILES.into_iter().rev() {
        remove_if_there(files, &folder.join(name))?;
    }
    let synced = files.sync_dir(folder);
    synced.map_err(|error| Error::io(folder, &error))
}

fn read_files(files: &dyn Files, folder: &Path) -> Result<Option<Read>, Error> {
    let (log_path, snapshot_path) = (folder.join("log"), folder.join("snapshot"));
    let has_snapshot = is_there(files, &snapshot_path)?;
    if !is_there(files, &log_path)? {
        if has_snapshot {
            let why = "it is missing beside a snapshot";
            return Err(Error::unreadable(log_path, why));
        }
        return Ok(None);
    }
    let bytes = read(files, &log_path, LOG_BYTES_MAX)?;
    let contents = frames::parse(&bytes).map_err(|why| Error::unreadable(&log_path, why))?;
    let (snapshot, state) = match has_snapshot {
        true => read_snapshot_file(files, &snapshot_path, contents.head.disk)?,
        false => (Snapshot::default(), State::new()),
    };
    let (hard, entries) = join(contents.hard, contents.entries, &snapshot)
        .map_err(|why| Error::unreadable(&log_path, why))?;
    let recovered = Recovered {
        hard,
        snapshot,
        state,
        entries,
    };
    Ok(Some(Read {
        head: contents.head,
        sequence: contents.sequence,
        end: contents.end as u64,
        recovered,
    }))
}

/// Makes the folder, locks it, and removes what was not finished.
fn prepare(files: &dyn Files, folder: &Path) -> Result<Box<dyn FileLock>, Error> {
    make(files, folder)?;
    let lock = files.try_lock(&folder.join("lock")).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            Error::Locked(folder.to_owned())
        } else {
            Error::io(folder, &error)
        }
    })?;
    for name in ["log.new", "snapshot.new"] {
        remove_if_there(files, &folder.join(name))?;
    }
    Ok(lock)
}

fn make(files: &dyn Files, folder: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io(folder, &error);
    files.create_dir_all(folder).map_err(failed)?;
    match folder.parent().filter(|it| !it.as_os_str().is_empty()) {
        Some(parent) => files.sync_dir(parent).map_err(failed),
        None => Ok(()),
    }
}

/// Leaves out what the snapshot covers or contradicts, as section 7 of the Raft paper has it
/// (Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014).
fn join(
    mut hard: HardState,
    mut entries: Vec<Entry>,
    snapshot: &Snapshot,
) -> Result<(HardState, Vec<Entry>), &'static str> {
    let (index, term) = (snapshot.get_metadata().index, snapshot.get_metadata().term);
    let base = entries.first().map_or(index + 1, |entry| entry.index);
    if base > index + 1 {
        return Err("entries between the snapshot and the log are missing");
    }
    if base <= index {
        let at = usize::try_from(index - base).unwrap_or(usize::MAX);
        if entries.get(at).is_some_and(|entry| entry.term == term) {
            entries.drain(..=at);
        } else {
            entries.clear();
        }
    }
    if hard.term < term {
        // Whoever has seen a term votes in it only after it is on the disk: this one never did.
        (hard.term, hard.vote) = (term, 0);
    }
    let last = entries.last().map_or(index, |entry| entry.index);
    hard.commit = hard.commit.clamp(index, last);
    Ok((hard, entries))
}

fn new_head(entropy: &dyn Entropy, disk: DiskId) -> Head {
    Head {
        disk,
        salt: entropy.next_u64(),
    }
}

/// Writes a log of one frame; returns its length.
fn write_log(
    files: &dyn Files,
    folder: &Path,
    head: Head,
    hard: &HardState,
    entries: &[Entry],
) -> Result<u64, Error> {
    let mut bytes = head.encode();
    bytes.extend_from_slice(&frames::frame(head, 0, hard, entries));
    write_anew(files, folder, "log", &bytes)?;
    Ok(bytes.len() as u64)
}

/// Writes a file aside, and gives it its name when it is on the disk.
fn write_anew(files: &dyn Files, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
    remove_if_there(files, &new)?;
    let written = files
        .write_new(&new, bytes)
        .and_then(|()| files.rename(&new, &path))
        .and_then(|()| files.sync_dir(folder));
    written.map_err(|error| Error::io(path, &error))
}

fn is_there(files: &dyn Files, path: &Path) -> Result<bool, Error> {
    files.exists(path).map_err(|error| Error::io(path, &error))
}

fn remove_if_there(files: &dyn Files, path: &Path) -> Result<(), Error> {
    match files.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, &error)),
        _ => Ok(()),
    }
}

fn read(files: &dyn Files, path: &Path, bytes_max: usize) -> Result<Vec<u8>, Error> {
    files.read(path, bytes_max).map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge {
            Error::unreadable(path, format!("it has more than {bytes_max} bytes"))
        } else {
            Error::io(path, &error)
        }
    })
}

fn snapshot_file(disk: DiskId, snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = SNAPSHOT_MAGIC.to_vec();
    put_u32(&mut bytes, SNAPSHOT_VERSION);
    put_u64(&mut bytes, disk.0);
    let mut payload = Vec::new();
    put_snapshot(&mut payload, snapshot);
    put_bytes(&mut bytes, &payload);
    let sum = xxh3_64(&bytes);
    put_u64(&mut bytes, sum);
    bytes
}

/// Parses a snapshot file of this disk.
pub(super) fn parse_snapshot(disk: DiskId, bytes: &[u8]) -> Result<(Snapshot, State), String> {
    let damaged = || "it is damaged, or it is another file".to_owned();
    let at = bytes.len().checked_sub(8).ok_or_else(damaged)?;
    let (body, sum) = bytes.split_at(at);
    if sum != xxh3_64(body).to_le_bytes() || !body.starts_with(SNAPSHOT_MAGIC) {
        return Err(damaged());
    }
    let mut cursor = Cursor::new(&body[SNAPSHOT_MAGIC.len()..]);
    let version = cursor.length(usize::MAX);
    if version != Ok(SNAPSHOT_VERSION) {
        return Err("a later version has written it".to_owned());
    }
    if cursor.u64() != Ok(disk.0) {
        return Err("it is of another disk than the log".to_owned());
    }
    let mut read = || {
        let mut payload = Cursor::new(cursor.bytes(usize::MAX)?);
        let read = read_snapshot(&mut payload)?;
        payload.finish()?;
        Ok(read)
    };
    read().map_err(|error: super::error::MessageError| error.to_string())
}

fn read_snapshot_file(
    files: &dyn Files,
    path: &Path,
    disk: DiskId,
) -> Result<(Snapshot, State), Error> {
    let bytes = read(files, path, SNAPSHOT_FILE_BYTES_MAX)?;
    parse_snapshot(disk, &bytes).map_err(|why| Error::unreadable(path, why))
}

/// The longest log that is read, in bytes: 256 MiB. It is cut long before, at
/// [`Config::log_bytes`](super::Config), by a snapshot of what is applied.
const LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The longest file of a snapshot, in bytes: the state, and the head with who were members.
const SNAPSHOT_FILE_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX + 4096;

/// The files of a group, in the order in which they are written, and the longest that they may be.
const FILES: [(&str, usize); 2] = [
    ("snapshot", SNAPSHOT_FILE_BYTES_MAX),
    ("log", LOG_BYTES_MAX),
];

const SNAPSHOT_MAGIC: &[u8; 8] = b"CBCTRSNP";
const SNAPSHOT_VERSION: usize = 1;
