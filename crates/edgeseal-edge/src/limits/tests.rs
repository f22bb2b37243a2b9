use super::*;

fn limiter(change: impl FnOnce(&mut Limits)) -> Arc<Limiter> {
    let mut limits = Limits {
        connections: 4,
        connections_per_source: 4,
        handshakes: 4,
        streams: 4,
        streams_per_source: 3,
        memory_max: None,
    };
    change(&mut limits);
    Limiter::new(limits, MemoryUse::of_this_process)
}

fn admit(
    limiter: &Arc<Limiter>,
    source: &str,
    handshake: bool,
) -> Result<Arc<ConnectionPermit>, Shed> {
    let admitted = limiter.admit(source.parse().unwrap(), handshake);
    admitted.map(Arc::new)
}

/// Whether the connection must be closed, now.
async fn is_revoked(permit: &ConnectionPermit) -> bool {
    let now = tokio::time::timeout(Duration::ZERO, permit.revoked());
    now.await.is_ok()
}

fn held(limiter: &Limiter, source: &str) -> (usize, usize, usize) {
    limiter.registry().held_by(source.parse().unwrap())
}

#[tokio::test]
async fn places_are_counted_by_source_and_in_all() {
    let limiter = limiter(|limits| {
        limits.connections = 8;
        limits.connections_per_source = 3;
        limits.handshakes = 3;
    });
    let first = admit(&limiter, "2001:db8::1", true).unwrap();
    let second = admit(&limiter, "2001:db8::2", true).unwrap();
    let third = admit(&limiter, "2001:db8::3", true);
    assert_eq!(third.unwrap_err(), Shed::HandshakesOfSource);
    first.handshake_done();
    let third = admit(&limiter, "2001:db8::3", true).unwrap();
    let fourth = admit(&limiter, "2001:db8::4", false);
    assert_eq!(fourth.unwrap_err(), Shed::ConnectionsOfSource);
    let other = admit(&limiter, "192.0.2.1", true).unwrap();
    // An address of IPv4 is the same one in IPv6 form.
    let mapped = admit(&limiter, "::ffff:192.0.2.1", true);
    assert_eq!(mapped.unwrap_err(), Shed::Handshakes);
    drop((first, second, third, other));
    assert_eq!(limiter.registry().total(), (0, 0, 0));
}

/// A source that has taken everything gives way, and first with what it uses least.
#[tokio::test]
async fn the_source_that_holds_most_gives_way() {
    let limiter = limiter(|limits| limits.handshakes = 8);
    let open = || admit(&limiter, "192.0.2.1", true).unwrap();
    let (busy, idle, shaking) = (open(), open(), open());
    busy.handshake_done();
    idle.handshake_done();
    let last = open();
    last.handshake_done();
    let _requests = (busy.request(), last.request());
    let newcomer = |source| admit(&limiter, source, false).unwrap();
    let first = newcomer("192.0.2.2");
    assert!(is_revoked(&shaking).await && !is_revoked(&idle).await);
    let second = newcomer("192.0.2.3");
    assert!(is_revoked(&idle).await);
    assert!(!is_revoked(&busy).await && !is_revoked(&last).await);
    // It holds two, and nobody gets one of two for a second one of its own.
    let more = admit(&limiter, "192.0.2.2", false);
    assert_eq!(more.unwrap_err(), Shed::Connections);
    drop((busy, idle, shaking, last, first, second, _requests));
    assert_eq!(limiter.registry().total(), (0, 0, 0));
}

#[tokio::test]
async fn handshakes_and_streams_are_taken_from_those_that_hold_most() {
    let limiter = limiter(|limits| limits.connections = 100);
    let flood: Vec<_> = (0..2)
        .map(|_| admit(&limiter, "192.0.2.1", true).unwrap())
        .collect();
    let other = [(); 2].map(|()| admit(&limiter, "192.0.2.2", true).unwrap());
    let newcomer = admit(&limiter, "192.0.2.3", true).unwrap();
    assert!(
        is_revoked(&other[0]).await,
        "the last one in rank, and its oldest"
    );
    assert!(!is_revoked(&flood[0]).await && !is_revoked(&newcomer).await);
    drop((flood, other));

    let greedy = admit(&limiter, "192.0.2.1", false).unwrap();
    let mut streams: Vec<_> = (0..4).map(|_| greedy.stream().unwrap()).collect();
    assert_eq!(greedy.stream().unwrap_err(), Shed::StreamsOfSource);
    assert_eq!(held(&limiter, "192.0.2.1"), (1, 0, 3), "the first is free");
    let modest = admit(&limiter, "192.0.2.2", false).unwrap();
    streams.extend((0..3).map(|_| modest.stream().unwrap()));
    assert!(is_revoked(&greedy).await && !is_revoked(&modest).await);
    assert_eq!(
        greedy.stream().unwrap_err(),
        Shed::Streams,
        "it is to be closed"
    );
    assert_eq!(held(&limiter, "192.0.2.1"), (0, 0, 0));
    drop((greedy, modest, newcomer, streams));
    assert_eq!(limiter.registry().total(), (0, 0, 0));
}

/// While memory is short, one comes for another, and those that hold much lose some.
#[tokio::test]
async fn short_memory_is_taken_from_those_that_hold_most() {
    let limiter = limiter(|limits| {
        (limits.connections, limits.connections_per_source) = (1000, 1000);
    });
    let open = |source| admit(&limiter, source, false);
    let flood: Vec<_> = (0..160).map(|_| open("192.0.2.1").unwrap()).collect();
    let visitors: Vec<_> = (0..60).map(|_| open("192.0.2.2").unwrap()).collect();
    limiter.memory_is_short.store(true, Ordering::Relaxed);
    assert_eq!(open("192.0.2.1").unwrap_err(), Shed::Memory);
    let newcomer = open("192.0.2.3").unwrap();
    assert_eq!(held(&limiter, "192.0.2.1").0, 159);
    assert_eq!(newcomer.stream().map(drop), Ok(()));
    for _ in 0..100 {
        limiter.registry().relieve();
    }
    assert_eq!(held(&limiter, "192.0.2.1").0, 64);
    assert_eq!(held(&limiter, "192.0.2.2").0, 60);
    let mut closed = 0;
    for one in &flood {
        closed += usize::from(is_revoked(one).await);
    }
    assert_eq!(closed, 160 - 64);
    drop((flood, visitors, newcomer));
    assert_eq!(limiter.registry().total(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_since_its_last_request() {
    let limiter = limiter(|_| {});
    let permit = admit(&limiter, "192.0.2.1", false).unwrap();
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
fn what_fits_into_memory() {
    let fits = |memory_max| {
        let limits = Limits {
            memory_max,
            ..Limits::default()
        };
        let Limits {
            connections,
            handshakes,
            streams,
            ..
        } = limits.within_memory();
        (connections, handshakes, streams)
    };
    assert_eq!(fits(None), (65_536, 8192, 65_536));
    assert_eq!(fits(Some(8 << 30)), (65_536, 8192, 65_536));
    assert_eq!(fits(Some(1 << 30)), (16_384, 8192, 8192));
    assert_eq!(fits(Some(64 << 20)), (1024, 512, 512));
    assert_eq!(fits(Some(1)), (1, 1, 1));
}
