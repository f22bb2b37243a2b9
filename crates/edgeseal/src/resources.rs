//! What the system lets this process have: file descriptors and memory.

use std::{fs, io, path::Path};

use edgeseal_edge::MemoryUse;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How the file descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorBudget {
    /// As many as the process may have open; `None`: any number.
    pub(crate) limit: Option<u64>,
    /// Connections of visitors at once: as configured, or fewer.
    pub(crate) connections: usize,
    /// Connections to the API at once: as configured, or fewer.
    pub(crate) api_connections: usize,
}

/// Kept for files, watchers, listeners and what happens at once in a hand-over.
const RESERVED: u64 = 128;

/// Takes as many file descriptors as the process may have.
pub(crate) fn raise_nofile_limit() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit)?;
    Ok(maximum)
}

/// As many file descriptors as the process may have.
pub(crate) fn nofile_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

impl DescriptorBudget {
    /// Shares out what is allowed: a visitor may need a second one, for the origin. The API gets an
    /// eighth at most, so that it answers whatever the visitors do.
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

/// Has the allocator give freed memory back to the system in the background, whether or not anything is
/// asked of it in the meantime.
pub(crate) fn enable_background_purge() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(
            %error,
            "freed memory goes back to the system only as memory is asked for"
        );
    }
}

/// What memory this process takes.
pub(crate) fn memory_usage() -> Option<MemoryUse> {
    let used = MemoryUse::of_this_process()?;
    let freed = reclaimable_memory().unwrap_or_default();
    Some(MemoryUse {
        in_use: used.resident.saturating_sub(freed),
        ..used
    })
}

/// Bytes of it that are in use.
pub(crate) fn memory_in_use() -> Option<u64> {
    memory_usage().map(|used| used.in_use)
}

/// Bytes that were freed and are resident still.
fn reclaimable_memory() -> Option<u64> {
    use tikv_jemalloc_ctl::{epoch, stats};
    epoch::advance().ok()?; // the figures are those of the last time that this was called
    let all = stats::resident::read().ok()?;
    let used = stats::active::read().ok()? + stats::metadata::read().ok()?;
    u64::try_from(all.saturating_sub(used)).ok()
}

/// Octets of memory that the control group of this process allows (cgroup v2); `None`: any number, or
/// it cannot be told.
pub(crate) fn cgroup_memory_max() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut directory = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let mut least = None;
    // What a group above allows counts as well.
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
    fn descriptors_suffice_for_whom_is_let_in() {
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
