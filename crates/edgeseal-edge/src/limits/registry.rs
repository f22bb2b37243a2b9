//! Who holds what, and whose connection is closed when there is no more of it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::Bound,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use edgeseal_core::fairness::{Acquired, Capacity, Refused, Shares};
use tokio::sync::Notify;

use super::Limits;
use crate::telemetry::{self, Revoked, Shed};

/// All connections.
#[derive(Debug)]
pub(super) struct Registry {
    connections: Shares<IpAddr>,
    handshakes: Shares<IpAddr>,
    streams: Shares<IpAddr>,
    /// Those in a handshake. Each connection is in one of these three maps until it ends or is
    /// revoked.
    handshaking: BTreeMap<Id, Arc<Slot>>,
    /// Those that have no stream that counts.
    quiet: BTreeMap<Id, Arc<Slot>>,
    /// Those that have some, with their number.
    streaming: BTreeMap<Id, (usize, Arc<Slot>)>,
    next: u64,
    /// Where the last search for a connection to close ended.
    searched: u64,
}

/// A source, and a number in the order of arrival.
type Id = (IpAddr, u64);

/// A connection as the registry knows it.
#[derive(Debug)]
pub(super) struct Slot {
    id: Id,
    requests: AtomicUsize,
    idle_since_ms: AtomicU64,
    revoked: AtomicBool,
    told: Notify,
}

/// Connections of a source that are looked at to find one that is idle: the cost of a search is
/// bounded, and if a tenth of them is idle, four searches of five find one.
const SEARCHED: usize = 16;
/// A source that holds no more than this is not to blame for a shortage of memory.
const FEW: usize = 64;

impl Registry {
    pub(super) fn new(limits: &Limits) -> Self {
        let shares = |total, per_source| Shares::new(Capacity { total, per_source });
        Self {
            connections: shares(limits.connections.max(1), limits.connections_per_source),
            handshakes: shares(limits.handshakes, limits.handshakes.div_ceil(2)),
            streams: shares(limits.streams, limits.streams_per_source),
            handshaking: BTreeMap::new(),
            quiet: BTreeMap::new(),
            streaming: BTreeMap::new(),
            next: 0,
            searched: 0,
        }
    }

    /// A new connection. If memory is `short` it must replace one of a source that holds more.
    pub(super) fn admit(
        &mut self,
        source: IpAddr,
        handshake: bool,
        short: bool,
    ) -> Result<Arc<Slot>, Shed> {
        if short {
            self.replace_largest(&source)?;
        }
        if handshake {
            match self.handshakes.acquire(&source) {
                Ok(Acquired::Free) => {}
                Ok(Acquired::Revoked(loser)) => self.revoke(&loser, Revoked::Handshake),
                Err(Refused::Source) => return Err(Shed::HandshakesOfSource),
                Err(Refused::Total) => return Err(Shed::Handshakes),
            }
        }
        match self.connections.acquire(&source) {
            Ok(Acquired::Free) => {}
            Ok(Acquired::Revoked(loser)) => self.revoke(&loser, Revoked::Connection),
            Err(why) => {
                if handshake {
                    self.handshakes.release(&source);
                }
                return Err(match why {
                    Refused::Source => Shed::ConnectionsOfSource,
                    Refused::Total => Shed::Connections,
                });
            }
        }
        let slot = Arc::new(Slot::new((source, self.next)));
        self.next += 1;
        let stage = if handshake {
            &mut self.handshaking
        } else {
            &mut self.quiet
        };
        stage.insert(slot.id, Arc::clone(&slot));
        Ok(slot)
    }

    pub(super) fn handshake_done(&mut self, slot: &Slot) {
        if let Some(done) = self.handshaking.remove(&slot.id) {
            self.handshakes.release(&slot.id.0);
            self.quiet.insert(slot.id, done);
        }
    }

