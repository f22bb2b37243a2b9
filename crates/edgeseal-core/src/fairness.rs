//! Fair sharing of a scarce resource: connections, streams, connections to an origin.
//!
//! One policy for all of them. Each source holds at most its own limit. When the resource as a
//! whole is exhausted, the largest holder is evicted: a newcomer that holds clearly less takes a
//! slot from it, and a newcomer that would itself become the largest holder is refused. So a single
//! source can exhaust nothing for others, however high its own limit is, and sources that hold
//! little are never evicted for one that holds much.
//!
//! Addresses are cheap for the owner of a network, so sources are compared by
//! [`enclosing_networks`]: first the widest networks with each other, then those within one of
//! them, down to single sources. If all hold the same, an unused connection is evicted: see
//! [`longest_idle`].

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv6Net};

use crate::address::enclosing_networks;

/// How many slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In total.
    pub total: usize,
    /// For one source.
    pub per_source: usize,
}

/// The slots of a resource, by the [source](crate::address::source_network) that holds them.
#[derive(Clone, Debug)]
pub struct FairLimiter {
    capacity: Capacity,
    total: usize,
    /// Slots held from each network that holds any: at most three networks for a source.
    held: HashMap<IpNet, u32>,
    /// The networks within each network (of `None`: the widest), ordered by held slots: the last
    /// one holds most.
    ranking: BTreeSet<(Option<IpNet>, u32, IpNet)>,
}

/// How a slot was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// A slot was free.
    Free,
    /// No slot was free. One slot of this source is revoked and already counted as released: the
    /// caller ends whatever used it and must not [release](FairLimiter::release) it.
    Revoked(IpAddr),
}

/// Why no slot was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The source is at its own limit.
    #[error("the source holds as much as one source may")]
    SourceLimit,
    /// All slots are held, and no source holds clearly more.
    #[error("everything is held, and no source holds clearly more than this one")]
    Exhausted,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionUsage {
    /// Whether it has completed a request.
    pub served: bool,
    /// How long no request has been in flight; `None` while one is.
    pub idle: Option<Duration>,
}

/// A connection that has not yet sent a request keeps its slot this long: a slow client's handshake
/// takes four round trips.
const FRESH_GRACE: Duration = Duration::from_secs(2);
/// A connection between two requests keeps its slot this long: clients send most requests of a page
/// within it, and a client that only wants to hold a slot must send a request as often.
const REUSED_GRACE: Duration = Duration::from_secs(5);
/// Sorts after all networks.
const LAST: IpNet = IpNet::V6(Ipv6Net::new_assert(
    Ipv6Addr::new(!0, !0, !0, !0, !0, !0, !0, !0),
    128,
));

/// The connection whose slot a newcomer gets when [no source is evicted](AcquireError::Exhausted),
/// among those that [may be replaced](FairLimiter::may_replace_idle).
///
/// It is the connection idle longest among those that never carried a request, if idle for two
/// seconds; otherwise the one idle longest, if idle for five. Clients expect that an idle
/// connection may be closed, and reconnect (RFC 9112 section 9.5).
pub fn longest_idle<C>(connections: impl IntoIterator<Item = (C, ConnectionUsage)>) -> Option<C> {
    let gives_way = |(connection, usage): (C, ConnectionUsage)| {
        let spared = if usage.served {
            REUSED_GRACE
        } else {
            FRESH_GRACE
        };
        let idle = usage.idle.filter(|idle| *idle >= spared)?;
        Some(((usage.served, Reverse(idle)), connection))
    };
    let candidates = connections.into_iter().filter_map(gives_way);
    candidates
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, connection)| connection)
}

impl FairLimiter {
    /// A limiter whose slots are all free.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            total: 0,
            held: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// Acquires a slot for `source`, in logarithmic time of the number of sources.
    ///
    /// # Errors
    /// [`AcquireError`]; nothing has changed then.
    pub fn acquire(&mut self, source: IpAddr) -> Result<Acquired, AcquireError> {
        if self.held_by(source) >= self.capacity.per_source {
            return Err(AcquireError::SourceLimit);
        }
        let acquired = if self.total < self.capacity.total {
            Acquired::Free
        } else {
            let payer = self
                .eviction_candidate(source)
                .ok_or(AcquireError::Exhausted)?;
            self.release(payer);
            Acquired::Revoked(payer)
        };
        self.total += 1;
        self.change(source, |held| held + 1);
        Ok(acquired)
    }

    /// Releases a slot of `source`. Does nothing if it holds none.
    pub fn release(&mut self, source: IpAddr) {
        if self.held_by(source) > 0 {
            self.total -= 1;
            self.change(source, |held| held - 1);
        }
    }

    /// The source to evict for `source` when no slot is free: the largest source in the largest
    /// network that holds at least two slots more than the network of `source` at the same level.
    /// Networks are compared from the widest down; if all siblings are as small, the comparison
    /// continues within the network of `source`.
    #[must_use]
    pub fn eviction_candidate(&self, source: IpAddr) -> Option<IpAddr> {
        let mut parent = None;
        for network in enclosing_networks(source) {
            let own = self.held_from(network);
            // With a difference of one, the two would evict each other in turn.
            if let Some((held, largest)) = self.largest_in(parent)
                && held > own + 1
            {
                return Some(self.largest_source(largest));
            }
            parent = Some(network);
        }
        None
    }

    /// Whether an [idle](longest_idle) connection of `other` may be closed for one of `source`: in
    /// the first network in which the two differ, `other` holds more, if only by one. So the
    /// largest holder never gets a slot that another source left idle for a while.
    #[must_use]
    pub fn may_replace_idle(&self, source: IpAddr, other: IpAddr) -> bool {
        let mut both = enclosing_networks(source).zip(enclosing_networks(other));
        let differ = both.find(|(own, other)| own != other);
        differ.is_some_and(|(own, other)| self.held_from(other) > self.held_from(own))
    }

    /// Slots that are held.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Slots that `source` holds.
    #[must_use]
    pub fn held_by(&self, source: IpAddr) -> usize {
        let held = enclosing_networks(source)
            .last()
            .map(|source| self.held_from(source));
        held.unwrap_or_default() as usize
    }

    /// The largest source of the widest network that holds most, and how many slots that network
    /// holds.
    #[must_use]
    pub fn largest(&self) -> Option<(IpAddr, usize)> {
        let (held, network) = self.largest_in(None)?;
        Some((self.largest_source(network), held as usize))
    }

    fn held_from(&self, network: IpNet) -> u32 {
        self.held.get(&network).copied().unwrap_or_default()
    }

    fn largest_in(&self, parent: Option<IpNet>) -> Option<(u32, IpNet)> {
        let mut smaller = self.ranking.range(..=(parent, u32::MAX, LAST));
        let (of, held, network) = smaller.next_back()?;
        (*of == parent).then_some((*held, *network))
    }

    fn largest_source(&self, mut network: IpNet) -> IpAddr {
        while let Some((_, largest)) = self.largest_in(Some(network)) {
            network = largest;
        }
        network.addr()
    }

    fn change(&mut self, source: IpAddr, by: impl Fn(u32) -> u32) {
        let mut parent = None;
        for network in enclosing_networks(source) {
            let before = self.held_from(network);
            let after = by(before);
            if before > 0 {
                self.ranking.remove(&(parent, before, network));
            }
            if after > 0 {
                self.ranking.insert((parent, after, network));
                self.held.insert(network, after);
            } else {
                self.held.remove(&network);
            }
            parent = Some(network);
        }
    }
}

#[cfg(test)]
mod tests;
