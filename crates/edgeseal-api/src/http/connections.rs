//! Limits on open connections, in total and per source, and the choice of the connection to evict
//! at a limit: see [`edgeseal_core::fairness`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use edgeseal_core::{
    address::source_network,
    fairness::{AcquireError, Acquired, Capacity, ConnectionUsage, FairLimiter, longest_idle},
};
use tokio::{sync::Notify, time::Instant};

/// Limits on open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In total, over all listeners.
    pub total: usize,
    /// From one IPv4 address or one /64 of IPv6.
    pub per_source: usize,
}

impl ConnectionLimits {
    /// As many as fit into an eighth of `memory`, in bytes: an idle connection in TLS takes 32 KB.
    #[must_use]
    pub fn within(self, memory: Option<u64>) -> Self {
        const CONNECTION_BYTES: u64 = 32 * 1024;
        let fit = memory.map_or(u64::MAX, |bytes| (bytes / 8 / CONNECTION_BYTES).max(1));
        Self {
            total: self.total.min(usize::try_from(fit).unwrap_or(usize::MAX)),
            ..self
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 4096,
            per_source: 256,
        }
    }
}

/// The open connections.
pub struct ConnectionLimiter(Mutex<ConnectionTable>);

struct ConnectionTable {
    shares: FairLimiter,
    slots: BTreeMap<Id, Arc<ConnectionState>>,
    next: u64,
    epoch: Instant,
    /// Where the last search for an idle connection ended.
    sampled: Id,
}

/// A source, and a number in order of arrival.
type Id = (IpAddr, u64);

/// Sorts before all connections.
const FIRST: Id = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Number of connections that are sampled to find one that has been idle for long.
const SAMPLED: usize = 64;

/// The state of a connection, as seen by others.
#[derive(Default)]
struct ConnectionState {
    /// Calls in flight.
    calls: AtomicUsize,
    /// Whether a call has completed.
    served: AtomicBool,
    /// If no call is in flight, since when: milliseconds after [`ConnectionTable::epoch`].
    idle_since_ms: AtomicU64,
    revoked: Notify,
}

/// Evicts a connection, once.
#[derive(Clone, Default)]
pub(super) struct Revoker(Arc<ConnectionState>);

/// The permit of a connection; released on drop.
pub(super) struct ConnectionPermit {
    connections: Arc<ConnectionLimiter>,
    id: Id,
    slot: Arc<ConnectionState>,
    epoch: Instant,
}

/// A call in flight on a connection, until dropped.
pub(super) struct ActiveCall(Arc<ConnectionState>, Instant);

