//! Which source holds what, and which connection is evicted when a limit is reached.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    ops::Bound,
    sync::Arc,
};

use edgeseal_core::fairness::{
    AcquireError, Acquired, Capacity, ConnectionUsage, FairLimiter, longest_idle,
};

use super::{
    Limits,
    slot::{Id, Slot},
};
use crate::telemetry::{self, Eviction, Shed};

/// All connections.
#[derive(Debug)]
pub(super) struct Registry {
    connections: FairLimiter,
    handshakes: FairLimiter,
    streams: FairLimiter,
    large_headers: FairLimiter,
    /// Those in a handshake. Each connection is in one of these three maps until it ends or is
    /// evicted.
    handshaking: BTreeMap<Id, Arc<Slot>>,
    /// Those without counted streams.
    quiet: BTreeMap<Id, Arc<Slot>>,
    /// Those with counted streams, and their number.
    streaming: BTreeMap<Id, (usize, Arc<Slot>)>,
    /// Those with large request headers.
    with_large_header: BTreeSet<Id>,
    next: u64,
    /// Where the last search for a victim of a source ended.
    searched: u64,
    /// Where the last searches for an idle one ended, in handshakes and after them.
    sampled: [Id; 2],
}

/// Connections of a source that are examined to find an idle one: the cost of a search is bounded,
/// and if a tenth of them is idle, four searches of five find one.
const SEARCHED: usize = 16;
/// Connections of all sources that are examined to find one that was idle for long: if a tenth was,
/// one search of a thousand finds none.
const SAMPLED: usize = 64;
/// A network that holds no more than this is not to blame for high memory use.
const FEW: usize = 64;
/// Nor are incomplete headers that are shorter: they use no more than an idle connection.
const SMALL_HEADER: usize = 4096;
/// Before all connections.
const FIRST: Id = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Registry {
    pub(super) fn new(limits: &Limits) -> Self {
        let shares = |total, per_source| FairLimiter::new(Capacity { total, per_source });
        Self {
            connections: shares(limits.connections.max(1), limits.connections_per_source),
            handshakes: shares(limits.handshakes, limits.handshakes.div_ceil(2)),
            streams: shares(limits.streams, limits.streams_per_source),
            large_headers: shares(limits.large_headers, limits.large_headers.div_ceil(2)),
            handshaking: BTreeMap::new(),
            quiet: BTreeMap::new(),
            streaming: BTreeMap::new(),
            with_large_header: BTreeSet::new(),
            next: 0,
            searched: 0,
            sampled: [FIRST; 2],
        }
    }

    /// A new connection, at `now_ms`. If memory is `short` it must replace another one.
    pub(super) fn acquire(
        &mut self,
        source: IpAddr,
        handshake: bool,
        short: bool,
        now_ms: u64,
    ) -> Result<Arc<Slot>, Shed> {
        if short {
            self.evict_for(source, now_ms)?;
        }
        if handshake {
            match self.handshake_for(source, now_ms) {
                Ok(()) => {}
                Err(AcquireError::SourceLimit) => return Err(Shed::HandshakesPerSource),
                Err(AcquireError::Exhausted) => return Err(Shed::Handshakes),
            }
        }
        if let Err(reason) = self.connection_for(source, now_ms) {
            if handshake {
                self.handshakes.release(source);
            }
            return Err(match reason {
                AcquireError::SourceLimit => Shed::ConnectionsPerSource,
                AcquireError::Exhausted => Shed::Connections,
            });
        }
        let slot = Arc::new(Slot::new((source, self.next)));
        slot.idle_since(now_ms);
        self.next += 1;
        let stage = if handshake {
            &mut self.handshaking
        } else {
            &mut self.quiet
        };
        stage.insert(slot.id(), Arc::clone(&slot));
        Ok(slot)
    }

    /// Acquires a handshake.
    fn handshake_for(&mut self, source: IpAddr, now_ms: u64) -> Result<(), AcquireError> {
        let acquired = self.handshakes.acquire(source).or_else(|reason| {
            self.evict_idle_for(reason, (source, true), now_ms)?;
            self.handshakes.acquire(source)
        })?;
        if let Acquired::Revoked(payer) = acquired {
            self.evict(payer, Eviction::Handshake);
        }
        Ok(())
    }

    /// Acquires a connection.
    fn connection_for(&mut self, source: IpAddr, now_ms: u64) -> Result<(), AcquireError> {
        let acquired = self.connections.acquire(source).or_else(|reason| {
            self.evict_idle_for(reason, (source, false), now_ms)?;
            self.connections.acquire(source)
        })?;
        if let Acquired::Revoked(payer) = acquired {
            self.evict(payer, Eviction::Connection);
        }
        Ok(())
    }

    /// Evicts an idle connection for one of a source, `handshake` or not, if the total is
    /// exhausted; otherwise returns the error.
    fn evict_idle_for(
        &mut self,
        reason: AcquireError,
        newcomer: (IpAddr, bool),
        now_ms: u64,
    ) -> Result<(), AcquireError> {
        let idle = match reason {
            AcquireError::SourceLimit => None,
            AcquireError::Exhausted => self.longest_idle(newcomer, now_ms),
        };
        self.close(idle.ok_or(reason)?, None);
        telemetry::evicted(Eviction::Idle);
        Ok(())
    }

    pub(super) fn handshake_done(&mut self, slot: &Slot) {
        if let Some(done) = self.handshaking.remove(&slot.id()) {
            self.handshakes.release(slot.source());
            self.quiet.insert(slot.id(), done);
        }
    }

    /// One more counted stream.
    pub(super) fn stream_begins(&mut self, slot: &Slot) -> Result<(), Shed> {
        let source = slot.source();
        match self.streams.acquire(source) {
            Ok(Acquired::Free) => {}
            Ok(Acquired::Revoked(payer)) => self.evict(payer, Eviction::Stream),
            Err(AcquireError::SourceLimit) => return Err(Shed::StreamsPerSource),
            Err(AcquireError::Exhausted) => return Err(Shed::Streams),
        }
        if let Some((streams, _)) = self.streaming.get_mut(&slot.id()) {
            *streams += 1;
        } else if let Some(quiet) = self.quiet.remove(&slot.id()) {
            self.streaming.insert(slot.id(), (1, quiet));
        } else {
            // The connection was evicted in the meantime.
            self.streams.release(source);
            return Err(Shed::Streams);
        }
        Ok(())
    }

    pub(super) fn stream_ends(&mut self, slot: &Slot) {
        let Some((streams, _)) = self.streaming.get_mut(&slot.id()) else {
            return; // it was evicted, and everything released
        };
        *streams -= 1;
        let last = *streams == 0;
        self.streams.release(slot.source());
        if last && let Some((_, quiet)) = self.streaming.remove(&slot.id()) {
            self.quiet.insert(slot.id(), quiet);
        }
    }

    /// Large request headers.
    pub(super) fn large_header_begins(&mut self, slot: &Slot) -> Result<(), Shed> {
        let source = slot.source();
        match self.large_headers.acquire(source) {
            Ok(Acquired::Free) => {}
            Ok(Acquired::Revoked(payer)) => self.evict(payer, Eviction::LargeHeader),
            Err(AcquireError::SourceLimit) => return Err(Shed::LargeHeadersPerSource),
            Err(AcquireError::Exhausted) => return Err(Shed::LargeHeaders),
        }
        let is_open = self.quiet.contains_key(&slot.id());
        if !is_open || !self.with_large_header.insert(slot.id()) {
            // The connection was evicted in the meantime, or has large headers already.
            self.large_headers.release(source);
        }
        Ok(())
    }

    pub(super) fn large_header_ends(&mut self, slot: &Slot) {
        if self.with_large_header.remove(&slot.id()) {
            self.large_headers.release(slot.source());
        }
    }

    /// The connection has ended.
    pub(super) fn remove_connection(&mut self, slot: &Slot) {
        self.remove(slot.id(), None);
    }

    /// Evicts some connections, a sixteenth of all at most: those with the longest incomplete
    /// request headers; then those of the sources that hold most, connections and streams together,
    /// as long as a network holds more than [`FEW`].
    pub(super) fn evict_under_pressure(&mut self) {
        let most = self.connections.total().div_ceil(16);
        let heads = self.longest_headers(most);
        let left = most - heads.len();
        for id in heads {
            self.close(id, None);
            telemetry::evicted(Eviction::Memory);
        }
        for _ in 0..left {
            let most_of = |shares: &FairLimiter| {
                let (source, held) = shares.largest()?;
                (held > FEW).then_some((held, source))
            };
            let most = most_of(&self.connections).max(most_of(&self.streams));
            let Some((_, source)) = most else { return };
            let Some(id) = self.most_streams(source).or_else(|| self.idlest(source)) else {
                return;
            };
            self.close(id, None);
            telemetry::evicted(Eviction::Memory);
        }
    }

    /// Evicts a connection for one of `source`: of the source that holds clearly more, otherwise
    /// one that was idle for longest.
    fn evict_for(&mut self, source: IpAddr, now_ms: u64) -> Result<(), Shed> {
        let of_payer = match self.connections.eviction_candidate(source) {
            Some(payer) => self.idlest(payer),
            None => self.longest_idle((source, false), now_ms),
        };
        self.close(of_payer.ok_or(Shed::Memory)?, None);
        telemetry::evicted(Eviction::Memory);
        Ok(())
    }

    /// Evicts a connection of `source`, whose `place` is released already.
    fn evict(&mut self, source: IpAddr, place: Eviction) {
        let id = match place {
            Eviction::Handshake => self.oldest_handshake(source),
            Eviction::Stream => self.most_streams(source),
            Eviction::LargeHeader => self.oldest_large_header(source),
            Eviction::Connection
            | Eviction::Idle
            | Eviction::Memory
            | Eviction::OriginConnection => self.idlest(source),
        };
        debug_assert!(id.is_some(), "{source} holds none");
        if let Some(id) = id {
            self.close(id, Some(place));
            telemetry::evicted(place);
        }
    }

    fn close(&mut self, id: Id, released: Option<Eviction>) {
        if let Some(slot) = self.remove(id, released) {
            slot.evict();
        }
    }

    /// Removes a connection and releases what it holds, except what is `released` already.
    fn remove(&mut self, id: Id, released: Option<Eviction>) -> Option<Arc<Slot>> {
        let source = id.0;
        if self.with_large_header.remove(&id) && released != Some(Eviction::LargeHeader) {
            self.large_headers.release(source);
        }
        let slot = if let Some(slot) = self.handshaking.remove(&id) {
            if released != Some(Eviction::Handshake) {
                self.handshakes.release(source);
            }
            slot
        } else if let Some((streams, slot)) = self.streaming.remove(&id) {
            for _ in usize::from(released == Some(Eviction::Stream))..streams {
                self.streams.release(source);
            }
            slot
        } else {
            self.quiet.remove(&id)?
        };
        if released != Some(Eviction::Connection) {
            self.connections.release(source);
        }
        Some(slot)
    }

    /// Connections, handshakes and streams of a source.
    #[cfg(test)]
    pub(super) fn held_by(&self, source: IpAddr) -> (usize, usize, usize) {
        let held = |shares: &FairLimiter| shares.held_by(source);
        (
            held(&self.connections),
            held(&self.handshakes),
            held(&self.streams),
        )
    }

    /// The same in total.
    #[cfg(test)]
    pub(super) fn total(&self) -> (usize, usize, usize) {
        let known = self.handshaking.len() + self.quiet.len() + self.streaming.len();
        assert_eq!(self.connections.total(), known);
        let (handshakes, streams) = (self.handshakes.total(), self.streams.total());
        (known, handshakes, streams)
    }

    fn oldest_handshake(&self, source: IpAddr) -> Option<Id> {
        let mut oldest = self.handshaking.range((source, 0)..=(source, u64::MAX));
        oldest.next().map(|(id, _)| *id)
    }

    fn oldest_large_header(&self, source: IpAddr) -> Option<Id> {
        let mut oldest = self
            .with_large_header
            .range((source, 0)..=(source, u64::MAX));
        oldest.next().copied()
    }

    /// The connections with the longest incomplete headers, `most` at most.
    fn longest_headers(&self, most: usize) -> Vec<Id> {
        let head = |(id, slot): (&Id, &Arc<Slot>)| (slot.header_bytes(), *id);
        let mut heads: Vec<_> = self.quiet.iter().map(head).collect();
        heads.retain(|(bytes, _)| *bytes >= SMALL_HEADER);
        heads.sort_unstable_by_key(|head| Reverse(*head));
        heads.into_iter().take(most).map(|(_, id)| id).collect()
    }

    /// The longest idle of some connections that `source` may replace: in a `handshake`, or
    /// anywhere.
    fn longest_idle(&mut self, (source, handshake): (IpAddr, bool), now_ms: u64) -> Option<Id> {
        let [shaking, quiet] = self.sampled;
        let mut looked: Vec<_> = sample(&self.handshaking, shaking, now_ms).collect();
        self.sampled[0] = looked.last().map_or(FIRST, |(id, _)| *id);
        let mut shares = &self.handshakes;
        if !handshake {
            shares = &self.connections;
            let in_handshake = looked.len();
            looked.extend(sample(&self.quiet, quiet, now_ms));
            self.sampled[1] = looked[in_handshake..].last().map_or(FIRST, |(id, _)| *id);
        }
        looked.retain(|(id, _)| shares.may_replace_idle(source, id.0));
        longest_idle(looked)
    }

    /// A connection in a handshake, otherwise an idle one, otherwise any.
    fn idlest(&mut self, source: IpAddr) -> Option<Id> {
        if let Some(id) = self.oldest_handshake(source) {
            return Some(id);
        }
        let looked: Vec<_> = from(&self.quiet, source, self.searched).collect();
        self.searched = looked.last().map_or(0, |(id, _)| id.1);
        let idle = looked.iter().find(|(_, slot)| slot.requests() == 0);
        let found = idle.or_else(|| looked.first()).map(|(id, _)| **id);
        found.or_else(|| self.most_streams(source))
    }

    /// Of some connections the one with the most streams.
    fn most_streams(&mut self, source: IpAddr) -> Option<Id> {
        let looked: Vec<_> = from(&self.streaming, source, self.searched).collect();
        self.searched = looked.last().map_or(0, |(id, _)| id.1);
        let most = looked.iter().max_by_key(|(_, (streams, _))| *streams);
        most.map(|(id, _)| **id)
    }
}

/// Some connections of a source, round-robin: those after a number, then from the first one on.
fn from<'a, T>(
    map: &'a BTreeMap<Id, T>,
    source: IpAddr,
    after: u64,
) -> impl Iterator<Item = (&'a Id, &'a T)> + use<'a, T> {
    let (first, middle, last) = ((source, 0), (source, after), (source, u64::MAX));
    let rest = map.range((Bound::Excluded(middle), Bound::Included(last)));
    rest.chain(map.range(first..=middle)).take(SEARCHED)
}

/// Some connections and their state, round-robin: those after one, then from the first one on.
fn sample(
    map: &BTreeMap<Id, Arc<Slot>>,
    after: Id,
    now_ms: u64,
) -> impl Iterator<Item = (Id, ConnectionUsage)> {
    let rest = map.range((Bound::Excluded(after), Bound::Unbounded));
    let all = rest.chain(map.range(..=after)).take(SAMPLED);
    all.map(move |(id, slot)| (*id, slot.usage(now_ms)))
}
