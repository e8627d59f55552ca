//! The bound on a node's memory: a control group where one can be made, else its peak is read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a node may use.
pub const MEMORY_BYTES: u64 = 256 << 20;

/// How a child's memory is bounded.
pub enum Bound {
    /// The kernel kills the child at the bound.
    Group(PathBuf),
    /// No group can be made here: the peak that the kernel notes for the process is compared.
    Peak,
}

impl Bound {
    pub fn new() -> Self {
        let name = format!("callboard-attack-{}", std::process::id());
        let makers: [(&str, &[(&str, &str)]); 2] = [
            ("/sys/fs/cgroup/memory", &[("memory.limit_in_bytes", "")]),
            (
                "/sys/fs/cgroup",
                &[("memory.max", ""), ("memory.swap.max", "0")],
            ),
        ];
        for (root, settings) in makers {
            let (root, is_v2) = (Path::new(root), settings.len() == 2);
            let group = root.join(&name);
            let _ = fs::remove_dir(&group);
            // Without the controllers' list the second folder is that of version 1, no group.
            if is_v2 && !root.join("cgroup.controllers").exists() || fs::create_dir(&group).is_err()
            {
                continue;
            }
            let bytes = MEMORY_BYTES.to_string();
            let made = settings.iter().enumerate().all(|(at, (file, value))| {
                let value = if value.is_empty() { &bytes } else { *value };
                // Swap need not be accounted; the limit itself has to be there.
                fs::write(group.join(file), value).is_ok() || at > 0
            });
            if made {
                return Self::Group(group);
            }
            let _ = fs::remove_dir(&group);
        }
        Self::Peak
    }

    /// Makes the command that starts a program inside of the bound.
    pub fn command(&self, program: &Path) -> Command {
        match self {
            Self::Peak => Command::new(program),
            Self::Group(group) => {
                let mut command = Command::new("sh");
                let enter = "echo $$ > \"$0\" && exec \"$@\"";
                command.args(["-c", enter]);
                command.arg(group.join("cgroup.procs")).arg(program);
                command
            }
        }
    }

    /// Fails if the process went over the bound, or is not in it. Returns its peak in bytes.
    pub fn check(&self, process: u32) -> u64 {
        let peak = status_bytes(process, "VmHWM");
        if let Self::Group(group) = self {
            let members = fs::read_to_string(group.join("cgroup.procs")).expect("the group");
            let is_member = members.lines().any(|line| line == process.to_string());
            assert!(
                is_member,
                "the node is not in {}: {members}",
                group.display()
            );
        }
        assert!(peak < MEMORY_BYTES, "the node's peak is {} MiB", peak >> 20);
        peak
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Group(group) = self {
            let _ = fs::remove_dir(group);
        }
    }
}

/// Returns what a process uses now.
pub fn resident_bytes(process: u32) -> u64 {
    status_bytes(process, "VmRSS")
}

fn status_bytes(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the node runs");
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|kib| kib.parse::<u64>().ok()).expect(field) << 10
}
