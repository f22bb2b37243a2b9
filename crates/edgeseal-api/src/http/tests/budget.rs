//! The memory of requests and responses in flight is bounded and released.

use std::{future::poll_fn, pin::Pin};

use hyper::body::Body as _;
use tokio_rustls::client::TlsStream;

use super::*;

const A: [u8; 4] = [127, 0, 0, 2];
const B: [u8; 4] = [127, 0, 0, 3];
/// The pages that all requests may hold.
const PAGES: usize = 8;

/// With so little memory that requests may hold [`PAGES`] pages, and responses twice as many.
async fn api() -> Api {
    let memory = MemoryLimit {
        max_bytes: 16 * (PAGES * PAGE) as u64,
        used_bytes: || Some(0),
    };
    Api::start_with(Settings {
        memory: Some(memory),
        ..Settings::default()
    })
    .await
}

fn post(length: usize) -> String {
    let target = "/?Action=DescribeUserDomains&Version=2018-05-10&Format=JSON";
    format!("POST {target} HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {length}\r\n\r\n")
}

/// A request from `source` that holds this many pages and never completes.
async fn unfinished(api: &Api, source: [u8; 4], pages: usize) -> TlsStream<TcpStream> {
    let held = api.context.budgets.requests.reserved_bytes();
    let mut stream = api.connect_tls_from(source).await.unwrap();
    // Bytes that arrive with the end of the handshake are accounted to the handshake.
    stream.write_all(post(0).as_bytes()).await.unwrap();
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    stream.write_all(post(250_000).as_bytes()).await.unwrap();
    // The head and the TLS overhead fit in the page that is not counted.
    let body = vec![b'x'; pages * PAGE];
    stream.write_all(&body).await.unwrap();
    stream.flush().await.unwrap();
    wait_for_bytes(
        || api.context.budgets.requests.reserved_bytes(),
        held + pages * PAGE,
    )
    .await;
    stream
}

async fn wait_for_bytes(bytes: impl Fn() -> usize, expected: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while bytes() != expected {
        assert!(Instant::now() < deadline, "{} are held", bytes());
        tokio::task::yield_now().await;
    }
}

/// The response, read until the connection ends.
async fn response(stream: &mut TlsStream<TcpStream>) -> String {
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    String::from_utf8(response).unwrap()
}

#[track_caller]
fn assert_refused(response: &str) {
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("connection: close"), "{response}");
    assert!(
        response.contains(r#""Code":"ServiceUnavailable""#),
        "{response}"
    );
    assert!(
        response.contains("too many requests are in flight"),
        "{response}"
    );
}

#[tokio::test]
async fn requests_over_budget_are_refused() {
    let api = api().await;
    let held = unfinished(&api, A, PAGES).await;
    let mut body = api.connect_tls_from(A).await.unwrap();
    body.write_all(post(100_000).as_bytes()).await.unwrap();
    let _ = body.write_all(&[b'x'; 50_000]).await;
    assert_refused(&response(&mut body).await);
    let mut head = api.connect_tls_from(A).await.unwrap();
    let filler = "x".repeat(50_000);
    let _ = head
        .write_all(format!("GET /?Note={filler}").as_bytes())
        .await;
    assert_refused(&response(&mut head).await);
    // A small request is not counted.
    assert!(api.call().await.contains("MissingAccessKeyId"));
    drop(held);
    wait_for_bytes(|| api.context.budgets.requests.reserved_bytes(), 0).await;
    let mut whole = api.connect_tls_from(A).await.unwrap();
    whole.write_all(post(50_000).as_bytes()).await.unwrap();
    whole.write_all(&[b'x'; 50_000]).await.unwrap();
    let mut first = [0; 12];
    whole.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 400");
    wait_for_bytes(|| api.context.budgets.requests.reserved_bytes(), 0).await;
}

#[tokio::test]
async fn the_largest_source_is_evicted() {
    let api = api().await;
    let mut large = unfinished(&api, A, PAGES - 1).await;
    let _small = unfinished(&api, B, 1).await;
    let mut newcomer = api.connect_tls_from([127, 0, 1, 4]).await.unwrap();
    newcomer.write_all(post(40_000).as_bytes()).await.unwrap();
    newcomer.write_all(&[b'x'; 40_000]).await.unwrap();
    let mut first = [0; 12];
    newcomer.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 400");
    assert_eq!(response(&mut large).await, "", "the connection is cut off");
    wait_for_bytes(|| api.context.budgets.requests.reserved_bytes(), PAGE).await;
}

/// A caller without a connection.
fn caller(context: &Context, source: [u8; 4]) -> ClientConnection {
    let place = context.connections.acquire(source.into()).unwrap();
    let budget = Arc::clone(&context.budgets.requests);
    ClientConnection {
        message: InboundMessage::new(budget, place.source(), place.revoker()),
        permit: Arc::new(place),
        peer: SocketAddr::from((source, 1)),
        secure: false,
    }
}

fn answer_of(pages: usize) -> ApiResponse {
    ApiResponse {
        status: ::http::StatusCode::OK,
        body: vec![b'x'; pages * PAGE].into(),
        format: Format::Json,
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn responses_over_budget_are_refused_until_others_are_written() {
    let api = api().await;
    let context = &*api.context;
    let caller = caller(context, A);
    let answers = &context.budgets.responses;
    let first = into_response(context, &caller, "id", answer_of(10));
    assert_eq!(
        (first.status().as_u16(), answers.reserved_bytes()),
        (200, 10 * PAGE)
    );
    let refused = into_response(context, &caller, "id", answer_of(10));
    assert_eq!(refused.status().as_u16(), 503);
    assert_eq!(refused.headers()[header::CONNECTION], "close");
    let small = into_response(context, &caller, "id", answer_of(1));
    assert_eq!(
        (small.status().as_u16(), answers.reserved_bytes()),
        (200, 10 * PAGE)
    );
    let mut body = first.into_body();
    assert_eq!(body.size_hint().exact(), Some(10 * PAGE as u64));
    let mut pieces = Vec::new();
    while let Some(piece) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        pieces.push(piece.unwrap().into_data().unwrap());
    }
    let lengths: Vec<usize> = pieces.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [64 * 1024, 64 * 1024, 32 * 1024]);
    pieces.truncate(1);
    assert_eq!(
        answers.reserved_bytes(),
        10 * PAGE,
        "not everything is written yet"
    );
    pieces.clear();
    assert_eq!(answers.reserved_bytes(), 0);
    let second = into_response(context, &caller, "id", answer_of(10));
    assert_eq!(second.status().as_u16(), 200);
    drop(second);
    assert_eq!(answers.reserved_bytes(), 0, "the caller is gone");
}