    /// One more stream that counts.
    pub(super) fn stream_begins(&mut self, slot: &Slot) -> Result<(), Shed> {
        let source = &slot.id.0;
        match self.streams.acquire(source) {
            Ok(Acquired::Free) => {}
            Ok(Acquired::Revoked(loser)) => self.revoke(&loser, Revoked::Stream),
            Err(Refused::Source) => return Err(Shed::StreamsOfSource),
            Err(Refused::Total) => return Err(Shed::Streams),
        }
        if let Some((streams, _)) = self.streaming.get_mut(&slot.id) {
            *streams += 1;
        } else if let Some(quiet) = self.quiet.remove(&slot.id) {
            self.streaming.insert(slot.id, (1, quiet));
        } else {
            // The connection was revoked in the meantime.
            self.streams.release(source);
            return Err(Shed::Streams);
        }
        Ok(())
    }

    pub(super) fn stream_ends(&mut self, slot: &Slot) {
        let Some((streams, _)) = self.streaming.get_mut(&slot.id) else {
            return; // it was revoked, and everything released
        };
        *streams -= 1;
        let last = *streams == 0;
        self.streams.release(&slot.id.0);
        if last && let Some((_, quiet)) = self.streaming.remove(&slot.id) {
            self.quiet.insert(slot.id, quiet);
        }
    }

    /// The connection has ended.
    pub(super) fn leave(&mut self, slot: &Slot) {
        self.remove(slot.id, None);
    }

    /// Closes some connections of those sources that hold most, connections and streams together: a
    /// sixteenth of all at most, as long as one source holds more than [`FEW`].
    pub(super) fn relieve(&mut self) {
        for _ in 0..self.connections.total().div_ceil(16) {
            let most_of = |shares: &Shares<IpAddr>| {
                let (source, held) = shares.largest()?;
                (held > FEW).then_some((held, *source))
            };
            let most = most_of(&self.connections).max(most_of(&self.streams));
            let Some((_, source)) = most else { return };
            let Some(id) = self.most_streams(&source).or_else(|| self.idlest(&source)) else {
                return;
            };
            self.close(id, None);
            telemetry::revoked(Revoked::Memory);
        }
    }

    /// Closes a connection of the source that holds most, if that is clearly more than `source`
    /// holds.
    fn replace_largest(&mut self, source: &IpAddr) -> Result<(), Shed> {
        let own = self.connections.held_by(source);
        match self.connections.largest() {
            Some((largest, held)) if held > own + 1 => {
                let largest = *largest;
                if let Some(id) = self.idlest(&largest) {
                    self.close(id, None);
                    telemetry::revoked(Revoked::Memory);
                }
                Ok(())
            }
            _ => Err(Shed::Memory),
        }
    }

    /// Closes a connection of `source`, of which one `place` is released already.
    fn revoke(&mut self, source: &IpAddr, place: Revoked) {
        let id = match place {
            Revoked::Handshake => self.oldest_handshake(source),
            Revoked::Stream => self.most_streams(source),
            Revoked::Connection | Revoked::Memory | Revoked::OriginConnection => {
                self.idlest(source)
            }
        };
        debug_assert!(id.is_some(), "{source} holds none");
        if let Some(id) = id {
            self.close(id, Some(place));
            telemetry::revoked(place);
        }
    }

    fn close(&mut self, id: Id, released: Option<Revoked>) {
        if let Some(slot) = self.remove(id, released) {
            slot.revoke();
        }
    }

    /// Forgets a connection and releases what it holds, less what is `released` already.
    fn remove(&mut self, id: Id, released: Option<Revoked>) -> Option<Arc<Slot>> {
        let source = &id.0;
        let slot = if let Some(slot) = self.handshaking.remove(&id) {
            if released != Some(Revoked::Handshake) {
                self.handshakes.release(source);
            }
            slot
        } else if let Some((streams, slot)) = self.streaming.remove(&id) {
            for _ in usize::from(released == Some(Revoked::Stream))..streams {
                self.streams.release(source);
            }
            slot
        } else {
            self.quiet.remove(&id)?
        };
        if released != Some(Revoked::Connection) {
            self.connections.release(source);
        }
        Some(slot)
    }

