//! Retries: which requests, and at which origins. Origins that do not respond, and those that
//! process nothing.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use edgeseal_edge::Edge;
use edgeseal_testing::{
    http::{HttpConnection, text as body_text},
    origin::{listener, origin, saying},
    pki::TestCertificate,
    raw::{exchange, get_text},
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

const HEAD: Duration = Duration::from_millis(300);

/// An origin that accepts connections and requests, and does not respond; how many connections it
/// had.
async fn silent() -> (u16, Arc<AtomicUsize>) {
    let (listener, address) = listener().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address.port(), connections)
}

async fn text(edge: &Edge, path: &str) -> (u16, String) {
    let (status, answer) = get_text(edge.http_addr().unwrap(), "a.com", path).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

#[tokio::test]
async fn a_silent_origin_delays_one_client_and_loses_no_response() {
    let world = Harness::new();
    let (mute, tried) = silent().await;
    let backup = saying("backup").await;
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", mute, 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| options.timeouts.header = HEAD)
        .await;
    let began = Instant::now();
    assert_eq!(text(&edge, "/").await, (200, "backup".to_owned()));
    assert!(began.elapsed() >= HEAD);
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(text(&edge, "/").await, (200, "backup".to_owned()));
    }
    assert!(began.elapsed() < HEAD * 10, "{:?}", began.elapsed());
    assert_eq!(tried.load(Ordering::SeqCst), 1, "it is out at once");
}

#[tokio::test]
async fn requests_that_a_silent_origin_may_have_acted_on_are_not_retried() {
    let world = Harness::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let backup = origin(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Response::new(Full::<Bytes>::default()) }
    })
    .await;
    let requests = [
        "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        "GET / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        "DELETE / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n",
    ];
    for request in requests {
        // Its own origin, because it is ejected afterwards.
        let (mute, _) = silent().await;
        let domain = domain("a.com")
            .with_origin_at("127.0.0.1", mute, 20)
            .with_origin_at("127.0.0.1", backup, 30);
        world.put(&domain).await;
        let edge = world
            .edge_with(|options| options.timeouts.header = HEAD)
            .await;
        let answer = exchange(edge.http_addr().unwrap(), request).await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{request:?} {answer}");
        edge.drain().await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn several_silent_origins_have_twice_the_time_of_one() {
    let world = Harness::new();
    let mut domain = domain("a.com");
    let mut tried = Vec::new();
    for priority in [20, 30, 40, 50] {
        let (mute, count) = silent().await;
        domain = domain.with_origin_at("127.0.0.1", mute, priority);
        tried.push(count);
    }
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| options.timeouts.header = HEAD)
        .await;
    let began = Instant::now();
    assert_eq!(text(&edge, "/").await.0, 504);
    let took = began.elapsed();
    assert!(took >= 2 * HEAD && took < 4 * HEAD, "{took:?}");
    let tried: Vec<_> = tried.iter().map(|one| one.load(Ordering::SeqCst)).collect();
    assert_eq!(tried, [1, 1, 0, 0]);
}

/// An origin that had less time, because others had used it, is not blamed for it.
#[tokio::test]
async fn a_shortened_time_limit_does_not_eject_an_origin() {
    const HEAD: Duration = Duration::from_secs(1);
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.read_u8().await?;
                // It uses some of the time, and closes the connection.
                tokio::time::sleep(HEAD / 5).await;
                std::io::Result::Ok(())
            });
        }
    });
    let (mute, tried) = silent().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let last = origin(move |_| {
        let is_first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                std::future::pending::<()>().await;
            }
            Response::new(Full::from("last"))
        }
    })
    .await;
    let world = Harness::new();
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", address.port(), 20)
        .with_origin_at("127.0.0.1", mute, 30)
        .with_origin_at("127.0.0.1", last, 40);
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| options.timeouts.header = HEAD)
        .await;
    assert_eq!(text(&edge, "/").await.0, 504);
    let tries = || (tried.load(Ordering::SeqCst), asked.load(Ordering::SeqCst));
    assert_eq!(tries(), (1, 1));
    assert_eq!(text(&edge, "/").await, (200, "last".to_owned()));
    assert_eq!(tries(), (1, 2), "only the one before it is out");
}

