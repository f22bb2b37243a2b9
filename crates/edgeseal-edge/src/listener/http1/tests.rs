use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::BytesMut;
use http_body_util::{BodyExt as _, Full};
use tokio::{
    io::{DuplexStream, duplex},
    task::JoinHandle,
    time::{advance, sleep},
};

use super::*;
use crate::{
    drain::Drain,
    limits::{HEADER_BUFFER_SIZE, Limits},
};

const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
const STALL: Duration = Duration::from_secs(100);
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.com\r\n\r\n";

/// A connection, seen from its client. Time is paused: it advances when all tasks wait.
struct Client {
    stream: DuplexStream,
    read: BytesMut,
    server: JoinHandle<()>,
    /// Its clones tell whether hyper owns the connection.
    witness: Arc<()>,
    served: Arc<AtomicUsize>,
    drain: Drain,
}

impl Client {
    fn new(requests: u32) -> Self {
        Self::within(requests, Limits::default())
    }

    fn within(requests: u32, limits: Limits) -> Self {
        let (stream, far) = duplex(64 * 1024);
        let (drain, token) = Drain::new();
        let unread = UnreadBody::default();
        let ends = ConnectionEnd {
            header_timeout: HEADER_TIMEOUT,
            request_budget: RequestBudget::new(requests),
            stall_monitor: StallMonitor::new(STALL),
            unread: unread.clone(),
            token,
            permit: ConnectionPermit::for_tests(limits),
        };
        let witness = Arc::new(());
        let served = Arc::new(AtomicUsize::new(0));
        let (seen, counter) = (Arc::clone(&witness), Arc::clone(&served));
        let answer = move |request: Request<Incoming>| {
            let (seen, counter) = (Arc::clone(&seen), Arc::clone(&counter));
            let unread = unread.clone();
            async move {
                let path = request.uri().path().to_owned();
                if path == "/early" {
                    return Ok(Response::new(Full::new(Bytes::from(path))));
                }
                let body = request.into_body().collect().await;
                if body.is_ok() {
                    unread.is_read();
                }
                let body = body.map(http_body_util::Collected::to_bytes);
                counter.fetch_add(1, SeqCst);
                drop(seen);
                let body = body.unwrap_or_default();
                let text = format!("{path} {}", String::from_utf8_lossy(&body));
                Ok(Response::new(Full::new(Bytes::from(text))))
            }
        };
        let server = tokio::spawn(serve(far, ends, answer));
        Self {
            stream,
            read: BytesMut::new(),
            server,
            witness,
            served,
            drain,
        }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until what was read ends with `end`.
    async fn until(&mut self, end: &str) -> String {
        while !self.read.ends_with(end.as_bytes()) {
            let read = self.stream.read_buf(&mut self.read).await.unwrap();
            assert_ne!(read, 0, "{:?}", self.read);
        }
        String::from_utf8(self.read.split().to_vec()).unwrap()
    }

    async fn is_served(&mut self) {
        self.send(REQUEST).await;
        let answer = self.until("/ ").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    /// The rest of the output, and the time until the end.
    async fn end(&mut self) -> (String, Duration) {
        let begin = Instant::now();
        while self.stream.read_buf(&mut self.read).await.unwrap() > 0 {}
        let text = String::from_utf8(self.read.split().to_vec()).unwrap();
        (text, begin.elapsed())
    }
}

/// The service closure is held twice while hyper owns the connection.
fn is_parked(client: &Client) -> bool {
    Arc::strong_count(&client.witness) == 2
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_parked_between_requests_without_loss() {
    let mut client = Client::new(100);
    tokio::task::yield_now().await;
    assert!(is_parked(&client), "hyper does not start before a request");
    for _ in 0..3 {
        client.is_served().await;
        assert!(!is_parked(&client));
        sleep(PARK_AFTER * 2).await;
        assert!(is_parked(&client));
        sleep(HEADER_TIMEOUT / 2).await;
    }
    let post = "POST /b HTTP/1.1\r\nHost: a.com\r\nContent-Length: 5\r\n\r\n";
    client.send(&format!("{REQUEST}{post}")).await;
    client.until("/ ").await;
    // A connection with a request in progress is not idle, however long it takes.
    for letter in ["h", "e", "l", "l", "o"] {
        sleep(HEADER_TIMEOUT).await;
        client.send(letter).await;
    }
    client.until("/b hello").await;
    assert_eq!(client.served.load(SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn a_partial_next_header_survives_parking() {
    let mut client = Client::new(100);
    let (begin, rest) = REQUEST.split_at(10);
    client.send(&format!("{REQUEST}{begin}")).await;
    client.until("/ ").await;
    sleep(PARK_AFTER * 4).await;
    for letter in rest.chars() {
        sleep(Duration::from_secs(1)).await;
        client.send(letter.encode_utf8(&mut [0; 4])).await;
    }
    client.until("/ ").await;
    client.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn the_header_timeout_is_enforced() {
    // (bytes before, when the first byte of the headers arrives, whether they arrive byte by byte)
    let half = HEADER_TIMEOUT / 2;
    for (requests, first) in [(0, None), (1, None), (0, Some(half)), (1, Some(half))] {
        let mut client = Client::new(100);
        for _ in 0..requests {
            client.is_served().await;
        }
        let begin = Instant::now();
        if let Some(first) = first {
            sleep(first).await;
            client.send("GET / HT").await;
        }
        let (answer, _) = client.end().await;
        assert_eq!(answer, "");
        let took = begin.elapsed();
        let slack = Duration::from_millis(10);
        assert!(
            took + slack > HEADER_TIMEOUT && took < HEADER_TIMEOUT + slack,
            "{requests} {first:?} {took:?}"
        );
        client.server.await.unwrap();
    }
}

/// A request whose headers have this many bytes.
fn request_of(length: usize) -> String {
    let (begin, end) = ("GET / HTTP/1.1\r\nHost: a.com\r\nX: ", "\r\n\r\n");
    let filling = length - begin.len() - end.len();
    format!("{begin}{}{end}", "x".repeat(filling))
}

#[tokio::test(start_paused = true)]
async fn a_large_header_is_counted_until_its_exchange_is_over() {
    // One at a time.
    let limits = Limits {
        large_headers: 1,
        ..Limits::default()
    };
    let mut client = Client::within(100, limits);
    for length in [
        HEADER_BUFFER_SIZE,
        HEADER_BUFFER_SIZE + 1,
        HEADER_SIZE_MAX - 100,
        HEADER_BUFFER_SIZE,
    ] {
        for _ in 0..3 {
            client.send(&request_of(length)).await;
            let answer = client.until("/ ").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    }
    // Not all of it is accepted.
    let long = request_of(HEADER_SIZE_MAX + 10);
    let _ = client.stream.write_all(long.as_bytes()).await;
    let (answer, _) = client.end().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_large_header_over_the_limit_is_refused() {
    let limits = Limits {
        large_headers: 0,
        ..Limits::default()
    };
    for before in [0, 1, 2] {
        let mut client = Client::within(100, limits);
        for _ in 0..before {
            client.send(&request_of(HEADER_BUFFER_SIZE)).await;
            client.until("/ ").await;
        }
        client.send(&request_of(HEADER_BUFFER_SIZE + 1)).await;
        let (answer, took) = client.end().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert_eq!((client.served.load(SeqCst), took), (before, Duration::ZERO));
        client.server.await.unwrap();
    }
}

/// Closing a socket with unread data resets the connection, which may discard the response.
#[tokio::test(start_paused = true)]
async fn an_unread_body_is_drained_until_the_client_stops() {
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\nContent-Length: 5\r\n\r\n{body}"
        )
    };
    let limits = Limits {
        large_headers: 0,
        ..Limits::default()
    };
    let table = [
        (post("/", "hello"), "200", Duration::ZERO),
        (post("/early", "hel"), "200", LINGER_READ_TIMEOUT),
        (
            request_of(HEADER_BUFFER_SIZE + 1),
            "431",
            LINGER_READ_TIMEOUT,
        ),
        (
            format!("{}\r\n", "?".repeat(100)),
            "400",
            LINGER_READ_TIMEOUT,
        ),
    ];
    for (request, status, lingers) in table {
        let mut client = Client::within(100, limits);
        client.send(&request).await;
        let (answer, told) = client.end().await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request:?} {answer}");
        assert_eq!(told, Duration::ZERO, "{request:?}");
        let since = Instant::now();
        client.server.await.unwrap();
        let slack = Duration::from_millis(10);
        let took = since.elapsed();
        assert!(
            (lingers..lingers + slack).contains(&took),
            "{request:?} {took:?}"
        );
    }
}

/// However long it goes on.
#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_sending_an_unread_body_is_disconnected() {
    let limits = Limits {
        large_headers: 0,
        ..Limits::default()
    };
    let mut client = Client::within(100, limits);
    client.send(&request_of(HEADER_BUFFER_SIZE + 1)).await;
    let (answer, _) = client.end().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let since = Instant::now();
    while client.stream.write_all(b"x").await.is_ok() {
        sleep(LINGER_READ_TIMEOUT / 2).await;
    }
    client.server.await.unwrap();
    let took = since.elapsed();
    assert!(
        (LINGER_TIMEOUT..LINGER_TIMEOUT + LINGER_READ_TIMEOUT).contains(&took),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_request_budget_ends_the_connection() {
    let mut client = Client::new(3);
    for _ in 0..2 {
        client.is_served().await;
        sleep(PARK_AFTER * 2).await;
        assert!(is_parked(&client));
    }
    client.send(REQUEST).await;
    let (answer, took) = client.end().await;
    assert!(answer.ends_with("/ "), "{answer}");
    assert_eq!(took, Duration::ZERO);
    client.server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_parked_connection_ends_with_the_drain() {
    // Another process takes over: a used connection ends, an unused one may still be used.
    let mut used = Client::new(100);
    used.is_served().await;
    sleep(PARK_AFTER * 2).await;
    assert!(is_parked(&used));
    used.drain.stop_accepting();
    let (answer, took) = used.end().await;
    assert_eq!((answer.as_str(), took), ("", Duration::ZERO));
    used.server.await.unwrap();

    let mut fresh = Client::new(100);
    tokio::task::yield_now().await;
    fresh.drain.stop_accepting();
    advance(HEADER_TIMEOUT / 2).await;
    fresh.send(REQUEST).await;
    let (answer, took) = fresh.end().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(took, Duration::ZERO);
    fresh.server.await.unwrap();

    let mut silent = Client::new(100);
    tokio::task::yield_now().await;
    let drain = std::mem::replace(&mut silent.drain, Drain::new().0);
    assert!(drain.drain(HEADER_TIMEOUT).await);
    let (answer, _) = silent.end().await;
    assert_eq!(answer, "");
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_an_unread_response_is_not_idle() {
    let mut client = Client::new(100);
    // More than the pipe holds, both ways.
    let body = "x".repeat(100 * 1024);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(&head).await;
    client.send(&body).await;
    sleep(HEADER_TIMEOUT / 2).await;
    assert!(!is_parked(&client));
    let mut taken = 0;
    while taken < body.len() {
        taken += client.until("x").await.matches('x').count();
    }
    client.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_may_disconnect_at_any_time() {
    for requests in 0..2 {
        let mut client = Client::new(100);
        for _ in 0..requests {
            client.is_served().await;
            sleep(PARK_AFTER * 2).await;
        }
        drop(client.stream);
        client.server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_response_is_disconnected() {
    let mut client = Client::new(u32::MAX);
    let begin = Instant::now();
    // Until neither the requests nor the responses fit into the buffers between the two.
    let requests = REQUEST.repeat(10_000);
    let cut = client.stream.write_all(requests.as_bytes()).await;
    assert!(cut.is_err());
    client.server.await.unwrap();
    let took = begin.elapsed();
    assert!((STALL..STALL * 2).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_disconnected() {
    let mut client = Client::new(u32::MAX);
    let requests = REQUEST.repeat(10_000);
    let (mut read, mut write) = tokio::io::split(&mut client.stream);
    let asking = async {
        write.write_all(requests.as_bytes()).await.unwrap();
    };
    let taking = async {
        let mut some = vec![0; 20_000];
        for _ in 0..20 {
            sleep(STALL * 9 / 10).await;
            assert_ne!(read.read(&mut some).await.unwrap(), 0);
        }
        let mut rest = 0;
        while rest < 100_000 {
            rest += read.read(&mut some).await.unwrap();
        }
    };
    // The rest of the requests ends with the task that reads the responses.
    tokio::select! {
        () = taking => {}
        () = async { asking.await; std::future::pending().await } => {}
    }
}

/// What a parked connection costs: thousands of them are the normal state of an edge.
#[tokio::test]
async fn a_parked_connection_is_small() {
    let (_, far) = duplex(1);
    let (_drain, token) = Drain::new();
    let ends = ConnectionEnd {
        header_timeout: HEADER_TIMEOUT,
        request_budget: RequestBudget::new(1),
        stall_monitor: StallMonitor::new(HEADER_TIMEOUT),
        unread: UnreadBody::default(),
        token,
        permit: ConnectionPermit::for_tests(Limits::default()),
    };
    let held = [0_usize; 2];
    let answer = move |_: Request<Incoming>| async move {
        std::hint::black_box(held);
        Ok(Response::new(Full::new(Bytes::new())))
    };
    let future = serve(far, ends, answer);
    let size = size_of_val(&future);
    assert!(size <= 1024, "{size} bytes");
}