    /// Connections, handshakes and streams of a source.
    #[cfg(test)]
    pub(super) fn held_by(&self, source: IpAddr) -> (usize, usize, usize) {
        let held = |shares: &Shares<IpAddr>| shares.held_by(&source);
        (
            held(&self.connections),
            held(&self.handshakes),
            held(&self.streams),
        )
    }

    /// The same in all.
    #[cfg(test)]
    pub(super) fn total(&self) -> (usize, usize, usize) {
        let known = self.handshaking.len() + self.quiet.len() + self.streaming.len();
        assert_eq!(self.connections.total(), known);
        let (handshakes, streams) = (self.handshakes.total(), self.streams.total());
        (known, handshakes, streams)
    }

    fn oldest_handshake(&self, source: &IpAddr) -> Option<Id> {
        let mut oldest = self.handshaking.range((*source, 0)..=(*source, u64::MAX));
        oldest.next().map(|(id, _)| *id)
    }

    /// A connection in a handshake, else one that is idle, else any.
    fn idlest(&mut self, source: &IpAddr) -> Option<Id> {
        if let Some(id) = self.oldest_handshake(source) {
            return Some(id);
        }
        let looked: Vec<_> = from(&self.quiet, source, self.searched).collect();
        self.searched = looked.last().map_or(0, |(id, _)| id.1);
        let idle = looked.iter().find(|(_, slot)| slot.requests() == 0);
        let found = idle.or_else(|| looked.first()).map(|(id, _)| **id);
        found.or_else(|| self.most_streams(source))
    }

    /// The connection with the most streams among some.
    fn most_streams(&mut self, source: &IpAddr) -> Option<Id> {
        let looked: Vec<_> = from(&self.streaming, source, self.searched).collect();
        self.searched = looked.last().map_or(0, |(id, _)| id.1);
        let most = looked.iter().max_by_key(|(_, (streams, _))| *streams);
        most.map(|(id, _)| **id)
    }
}

/// Some connections of a source: those that come after a number, then from the first one on.
fn from<'a, T>(
    map: &'a BTreeMap<Id, T>,
    source: &IpAddr,
    after: u64,
) -> impl Iterator<Item = (&'a Id, &'a T)> + use<'a, T> {
    let (first, middle, last) = ((*source, 0), (*source, after), (*source, u64::MAX));
    let rest = map.range((Bound::Excluded(middle), Bound::Included(last)));
    rest.chain(map.range(first..=middle)).take(SEARCHED)
}

impl Slot {
    fn new(id: Id) -> Self {
        Self {
            id,
            requests: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(0),
            revoked: AtomicBool::new(false),
            told: Notify::new(),
        }
    }

    pub(super) const fn source(&self) -> IpAddr {
        self.id.0
    }

    /// Requests under way.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub(super) fn request_begins(&self) {
        self.requests.fetch_add(1, SeqCst);
    }

    pub(super) fn request_ends(&self, now_ms: u64) {
        self.idle_since(now_ms);
        self.requests.fetch_sub(1, SeqCst);
    }

    /// If no request is under way, none has been since now.
    pub(super) fn idle_since(&self, now_ms: u64) {
        self.idle_since_ms.store(now_ms, SeqCst);
    }

    /// For how long no request has been under way; `None` while one is.
    pub(super) fn idle_for(&self, now_ms: u64) -> Option<Duration> {
        let idle_ms = now_ms.saturating_sub(self.idle_since_ms.load(SeqCst));
        (self.requests() == 0).then(|| Duration::from_millis(idle_ms))
    }

    /// Waits until the connection must be closed.
    pub(super) async fn revoked(&self) {
        let mut told = pin!(self.told.notified());
        // Before the look, so that nothing is missed in between.
        told.as_mut().enable();
        if !self.revoked.load(SeqCst) {
            told.await;
        }
    }

    fn revoke(&self) {
        self.revoked.store(true, SeqCst);
        self.told.notify_waiters();
    }
}
