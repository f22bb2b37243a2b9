//! Bodies: streamed through the edge, no faster than they are read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use edgeseal_testing::{
    origin::{listener, origin},
    pki::TestCertificate,
    raw::exchange,
    tls::connect,
};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

const CHUNK: usize = 64 * 1024;
const TOTAL: usize = 256 * 1024 * 1024;

/// 256 MiB, generated as it is read.
struct Large(Arc<AtomicUsize>);

impl Body for Large {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.0.load(Ordering::Relaxed) >= TOTAL {
            return Poll::Ready(None);
        }
        self.0.fetch_add(CHUNK, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; CHUNK])))))
    }
}

/// Waits until there is no more progress.
async fn at_rest(counter: &AtomicUsize) -> usize {
    let mut seen = counter.load(Ordering::Relaxed);
    let mut still = 0;
    while still < 5 {
        sleep(Duration::from_millis(40)).await;
        let now = counter.load(Ordering::Relaxed);
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_the_origin() {
    let made = Arc::new(AtomicUsize::new(0));
    let making = Arc::clone(&made);
    let port = origin(move |_| {
        let body = Large(Arc::clone(&making));
        async move { Response::new(body) }
    })
    .await;
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let stream = connect(edge.https_addr(), "a.com", &["h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://a.com/")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    // The body is not read: what was generated fits into windows and socket buffers.
    let waiting = at_rest(&made).await;
    assert!(waiting > 0 && waiting < 24 * 1024 * 1024, "{waiting}");
    let mut body = response.into_body();
    let mut read = 0;
    while let Some(frame) = timeout(TIMEOUT, body.frame()).await.unwrap() {
        let data = frame.unwrap().into_data().unwrap();
        assert!(data.iter().all(|byte| *byte == 7));
        read += data.len();
    }
    assert_eq!(read, TOTAL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_origin_slows_the_client() {
    let (listener, address) = listener().await;
    let world = Harness::new();
    world
        .put(&domain("a.com").with_origin(address.port()))
        .await;
    let edge = world.edge().await;
    let mut client = TcpStream::connect(edge.http_addr().unwrap()).await.unwrap();
    let head = format!("PUT / HTTP/1.1\r\nHost: a.com\r\nContent-Length: {TOTAL}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut origin, _) = timeout(TIMEOUT, listener.accept()).await.unwrap().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = Arc::clone(&sent);
    let client = tokio::spawn(async move {
        while sending.load(Ordering::Relaxed) < TOTAL {
            client.write_all(&[7; CHUNK]).await.unwrap();
            sending.fetch_add(CHUNK, Ordering::Relaxed);
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"done") {
            answer.push(client.read_u8().await.unwrap());
        }
    });
    let waiting = at_rest(&sent).await;
    assert!(waiting > 0 && waiting < 24 * 1024 * 1024, "{waiting}");
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(origin.read_u8().await.unwrap());
    }
    let mut left = TOTAL;
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let count = timeout(TIMEOUT, origin.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0 && buffer[..count].iter().all(|byte| *byte == 7));
        left -= count;
    }
    origin
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .await
        .unwrap();
    timeout(TIMEOUT, client).await.unwrap().unwrap();
}

/// Each side sends its next part only when the other has received the last one.
#[tokio::test]
async fn bodies_stream_in_both_directions_at_once() {
    let port = origin(|request: Request<hyper::body::Incoming>| async move {
        Response::new(request.into_body())
    })
    .await;
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let stream = connect(edge.https_addr(), "a.com", &["h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (parts, body) = mpsc::channel::<Bytes>(1);
    let request = Request::post("https://a.com/").body(Parts(body)).unwrap();
    let response = timeout(TIMEOUT, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    let mut body = response.into_body();
    for number in 0..10 {
        let part = Bytes::from(format!("part {number}"));
        parts.send(part.clone()).await.unwrap();
        let frame = timeout(TIMEOUT, body.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(parts);
    let rest = timeout(TIMEOUT, body.collect()).await.unwrap().unwrap();
    assert_eq!(rest.to_bytes(), "");
}

struct Parts(mpsc::Receiver<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[tokio::test]
async fn a_body_that_stops_times_out() {
    let port = origin(|request: Request<hyper::body::Incoming>| async move {
        let _ = request.into_body().collect().await;
        Response::new(Full::<Bytes>::default())
    })
    .await;
    let (silent, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = silent.accept().await.unwrap();
        let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart";
        stream.write_all(start).await.unwrap();
        std::future::pending::<()>().await;
    });
    let world = Harness::new();
    world.put(&domain("upload.com").with_origin(port)).await;
    world
        .put(&domain("download.com").with_origin(address.port()))
        .await;
    let edge = world
        .edge_with(|options| {
            options.timeouts.header = Duration::from_millis(200);
            options.timeouts.idle = Duration::from_millis(200);
        })
        .await;
    let http = edge.http_addr().unwrap();
    // The client stops in the middle of its body.
    let upload = "PUT / HTTP/1.1\r\nHost: upload.com\r\nContent-Length: 100\r\n\r\nstart";
    let answer = exchange(http, upload).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // The origin stops in the middle of its body: the connection ends, so that the client notices.
    let mut client = TcpStream::connect(http).await.unwrap();
    let download = b"GET / HTTP/1.1\r\nHost: download.com\r\n\r\n";
    client.write_all(download).await.unwrap();
    let mut answer = Vec::new();
    let end = timeout(TIMEOUT, client.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(end.is_ok() || end.is_err());
    assert!(
        answer.ends_with(b"start"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
