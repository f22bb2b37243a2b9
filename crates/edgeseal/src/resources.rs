//! File descriptors and memory: the limits of this process and its use.

use std::{fs, io, path::Path};

use edgeseal_edge::MemoryUse;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How file descriptors are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorBudget {
    /// How many the process may have open; `None` if unlimited.
    pub(crate) limit: Option<u64>,
    /// Concurrent client connections: as configured, or fewer.
    pub(crate) connections: usize,
    /// Concurrent API connections: as configured, or fewer.
    pub(crate) api_connections: usize,
}

/// Reserved for files, watchers, listeners and a hand-over.
const RESERVED: u64 = 128;

/// Raises the soft limit of file descriptors to the hard limit, and returns it.
pub(crate) fn raise_nofile_limit() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit)?;
    Ok(maximum)
}

/// The hard limit of file descriptors.
pub(crate) fn nofile_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

impl DescriptorBudget {
    /// Divides the allowed descriptors. A client connection may need two: the second for the
    /// origin. The API gets at most an eighth, so that load on the edge cannot starve it.
    pub(crate) fn allocate(
        allowed: Option<u64>,
        connections: usize,
        api_connections: usize,
    ) -> Self {
        let Some(all) = allowed else {
            return Self {
                limit: allowed,
                connections,
                api_connections,
            };
        };
        let count = |number: u64| usize::try_from(number.max(1)).unwrap_or(usize::MAX);
        let own = RESERVED.min(all / 4);
        let api_connections = api_connections.min(count(all / 8));
        let rest = all - own - (api_connections as u64).min(all - own);
        Self {
            limit: allowed,
            connections: connections.min(count(rest / 2)),
            api_connections,
        }
    }
}

/// Makes the allocator return freed memory to the system in the background, even without further
/// allocations.
pub(crate) fn enable_background_purge() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(
            %error,
            "freed memory is returned to the system only upon further allocations"
        );
    }
}

/// The memory use of this process.
pub(crate) fn memory_usage() -> Option<MemoryUse> {
    let used = MemoryUse::of_this_process()?;
    let freed = reclaimable_memory().unwrap_or_default();
    Some(MemoryUse {
        in_use: used.resident.saturating_sub(freed),
        ..used
    })
}

/// The memory in use, in bytes.
pub(crate) fn memory_in_use() -> Option<u64> {
    memory_usage().map(|used| used.in_use)
}

/// Bytes that are freed but still resident.
fn reclaimable_memory() -> Option<u64> {
    use tikv_jemalloc_ctl::{epoch, stats};
    epoch::advance().ok()?; // the statistics are cached until the epoch advances
    let all = stats::resident::read().ok()?;
    let used = stats::active::read().ok()? + stats::metadata::read().ok()?;
    u64::try_from(all.saturating_sub(used)).ok()
}

/// The memory limit in bytes of this process's control group (cgroup v2); `None` if there is none
/// or it cannot be read.
pub(crate) fn cgroup_memory_max() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut directory = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let mut least = None;
    // The limits of the parent groups apply as well.
    while directory.starts_with("/sys/fs/cgroup") {
        let allowed = fs::read_to_string(directory.join("memory.max")).ok();
        let allowed = allowed.and_then(|text| text.trim().parse::<u64>().ok());
        least = least.into_iter().chain(allowed).min();
        if !directory.pop() {
            break;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_have_descriptors() {
        let table = [
            (None, 65_536, 4096),
            (Some(262_144), 65_536, 4096),
            (Some(20_000), 8686, 2500),
            (Some(1024), 384, 128),
            (Some(64), 20, 8),
            (Some(0), 1, 1),
        ];
        for (allowed, connections, api_connections) in table {
            let shared = DescriptorBudget::allocate(allowed, 65_536, 4096);
            let expected = DescriptorBudget {
                limit: allowed,
                connections,
                api_connections,
            };
            assert_eq!(shared, expected);
        }
    }
}
