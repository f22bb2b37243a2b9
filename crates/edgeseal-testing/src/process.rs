//! CPU, memory and descriptors of other processes, from /proc, and the limits of this one.

use std::{fs, io, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ticks per second in `/proc/PID/stat`: 100 on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of a process with all its threads, with a resolution of 10 ms.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command name may contain blanks; it ends at the last parenthesis.
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(|| unexpected("stat"))?;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|text| text.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// User and system time of several processes.
pub fn cpu_of_all(pids: &[u32]) -> io::Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// Children of a process; none if it has exited.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let text = unless_gone(fs::read_to_string(format!(
        "/proc/{pid}/task/{pid}/children"
    )))?;
    Ok(text
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// A value of a process; `None` if it has exited, as workers do after a reload.
fn unless_gone(read: io::Result<String>) -> io::Result<Option<String>> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(why) if is_gone(&why) => Ok(None),
        Err(why) => Err(why),
    }
}

fn is_gone(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound
        || why.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The number of threads of a process.
pub fn threads(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

/// Resident memory of a process in KiB: now, and the peak.
pub fn resident_kib(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let both = of("VmRSS:").zip(of("VmHWM:"));
    both.ok_or_else(|| unexpected("status"))
}

/// Memory of several processes in KiB (PSS: shared pages are divided); exited ones count as 0.
pub fn proportional_kib(pids: &[u32]) -> io::Result<u64> {
    let of = |pid: &u32| -> io::Result<u64> {
        let rollup = unless_gone(fs::read_to_string(format!("/proc/{pid}/smaps_rollup")))?;
        let Some(rollup) = rollup else {
            return Ok(0);
        };
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let number = number.and_then(|number| number.parse().ok());
        number.ok_or_else(|| unexpected("smaps_rollup"))
    };
    pids.iter().map(of).sum()
}

/// Resets the peak of [`resident_kib`].
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The number of open file descriptors of a process.
pub fn open_descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Raises the limit of open files of this process to the maximum; its children inherit that.
pub fn raise_nofile_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn unexpected(file: &str) -> io::Error {
    io::Error::other(format!("unexpected content of /proc/PID/{file}"))
}
