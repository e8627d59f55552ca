//! The throw-away authority of one run: made by the driver, whose memory alone holds its key. Each
//! node finds its certificate in the run's directory, which only its owner can read and which is
//! gone with the run.

use std::error::Error;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use callboard::net::{Authority, Identity, PeerKind};
use tempfile::TempDir;

// ANCHOR: authority
/// Makes an authority, and a directory (mode 0700) with a certificate for each node.
///
/// # Errors
///
/// What the system says about the directory or the files, or about random bytes.
pub(crate) fn make(prefix: &str, nodes: &[String]) -> Result<(TempDir, Authority), Box<dyn Error>> {
    let authority = Authority::throw_away("example".parse()?)?;
    let directory = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    fs::write(
        directory.path().join(AUTHORITY),
        authority.certificate_pem(),
    )?;
    for node in nodes {
        let issued = authority.issue_pem(node.parse()?, PeerKind::Node)?;
        fs::write(
            directory.path().join(format!("{node}.pem")),
            issued.certificate,
        )?;
        write_secret(&directory.path().join(format!("{node}.key")), &issued.key)?;
    }
    Ok((directory, authority))
}

/// Reads what [`make`] wrote for a node.
///
/// # Errors
///
/// What the framework says about the files.
pub(crate) fn load(directory: &Path, node: &str) -> Result<Identity, Box<dyn Error>> {
    Ok(Identity::from_pem_files(
        directory.join(AUTHORITY),
        directory.join(format!("{node}.pem")),
        directory.join(format!("{node}.key")),
    )?)
}
// ANCHOR_END: authority

/// Writes a file that only its owner can read, from its first byte on.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

const AUTHORITY: &str = "authority.pem";
