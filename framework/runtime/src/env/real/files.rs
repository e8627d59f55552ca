//! The file system.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::env::{self, OpenMode};

/// The system's files.
#[derive(Debug)]
pub(crate) struct Files;

impl env::Files for Files {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn env::File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::WriteOrCreate => options.write(true).create(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(Box::new(File(options.open(path)?)))
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        let limit = u64::try_from(bytes_max)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        fs::File::open(path)?
            .take(limit)
            .read_to_end(&mut contents)?;
        if contents.len() > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(contents)
    }

    fn write_new(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let file = self.open(path, OpenMode::CreateNew)?;
        file.write_at(0, contents)?;
        file.sync()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn permission_bits(&self, path: &Path) -> io::Result<Option<u32>> {
        Ok(Some(fs::metadata(path)?.permissions().mode() & 0o7777))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn env::FileLock>> {
        let file = lock_file(path)?;
        file.lock()?;
        Ok(Box::new(Lock { _file: file }))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Box<dyn env::FileLock>> {
        let file = lock_file(path)?;
        file.try_lock()?;
        Ok(Box::new(Lock { _file: file }))
    }
}

/// The lock file's contents are not touched: another holder may have written to it.
fn lock_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[derive(Debug)]
struct File(fs::File);

impl env::File for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// The system gives the lock back when the file is closed.
#[derive(Debug)]
struct Lock {
    _file: fs::File,
}

impl env::FileLock for Lock {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Files as _;

    #[test]
    fn a_new_file_is_for_the_owner_only_and_is_made_once() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let folder = dir.path().join("a/b");
        Files.create_dir_all(&folder).expect("make the folder");
        let path = folder.join("key");
        Files.write_new(&path, b"secret").expect("write the file");
        assert_eq!(Files.permission_bits(&path).expect("bits"), Some(0o600));
        assert_eq!(Files.permission_bits(&folder).expect("bits"), Some(0o700));
        let again = Files.write_new(&path, b"other").expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(Files.read(&path, 6).expect("read"), b"secret");
        let short = Files.read(&path, 5).expect_err("it is longer");
        assert_eq!(short.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn positioned_writes_extend_the_file_with_zeros() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let path = dir.path().join("f");
        let file = Files.open(&path, OpenMode::WriteOrCreate).expect("open");
        file.write_at(2, b"xy").expect("write");
        let mut all = [9; 4];
        file.read_at(0, &mut all).expect("read");
        assert_eq!(&all, b"\0\0xy");
        file.set_len(1).expect("cut");
        let end = file.read_at(0, &mut all).expect_err("too short now");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let path = dir.path().join("lock");
        let held = Files.try_lock(&path).expect("free");
        let taken = Files.try_lock(&path).expect_err("held");
        assert_eq!(taken.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        Files.try_lock(&path).expect("free again");
    }
}
