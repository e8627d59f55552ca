//! The disk of a machine: in memory, and forgetful about what was not synced.
//!
//! Names and contents are each kept twice, as they are and as they would be after a loss of power.
//! A crash keeps of every file what was synced, or all of it, or what was synced under a torn piece
//! of what was not: a program must be right with any of these.
//!
//! What a sync that has failed was to write is in the cache as if it were on the disk, and later syncs
//! leave it out, as Linux does (Rebello et al., "Can applications recover from fsync failures?", 2020).
//!
//! Permissions are not simulated, and nothing here blocks: a lock that is held is an error at once. What a
//! disk that is slow or stands still delays is the work that is given away; see [`super::jobs`].

use crate::harness::sometimes::sometimes;
use callboard::env::{File, FileLock, Files, OpenMode};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskTrouble {
    /// What is written is refused.
    WritesFail,
    /// What is written is taken, and never gets to the disk.
    SyncsFail,
    /// There is no room: no file is made, and none gets longer.
    Full,
    /// All work with it takes so much longer.
    Slow(Duration),
    /// No work with it ends before the trouble does.
    Stalled,
}

/// A cloneable handle to the disk of one machine. It survives the crashes of the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, u64>,
    names_synced: BTreeMap<PathBuf, u64>,
    contents: BTreeMap<u64, Contents>,
    folders: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    files_made: u64,
    trouble: Option<DiskTrouble>,
}

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// What the next sync writes: starts and ends of what was written since the last one.
    dirty: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct OpenFile {
    disk: Disk,
    id: u64,
    is_writable: bool,
}

#[derive(Debug)]
struct Lock {
    disk: Disk,
    path: PathBuf,
}

impl Disk {
    /// Loses power: what was not synced may be gone, or torn.
    pub(super) fn crash(&self, rng: &mut SmallRng) {
        let mut state = self.state();
        state.locked.clear();
        if rng.random_bool(0.5) {
            state.names = state.names_synced.clone();
        } else {
            state.names_synced = state.names.clone();
        }
        for contents in state.contents.values_mut() {
            contents.crash(rng);
        }
    }

    /// Takes another disk, with nothing on it, as it would be put into a machine that is off.
    pub(super) fn replace(&self) {
        *self.state() = State::default();
    }

    /// Begins a trouble, or ends it.
    pub(super) fn set_trouble(&self, trouble: Option<DiskTrouble>) {
        self.state().trouble = trouble;
    }

    /// Returns what is wrong at the moment.
    pub(super) fn trouble(&self) -> Option<DiskTrouble> {
        self.state().trouble
    }

    /// # Errors
    /// What a write says now that makes a file longer, or makes one.
    fn check_room(&self) -> io::Result<()> {
        match self.trouble() {
            Some(DiskTrouble::Full) => {
                sometimes!("a-disk-was-full");
                Err(ErrorKind::StorageFull.into())
            }
            _ => self.check_write(),
        }
    }

