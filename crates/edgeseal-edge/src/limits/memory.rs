//! Memory use near its limit.

use std::{
    fs,
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::interval;

use super::Limiter;
use crate::telemetry;

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Its resident memory.
    pub resident: u64,
    /// The part of it that is in use; the rest was freed, and is reused first or returned to the
    /// system.
    pub in_use: u64,
}

/// What the memory use demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    None,
    /// Nothing new is accepted.
    Short,
    /// Connections must be evicted as well.
    Exhausted,
}

/// Interval of the checks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl MemoryUse {
    /// Without knowledge of the allocator (`proc_pid_statm(5)`).
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        let resident = pages * rustix::param::page_size() as u64;
        Some(Self {
            resident,
            in_use: resident,
        })
    }

    /// Freed memory is no reason to evict anything: it is returned by itself. But nothing new is
    /// accepted while resident memory exceeds the limit, because a control group counts it too.
    const fn pressure(self, most: u64) -> Pressure {
        if self.in_use >= most / 100 * 85 {
            Pressure::Exhausted
        } else if self.resident >= most / 100 * 95 {
            Pressure::Short
        } else {
            Pressure::None
        }
    }
}

/// Checks memory for as long as the limiter lives. While it is exhausted, each check evicts some
/// connections of the sources that hold most.
pub(super) async fn watch(limiter: Weak<Limiter>, most: u64, used: fn() -> Option<MemoryUse>) {
    let mut every = interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let Some(limiter) = limiter.upgrade() else {
            return;
        };
        let Some(used) = used() else {
            continue;
        };
        let pressure = used.pressure(most);
        let short = pressure != Pressure::None;
        if limiter.memory_pressure.swap(short, Ordering::Relaxed) != short {
            let MemoryUse { resident, in_use } = used;
            if short {
                tracing::error!(
                    resident,
                    in_use,
                    memory_max = most,
                    "memory use is above the limit: new connections are closed unless they can replace one of \
                     the source that holds most"
                );
            } else {
                tracing::info!(
                    resident,
                    in_use,
                    memory_max = most,
                    "memory use is below the limit again"
                );
            }
        }
        if pressure == Pressure::Exhausted {
            limiter.registry.lock().evict_under_pressure();
        }
        telemetry::memory_pressure(short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_use_is_read() {
        let used = MemoryUse::of_this_process().unwrap();
        assert!(used.resident > 1 << 20 && used.in_use == used.resident);
    }

    #[test]
    fn freed_memory_counts_less_and_never_evicts() {
        use Pressure::{Exhausted, None, Short};
        let table = [
            (84, 84, None),
            (85, 85, Exhausted),
            (94, 20, None),
            (95, 20, Short),
            (200, 84, Short),
            (95, 85, Exhausted),
        ];
        for (resident, in_use, expected) in table {
            let used = MemoryUse {
                resident: resident * 1000,
                in_use: in_use * 1000,
            };
            assert_eq!(used.pressure(100_000), expected, "{used:?}");
        }
    }
}
