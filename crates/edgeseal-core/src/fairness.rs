//! Who gets a scarce resource: connections, streams, connections to an origin.
//!
//! One policy for all of them. Each source holds at most its own limit. When the resource as a whole
//! is exhausted, whoever holds most pays: a newcomer that holds clearly less takes a place from it, and
//! a newcomer that would itself become the largest holder is refused. A single source can therefore
//! exhaust nothing for others, however high its own limit is, and sources that hold little are never
//! evicted for one that holds much.
//!
//! Addresses are cheap for the owner of a network, so sources are compared by [`networks`]: first the
//! widest with each other, then those within one of them, down to single sources. If all hold the same,
//! an unused connection pays: see [`longest_idle`].

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv6Net};

use crate::address::enclosing_networks;

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In all.
    pub total: usize,
    /// For one source.
    pub per_source: usize,
}

/// Places of a resource, by the [source](crate::address::source_network) that holds them.
#[derive(Clone, Debug)]
pub struct FairLimiter {
    capacity: Capacity,
    total: usize,
    /// What is held from each network that holds anything: three of them for a source at most.
    held: HashMap<IpNet, u32>,
    /// The networks within each network (of `None`: the widest), ordered by what they hold: the last
    /// one holds most.
    ranking: BTreeSet<(Option<IpNet>, u32, IpNet)>,
}

/// How a place was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// One was free.
    Free,
    /// None was free. One place of this source is revoked, and counted as released from now on: the
    /// caller ends whatever used it and must not [release](Shares::release) it.
    Revoked(IpAddr),
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The source holds as much as one source may.
    #[error("the source holds as much as one source may")]
    SourceLimit,
    /// All is held, and by nobody who holds clearly more.
    #[error("everything is held, and no source holds clearly more than this one")]
    Exhausted,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionUsage {
    /// Whether it has carried a request to its end.
    pub served: bool,
    /// For how long nothing has been under way on it; `None` while something is.
    pub idle: Option<Duration>,
}

/// A connection without a request yet keeps its place for this long: a slow client's handshake takes
/// four round trips.
const FRESH_GRACE: Duration = Duration::from_secs(2);
/// A connection between two requests keeps its place for this long: clients send most requests of a
/// page within it, and whoever wants to hold a place has to come again as often.
const REUSED_GRACE: Duration = Duration::from_secs(5);
/// After all networks.
const LAST: IpNet = IpNet::V6(Ipv6Net::new_assert(
    Ipv6Addr::new(!0, !0, !0, !0, !0, !0, !0, !0),
    128,
));

/// The connection whose place a newcomer gets when [nobody has to pay](Refused::Total), of those that
/// [may make room](Shares::may_replace_idle).
///
/// It is the longest idle one of those that have never carried a request, if that is two seconds; else
/// the longest idle one, if that is five. Clients expect an idle connection to be closed and come again
/// (RFC 9112 section 9.5).
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
    /// All places are free.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            total: 0,
            held: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// A place for `source`, in logarithmic time of the number of sources.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
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

    /// Gives a place of `source` back. Does nothing if it holds none.
    pub fn release(&mut self, source: IpAddr) {
        if self.held_by(source) > 0 {
            self.total -= 1;
            self.change(source, |held| held - 1);
        }
    }

    /// The source that has to give a place to `source`, if there are none left: of the largest network
    /// that holds at least two more than the one of `source` beside it, the largest source. Networks are
    /// compared from the widest on, and within that of `source` if all are as small.
    #[must_use]
    pub fn eviction_candidate(&self, source: IpAddr) -> Option<IpAddr> {
        let mut parent = None;
        for network in enclosing_networks(source) {
            let own = self.held_from(network);
            // With a difference of one the two would evict each other in turns.
            if let Some((held, largest)) = self.largest_in(parent)
                && held > own + 1
            {
                return Some(self.largest_source(largest));
            }
            parent = Some(network);
        }
        None
    }

    /// Whether an [idle](longest_idle) connection of `other` may make room for one of `source`: the
    /// first network in which the two differ holds more for `other`, if only by one. So nobody who
    /// holds most gets what somebody else has for a moment not used.
    #[must_use]
    pub fn may_replace_idle(&self, source: IpAddr, other: IpAddr) -> bool {
        let mut both = enclosing_networks(source).zip(enclosing_networks(other));
        let differ = both.find(|(own, other)| own != other);
        differ.is_some_and(|(own, other)| self.held_from(other) > self.held_from(own))
    }

    /// Places that are held.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Places that `source` holds.
    #[must_use]
    pub fn held_by(&self, source: IpAddr) -> usize {
        let held = enclosing_networks(source)
            .last()
            .map(|source| self.held_from(source));
        held.unwrap_or_default() as usize
    }

    /// The largest source of the widest network that holds most, and how much that network holds.
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
