//! What a node keeps across restarts: its name and the number of its life.
//!
//! The folder holds `lock`, locked for as long as the node runs, and `life`: the name and the last
//! incarnation, a line each. Every start writes the next incarnation before anything uses it.

use std::{io, path::Path, time::UNIX_EPOCH};

use callboard_protocol::{
    code::Code,
    id::{Incarnation, NodeName},
};

use crate::{
    env::{Env, FileLock},
    net::StartError,
};

/// A node's folder, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    /// The name of the last life, if there was one.
    pub(crate) name: Option<String>,
    last: Incarnation,
    _lock: Box<dyn FileLock>,
}

impl DataDir {
    /// Locks the folder, making it if need be, and reads what the last life left.
    ///
    /// # Errors
    /// `DataDirLocked` when another process has it, `Io`, or `ConfigInvalid` for contents that this
    /// did not write.
    pub(crate) fn open(env: &Env, folder: &Path) -> Result<Self, StartError> {
        let files = &env.files;
        files
            .create_dir_all(folder)
            .map_err(|error| failed(folder, &error))?;
        let lock = files.try_lock(&folder.join("lock")).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                StartError::new(Code::DataDirLocked, subject(folder))
                    .with_detail("another process runs with it")
                    .with_advice("stop that process, or give each a folder of its own")
            } else {
                failed(folder, &error)
            }
        })?;
        let path = folder.join("life");
        if !files
            .exists(&path)
            .map_err(|error| failed(folder, &error))?
        {
            return Ok(Self {
                name: None,
                last: Incarnation(0),
                _lock: lock,
            });
        }
        let bytes = files
            .read(&path, LIFE_BYTES_MAX)
            .map_err(|error| failed(folder, &error))?;
        let Some((name, last)) = parse_life(&bytes) else {
            return Err(StartError::new(Code::ConfigInvalid, subject(folder))
                .with_detail("its file `life` is damaged")
                .with_advice("restore the file, or remove the folder"));
        };
        Ok(Self {
            name: Some(name),
            last,
            _lock: lock,
        })
    }

    /// Returns the last life that was begun with this folder, if there was one.
    pub(crate) fn last(&self) -> Option<Incarnation> {
        self.name.is_some().then_some(self.last)
    }

    /// Begins the next life: returns its incarnation, which is on the disk by then.
    ///
    /// # Errors
    /// `Io`, or `ConfigInvalid` when the folder is another node's: its lives would be counted on, and
    /// it would start under this one's name.
    pub(crate) fn begin(
        &mut self,
        env: &Env,
        folder: &Path,
        name: &str,
    ) -> Result<Incarnation, StartError> {
        if let Some(last) = self.name.as_deref().filter(|last| *last != name) {
            return Err(StartError::new(Code::ConfigInvalid, subject(folder))
                .with_detail(format!("it is the folder of `{last}`, this is `{name}`"))
                .with_advice("give each node a folder of its own"));
        }
        let next = Incarnation(
            self.last
                .0
                .saturating_add(1)
                .max(incarnation_by_clock(env).0),
        );
        let write = || {
            let (new, path) = (folder.join("life.new"), folder.join("life"));
            if env.files.exists(&new)? {
                env.files.remove(&new)?;
            }
            env.files
                .write_new(&new, life_text(name, next).as_bytes())?;
            env.files.rename(&new, &path)?;
            env.files.sync_dir(folder)
        };
        write().map_err(|error| failed(folder, &error))?;
        self.name = Some(name.to_owned());
        self.last = next;
        Ok(next)
    }
}

/// Returns the incarnation of a node without a folder: the milliseconds since 1970. Two lives of
/// one name within a millisecond could not be told apart; a process does not start that fast.
pub(crate) fn incarnation_by_clock(env: &Env) -> Incarnation {
    let since = env
        .clock
        .wall()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Incarnation(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads the name and the incarnation of the last life: what [`life_text`] writes and nothing else.
pub(crate) fn parse_life(bytes: &[u8]) -> Option<(String, Incarnation)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (name, last) = text.strip_suffix('\n')?.split_once('\n')?;
    NodeName::new(name).ok()?;
    let last = Incarnation(last.parse().ok()?);
    (life_text(name, last) == text).then(|| (name.to_owned(), last))
}

/// Returns what [`parse_life`] reads.
pub(crate) fn life_text(name: &str, incarnation: Incarnation) -> String {
    format!("{name}\n{}\n", incarnation.0)
}

fn subject(folder: &Path) -> String {
    format!("data folder {}", folder.display())
}

fn failed(folder: &Path, error: &io::Error) -> StartError {
    StartError::new(Code::Io, subject(folder)).with_detail(error.to_string())
}

/// A name and a number.
const LIFE_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_another_node_is_refused_and_left_as_it_was() {
        let (env, made) = (Env::real(), tempfile::tempdir().expect("made"));
        let begin = |name: &str| DataDir::open(&env, made.path())?.begin(&env, made.path(), name);
        let first = begin("n1").expect("it is new");
        let error = begin("n2").expect_err("it is of n1");
        assert_eq!(error.code(), Code::ConfigInvalid);
        let text = error.to_string();
        let told = ": it is the folder of `n1`, this is `n2`; give each node a folder of its own";
        assert!(text.ends_with(told), "{text}");
        assert!(begin("n1").expect("its own") > first);
    }

    #[test]
    fn only_what_was_written_is_read() {
        let text = life_text("n1", Incarnation(8));
        let read = parse_life(text.as_bytes());
        assert_eq!(read, Some(("n1".to_owned(), Incarnation(8))));
        for damaged in [
            "",
            "n1",
            "n1\n8",
            "n1\n",
            "n1\r\n8\n",
            "n1\n+8\n",
            "n1\n08\n",
            "n1\n8\nx\n",
        ] {
            assert_eq!(parse_life(damaged.as_bytes()), None, "{damaged:?}");
        }
    }
}
