//! What a process has used, as the kernel counts it.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time of all threads of a process, in user and kernel mode, in steps of 10 ms.
///
/// # Errors
/// What the system says, or `InvalidData` for a file that is not as proc(5) says.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; after it all fields are numbers.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut times = fields
        .split_whitespace()
        .skip(USER_TIME)
        .map(str::parse::<u64>);
    match (times.next(), times.next()) {
        (Some(Ok(user)), Some(Ok(system))) => {
            let ticks = user + system;
            Ok(Duration::from_millis(ticks * TICK_MS))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Memory in bytes: what is resident now, or with `VmHWM` what was at most.
///
/// # Errors
/// As [`cpu`].
pub(crate) fn memory(pid: u32, field: &str) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim_matches([':', ' ', '\t']).split(' ').next());
    let kilobytes: Option<f64> = kilobytes.and_then(|number| number.parse().ok());
    Ok(kilobytes.ok_or(io::ErrorKind::InvalidData)? * 1024.0)
}

/// Where the user time stands after the name; the system time is next. See proc(5).
const USER_TIME: usize = 11;

/// `USER_HZ` is 100 on every Linux that this runs on.
const TICK_MS: u64 = 10;
