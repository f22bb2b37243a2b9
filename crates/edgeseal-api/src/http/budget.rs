//! Memory budgets of requests and responses in flight, in total and per source. When a budget is
//! exhausted, the largest source is evicted: see [`edgeseal_core::fairness`].

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use edgeseal_core::fairness::{AcquireError, Acquired, Capacity, FairLimiter};
use tokio::time::interval;

use super::connections::Revoker;

/// The memory limit of this process.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimit {
    /// The limit in bytes.
    pub max_bytes: u64,
    /// Returns the bytes in use; `None` if unknown.
    pub used_bytes: fn() -> Option<u64>,
}

/// The budgets of requests and responses.
#[derive(Clone)]
pub(crate) struct Budgets {
    pub(super) requests: Arc<Budget>,
    pub(super) responses: Arc<Budget>,
}

/// A number of bytes, and the sources that have reserved them.
pub(super) struct Budget {
    pages: usize,
    reservations: Mutex<Reservations>,
}

struct Reservations {
    shares: FairLimiter,
    /// The reservations of each source.
    by_source: HashMap<IpAddr, BTreeMap<u64, ReservationEntry>>,
    next: u64,
    /// Whether memory is short.
    under_pressure: bool,
}

struct ReservationEntry {
    pages: usize,
    revoker: Revoker,
}

/// Reserved bytes; released on drop.
pub(super) struct Reservation {
    budget: Arc<Budget>,
    source: IpAddr,
    number: u64,
    pages: usize,
}

/// The budget is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// The unit of accounting: less than this is not counted.
pub(super) const PAGE: usize = 16 * 1024;

/// Budget of requests: enough for a hundred of the longest, or thousands of usual size.
const REQUESTS_MAX: u64 = 32 << 20;
/// Budget of responses: enough for ten of the longest lists.
const RESPONSES_MAX: u64 = 64 << 20;
/// Bytes that one source may always reserve for requests: enough for three of the longest.
const REQUESTS_OF_SOURCE_MIN: u64 = 1 << 20;
/// Bytes that one source may always reserve for responses: enough for the longest list.
const RESPONSES_OF_SOURCE_MIN: u64 = 8 << 20;

/// How often memory use is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Percentage of the memory limit at which the budgets shrink: before the edge in the same process
/// closes client connections, which it does at 85.
const PRESSURE_PERCENT: u64 = 75;

impl Budgets {
    /// Budgets that fit into `memory`.
    pub(crate) fn new(memory: Option<MemoryLimit>) -> Self {
        let most = memory.map_or(u64::MAX, |memory| memory.max_bytes);
        Self {
            requests: Budget::new(REQUESTS_MAX.min(most / 16), REQUESTS_OF_SOURCE_MIN),
            responses: Budget::new(RESPONSES_MAX.min(most / 8), RESPONSES_OF_SOURCE_MIN),
        }
    }

    /// Polls memory use while the budgets exist, and shrinks them to an eighth under memory
    /// pressure.
    pub(crate) fn watch(&self, memory: MemoryLimit) -> impl Future<Output = ()> + Send + use<> {
        let budgets = [&self.requests, &self.responses].map(Arc::downgrade);
        async move {
            let mut every = interval(POLL_INTERVAL);
            let mut was_short = false;
            loop {
                every.tick().await;
                let [Some(requests), Some(answers)] = budgets.each_ref().map(Weak::upgrade) else {
                    return;
                };
                let Some(in_use) = (memory.used_bytes)() else {
                    continue;
                };
                let short = in_use >= memory.max_bytes / 100 * PRESSURE_PERCENT;
                if short != was_short {
                    tracing::warn!(
                        under_pressure = short,
                        used_bytes = in_use,
                        max_bytes = memory.max_bytes,
                        "API memory pressure changed"
                    );
                }
                was_short = short;
                requests.set_memory_pressure(short);
                answers.set_memory_pressure(short);
            }
        }
    }
}

impl Budget {
    /// A budget of `bytes`. One source may reserve an eighth, or `of_source` if that is more.
    fn new(bytes: u64, of_source: u64) -> Arc<Self> {
        let pages = |bytes: u64| usize::try_from(bytes / PAGE as u64).unwrap_or(usize::MAX);
        let total = pages(bytes).max(1);
        Arc::new(Self {
            pages: total,
            reservations: Mutex::new(Reservations {
                shares: FairLimiter::new(Capacity {
                    total,
                    per_source: (total / 8).max(pages(of_source)).min(total),
                }),
                by_source: HashMap::new(),
                next: 0,
                under_pressure: false,
            }),
        })
    }

