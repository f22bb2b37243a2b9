//! How often strangers can make an edge read the store.
//!
//! Any client can ask for any token of a domain. So, whatever clients send:
//! - at most [`CONCURRENT`] lookups run at a time, and one starts every [`INTERVAL`] at most, after
//!   a burst of [`BURST`]: the edge reads no more than 1 s ÷ 25 ms = 40 challenges a second;
//! - a network has at most [`PER_NETWORK`] lookups that ended without a result in a [`WINDOW`], and
//!   [`PENDING_PER_NETWORK`] that run or wait: who floods from one network does not take the turns
//!   of the others, and an authority may validate many domains at the same time. An address that is
//!   not public may be a load balancer in front of everybody, and has no such bound;
//! - a domain has at most [`PER_DOMAIN`] of them, half of the turns, for floods from many networks.
//!   One network alone does not use them up;
//! - a lookup, with the wait for its turn, has [`TIMEOUT`], and [`WAITING_MAX`] run or wait.
//!
//! What is not looked up is treated as unknown. Turns of clients that disconnect are lost, and their
//! lookups ended without a result, so that it gains nothing to disconnect.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
    time::Duration,
};

use edgeseal_core::address::{enclosing_networks, is_public};
use edgeseal_store::Fault;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until, timeout_at},
};

/// Lookups at a time.
const CONCURRENT: usize = 8;
/// Mean interval between the starts of two lookups, at most.
const INTERVAL: Duration = Duration::from_millis(25);
/// Lookups that may start at once after a pause.
const BURST: u32 = 8;
/// Lookups from one network (a /24, or a /48 of IPv6) that may have found nothing in a window.
const PER_NETWORK: u32 = 5;
/// Lookups from one network that run or wait: half of the turns of a second.
const PENDING_PER_NETWORK: u32 = 20;
/// Lookups of one domain that may run, or have found nothing, in a window.
const PER_DOMAIN: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);
/// Time limit for a lookup.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Lookups that run or wait.
const WAITING_MAX: usize = 256;

/// Bounds the lookups of an edge.
#[derive(Debug)]
pub(super) struct Lookups {
    waiting: Semaphore,
    running: Semaphore,
    turns: Mutex<Turns>,
}

/// Who may start when.
#[derive(Debug)]
struct Turns {
    /// When the next turn would be if there had been no pause.
    next: Instant,
    /// Those that ended.
    networks: Windows<IpNet>,
    pending: HashMap<IpNet, u32>,
    /// Those that began. By the id of the domain.
    domains: Windows<i64>,
}

/// Lookups without a result, of each domain or network. Each turn adds to it, and drops what is
/// older than the window, so it has at most one entry for each turn of some seconds.
#[derive(Debug)]
struct Windows<K>(HashMap<K, Window>);

/// A lookup from a network, until it ends or its client disconnects.
struct Pending<'a> {
    turns: &'a Mutex<Turns>,
    network: Option<IpNet>,
    has_result: bool,
}

/// The lookups since some moment.
#[derive(Debug)]
struct Window {
    since: Instant,
    count: u32,
}

/// Why a lookup has no result.
#[derive(Debug)]
pub(super) enum LookupError {
    /// There are too many.
    TooMany,
    /// The store failed or was too slow.
    Store(Fault),
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            waiting: Semaphore::new(WAITING_MAX),
            running: Semaphore::new(CONCURRENT),
            turns: Mutex::new(Turns {
                next: Instant::now(),
                networks: Windows(HashMap::new()),
                pending: HashMap::new(),
                domains: Windows(HashMap::new()),
            }),
        }
    }
}

