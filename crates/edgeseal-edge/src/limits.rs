//! How much an edge takes on. What is established goes on in any case: what is shed is new.
//!
//! - **Connections**, in all and from one source. Those beyond the first wait in the socket's queue
//!   until one ends, those beyond the second are closed.
//! - **Handshakes under way**, in all; one source has half of them at most. Those beyond are closed.
//! - **Delay**: a handshake whose ClientHello is there waits for its turn among all that the
//!   process has to do. If every one of them had to wait longer than [`DELAY`] for [`STANDING`] or
//!   more, there is a queue that does not go away by itself, and those that waited longer are closed
//!   before they cost a signature, until one did not (the idea of CoDel, RFC 8289: a queue that
//!   stands is a delay for everybody and serves nobody).
//! - **Memory**: near its ceiling new connections are closed.

use std::{
    collections::HashMap,
    fs,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, interval};

use crate::telemetry::{self, Shed};

/// How much an edge takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time at most.
    pub connections: usize,
    /// The same from one address, or one /64 of IPv6.
    pub connections_per_source: usize,
    /// Handshakes under way at most, those included whose client has not said anything; one source
    /// has half of them at most.
    pub handshakes: usize,
    /// Octets of memory; `None`: any number. New connections are closed from 90 % on.
    pub memory_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_source: 32_768,
            handshakes: 8192,
            memory_max: None,
        }
    }
}

/// Keeps to the [`Limits`].
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    held: Mutex<Held>,
    queue: Queue,
    memory_is_short: AtomicBool,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Held {
    handshakes: usize,
    /// Sources with a connection, so never more than connections.
    sources: HashMap<IpAddr, Share>,
}

#[derive(Debug, Default)]
struct Share {
    connections: usize,
    handshakes: usize,
}

/// The place of a connection; free again once it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: Arc<Limiter>,
    source: IpAddr,
    shakes_hands: bool,
}

