//! What other processes have used, as the kernel counts it.

use std::{fs, io, time::Duration};

use crate::BenchResult;

/// Ticks a second in `/proc/PID/stat`: 100 on every Linux (`USER_HZ`), whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of a process with all its threads, in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> BenchResult<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the command may hold blanks, but it ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no /proc/PID/stat")?;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|text| text.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// User and system time of several processes.
pub(crate) fn cpu_of_all(pids: &[u32]) -> BenchResult<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// Children of a process; none if it is gone.
pub(crate) fn children(pid: u32) -> BenchResult<Vec<u32>> {
    let text = unless_gone(fs::read_to_string(format!(
        "/proc/{pid}/task/{pid}/children"
    )))?;
    Ok(text
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// What was read of a process, unless it has ended: workers do, after a reload.
fn unless_gone(read: io::Result<String>) -> BenchResult<Option<String>> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(why) if is_gone(&why) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

fn is_gone(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound
        || why.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> BenchResult<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

/// Memory of a process that is in RAM, in KiB: now, and at the most so far.
pub(crate) fn resident_kib(pid: u32) -> BenchResult<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let both = of("VmRSS:").zip(of("VmHWM:"));
    both.ok_or_else(|| "no /proc/PID/status".into())
}

/// Memory of several processes, in KiB; pages that they share are divided among
/// them, and what has ended has none.
pub(crate) fn proportional_kib(pids: &[u32]) -> BenchResult<u64> {
    let of = |pid: &u32| -> BenchResult<u64> {
        let rollup = unless_gone(fs::read_to_string(format!("/proc/{pid}/smaps_rollup")))?;
        let Some(rollup) = rollup else {
            return Ok(0);
        };
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(number.ok_or("no Pss in smaps_rollup")?.parse()?)
    };
    pids.iter().map(of).sum()
}

/// Forgets the most so far, so that [`resident_kib`] tells that of what follows.
pub(crate) fn reset_peak(pid: u32) -> BenchResult<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}