#[tokio::test]
async fn an_origin_that_is_slow_for_one_request_is_not_ejected() {
    let world = Harness::new();
    let first = origin(|request: Request<Incoming>| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        Response::new(Full::from("first"))
    })
    .await;
    let backup = saying("backup").await;
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", first, 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| options.timeouts.header = HEAD)
        .await;
    let mut slow = std::pin::pin!(text(&edge, "/slow"));
    let answer = loop {
        tokio::select! {
            answer = &mut slow => break answer,
            (status, text) = text(&edge, "/") => assert_eq!((status, text.as_str()), (200, "first")),
        }
    };
    assert_eq!(answer, (200, "backup".to_owned()));
    assert_eq!(text(&edge, "/").await.1, "first", "it is not out");
}

const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const REFUSED_STREAM: u32 = 7;

fn frame(kind: u8, stream: u8, payload: &[u32]) -> Vec<u8> {
    let length = u8::try_from(4 * payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, stream];
    for word in payload {
        frame.extend(word.to_be_bytes());
    }
    frame
}

/// Reads frames up to the headers of the first request, and all of its body if `whole`.
async fn first_request(stream: &mut TcpStream, whole: bool) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let (is_head, ends) = (head[3] == 1, head[4] & 1 == 1);
        if head[3] <= 1 && ((is_head && !whole) || ends) {
            return Ok(());
        }
    }
}

/// A plaintext HTTP/2 origin whose first `rude` connections end the first request with `say`, and
/// that echoes the request body on all others; how many requests it served.
pub(crate) async fn refusing(rude: usize, say: Vec<u8>, closes: bool) -> (u16, Arc<AtomicUsize>) {
    let (listener, address) = listener().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answered);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (counter, say) = (Arc::clone(&counter), say.clone());
            tokio::spawn(async move {
                if number < rude {
                    stream.write_all(&frame(4, 0, &[])).await?;
                    first_request(&mut stream, true).await?;
                    stream.write_all(&say).await?;
                    while !closes && stream.read_u8().await.is_ok() {}
                    return std::io::Result::Ok(());
                }
                let service = service_fn(move |request: Request<Incoming>| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    async move {
                        let method = request.method().clone();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let text = format!("{method} {}", String::from_utf8_lossy(&body));
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
                    }
                });
                let server = http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
                Ok(())
            });
        }
    });
    (address.port(), answered)
}

async fn h2c_edge(world: &Harness, ports: Vec<u16>) -> Edge {
    world
        .edge_with(|options| options.origin_h2c_ports = ports)
        .await
}