impl ConnectionLimiter {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self(Mutex::new(ConnectionTable {
            shares: FairLimiter::new(Capacity {
                total: limits.total,
                per_source: limits.per_source,
            }),
            slots: BTreeMap::new(),
            next: 0,
            epoch: Instant::now(),
            sampled: FIRST,
        }))
    }

    /// Acquires a permit for a connection from `peer`. If all are taken, one of the largest source
    /// is [revoked](ConnectionPermit::revoked); if all sources are equal, the one that has been
    /// idle longest.
    pub(super) fn acquire(
        self: &Arc<Self>,
        peer: IpAddr,
    ) -> Result<ConnectionPermit, AcquireError> {
        let source = source_network(peer);
        let mut open = self.table();
        match open.shares.acquire(source) {
            Ok(Acquired::Free) => {}
            Ok(Acquired::Revoked(payer)) => {
                let revoked = open.least_used_of(payer);
                open.revoke(revoked);
            }
            Err(AcquireError::SourceLimit) => return Err(AcquireError::SourceLimit),
            Err(AcquireError::Exhausted) => {
                let idle = open.longest_idle(source).ok_or(AcquireError::Exhausted)?;
                open.revoke(Some(idle));
                open.shares.release(idle.0);
                open.shares.acquire(source)?;
            }
        }
        let id = (source, open.next);
        let slot = Arc::<ConnectionState>::default();
        let epoch = open.epoch;
        slot.idle_since(epoch);
        open.next += 1;
        open.slots.insert(id, Arc::clone(&slot));
        drop(open);
        Ok(ConnectionPermit {
            connections: Arc::clone(self),
            id,
            slot,
            epoch,
        })
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionTable {
    /// The oldest connection of a source without a call in flight, or the oldest of all.
    fn least_used_of(&self, source: IpAddr) -> Option<Id> {
        let of_source = || self.slots.range((source, 0)..=(source, u64::MAX));
        let idle = |(_, slot): &(&Id, &Arc<ConnectionState>)| slot.calls.load(Relaxed) == 0;
        let found = of_source().find(idle).or_else(|| of_source().next());
        found.map(|(id, _)| *id)
    }

    /// The longest idle of a sample of sources that may be evicted for `source`; the sample moves
    /// on.
    fn longest_idle(&mut self, source: IpAddr) -> Option<Id> {
        let now_ms = millis_since(self.epoch);
        let rest = (Bound::Excluded(self.sampled), Bound::Unbounded);
        let all = self.slots.range(rest);
        let all = all.chain(self.slots.range(..=self.sampled));
        let some = all
            .take(SAMPLED)
            .map(|(id, slot)| (*id, slot.usage(now_ms)));
        let mut some: Vec<_> = some.collect();
        self.sampled = some.last().map_or(FIRST, |(id, _)| *id);
        some.retain(|(id, _)| self.shares.may_replace_idle(source, id.0));
        longest_idle(some)
    }

    /// Revokes the permit of a connection.
    fn revoke(&mut self, id: Option<Id>) {
        if let Some(slot) = id.and_then(|id| self.slots.remove(&id)) {
            slot.revoked.notify_one();
        }
    }
}

impl ConnectionState {
    /// Marks the connection idle from now on.
    fn idle_since(&self, epoch: Instant) {
        self.idle_since_ms.store(millis_since(epoch), Relaxed);
    }

    fn usage(&self, now_ms: u64) -> ConnectionUsage {
        let idle_ms = now_ms.saturating_sub(self.idle_since_ms.load(Relaxed));
        let is_idle = self.calls.load(Relaxed) == 0;
        ConnectionUsage {
            served: self.served.load(Relaxed),
            idle: is_idle.then(|| Duration::from_millis(idle_ms)),
        }
    }
}

fn millis_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl ConnectionPermit {
    /// Waits until the permit is revoked: the connection must then close at once.
    pub(super) async fn revoked(&self) {
        self.slot.revoked.notified().await;
    }

    /// A handle to revoke the permit.
    pub(super) fn revoker(&self) -> Revoker {
        Revoker(Arc::clone(&self.slot))
    }

    /// The source of the connection.
    pub(super) const fn source(&self) -> IpAddr {
        self.id.0
    }

    /// Starts a call.
    pub(super) fn call(&self) -> ActiveCall {
        self.slot.calls.fetch_add(1, Relaxed);
        ActiveCall(Arc::clone(&self.slot), self.epoch)
    }
}

impl Revoker {
    pub(super) fn revoke(&self) {
        self.0.revoked.notify_one();
    }

    /// Whether the permit was revoked. Resets that.
    #[cfg(test)]
    pub(super) fn is_revoked(&self) -> bool {
        futures_util::FutureExt::now_or_never(self.0.revoked.notified()).is_some()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.table();
        // A revoked permit is already counted for the new connection.
        if open.slots.remove(&self.id).is_some() {
            open.shares.release(self.id.0);
        }
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.0.idle_since(self.1);
        self.0.served.store(true, Relaxed);
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

/// The metric label of a limit.
pub(super) const fn label(refused: AcquireError) -> &'static str {
    match refused {
        AcquireError::Exhausted => "in_all",
        AcquireError::SourceLimit => "per_source",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn connections(in_all: usize, per_source: usize) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter::new(ConnectionLimits {
            total: in_all,
            per_source,
        }))
    }

    fn place(
        connections: &Arc<ConnectionLimiter>,
        peer: &str,
    ) -> Result<ConnectionPermit, AcquireError> {
        connections.acquire(peer.parse().unwrap())
    }

    fn is_revoked(place: &ConnectionPermit) -> bool {
        place.revoked().now_or_never().is_some()
    }

    #[test]
    fn permits_are_counted_per_source_and_in_total() {
        let connections = connections(3, 2);
        let first = place(&connections, "2001:db8::1").ok().unwrap();
        let second = place(&connections, "2001:db8::2").ok().unwrap();
        let refused = place(&connections, "2001:db8::3").err();
        assert_eq!(refused, Some(AcquireError::SourceLimit));
        let third = place(&connections, "192.0.2.1").ok().unwrap();
        assert_eq!(
            place(&connections, "192.0.2.1").err(),
            Some(AcquireError::Exhausted)
        );
        drop(first);
        let again = place(&connections, "2001:db8::3").ok().unwrap();
        drop((second, third, again));
        let open = connections.table();
        assert_eq!((open.shares.total(), open.slots.len()), (0, 0));
    }

    #[test]
    fn an_idle_connection_of_the_largest_source_is_evicted() {
        let connections = connections(4, 4);
        let of_one = || place(&connections, "192.0.2.1").ok().unwrap();
        let greedy = [of_one(), of_one(), of_one(), of_one()];
        let calling = greedy[0].call();
        let newcomer = place(&connections, "192.0.2.2").ok().unwrap();
        assert_eq!(
            greedy.each_ref().map(is_revoked),
            [false, true, false, false]
        );
        // A revoked permit is not released twice.
        let [first, second, third, fourth] = greedy;
        drop(second);
        assert_eq!(connections.table().shares.total(), 4);
        // If all have calls in flight, the oldest is evicted.
        let _calls = [third.call(), fourth.call()];
        let other = place(&connections, "192.0.2.3").ok().unwrap();
        let greedy = [&first, &third, &fourth];
        assert_eq!(greedy.map(is_revoked), [true, false, false]);
        drop(calling);
        drop((first, third, fourth, newcomer, other));
        let open = connections.table();
        assert_eq!((open.shares.total(), open.slots.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn between_equal_sources_the_longest_idle_connection_is_evicted() {
        let connections = connections(3, 3);
        let held = ["192.0.2.1", "198.51.100.1", "2001:db8::1"];
        let held = held.map(|peer| place(&connections, peer).ok().unwrap());
        let call = held[0].call();
        drop(held[1].call());
        let newcomer = || place(&connections, "203.0.113.1");
        assert_eq!(
            newcomer().err(),
            Some(AcquireError::Exhausted),
            "none has been idle for long enough"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        let first = newcomer().ok().unwrap();
        assert_eq!(held.each_ref().map(is_revoked), [false, false, true]);
        drop(first.call());
        assert_eq!(
            place(&connections, "2001:db8:1::1").err(),
            Some(AcquireError::Exhausted)
        );
        tokio::time::sleep(Duration::from_secs(3)).await;
        let second = place(&connections, "2001:db8:1::1").ok().unwrap();
        assert_eq!(held.each_ref().map(is_revoked), [false, true, false]);
        drop((first, second, call, held));
        let open = connections.table();
        assert_eq!((open.shares.total(), open.slots.len()), (0, 0));
    }
}
