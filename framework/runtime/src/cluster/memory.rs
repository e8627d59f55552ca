//! What a node's folder says of its cluster: the file `cluster`, and which folder has the log.
//!
//! The file names the cluster, and so, after a recovery, the log: replacing it is the one step by which a
//! node goes on with another cluster and another log. Depends on `env`.

use std::{
    io,
    path::{Path, PathBuf},
};

use callboard_protocol::{
    cluster::{MEMORY_BYTES_MAX, decode_memory, encode_memory},
    code::Code,
    id::ClusterId,
    membership::FormingMemory,
};

use crate::{
    env::{Env, Files},
    net::StartError,
};

/// Reads what the node of a folder remembers. Blocks.
///
/// # Errors
/// `Io`, or `ConfigInvalid` for contents that this did not write.
pub(crate) fn read_memory(env: &Env, folder: &Path) -> Result<FormingMemory, StartError> {
    let path = folder.join(MEMORY_FILE);
    let subject = || format!("file {}", path.display());
    let failed =
        |error: io::Error| StartError::new(Code::Io, subject()).with_detail(error.to_string());
    if !env.files.exists(&path).map_err(failed)? {
        return Ok(FormingMemory::default());
    }
    let bytes = env.files.read(&path, MEMORY_BYTES_MAX).map_err(failed)?;
    decode_memory(&bytes).map_err(|why| {
        StartError::new(Code::ConfigInvalid, subject())
            .with_detail(why.to_string())
            .with_advice("restore the file; without it the node could form a second cluster")
    })
}

/// Writes what a node remembers, which is on the disk when this returns. Blocks.
pub(crate) fn write_memory(env: &Env, folder: &Path, memory: &FormingMemory) -> io::Result<()> {
    let (new, path) = (
        folder.join(format!("{MEMORY_FILE}.new")),
        folder.join(MEMORY_FILE),
    );
    if env.files.exists(&new)? {
        env.files.remove(&new)?;
    }
    env.files.write_new(&new, &encode_memory(memory))?;
    env.files.rename(&new, &path)?;
    env.files.sync_dir(folder)
}

/// Returns the folder of the control group's files, of a node that belongs to this cluster. Blocks.
pub(crate) fn control_folder(
    files: &dyn Files,
    folder: &Path,
    cluster: Option<ClusterId>,
) -> io::Result<PathBuf> {
    if let Some(cluster) = cluster {
        let recovered = recovered_folder(folder, cluster);
        if files.exists(&recovered.join("log"))? {
            return Ok(recovered);
        }
    }
    Ok(folder.join(CONTROL_FOLDER))
}

/// Returns the same folder, of a cluster that goes on after a recovery.
pub(crate) fn recovered_folder(folder: &Path, cluster: ClusterId) -> PathBuf {
    folder.join(format!("control-{cluster}"))
}

/// The folder of the control group's files, unless the cluster was made by a recovery.
pub(crate) const CONTROL_FOLDER: &str = "control";

/// The file in the data folder.
pub(crate) const MEMORY_FILE: &str = "cluster";