    /// Reserves `bytes` for `source`. If they are not free, the largest source is evicted: it loses
    /// its reservation and the connection behind it.
    pub(super) fn reserve(
        self: &Arc<Self>,
        source: IpAddr,
        bytes: usize,
        revoker: Revoker,
    ) -> Result<Reservation, Exhausted> {
        let number = {
            let mut holders = self.reservations();
            let number = holders.next;
            holders.next += 1;
            let holder = ReservationEntry { pages: 0, revoker };
            holders
                .by_source
                .entry(source)
                .or_default()
                .insert(number, holder);
            number
        };
        let mut held = Reservation {
            budget: Arc::clone(self),
            source,
            number,
            pages: 0,
        };
        held.grow_to(bytes)?;
        Ok(held)
    }

    /// Under memory pressure an eighth of the budget remains.
    fn set_memory_pressure(&self, short: bool) {
        let mut holders = self.reservations();
        holders.under_pressure = short;
        while short && holders.shares.total() > self.pages / 8 {
            let Some(source) = holders.shares.largest().map(|(source, _)| source) else {
                break;
            };
            if !holders.revoke_one_of(source, false) {
                break;
            }
        }
    }

    fn reservations(&self) -> MutexGuard<'_, Reservations> {
        self.reservations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The reserved bytes.
    #[cfg(test)]
    pub(super) fn reserved_bytes(&self) -> usize {
        self.reservations().shares.total() * PAGE
    }
}

impl Reservations {
    /// Adds a page to a reservation.
    fn add_page(&mut self, source: IpAddr, number: u64, most: usize) -> Result<(), Exhausted> {
        if self.under_pressure && self.shares.total() >= most / 8 {
            return Err(Exhausted);
        }
        match self.shares.acquire(source) {
            Ok(Acquired::Free) => {}
            Ok(Acquired::Revoked(loser)) => {
                self.revoke_one_of(loser, true);
            }
            Err(AcquireError::SourceLimit | AcquireError::Exhausted) => return Err(Exhausted),
        }
        let of_source = self.by_source.get_mut(&source);
        if let Some(holder) = of_source.and_then(|holders| holders.get_mut(&number)) {
            holder.pages += 1;
            return Ok(());
        }
        // The reservation was revoked.
        self.shares.release(source);
        Err(Exhausted)
    }

    /// Revokes the largest reservation of `source`; one page may be released already. Returns
    /// whether there was one.
    fn revoke_one_of(&mut self, source: IpAddr, released: bool) -> bool {
        let holders = self.by_source.get(&source).into_iter().flatten();
        let largest = holders.max_by_key(|(_, holder)| holder.pages);
        let Some(number) = largest.map(|(number, _)| *number) else {
            return false;
        };
        let Some(holder) = self.remove(source, number, usize::from(released)) else {
            return false;
        };
        holder.revoker.revoke();
        true
    }

    /// Removes a reservation, and releases its pages except for those already released.
    fn remove(&mut self, source: IpAddr, number: u64, released: usize) -> Option<ReservationEntry> {
        let of_source = self.by_source.get_mut(&source)?;
        let holder = of_source.remove(&number)?;
        if of_source.is_empty() {
            self.by_source.remove(&source);
        }
        for _ in released..holder.pages {
            self.shares.release(source);
        }
        Some(holder)
    }
}