impl Lookups {
    /// Runs `lookup` for a client at `source`, of the domain with this id, within the bounds.
    pub(super) async fn run<T>(
        &self,
        source: IpAddr,
        domain: i64,
        lookup: impl Future<Output = Result<Option<T>, Fault>>,
    ) -> Result<Option<T>, LookupError> {
        let deadline = Instant::now() + TIMEOUT;
        let network = enclosing_networks(source).next();
        let network = network.filter(|_| is_public(source));
        let _waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| LookupError::TooMany)?;
        let turn = self.turns.lock().take(network, domain, deadline);
        let turn = turn.ok_or(LookupError::TooMany)?;
        let turns = &self.turns;
        let mut pending = Pending {
            turns,
            network,
            has_result: false,
        };
        sleep_until(turn).await;
        // Never closed: an error is a timeout.
        let Ok(Ok(_running)) = timeout_at(deadline, self.running.acquire()).await else {
            return Err(LookupError::TooMany);
        };
        // Those that came before it may have found nothing.
        if self.turns.lock().is_flooding(network, Instant::now()) {
            return Err(LookupError::TooMany);
        }
        let found = timeout_at(deadline, lookup).await;
        let found = found.unwrap_or(Err(Fault::new("read a challenge: the store is too slow")));
        let found = found.map_err(LookupError::Store)?;
        pending.has_result = found.is_some();
        if found.is_some() {
            self.turns.lock().domains.discount(&domain);
        }
        Ok(found)
    }
}

impl Turns {
    /// When a lookup may start; `None` if that is after its deadline, or if the domain or the
    /// network has too many.
    fn take(&mut self, network: Option<IpNet>, domain: i64, deadline: Instant) -> Option<Instant> {
        let now = Instant::now();
        // A pause saves up the turns of one burst.
        let saved = now.checked_sub(INTERVAL * (BURST - 1));
        let turn = saved.map_or(self.next, |saved| saved.max(self.next));
        let pending = network.and_then(|it| self.pending.get(&it).copied());
        let is_flooding = self.is_flooding(network, now)
            || pending.is_some_and(|pending| pending >= PENDING_PER_NETWORK);
        if turn >= deadline || is_flooding || self.domains.open(&domain, now) >= PER_DOMAIN {
            return None;
        }
        self.next = turn + INTERVAL;
        let turn = turn.max(now);
        if let Some(network) = network {
            *self.pending.entry(network).or_default() += 1;
        }
        self.domains.add(domain, turn, now);
        Some(turn)
    }

    /// Whether too many lookups from a network found nothing.
    fn is_flooding(&self, network: Option<IpNet>, now: Instant) -> bool {
        network.is_some_and(|it| self.networks.open(&it, now) >= PER_NETWORK)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut turns = self.turns.lock();
        if let Entry::Occupied(mut count) = turns.pending.entry(network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if !self.has_result {
            let now = Instant::now();
            turns.networks.add(network, now, now);
        }
    }
}

impl<K: Eq + Hash> Windows<K> {
    /// The lookups in the present window.
    fn open(&self, key: &K, now: Instant) -> u32 {
        let window = self.0.get(key).filter(|window| window.is_open(now));
        window.map_or(0, |window| window.count)
    }

    /// Adds a lookup that starts at `turn`.
    fn add(&mut self, key: K, turn: Instant, now: Instant) {
        self.0.retain(|_, window| window.is_open(now));
        let (since, count) = (turn, 0);
        let window = self.0.entry(key);
        window.or_insert(Window { since, count }).count += 1;
    }

    fn discount(&mut self, key: &K) {
        if let Some(window) = self.0.get_mut(key) {
            window.count = window.count.saturating_sub(1);
        }
    }
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::future::join_all;

    use super::*;

    /// A public address in a network of its own.
    fn source(network: i64) -> IpAddr {
        Ipv4Addr::from_bits((11 << 24) | (network as u32) << 8).into()
    }

