use super::*;

fn limiter(change: impl FnOnce(&mut Limits)) -> Arc<Limiter> {
    let mut limits = Limits {
        connections: 4,
        connections_per_source: 4,
        handshakes: 4,
        streams: 4,
        streams_per_source: 3,
        large_headers: 4,
        memory_max: None,
    };
    change(&mut limits);
    Limiter::new(limits, MemoryUse::of_this_process)
}

fn acquire(
    limiter: &Arc<Limiter>,
    source: &str,
    handshake: bool,
) -> Result<Arc<ConnectionPermit>, Shed> {
    let acquired = limiter.acquire(source.parse().unwrap(), handshake);
    acquired.map(Arc::new)
}

/// Whether the connection is evicted, now.
async fn is_evicted(permit: &ConnectionPermit) -> bool {
    let now = tokio::time::timeout(Duration::ZERO, permit.evicted());
    now.await.is_ok()
}

fn held(limiter: &Limiter, source: &str) -> (usize, usize, usize) {
    limiter.registry.lock().held_by(source.parse().unwrap())
}

#[tokio::test]
async fn connections_are_counted_per_source_and_in_total() {
    let limiter = limiter(|limits| {
        limits.connections = 8;
        limits.connections_per_source = 3;
        limits.handshakes = 3;
    });
    let first = acquire(&limiter, "2001:db8::1", true).unwrap();
    let second = acquire(&limiter, "2001:db8::2", true).unwrap();
    let third = acquire(&limiter, "2001:db8::3", true);
    assert_eq!(third.unwrap_err(), Shed::HandshakesPerSource);
    first.handshake_done();
    let third = acquire(&limiter, "2001:db8::3", true).unwrap();
    let fourth = acquire(&limiter, "2001:db8::4", false);
    assert_eq!(fourth.unwrap_err(), Shed::ConnectionsPerSource);
    let other = acquire(&limiter, "192.0.2.1", true).unwrap();
    // An IPv4 address equals its IPv4-mapped IPv6 form.
    let mapped = acquire(&limiter, "::ffff:192.0.2.1", true);
    assert_eq!(mapped.unwrap_err(), Shed::Handshakes);
    drop((first, second, third, other));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

/// A source that has taken everything is evicted, and first where it uses least.
#[tokio::test]
async fn the_largest_source_is_evicted_first() {
    let limiter = limiter(|limits| limits.handshakes = 8);
    let open = || acquire(&limiter, "192.0.2.1", true).unwrap();
    let (busy, idle, shaking) = (open(), open(), open());
    busy.handshake_done();
    idle.handshake_done();
    let last = open();
    last.handshake_done();
    let _requests = (busy.request(), last.request());
    let newcomer = |source| acquire(&limiter, source, false).unwrap();
    let first = newcomer("192.0.2.2");
    assert!(is_evicted(&shaking).await && !is_evicted(&idle).await);
    let second = newcomer("192.0.2.3");
    assert!(is_evicted(&idle).await);
    assert!(!is_evicted(&busy).await && !is_evicted(&last).await);
    // It holds two, and no source gets one of two for a second one of its own.
    let more = acquire(&limiter, "192.0.2.2", false);
    assert_eq!(more.unwrap_err(), Shed::Connections);
    drop((busy, idle, shaking, last, first, second, _requests));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

#[tokio::test]
async fn handshakes_and_streams_are_evicted_from_the_largest_source() {
    let limiter = limiter(|limits| limits.connections = 100);
    let flood: Vec<_> = (0..2)
        .map(|_| acquire(&limiter, "192.0.2.1", true).unwrap())
        .collect();
    let other = [(); 2].map(|()| acquire(&limiter, "192.0.2.2", true).unwrap());
    let newcomer = acquire(&limiter, "192.0.2.3", true).unwrap();
    assert!(
        is_evicted(&other[0]).await,
        "the last one in rank, and its oldest"
    );
    assert!(!is_evicted(&flood[0]).await && !is_evicted(&newcomer).await);
    drop((flood, other));

    let greedy = acquire(&limiter, "192.0.2.1", false).unwrap();
    let mut streams: Vec<_> = (0..4).map(|_| greedy.stream().unwrap()).collect();
    assert_eq!(greedy.stream().unwrap_err(), Shed::StreamsPerSource);
    assert_eq!(held(&limiter, "192.0.2.1"), (1, 0, 3), "the first is free");
    let modest = acquire(&limiter, "192.0.2.2", false).unwrap();
    streams.extend((0..3).map(|_| modest.stream().unwrap()));
    assert!(is_evicted(&greedy).await && !is_evicted(&modest).await);
    assert_eq!(greedy.stream().unwrap_err(), Shed::Streams, "it is evicted");
    assert_eq!(held(&limiter, "192.0.2.1"), (0, 0, 0));
    drop((greedy, modest, newcomer, streams));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

/// While memory is short, newcomers replace connections, and sources that hold much lose some.
#[tokio::test]
async fn under_memory_pressure_the_largest_source_is_evicted() {
    let limiter = limiter(|limits| {
        (limits.connections, limits.connections_per_source) = (1000, 1000);
    });
    let open = |source| acquire(&limiter, source, false);
    let flood: Vec<_> = (0..160).map(|_| open("192.0.2.1").unwrap()).collect();
    let clients: Vec<_> = (0..60).map(|_| open("198.51.100.2").unwrap()).collect();
    limiter.memory_pressure.store(true, Ordering::Relaxed);
    assert_eq!(open("192.0.2.1").unwrap_err(), Shed::Memory);
    let newcomer = open("203.0.113.3").unwrap();
    assert_eq!(held(&limiter, "192.0.2.1").0, 159);
    assert_eq!(newcomer.stream().map(drop), Ok(()));
    for _ in 0..100 {
        limiter.registry.lock().evict_under_pressure();
    }
    assert_eq!(held(&limiter, "192.0.2.1").0, 64);
    assert_eq!(held(&limiter, "198.51.100.2").0, 60);
    let mut closed = 0;
    for one in &flood {
        closed += usize::from(is_evicted(one).await);
    }
    assert_eq!(closed, 160 - 64);
    drop((flood, clients, newcomer));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

/// One connection each from unrelated networks.
const STRANGERS: [&str; 4] = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"];

#[tokio::test(start_paused = true)]
async fn with_one_connection_each_the_longest_idle_is_evicted() {
    let limiter = limiter(|limits| limits.handshakes = 8);
    let mut held = Vec::new();
    for source in STRANGERS {
        held.push(acquire(&limiter, source, false).unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    let newcomer = || acquire(&limiter, "2001:db8:1::1", false);
    assert_eq!(newcomer().unwrap_err(), Shed::Connections, "all are fresh");
    // The first has completed a request, the second has one in progress.
    drop(held[0].request());
    let in_progress = held[1].request();
    sleep(Duration::from_secs(2)).await;
    let first = newcomer().unwrap();
    assert!(is_evicted(&held[2]).await && !is_evicted(&held[0]).await);
    drop(first);
    let first = newcomer().unwrap();
    sleep(Duration::from_secs(2)).await;
    let other = acquire(&limiter, "2001:db8:2::1", false).unwrap();
    assert!(is_evicted(&held[3]).await && !is_evicted(&first).await);
    drop((first.request(), other.request()));
    // All have completed a request: now those count that were idle for longer.
    sleep(Duration::from_secs(1)).await;
    let last = acquire(&limiter, "2001:db8:3::1", false).unwrap();
    assert!(is_evicted(&held[0]).await);
    assert!(!is_evicted(&held[1]).await && !is_evicted(&first).await);
    drop((in_progress, held, first, other, last));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_largest_source_evicts_no_other() {
    let limiter = limiter(|_| {});
    let idle = acquire(&limiter, STRANGERS[1], false).unwrap();
    let greedy = [(); 3].map(|()| acquire(&limiter, STRANGERS[0], false).unwrap());
    sleep(Duration::from_secs(60)).await;
    let more = || acquire(&limiter, STRANGERS[0], false);
    assert_eq!(more().unwrap_err(), Shed::Connections);
    limiter.memory_pressure.store(true, Ordering::Relaxed);
    assert_eq!(more().unwrap_err(), Shed::Memory);
    assert!(!is_evicted(&idle).await && !is_evicted(&greedy[0]).await);
}

#[tokio::test(start_paused = true)]
async fn where_all_have_a_handshake_the_oldest_is_evicted() {
    let limiter = limiter(|limits| limits.connections = 8);
    let mut held = Vec::new();
    for source in STRANGERS {
        held.push(acquire(&limiter, source, true).unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    let newcomer = || acquire(&limiter, "2001:db8:1::1", true);
    assert_eq!(newcomer().unwrap_err(), Shed::Handshakes);
    sleep(Duration::from_secs(2)).await;
    let newcomer = newcomer().unwrap();
    assert!(is_evicted(&held[0]).await && !is_evicted(&held[1]).await);
    drop((held, newcomer));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

/// A customer of a hoster has 65,536 /64 networks, a source each.
#[tokio::test]
async fn a_network_of_many_sources_is_evicted_as_one() {
    let limiter = limiter(|limits| {
        (limits.connections, limits.handshakes) = (256, 512);
    });
    let flood: Vec<_> = (0..256)
        .map(|n| acquire(&limiter, &format!("2001:db8:bad:{n:x}::1"), n % 2 == 0).unwrap())
        .collect();
    let clients: Vec<_> = (0..100)
        .map(|n| acquire(&limiter, &format!("2001:db8:{n:x}::1"), n % 2 == 0).unwrap())
        .collect();
    for client in &clients {
        assert!(!is_evicted(client).await);
    }
    let again = acquire(&limiter, "2001:db8:bad:ff::2", false);
    assert_eq!(again.err(), Some(Shed::Connections));
    drop((flood, clients));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

#[tokio::test]
async fn large_headers_are_evicted_from_the_largest_source() {
    let limiter = limiter(|limits| limits.connections = 100);
    let open = |source| acquire(&limiter, source, false).unwrap();
    let greedy = [(); 3].map(|()| open("192.0.2.1"));
    let mut heads: Vec<_> = greedy[..2]
        .iter()
        .map(|one| one.large_header().unwrap())
        .collect();
    let refused = greedy[2].large_header().unwrap_err();
    assert_eq!(refused, Shed::LargeHeadersPerSource);
    let others = [open("198.51.100.1"), open("203.0.113.1")];
    heads.extend(others.iter().map(|one| one.large_header().unwrap()));
    let newcomer = open("2001:db8::1");
    heads.push(newcomer.large_header().unwrap());
    assert!(is_evicted(&greedy[0]).await && !is_evicted(&greedy[1]).await);
    assert_eq!(greedy[2].large_header().unwrap_err(), Shed::LargeHeaders);
    heads.remove(1);
    heads.push(greedy[2].large_header().unwrap());
    let last = open("2001:db8:1::1");
    limiter.memory_pressure.store(true, Ordering::Relaxed);
    assert_eq!(last.large_header().unwrap_err(), Shed::Memory);
    drop((heads, greedy, others, newcomer, last));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
    limiter.memory_pressure.store(false, Ordering::Relaxed);
    let places: Vec<_> = STRANGERS.iter().map(|one| open(one)).collect();
    assert!(places.iter().all(|one| one.large_header().is_ok()));
}

/// While memory is short, incomplete headers are evicted first, the longest before others.
#[tokio::test(start_paused = true)]
async fn under_memory_pressure_incomplete_headers_are_evicted_first() {
    let limiter = limiter(|limits| {
        (limits.connections, limits.connections_per_source) = (1000, 1000);
    });
    let from = |n: usize| format!("2001:db8:{n:x}::1");
    let held: Vec<_> = (0..160)
        .map(|n| acquire(&limiter, &from(n), false).unwrap())
        .collect();
    for (n, one) in held.iter().enumerate() {
        one.set_header_bytes(n * 100);
    }
    limiter.registry.lock().evict_under_pressure();
    let mut closed = Vec::new();
    for (n, one) in held.iter().enumerate() {
        if is_evicted(one).await {
            closed.push(n);
        }
    }
    assert_eq!(closed, (150..160).collect::<Vec<_>>(), "a sixteenth of all");
    for _ in 0..20 {
        limiter.registry.lock().evict_under_pressure();
    }
    let (left, _, _) = limiter.registry.lock().total();
    assert_eq!(left, 41, "those of less than 4 KiB");
    // A newcomer replaces an idle connection.
    limiter.memory_pressure.store(true, Ordering::Relaxed);
    let newcomer = || acquire(&limiter, "192.0.2.1", false);
    assert_eq!(newcomer().unwrap_err(), Shed::Memory);
    sleep(Duration::from_secs(2)).await;
    let newcomer = newcomer().unwrap();
    assert_eq!(limiter.registry.lock().total().0, 41);
    drop((held, newcomer));
    assert_eq!(limiter.registry.lock().total(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_since_its_last_request() {
    let limiter = limiter(|_| {});
    let permit = acquire(&limiter, "192.0.2.1", false).unwrap();
    let began = Instant::now();
    let limit = Duration::from_secs(60);
    let ms = |ms| Duration::from_millis(ms);
    let requests = async {
        sleep(ms(30_000)).await;
        let first = permit.stream().unwrap();
        sleep(ms(100_000)).await;
        drop(first);
    };
    tokio::join!(permit.idle(limit), requests);
    let took = began.elapsed();
    assert!((ms(190_000)..ms(190_100)).contains(&took), "{took:?}");
}

#[test]
fn limits_fit_into_memory_max() {
    let fits = |memory_max| {
        let limits = Limits {
            memory_max,
            ..Limits::default()
        };
        let Limits {
            connections,
            handshakes,
            streams,
            large_headers,
            ..
        } = limits.within_memory();
        (connections, handshakes, streams, large_headers)
    };
    assert_eq!(fits(None), (65_536, 8192, 65_536, 4096));
    assert_eq!(fits(Some(8 << 30)), (65_536, 8192, 32_768, 4096));
    assert_eq!(fits(Some(1 << 30)), (16_384, 8192, 4096, 1024));
    assert_eq!(fits(Some(64 << 20)), (1024, 512, 256, 64));
    assert_eq!(fits(Some(1)), (1, 1, 1, 1));
}