impl Reservation {
    /// Grows the reservation to `bytes`, unless it is that large already.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        while self.pages < bytes.div_ceil(PAGE) {
            let mut holders = self.budget.reservations();
            holders.add_page(self.source, self.number, self.budget.pages)?;
            drop(holders);
            self.pages += 1;
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget
            .reservations()
            .remove(self.source, self.number, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    fn budget(pages: usize) -> Arc<Budget> {
        Budget::new((pages * PAGE) as u64, 0)
    }

    fn hold(budget: &Arc<Budget>, source: IpAddr, pages: usize) -> Result<Reservation, Exhausted> {
        budget.reserve(source, pages * PAGE, Revoker::default())
    }

    #[test]
    fn a_source_gets_an_eighth_and_dropped_reservations_are_released() {
        let budget = budget(32);
        let held = hold(&budget, A, 3).unwrap();
        assert!(hold(&budget, A, 2).is_err());
        assert_eq!(
            budget.reserved_bytes(),
            3 * PAGE,
            "a failed reservation is released"
        );
        let mut one = hold(&budget, A, 1).unwrap();
        assert_eq!(one.grow_to(PAGE), Ok(()), "it has that many already");
        assert_eq!(one.grow_to(PAGE + 1), Err(Exhausted));
        let _other = hold(&budget, B, 4).unwrap();
        drop((held, one));
        assert_eq!(budget.reserved_bytes(), 4 * PAGE);
        assert!(hold(&budget, A, 4).is_ok());
        let holders = budget.reservations();
        assert_eq!(holders.by_source.len(), 1, "no entry is kept for A");
    }

    #[test]
    fn the_largest_source_is_evicted() {
        let budget = Budget::new(8 * PAGE as u64, 8 * PAGE as u64);
        let (large, small) = (Revoker::default(), Revoker::default());
        let mut most = budget.reserve(A, 6 * PAGE, large.clone()).unwrap();
        let _little = budget.reserve(A, 2 * PAGE, small.clone()).unwrap();
        let newcomer = hold(&budget, B, 1).unwrap();
        assert_eq!((large.is_revoked(), small.is_revoked()), (true, false));
        assert_eq!(budget.reserved_bytes(), 3 * PAGE);
        assert_eq!(most.grow_to(7 * PAGE), Err(Exhausted));
        drop((most, newcomer));
        assert_eq!(
            budget.reserved_bytes(),
            2 * PAGE,
            "nothing is released twice"
        );
    }

    #[test]
    fn a_source_with_an_equal_share_evicts_no_other() {
        let budget = Budget::new(4 * PAGE as u64, 4 * PAGE as u64);
        let held = Revoker::default();
        let _a = budget.reserve(A, 2 * PAGE, held.clone()).unwrap();
        assert!(hold(&budget, B, 2).is_ok());
        assert!(hold(&budget, B, 3).is_err());
        assert!(!held.is_revoked());
    }

    #[test]
    fn under_memory_pressure_an_eighth_remains() {
        let budget = Budget::new(16 * PAGE as u64, 16 * PAGE as u64);
        let (large, small) = (Revoker::default(), Revoker::default());
        let _a = budget.reserve(A, 6 * PAGE, large.clone()).unwrap();
        let b = budget.reserve(B, 2 * PAGE, small.clone()).unwrap();
        budget.set_memory_pressure(true);
        assert_eq!((large.is_revoked(), small.is_revoked()), (true, false));
        assert!(hold(&budget, B, 1).is_err());
        drop(b);
        assert!(hold(&budget, B, 2).is_ok());
        assert!(hold(&budget, B, 3).is_err());
        budget.set_memory_pressure(false);
        assert!(hold(&budget, B, 3).is_ok());
    }

    #[test]
    fn budgets_fit_into_the_memory_limit() {
        let table = [
            (None, 32 << 20, 64 << 20),
            (Some(4 << 30), 32 << 20, 64 << 20),
            (Some(256 << 20), 16 << 20, 32 << 20),
            (Some(0), PAGE, PAGE),
        ];
        for (most, requests, answers) in table {
            let in_use = || None;
            let budgets = Budgets::new(most.map(|most| MemoryLimit {
                max_bytes: most,
                used_bytes: in_use,
            }));
            let bytes = [&budgets.requests, &budgets.responses].map(|budget| budget.pages * PAGE);
            assert_eq!(bytes, [requests, answers], "{most:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_pressure_evicts_the_largest_source() {
        let memory = MemoryLimit {
            max_bytes: 1000,
            used_bytes: || Some(750),
        };
        let budgets = Budgets::new(None);
        let revoker = Revoker::default();
        let pages = budgets.responses.pages / 8;
        let answers = Arc::clone(&budgets.responses);
        let one = answers
            .reserve(A, pages * PAGE, Revoker::default())
            .unwrap();
        let two = answers.reserve(B, PAGE, revoker.clone()).unwrap();
        let watching = tokio::spawn(budgets.watch(memory));
        while answers.reserved_bytes() > pages * PAGE {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        assert!(!revoker.is_revoked(), "only the largest source is evicted");
        drop((one, two, answers, budgets));
        watching.await.unwrap();
    }
}