/// What a handshake may wait for its turn: less than a visitor would lose by coming again.
const DELAY: Duration = Duration::from_millis(500);
/// Waiting that lasts for so long is no burst.
const STANDING: Duration = Duration::from_secs(1);
/// Memory is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Limiter {
    /// Must be called on the runtime: memory is looked at by a task.
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let limiter = Arc::new(Self {
            limits,
            held: Mutex::default(),
            queue: Queue::default(),
            memory_is_short: AtomicBool::new(false),
            epoch: Instant::now(),
        });
        if let Some(most) = limits.memory_max {
            tokio::spawn(watch_memory(Arc::downgrade(&limiter), most));
        }
        limiter
    }

    /// A place for a connection from `source`, which is about to shake hands or not.
    pub(crate) fn place(
        self: &Arc<Self>,
        source: IpAddr,
        shakes_hands: bool,
    ) -> Result<Place, Shed> {
        let source = network(source);
        let mut held = self.held();
        if shakes_hands && held.handshakes >= self.limits.handshakes {
            return Err(Shed::Handshakes);
        }
        if let Some(share) = held.sources.get(&source) {
            if share.connections >= self.limits.connections_per_source {
                return Err(Shed::ConnectionsOfSource);
            }
            if shakes_hands && share.handshakes >= self.limits.handshakes.div_ceil(2) {
                return Err(Shed::HandshakesOfSource);
            }
        }
        let one = usize::from(shakes_hands);
        held.handshakes += one;
        let share = held.sources.entry(source).or_default();
        share.connections += 1;
        share.handshakes += one;
        drop(held);
        Ok(Place {
            limiter: Arc::clone(self),
            source,
            shakes_hands,
        })
    }

    /// Waits for the turn of a handshake; fails if that took too long for too long.
    pub(crate) async fn turn(&self) -> Result<(), Shed> {
        let asked = Instant::now();
        // To the end of the queue of all that this process has to do.
        tokio::task::yield_now().await;
        let now = Instant::now();
        if self.queue.stands(now - asked, now - self.epoch) {
            return Err(Shed::Delay);
        }
        Ok(())
    }

    /// Whether memory is near its ceiling.
    pub(crate) fn memory_is_short(&self) -> bool {
        self.memory_is_short.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The handshake is over.
    pub(crate) fn shaken(&mut self) {
        if std::mem::take(&mut self.shakes_hands) {
            let mut held = self.limiter.held();
            held.handshakes -= 1;
            if let Some(share) = held.sources.get_mut(&self.source) {
                share.handshakes -= 1;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shaken();
        let mut held = self.limiter.held();
        if let Some(share) = held.sources.get_mut(&self.source) {
            share.connections -= 1;
            if share.connections == 0 {
                held.sources.remove(&self.source);
            }
        }
    }
}

/// Since when everybody has had to wait too long.
#[derive(Debug, Default)]
struct Queue {
    /// In milliseconds and one more; 0: not at all.
    since: AtomicU64,
}

impl Queue {
    /// Whether one that had to wait for `delay` met a queue that stands.
    fn stands(&self, delay: Duration, now: Duration) -> bool {
        if delay < DELAY {
            self.since.store(0, Ordering::Relaxed);
            return false;
        }
        let now = millis(now) + 1;
        let begin = self
            .since
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        begin.is_err_and(|since| now.saturating_sub(since) >= millis(STANDING))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

/// Whoever has an address of IPv6 has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

async fn watch_memory(limiter: Weak<Limiter>, most: u64) {
    let full = most / 10 * 9;
    let mut every = interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let Some(limiter) = limiter.upgrade() else {
            return;
        };
        let Some(used) = resident_octets() else {
            continue;
        };
        let short = used >= full;
        if limiter.memory_is_short.swap(short, Ordering::Relaxed) != short {
            if short {
                tracing::error!(
                    used,
                    most,
                    "memory is short: new connections are closed, open ones go on"
                );
            } else {
                tracing::info!(used, most, "memory is no longer short");
            }
        }
        telemetry::memory_is_short(short);
    }
}

/// What the process has in memory now (`proc_pid_statm(5)`).
fn resident_octets() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_counted_by_source_and_in_all() {
        let limiter = Limiter::new(Limits {
            connections_per_source: 3,
            handshakes: 3,
            ..Limits::default()
        });
        let place = |source: &str, tls| limiter.place(source.parse().unwrap(), tls);
        let mut first = place("2001:db8::1", true).unwrap();
        let second = place("2001:db8::2", true).unwrap();
        let third = place("2001:db8::3", true);
        assert_eq!(third.unwrap_err(), Shed::HandshakesOfSource);
        first.shaken();
        let third = place("2001:db8::3", true).unwrap();
        let fourth = place("2001:db8::4", false);
        assert_eq!(fourth.unwrap_err(), Shed::ConnectionsOfSource);
        let other = place("192.0.2.1", true).unwrap();
        // An address of IPv4 is the same one in the clothes of IPv6.
        let mapped = place("::ffff:192.0.2.1", true);
        assert_eq!(mapped.unwrap_err(), Shed::Handshakes);
        drop((first, second, third, other));
        let held = limiter.held();
        assert_eq!((held.handshakes, held.sources.len()), (0, 0));
    }

    #[test]
    fn only_a_queue_that_stands_is_shed() {
        let queue = Queue::default();
        let ms = Duration::from_millis;
        let table = [
            (0, 10, false),
            (600, 20, false),   // a burst
            (600, 1019, false), // not long enough
            (600, 1020, true),
            (9000, 50_000, true),
            (499, 50_001, false), // one that did not wait ends it
            (600, 50_002, false),
            (600, 51_002, true),
        ];
        for (delay, now, stands) in table {
            assert_eq!(queue.stands(ms(delay), ms(now)), stands, "at {now}");
        }
    }

    #[test]
    fn memory_is_read() {
        assert!(resident_octets().is_some_and(|used| used > 1 << 20));
    }
}
