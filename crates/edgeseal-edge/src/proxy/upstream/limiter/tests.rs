use super::*;

const A: PermitOwner = (1, from(1));
const B: PermitOwner = (1, from(2));
const C: PermitOwner = (1, from(3));

const fn from(host: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, host))
}

async fn is_evicted(permit: &UpstreamPermit) -> bool {
    let now = tokio::time::timeout(Duration::ZERO, permit.evicted());
    now.await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_largest_source_is_evicted_first() {
    let limiter = UpstreamLimiter::new(4, Arc::new(Semaphore::new(4)));
    let soon = || Instant::now() + Duration::from_secs(1);
    let mut of_a = Vec::new();
    for _ in 0..4 {
        of_a.push(limiter.acquire(A, soon()).await.unwrap());
    }
    assert!(limiter.acquire(A, soon()).await.is_none());
    of_a[2].mark_unread();
    let mut of_b = vec![limiter.acquire(B, soon()).await.unwrap()];
    assert!(is_evicted(&of_a[2]).await, "the one that is not read");
    of_b.push(limiter.acquire(B, soon()).await.unwrap());
    assert!(is_evicted(&of_a[0]).await, "otherwise the oldest");
    assert!(!is_evicted(&of_a[1]).await && !is_evicted(&of_a[3]).await);
    assert!(limiter.acquire(B, soon()).await.is_none(), "both have two");
    assert!(limiter.acquire(C, soon()).await.is_some());
    drop((of_a, of_b));
    assert_eq!(limiter.open(), 0);
    assert!(limiter.state.lock().accounts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unread_response_is_evicted_for_anyone_after_the_grace() {
    let limiter = UpstreamLimiter::new(2, Arc::new(Semaphore::new(2)));
    let within = |seconds| Instant::now() + Duration::from_secs(seconds);
    let a = limiter.acquire(A, within(1)).await.unwrap();
    let b = limiter.acquire(B, within(1)).await.unwrap();
    assert!(limiter.acquire(C, within(1)).await.is_none());
    b.mark_unread();
    assert!(limiter.acquire(C, within(4)).await.is_none(), "not yet");
    let c = limiter.acquire(C, within(4)).await.unwrap();
    assert!(is_evicted(&b).await && !is_evicted(&a).await);
    // A waiting call is notified when one is released.
    let (next, ()) = tokio::join!(limiter.acquire(B, within(1)), async { drop(c) });
    assert!(next.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_largest_account_is_evicted_first_however_many_sources() {
    let limiter = UpstreamLimiter::new(4, Arc::new(Semaphore::new(4)));
    let soon = || Instant::now() + Duration::from_secs(1);
    let mut of_one = Vec::new();
    for host in [1, 1, 2, 3] {
        let begun = limiter.acquire((1, from(host)), soon()).await;
        of_one.push(begun.unwrap());
    }
    // One source has as many as two of the other account's.
    let mut of_two = vec![limiter.acquire((2, from(9)), soon()).await.unwrap()];
    of_two.push(limiter.acquire((2, from(9)), soon()).await.unwrap());
    assert!(is_evicted(&of_one[0]).await, "of the source that has most");
    assert_eq!(limiter.state.lock().accounts[&1].total(), 2);
    assert!(limiter.acquire((2, from(9)), soon()).await.is_none());
    assert!(limiter.acquire((2, from(8)), soon()).await.is_some());
    assert!(is_evicted(&of_two[0]).await, "its own source that has most");
    assert_eq!(
        limiter.state.lock().accounts[&1].total(),
        2,
        "not the other's"
    );
    drop((of_one, of_two));
    assert!(limiter.state.lock().accounts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn http2_connections_in_use_are_evicted_last() {
    let limiter = UpstreamLimiter::new(3, Arc::new(Semaphore::new(3)));
    let soon = || Instant::now() + Duration::from_secs(1);
    let shared = limiter.acquire(A, soon()).await.unwrap();
    let (_streams, _open) = shared.mark_http2();
    let alone = limiter.acquire(A, soon()).await.unwrap();
    let other = limiter.acquire(A, soon()).await.unwrap();
    assert!(limiter.acquire(B, soon()).await.is_some());
    assert!(is_evicted(&alone).await, "the oldest of one client alone");
    assert!(!is_evicted(&shared).await && !is_evicted(&other).await);
}

#[tokio::test(start_paused = true)]
async fn idle_http2_connections_are_evicted_first() {
    let limiter = UpstreamLimiter::new(3, Arc::new(Semaphore::new(3)));
    let soon = || Instant::now() + Duration::from_secs(1);
    let http1 = limiter.acquire(A, soon()).await.unwrap();
    let busy = limiter.acquire(A, soon()).await.unwrap();
    let idle = limiter.acquire(B, soon()).await.unwrap();
    let (_streams, _open) = busy.mark_http2();
    let (streams, first) = idle.mark_http2();
    assert_eq!(streams.open(), 1);
    assert!(limiter.acquire(B, soon()).await.is_none());
    drop(first);
    let second = streams.open_stream();
    assert!(limiter.acquire(B, soon()).await.is_none());
    drop(second);
    assert!(limiter.acquire(A, soon()).await.is_some());
    assert!(is_evicted(&idle).await, "though its source has fewer");
    assert!(!is_evicted(&busy).await && !is_evicted(&http1).await);
}
