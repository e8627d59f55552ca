//! Large bodies: a file streamed up and down with progress, and a body of some megabytes in one call.
//!
//! ```text
//! cargo run --example files -- --mib 256
//! ```
//!
//! A stream is flow-controlled end to end: neither side holds more than a window of it in memory,
//! whatever its length. A body in one call is limited (64 MiB unless configured) and in memory as a
//! whole on both sides. Neither holds up small calls on the same link.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callboard::prelude::*;
use callboard_examples::progress::{Progress, bytes_text};
use clap::Parser;
use futures_util::{StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Streams a file to a node and back, and shows how far it is.
#[derive(Debug, Parser)]
#[command(name = "files")]
struct Args {
    /// The length of the file in MiB
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    mib: u64,
}

// ANCHOR: store
/// Keeps files in a directory.
#[derive(Service)]
struct FileStore {
    directory: PathBuf,
}

/// What a store has taken.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
struct Stored {
    bytes: u64,
    checksum: u64,
}

/// Why a store cannot.
#[derive(Clone, Debug, PartialEq, Eq, Wire, thiserror::Error)]
enum StoreError {
    #[error("`{0}` is not a name for a file")]
    BadName(String),
    #[error("the disk says: {0}")]
    Disk(String),
    #[error("the upload broke off: {0}")]
    BrokenOff(CallError),
}

#[handlers]
impl FileStore {
    /// Writes a file as its parts come in.
    pub async fn upload(
        &self,
        name: String,
        mut parts: Inbound<Bytes>,
    ) -> Result<Stored, StoreError> {
        let mut file = File::create(self.path(&name)?).await?;
        let mut checksum = Checksum::default();
        while let Some(part) = parts.next().await {
            let part = part.map_err(StoreError::BrokenOff)?;
            checksum.take(&part);
            file.write_all(&part).await?;
        }
        file.flush().await?;
        Ok(checksum.stored())
    }

    /// Reads a file part by part, no faster than the caller takes them. A part is empty when the
    /// disk fails, which ends the stream short of its length.
    pub async fn download(&self, name: String) -> impl Stream<Item = Bytes> + use<> {
        let file = match self.path(&name) {
            Ok(path) => File::open(path).await.ok(),
            Err(_) => None,
        };
        parts_of(file)
    }

    /// Takes a whole body in one call.
    #[handler(idempotent)]
    pub fn checksum(&self, body: Bytes) -> Stored {
        let mut checksum = Checksum::default();
        checksum.take(&body);
        checksum.stored()
    }
}
// ANCHOR_END: store

impl FileStore {
    /// A name from the network is hostile: one plain component, nothing that leads elsewhere.
    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(StoreError::BadName(name.to_owned()));
        }
        Ok(self.directory.join(name))
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

fn parts_of(file: Option<File>) -> impl Stream<Item = Bytes> + use<> {
    stream::unfold(file, |file| async move {
        let mut file = file?;
        let mut part = vec![0; PART_BYTES];
        let read = file.read(&mut part).await.ok().filter(|read| *read > 0)?;
        part.truncate(read);
        Some((Bytes::from(part), Some(file)))
    })
}

/// FNV-1a over 8 bytes at a time: enough to see that what went up came down.
#[derive(Debug)]
struct Checksum {
    bytes: u64,
    value: u64,
    /// Parts need not come in multiples of eight bytes.
    rest: Vec<u8>,
}

impl Default for Checksum {
    fn default() -> Self {
        Self {
            bytes: 0,
            value: 0xcbf2_9ce4_8422_2325,
            rest: Vec::with_capacity(8),
        }
    }
}

impl Checksum {
    fn take(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        let missing = (8 - self.rest.len()) % 8;
        let (head, tail) = part.split_at(missing.min(part.len()));
        self.rest.extend_from_slice(head);
        if self.rest.len() == 8 {
            let word = std::mem::take(&mut self.rest);
            self.mix(&word);
        }
        let mut words = tail.chunks_exact(8);
        for word in &mut words {
            self.mix(word);
        }
        self.rest.extend_from_slice(words.remainder());
    }

    fn mix(&mut self, word: &[u8]) {
        let word = word
            .iter()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte));
        self.value = (self.value ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn stored(mut self) -> Stored {
        let rest = std::mem::take(&mut self.rest);
        self.mix(&rest);
        Stored {
            bytes: self.bytes,
            checksum: self.value,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let directory = tempfile::tempdir()?;
    let kept = directory.path().join("store");
    std::fs::create_dir(&kept)?;
    let local = directory.path().join("local");
    make_file(&local, args.mib).await?;

    // ANCHOR: host
    let node = Node::builder()
        .name("store")
        .host_with::<FileStore>(move |_| FileStore {
            directory: kept.clone(),
        })
        .start()
        .await?;
    let client = Client::connect(node.local_addr()).await?;
    let store = client.service::<FileStore>();
    // ANCHOR_END: host

    let sent = upload(&store, &local, args.mib).await?;
    let back = download(&store, sent.bytes).await?;
    println!("the same came back: {}", sent == back);

    // ANCHOR: body
    let body = Bytes::from(vec![7; 8 << 20]);
    let from = Instant::now();
    let taken = store.checksum(body).await?;
    // ANCHOR_END: body
    println!(
        "one call with a body of {}: {:?}",
        bytes_text(taken.bytes),
        from.elapsed()
    );
    client.close().await;
    node.stop().await;
    if sent == back {
        Ok(())
    } else {
        Err("what came back is not what was sent".into())
    }
}

// ANCHOR: upload
/// Streams a file up. The stream is read as fast as the other side takes it, so a part that was read
/// is nearly a part that has arrived.
async fn upload(store: &FileStoreRef, path: &Path, mib: u64) -> Result<Stored, Box<dyn Error>> {
    let from = Instant::now();
    let mut progress = Progress::new(mib << 20, PROGRESS_LINES);
    let parts = parts_of(Some(File::open(path).await?)).inspect(move |part| {
        if let Some(line) = progress.passed(part.len() as u64, from.elapsed()) {
            println!("up    {line}");
        }
    });
    Ok(store
        .upload("example", parts)
        .timeout(TRANSFER_LIMIT)
        .await?)
}
// ANCHOR_END: upload

// ANCHOR: download
/// Streams it down again.
async fn download(store: &FileStoreRef, bytes: u64) -> Result<Stored, Box<dyn Error>> {
    let from = Instant::now();
    let mut progress = Progress::new(bytes, PROGRESS_LINES);
    let mut checksum = Checksum::default();
    let mut parts = store.download("example").timeout(TRANSFER_LIMIT).await?;
    while let Some(part) = parts.next().await {
        let part = part?;
        checksum.take(&part);
        if let Some(line) = progress.passed(part.len() as u64, from.elapsed()) {
            println!("down  {line}");
        }
    }
    Ok(checksum.stored())
}
// ANCHOR_END: download

/// Makes a file whose parts differ.
async fn make_file(path: &Path, mib: u64) -> io::Result<()> {
    let mut file = File::create(path).await?;
    let mut word = 1_u64;
    for _ in 0..mib {
        let mut part = Vec::with_capacity(1 << 20);
        while part.len() < 1 << 20 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            part.extend_from_slice(&word.to_be_bytes());
        }
        file.write_all(&part).await?;
    }
    file.flush().await
}

/// Small enough to share a link, large enough to make few frames.
const PART_BYTES: usize = 256 << 10;
const PROGRESS_LINES: u64 = 8;
/// The deadline covers the whole stream, and these are long.
const TRANSFER_LIMIT: Duration = Duration::from_secs(600);
