//! Memory near its ceiling.

use std::{
    fs,
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::interval;

use super::Limiter;
use crate::telemetry;

/// What memory a process takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// What it has of the system.
    pub resident: u64,
    /// What of it is in use; the rest was freed, is used again first, and goes back to the system
    /// otherwise.
    pub in_use: u64,
}

/// What there is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    None,
    /// Nothing new is taken on.
    Short,
    /// Something must be let go of as well.
    Exhausted,
}

/// Memory is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl MemoryUse {
    /// Of a process whose allocator tells nothing (`proc_pid_statm(5)`).
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

    /// Freed memory is no reason to close anything: it goes back by itself. Nothing new is taken on
    /// when it fills the rest anyway, for a control group knows no difference.
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

/// Looks at memory as long as the limiter lives. While it is exhausted, some connections of the sources
/// that hold most are closed with each look.
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
                    "memory is short: new connections are closed unless they can replace one of \
                     the source that holds most"
                );
            } else {
                tracing::info!(
                    resident,
                    in_use,
                    memory_max = most,
                    "memory is below the limit again"
                );
            }
        }
        if pressure == Pressure::Exhausted {
            limiter.registry().evict_under_pressure();
        }
        telemetry::memory_pressure(short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        let used = MemoryUse::of_this_process().unwrap();
        assert!(used.resident > 1 << 20 && used.in_use == used.resident);
    }

    #[test]
    fn freed_memory_is_short_later_and_never_exhausted() {
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