    /// # Errors
    /// What any write says now.
    fn check_write(&self) -> io::Result<()> {
        match self.trouble() {
            Some(DiskTrouble::WritesFail) => {
                sometimes!("a-write-failed");
                Err(io::Error::other("the disk is broken"))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// What a sync says now.
    fn check_sync(&self) -> io::Result<()> {
        match self.trouble() {
            Some(DiskTrouble::SyncsFail) => {
                sometimes!("a-sync-failed");
                Err(io::Error::other("the disk is broken"))
            }
            _ => self.check_write(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn with<T>(&self, id: u64, act: impl FnOnce(&mut Contents) -> T) -> io::Result<T> {
        self.state()
            .contents
            .get_mut(&id)
            .map(act)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Contents {
    fn crash(&mut self, rng: &mut SmallRng) {
        let kept = match rng.random_range(0..3) {
            0 => self.synced.clone(),
            1 => self.bytes.clone(),
            _ => {
                let torn_at = rng.random_range(0..=self.bytes.len());
                let mut torn = self.bytes[..torn_at].to_vec();
                torn.extend(self.synced.iter().skip(torn_at));
                torn
            }
        };
        self.synced.clone_from(&kept);
        self.bytes = kept;
        self.dirty.clear();
    }

    fn write(&mut self, start: usize, bytes: &[u8]) {
        let end = start + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.dirty.push((start, end));
    }

    fn sync(&mut self) {
        self.synced.resize(self.bytes.len(), 0);
        for (start, end) in self.dirty.drain(..) {
            // What was cut off since is not there any more.
            let end = end.min(self.bytes.len());
            if let Some(bytes) = self.bytes.get(start..end) {
                self.synced[start..end].copy_from_slice(bytes);
            }
        }
    }
}

impl State {
    fn make(&mut self, path: &Path) -> io::Result<u64> {
        let folder = path.parent().unwrap_or(Path::new(""));
        if !self.folders.contains(folder) && folder != Path::new("") && folder != Path::new("/") {
            return Err(ErrorKind::NotFound.into());
        }
        self.files_made += 1;
        self.names.insert(path.to_owned(), self.files_made);
        self.contents.insert(self.files_made, Contents::default());
        Ok(self.files_made)
    }
}

impl Files for Disk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let known = self.state().names.get(path).copied();
        if known.is_none() && mode != OpenMode::Read {
            self.check_room()?;
        }
        let mut state = self.state();
        let id = match (mode, known) {
            (OpenMode::CreateNew, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::WriteOrCreate | OpenMode::CreateNew, None) => state.make(path)?,
            (_, Some(id)) => id,
            (_, None) => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            id,
            is_writable: mode != OpenMode::Read,
        }))
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let state = self.state();
        let contents = state.names.get(path).and_then(|id| state.contents.get(id));
        let bytes = &contents.ok_or(ErrorKind::NotFound)?.bytes;
        if bytes.len() > bytes_max {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.clone())
    }

    fn write_new(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let file = self.open(path, OpenMode::CreateNew)?;
        file.write_at(0, contents)?;
        file.sync()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_write()?;
        let mut state = self.state();
        let id = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check_sync()?;
        let mut state = self.state();
        let is_inside = |name: &Path| name.parent() == Some(path);
        let State {
            names,
            names_synced,
            ..
        } = &mut *state;
        names_synced.retain(|name, _| !is_inside(name));
        names_synced.extend(
            names
                .iter()
                .filter(|(name, _)| is_inside(name))
                .map(|(name, id)| (name.clone(), *id)),
        );
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.state()
            .folders
            .extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state()
            .names
            .remove(path)
            .map(drop)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        Ok(state.names.contains_key(path) || state.folders.contains(path))
    }

    fn permission_bits(&self, path: &Path) -> io::Result<Option<u32>> {
        if self.exists(path)? {
            Ok(None)
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.try_lock(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        if !self.exists(path)? {
            self.open(path, OpenMode::WriteOrCreate)?;
        }
        if !self.state().locked.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}

impl OpenFile {
    fn write<T>(&self, act: impl FnOnce(&mut Contents) -> T) -> io::Result<T> {
        if !self.is_writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.disk.check_write()?;
        self.disk.with(self.id, act)
    }
}

impl File for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.disk
            .with(self.id, |contents| contents.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = to_index(offset)?;
        self.disk.with(self.id, |contents| {
            let end = start
                .checked_add(buf.len())
                .ok_or(ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(
                contents
                    .bytes
                    .get(start..end)
                    .ok_or(ErrorKind::UnexpectedEof)?,
            );
            Ok(())
        })?
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = to_index(offset)?;
        let end = start
            .checked_add(bytes.len())
            .ok_or(ErrorKind::FileTooLarge)?;
        if end as u64 > self.len()?
            && let Err(full) = self.disk.check_room()
        {
            // Half of it finds room, as it goes.
            self.write(|contents| contents.write(start, &bytes[..bytes.len() / 2]))?;
            return Err(full);
        }
        self.write(|contents| contents.write(start, bytes))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = to_index(length)?;
        self.write(|contents| contents.bytes.resize(length, 0))
    }

    fn sync(&self) -> io::Result<()> {
        let failed = self.disk.check_sync();
        self.disk.with(self.id, |contents| match failed {
            Ok(()) => contents.sync(),
            // The cache takes it for written.
            Err(_) => contents.dirty.clear(),
        })?;
        failed
    }
}

impl FileLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}

fn to_index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Seed;

    #[test]
    fn what_was_synced_survives_every_crash() -> io::Result<()> {
        for seed in 0..32 {
            let disk = Disk::default();
            let path = Path::new("/data/state");
            disk.create_dir_all(Path::new("/data"))?;
            disk.write_new(path, b"first")?;
            disk.sync_dir(Path::new("/data"))?;
            disk.open(path, OpenMode::Write)?.write_at(0, b"other")?;
            disk.crash(&mut Seed(seed).stream("crash"));
            let read = disk.read(path, 64)?;
            assert_eq!(read.len(), 5);
            assert!(
                read.iter()
                    .zip(b"first".iter().zip(b"other"))
                    .all(|(c, (a, b))| c == a || c == b)
            );
        }
        Ok(())
    }

    #[test]
    fn what_a_failed_sync_was_to_write_is_left_out_by_the_next_one() -> io::Result<()> {
        let disk = Disk::default();
        disk.create_dir_all(Path::new("/data"))?;
        let path = Path::new("/data/state");
        disk.write_new(path, b"first")?;
        disk.sync_dir(Path::new("/data"))?;
        let file = disk.open(path, OpenMode::Write)?;
        file.write_at(5, b"second")?;
        disk.set_trouble(Some(DiskTrouble::SyncsFail));
        assert!(file.sync().is_err());
        disk.set_trouble(None);
        file.write_at(11, b"third")?;
        file.sync()?;
        assert_eq!(disk.read(path, 64)?, b"firstsecondthird");
        let synced = disk.with(1, |contents| contents.synced.clone())?;
        assert_eq!(synced, b"first\0\0\0\0\0\0third");
        Ok(())
    }

    #[test]
    fn a_full_disk_takes_half_of_what_makes_a_file_longer_and_what_does_not() -> io::Result<()> {
        let disk = Disk::default();
        disk.create_dir_all(Path::new("/data"))?;
        let path = Path::new("/data/state");
        disk.write_new(path, b"first")?;
        disk.set_trouble(Some(DiskTrouble::Full));
        let file = disk.open(path, OpenMode::Write)?;
        file.write_at(0, b"other")?;
        file.sync()?;
        let error = file.write_at(5, b"four").expect_err("there is no room");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(disk.read(path, 64)?, b"otherfo");
        assert!(disk.write_new(Path::new("/data/other"), b"").is_err());
        Ok(())
    }

    #[test]
    fn a_held_lock_refuses_a_second_holder_until_it_is_dropped() -> io::Result<()> {
        let disk = Disk::default();
        let held = disk.try_lock(Path::new("/lock"))?;
        assert!(disk.try_lock(Path::new("/lock")).is_err());
        drop(held);
        assert!(disk.try_lock(Path::new("/lock")).is_ok());
        Ok(())
    }
}