    async fn missing(_: &AtomicUsize) -> Result<Option<()>, Fault> {
        Ok(None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_reads_forty_a_second_and_waits_two_seconds() {
        let (lookups, reads) = (Lookups::default(), AtomicUsize::new(0));
        let flood = (0..1000).map(|domain| {
            lookups.run(source(domain), domain, async {
                reads.fetch_add(1, Ordering::Relaxed);
                missing(&reads).await
            })
        });
        let began = Instant::now();
        let results = join_all(flood).await;
        assert!(began.elapsed() <= TIMEOUT);
        let most = BURST as usize + (TIMEOUT.as_millis() / INTERVAL.as_millis()) as usize;
        let reads = reads.into_inner();
        assert!((80..=most).contains(&reads), "{reads}");
        let refused = results
            .iter()
            .filter(|result| matches!(result, Err(LookupError::TooMany)));
        assert_eq!(refused.count(), 1000 - reads);
        // The turns come back.
        sleep_until(Instant::now() + WINDOW).await;
        assert!(matches!(
            lookups.run(source(1), 1, async { Ok(Some(1)) }).await,
            Ok(Some(1))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_that_is_flooded_leaves_turns_to_the_others() {
        let lookups = Lookups::default();
        let mut read = 0;
        for network in 0..1000 {
            let nothing = async { Ok(None::<()>) };
            let result = lookups.run(source(network), 1, nothing).await;
            read += u32::from(result.is_ok());
        }
        assert_eq!(read, PER_DOMAIN);
        // Those that find something are not counted.
        for _ in 0..3 * PER_DOMAIN {
            let found = lookups.run(source(2000), 2, async { Ok(Some(())) }).await;
            assert!(matches!(found, Ok(Some(()))), "{found:?}");
        }
        sleep_until(Instant::now() + WINDOW).await;
        let nothing = lookups.run(source(1), 1, async { Ok(None::<()>) });
        assert!(nothing.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_floods_many_domains_leaves_turns_to_the_others() {
        let lookups = Lookups::default();
        for (many, other) in [
            (["11.0.2.1", "11.0.2.200"], "11.51.100.1"),
            (["2600:db8:1::1", "2600:db8:1:ffff::1"], "2600:db8:2::1"),
        ] {
            let mut read = 0;
            for domain in 0..1000 {
                let source = many[domain as usize % 2].parse().unwrap();
                let result = lookups.run(source, domain, async { Ok(None::<()>) }).await;
                read += u32::from(result.is_ok());
            }
            assert_eq!(read, PER_NETWORK);
            let other = other.parse().unwrap();
            for domain in 0..3 * i64::from(PER_NETWORK) {
                let found = lookups.run(other, domain, async { Ok(Some(())) }).await;
                assert!(matches!(found, Ok(Some(()))), "{found:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_validates_many_domains_at_once() {
        let lookups = Lookups::default();
        let many = (0..i64::from(PENDING_PER_NETWORK)).map(|domain| {
            lookups.run(source(1), domain, async {
                tokio::time::sleep(INTERVAL).await;
                Ok(Some(()))
            })
        });
        for found in join_all(many).await {
            assert!(matches!(found, Ok(Some(()))), "{found:?}");
        }
        assert!(lookups.turns.lock().pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_floods_at_once_leaves_turns_to_the_others() {
        let lookups = Lookups::default();
        let nothing = async || Ok(None::<()>);
        let flood = (0..200).map(|domain| lookups.run(source(1), domain, nothing()));
        let other = async {
            let found = lookups.run(source(2), 1000, async { Ok(Some(())) }).await;
            assert!(matches!(found, Ok(Some(()))), "{found:?}");
        };
        let (flood, ()) = tokio::join!(join_all(flood), other);
        let read = flood.iter().filter(|result| result.is_ok()).count();
        assert!(read <= PER_NETWORK as usize + CONCURRENT, "{read}");
        // Behind a load balancer all come from one address.
        let balancer = IpAddr::from([10, 0, 0, 1]);
        for domain in 0..2 * i64::from(PER_NETWORK) {
            assert!(lookups.run(balancer, domain, nothing()).await.is_ok());
        }
    }

    /// Counts what runs, until it is dropped.
    struct Running<'a>(&'a AtomicUsize);

    impl Drop for Running<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_costs_two_seconds_and_eight_reads_at_a_time() {
        let (lookups, began) = (Lookups::default(), Instant::now());
        let running = AtomicUsize::new(0);
        let hanging = (0..20).map(|domain| {
            lookups.run(source(domain), domain, async {
                let before = running.fetch_add(1, Ordering::Relaxed);
                let _running = Running(&running);
                assert!(before < CONCURRENT);
                std::future::pending::<Result<Option<()>, Fault>>().await
            })
        });
        let results = join_all(hanging).await;
        assert_eq!(began.elapsed(), TIMEOUT);
        assert!(results.iter().all(Result::is_err));
        let found = lookups.run(source(1), 1, async { Ok(Some(())) }).await;
        assert!(matches!(found, Ok(Some(()))), "it has recovered");
    }
}
