//! How many connections the API holds open, in all and for one source, and who pays when they are
//! exhausted: see [`edgeseal_core::fairness`].

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use edgeseal_core::{
    address::source_network,
    fairness::{Acquired, Capacity, Refused, Shares},
};
use tokio::sync::Notify;

/// How many connections may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all, over all listeners.
    pub in_all: usize,
    /// From one address, or from one /64 of IPv6.
    pub per_source: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            in_all: 4096,
            per_source: 256,
        }
    }
}

/// The connections that are open.
pub struct Connections(Mutex<Open>);

struct Open {
    shares: Shares<IpAddr>,
    /// Those of each source that holds some, the oldest first.
    slots: HashMap<IpAddr, BTreeMap<u64, Arc<Slot>>>,
    next: u64,
}

/// One connection, as others see it.
#[derive(Default)]
struct Slot {
    /// Calls under way.
    calls: AtomicUsize,
    revoked: Notify,
}

/// The place of a connection; free again once it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    source: IpAddr,
    number: u64,
    slot: Arc<Slot>,
}

/// A call under way on a connection, until it is dropped.
pub(super) struct Calling(Arc<Slot>);

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self(Mutex::new(Open {
            shares: Shares::new(Capacity {
                total: limits.in_all,
                per_source: limits.per_source,
            }),
            slots: HashMap::new(),
            next: 0,
        }))
    }

    /// A place for a connection from `peer`. If all are taken, one of the source that holds most is
    /// [revoked](Place::revoked) for it.
    pub(super) fn place(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Refused> {
        let source = source_network(peer);
        let mut open = self.open();
        if let Acquired::Revoked(loser) = open.shares.acquire(&source)? {
            open.revoke_one_of(loser);
        }
        let (number, slot) = (open.next, Arc::<Slot>::default());
        open.next += 1;
        let of_source = open.slots.entry(source).or_default();
        of_source.insert(number, Arc::clone(&slot));
        drop(open);
        Ok(Place {
            connections: Arc::clone(self),
            source,
            number,
            slot,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Ends a connection of `source`, whose place is given away already: the oldest without a call
    /// under way, or the oldest of all.
    fn revoke_one_of(&mut self, source: IpAddr) {
        let Some(of_source) = self.slots.get(&source) else {
            return;
        };
        let idle = |(_, slot): &(&u64, &Arc<Slot>)| slot.calls.load(Ordering::Relaxed) == 0;
        let loser = of_source
            .iter()
            .find(idle)
            .or_else(|| of_source.iter().next());
        if let Some((&number, slot)) = loser {
            slot.revoked.notify_one();
            self.remove(source, number);
        }
    }

    /// Whether it was there.
    fn remove(&mut self, source: IpAddr, number: u64) -> bool {
        let Some(of_source) = self.slots.get_mut(&source) else {
            return false;
        };
        let was_there = of_source.remove(&number).is_some();
        if of_source.is_empty() {
            self.slots.remove(&source);
        }
        was_there
    }
}

impl Place {
    /// Waits until another connection gets this place: then this one is to end at once.
    pub(super) async fn revoked(&self) {
        self.slot.revoked.notified().await;
    }

    /// A call begins.
    pub(super) fn call(&self) -> Calling {
        self.slot.calls.fetch_add(1, Ordering::Relaxed);
        Calling(Arc::clone(&self.slot))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        // One that was revoked is counted as another's already.
        if open.remove(self.source, self.number) {
            open.shares.release(&self.source);
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a metric calls a limit.
pub(super) const fn label(refused: Refused) -> &'static str {
    match refused {
        Refused::Total => "in_all",
        Refused::Source => "per_source",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn connections(in_all: usize, per_source: usize) -> Arc<Connections> {
        Arc::new(Connections::new(ConnectionLimits { in_all, per_source }))
    }

    fn place(connections: &Arc<Connections>, peer: &str) -> Result<Place, Refused> {
        connections.place(peer.parse().unwrap())
    }

    fn is_revoked(place: &Place) -> bool {
        place.revoked().now_or_never().is_some()
    }

    #[test]
    fn places_are_counted_by_source_and_in_all() {
        let connections = connections(3, 2);
        let first = place(&connections, "2001:db8::1").ok().unwrap();
        let second = place(&connections, "2001:db8::2").ok().unwrap();
        let refused = place(&connections, "2001:db8::3").err();
        assert_eq!(refused, Some(Refused::Source));
        let third = place(&connections, "192.0.2.1").ok().unwrap();
        assert_eq!(place(&connections, "192.0.2.1").err(), Some(Refused::Total));
        drop(first);
        let again = place(&connections, "2001:db8::3").ok().unwrap();
        drop((second, third, again));
        let open = connections.open();
        assert_eq!((open.shares.total(), open.slots.len()), (0, 0));
    }

    #[test]
    fn a_newcomer_gets_an_idle_place_of_whoever_holds_most() {
        let connections = connections(4, 4);
        let of_one = || place(&connections, "192.0.2.1").ok().unwrap();
        let greedy = [of_one(), of_one(), of_one(), of_one()];
        let calling = greedy[0].call();
        let newcomer = place(&connections, "192.0.2.2").ok().unwrap();
        assert_eq!(
            greedy.each_ref().map(is_revoked),
            [false, true, false, false]
        );
        // The place of one that was revoked is not given back a second time.
        let [first, second, third, fourth] = greedy;
        drop(second);
        assert_eq!(connections.open().shares.total(), 4);
        // If all have calls under way, the oldest pays.
        let _calls = [third.call(), fourth.call()];
        let other = place(&connections, "192.0.2.3").ok().unwrap();
        let greedy = [&first, &third, &fourth];
        assert_eq!(greedy.map(is_revoked), [true, false, false]);
        drop(calling);
        drop((first, third, fourth, newcomer, other));
        let open = connections.open();
        assert_eq!((open.shares.total(), open.slots.len()), (0, 0));
    }
}