fn post(uri: &str, body: String) -> Request<Full<Bytes>> {
    let request = Request::post(uri).header("host", "a.com");
    request.body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn unprocessed_requests_are_retried() {
    let refused = frame(RST_STREAM, 1, &[REFUSED_STREAM]);
    let away = frame(GOAWAY, 0, &[0, 0]);
    let table = [
        (1, refused.clone(), false),
        (2, refused, false),
        (1, away.clone(), true),
        (2, away, true),
    ];
    for (rude, say, closes) in table {
        let world = Harness::new();
        let (port, answered) = refusing(rude, say.clone(), closes).await;
        world
            .serve("a.com", &TestCertificate::self_signed("a.com"), port)
            .await;
        let edge = h2c_edge(&world, vec![port]).await;
        let body = "x".repeat(20_000);
        let mut http = HttpConnection::h2(edge.https_addr(), "a.com").await;
        let response = timeout(TIMEOUT, http.send(post("https://a.com/", body.clone())));
        let response = response.await.unwrap().unwrap();
        assert_eq!(response.status(), 200, "{rude} {say:?}");
        let got = body_text(response).await;
        assert_eq!(got, format!("POST {body}"), "{rude} {say:?}");
        assert_eq!(answered.load(Ordering::SeqCst), 1, "{rude} {say:?}");
        edge.drain().await;
    }
}

#[tokio::test]
async fn an_origin_that_processes_nothing_is_skipped() {
    let world = Harness::new();
    let (port, answered) = refusing(usize::MAX, frame(GOAWAY, 0, &[0, 0]), true).await;
    let (backup, answers) = refusing(0, Vec::new(), false).await;
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", port, 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = h2c_edge(&world, vec![port, backup]).await;
    let mut http = HttpConnection::plain(edge.http_addr().unwrap()).await;
    let response = timeout(TIMEOUT, http.send(post("/", "body".to_owned())));
    let response = response.await.unwrap().unwrap();
    assert_eq!(body_text(response).await, "POST body");
    assert_eq!(answered.load(Ordering::SeqCst), 0);
    assert_eq!(answers.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_that_may_have_been_processed_are_not_retried() {
    let table = [
        frame(GOAWAY, 0, &[1, 0]),
        frame(RST_STREAM, 1, &[8]),
        frame(RST_STREAM, 1, &[2]),
        Vec::new(),
    ];
    for say in table {
        let world = Harness::new();
        let (port, answered) = refusing(1, say.clone(), true).await;
        world.put(&domain("a.com").with_origin(port)).await;
        let edge = h2c_edge(&world, vec![port]).await;
        let mut http = HttpConnection::plain(edge.http_addr().unwrap()).await;
        let response = timeout(TIMEOUT, http.send(post("/", "body".to_owned())));
        assert_eq!(response.await.unwrap().unwrap().status(), 502, "{say:?}");
        assert_eq!(answered.load(Ordering::SeqCst), 0, "{say:?}");
        edge.drain().await;
    }
}

/// A body that is too large to be buffered is not sent in part.
#[tokio::test]
async fn a_long_body_is_sent_once_or_not_at_all() {
    let world = Harness::new();
    let (port, answered) = refusing(1, frame(RST_STREAM, 1, &[REFUSED_STREAM]), false).await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = h2c_edge(&world, vec![port]).await;
    let mut http = HttpConnection::plain(edge.http_addr().unwrap()).await;
    // What the first one reads of it fits into its window, and exceeds the buffer.
    let response = timeout(TIMEOUT, http.send(post("/", "x".repeat(65_535)))).await;
    assert_eq!(response.unwrap().unwrap().status(), 502);
    assert_eq!(answered.load(Ordering::SeqCst), 0);
}

/// Time that an origin waits for the client counts while it has the body, and not between two
/// attempts.
#[tokio::test]
async fn the_time_between_two_origins_does_not_count_against_the_client() {
    const WINDOW: Duration = Duration::from_secs(1);
    let (refusing, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = refusing.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(&frame(4, 0, &[])).await?;
                first_request(&mut stream, false).await?;
                let refused = frame(RST_STREAM, 1, &[REFUSED_STREAM]);
                stream.write_all(&refused).await?;
                while stream.read_u8().await.is_ok() {}
                std::io::Result::Ok(())
            });
        }
    });
    // No handshake succeeds, for more than a window.
    let (mute, _) = silent().await;
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let last = origin(move |request: Request<Incoming>| {
        begins.notify_one();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            // It is slow, so that the edge checks the client's rate.
            tokio::time::sleep(WINDOW * 3 / 2).await;
            Response::new(Full::new(body))
        }
    })
    .await;
    let world = Harness::new();
    let domain = domain("a.com")
        .with_origin_at("127.0.0.1", address.port(), 20)
        .with_origin_at("127.0.0.1", mute, 30)
        .with_origin_at("127.0.0.1", last, 40);
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| {
            options.origin_h2c_ports = vec![address.port()];
            options.origin_tls_ports = vec![mute];
            options.timeouts.connect = WINDOW * 3 / 2;
            options.timeouts.body_rate_min = 1_000_000;
            options.timeouts.body_window = WINDOW;
        })
        .await;
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    let head = "PUT / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    timeout(TIMEOUT, begun.notified()).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    let reading = client.read_to_string(&mut answer);
    timeout(TIMEOUT, reading).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
