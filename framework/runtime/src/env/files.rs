//! Files, synchronously. Callers on an async thread go through
//! [`Blocking`](super::Blocking).

use std::fmt::Debug;
use std::io;
use std::path::Path;

/// How [`Files::open`] treats a file that is there or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenMode {
    /// Opens an existing file for reading only.
    Read,
    /// Opens an existing file for reading and writing.
    Write,
    /// Opens a file for reading and writing, and makes an empty one if there is none.
    WriteOrCreate,
    /// Makes an empty file for reading and writing, and fails with
    /// [`io::ErrorKind::AlreadyExists`] if there is one.
    CreateNew,
}

/// A file system.
///
/// Files that are made here are readable and writable by the owner only (mode 0600 on Unix) and
/// folders are closed to everyone else (mode 0700).
///
/// Nothing is durable before [`File::sync`] on the file and, for a file that is new or was renamed,
/// [`Files::sync_dir`] on its folder. A simulator is expected to lose what was not synced.
pub trait Files: Debug + Send + Sync + 'static {
    /// Opens or makes a file.
    ///
    /// # Errors
    /// Those of the file system; see [`OpenMode`] for files that are or are not there.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>>;

    /// Reads a whole file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] for a longer file, of which no more than `bytes_max` bytes
    /// and one are read; otherwise those of the file system.
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Writes and syncs a file that must not exist yet. A failure may leave a part of it behind.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if it does; otherwise those of the file system.
    fn write_new(&self, path: &Path, contents: &[u8]) -> io::Result<()>;

    /// Gives a file a new name, atomically replacing a file that has it already.
    ///
    /// # Errors
    /// Those of the file system. Neither name has changed then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and those above it that are missing.
    ///
    /// # Errors
    /// Those of the file system. A folder that is there already is not an error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none; otherwise those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns whether there is a file or a folder with this name.
    ///
    /// # Errors
    /// Those of the file system, if it cannot tell.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Returns the Unix permission bits, for example `0o600`, or `None` where there are none.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file; otherwise those of the file system.
    fn permission_bits(&self, path: &Path) -> io::Result<Option<u32>>;

    /// Takes the exclusive lock of a file, which is made if it is missing, and waits for it.
    ///
    /// The lock ends with the value returned, and with the process.
    ///
    /// # Errors
    /// Those of the file system.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;

    /// Takes the exclusive lock of a file, which is made if it is missing, without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another holds it; otherwise those of the file system.
    fn try_lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// An open file. It is closed when dropped.
pub trait File: Debug + Send + Sync + 'static {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Returns whether the file has no bytes.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|length| length == 0)
    }

    /// Fills `buf` from the bytes at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before `buf` is full; otherwise those of
    /// the file system.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; a gap after the old end reads as zeros.
    ///
    /// # Errors
    /// Those of the file system. A part may have been written then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// Those of the file system.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes contents and length durable.
    ///
    /// # Errors
    /// Those of the file system. After a failure it is unknown which writes are durable, and a
    /// later success says nothing about them.
    fn sync(&self) -> io::Result<()>;
}

/// A held exclusive lock. Dropping it gives it back.
pub trait FileLock: Debug + Send + Sync + 'static {}
