//! A disk in memory that loses or tears what was not synced, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Random;
use crate::env::{File, FileLock, Files, OpenMode};

/// A handle to one disk; it survives the crashes of its machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    names: BTreeMap<PathBuf, usize>,
    names_synced: BTreeMap<PathBuf, usize>,
    files: Vec<Contents>,
    locked: BTreeSet<PathBuf>,
    syncs: u64,
    /// How many writes and syncs go well until all fail.
    good_left: Option<u64>,
}

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug)]
struct OpenFile(TestDisk, usize);

#[derive(Debug)]
struct Lock(TestDisk, PathBuf);

impl TestDisk {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses power: of what was not synced, nothing, all, or a torn piece is left.
    pub(crate) fn crash(&self, random: &mut Random) {
        let mut shared = self.shared();
        shared.locked.clear();
        shared.good_left = None;
        if random.one_in(2) {
            shared.names = shared.names_synced.clone();
        } else {
            shared.names_synced = shared.names.clone();
        }
        for contents in &mut shared.files {
            let kept = match random.below(3) {
                0 => contents.synced.clone(),
                1 => contents.bytes.clone(),
                _ => {
                    let torn_at = random.below(contents.bytes.len() + 1);
                    let mut torn = contents.bytes[..torn_at].to_vec();
                    torn.extend(contents.synced.iter().skip(torn_at));
                    torn
                }
            };
            contents.synced.clone_from(&kept);
            contents.bytes = kept;
        }
    }

    /// Fails every write and sync AFTER this many.
    pub(crate) fn fail_after(&self, good: u64) {
        self.shared().good_left = Some(good);
    }

    pub(super) fn syncs(&self) -> u64 {
        self.shared().syncs
    }

    /// Changes the bytes of a file, synced ones too.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shared = self.shared();
        let id = shared.names[path];
        let contents = &mut shared.files[id];
        change(&mut contents.bytes);
        contents.synced.clone_from(&contents.bytes);
    }

    /// Returns all files with what they hold.
    pub(crate) fn all(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let shared = self.shared();
        let names = shared.names.iter();
        names
            .map(|(name, id)| (name.clone(), shared.files[*id].bytes.clone()))
            .collect()
    }

    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        let shared = self.shared();
        shared.files[shared.names[path]].bytes.clone()
    }
}

impl Shared {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.good_left {
            Some(0) => Err(io::Error::other("the disk is broken")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Files for TestDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let mut shared = self.shared();
        let id = match (mode, shared.names.get(path).copied()) {
            (OpenMode::CreateNew, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::WriteOrCreate | OpenMode::CreateNew, None) => {
                let id = shared.files.len();
                shared.files.push(Contents::default());
                shared.names.insert(path.to_owned(), id);
                id
            }
            (_, Some(id)) => id,
            (_, None) => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Box::new(OpenFile(self.clone(), id)))
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let shared = self.shared();
        let id = *shared.names.get(path).ok_or(ErrorKind::NotFound)?;
        let bytes = &shared.files[id].bytes;
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
        let mut shared = self.shared();
        shared.spend()?;
        let id = shared.names.remove(from).ok_or(ErrorKind::NotFound)?;
        shared.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut shared = self.shared();
        shared.spend()?;
        shared.names_synced = shared.names.clone();
        Ok(())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.shared().names.remove(path);
        removed.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.shared().names.contains_key(path))
    }

    fn permission_bits(&self, _: &Path) -> io::Result<Option<u32>> {
        Ok(None)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.try_lock(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        if !self.shared().locked.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(self.clone(), path.to_owned())))
    }
}

impl File for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.shared().files[self.1].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).expect("small");
        let shared = self.0.shared();
        let range = shared.files[self.1].bytes.get(start..start + buf.len());
        buf.copy_from_slice(range.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut shared = self.0.shared();
        let good = shared.spend();
        let start = usize::try_from(offset).expect("small");
        // A write that fails leaves half of it behind.
        let bytes = &bytes[..if good.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        }];
        let contents = &mut shared.files[self.1].bytes;
        if contents.len() < start + bytes.len() {
            contents.resize(start + bytes.len(), 0);
        }
        contents[start..start + bytes.len()].copy_from_slice(bytes);
        good
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).expect("small");
        let mut shared = self.0.shared();
        shared.spend()?;
        shared.files[self.1].bytes.resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut shared = self.0.shared();
        shared.spend()?;
        shared.syncs += 1;
        let contents = &mut shared.files[self.1];
        contents.synced.clone_from(&contents.bytes);
        Ok(())
    }
}

impl FileLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.shared().locked.remove(&self.1);
    }
}
