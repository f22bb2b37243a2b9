//! Assumptions of this module about hyper, tested against hyper itself: none of them is documented.

use std::convert::Infallible;

use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::mpsc::{Receiver, Sender, channel},
};

use super::*;
use crate::limits::{ConnectionPermit, Limits};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection owned by hyper, from both ends.
struct Watch {
    client: DuplexStream,
    idle_tracker: Arc<IdleTracker>,
    /// Parts of the current response; an empty one is its end.
    parts: Sender<&'static str>,
}

/// A response body, part by part as the test sends it.
struct Parts(Arc<Mutex<Receiver<&'static str>>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut parts = self.0.lock();
        parts.poll_recv(cx).map(|part| {
            let part = part.filter(|part| !part.is_empty())?;
            Some(Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
        })
    }
}

impl Watch {
    /// A request for `/read` is answered when its body has been read, any other at once. The pipe
    /// to the client holds `room` bytes.
    fn new(room: usize) -> Self {
        let (client, far) = duplex(room);
        let heads = HeaderBudget::new(ConnectionPermit::for_tests(Limits::default()));
        let idle_tracker = IdleTracker::new(Instant::now(), TIMEOUT, TIMEOUT, heads);
        let (parts, taken) = channel(8);
        let taken = Arc::new(Mutex::new(taken));
        let service = service_fn(move |request: Request<Incoming>| {
            let parts = Parts(Arc::clone(&taken));
            async move {
                if request.uri().path() == "/read" {
                    let _ = request.into_body().collect().await;
                }
                Ok::<_, Infallible>(Response::new(parts))
            }
        });
        let watched = TrackedStream::new(far, Bytes::new(), Arc::clone(&idle_tracker));
        let connection = http1::Builder::new()
            .timer(HeaderTimer(Arc::clone(&idle_tracker)))
            .header_read_timeout(TIMEOUT)
            .serve_connection(TokioIo::new(watched), service);
        tokio::spawn(connection);
        Self {
            client,
            idle_tracker,
            parts,
        }
    }

    async fn send(&mut self, bytes: &str) {
        self.client.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn answer(&self, part: &'static str) {
        self.parts.send(part).await.unwrap();
    }

    /// Whether headers are waited for, and everything written is flushed, once hyper has done all
    /// that it can; and how many times headers were waited for.
    async fn state(&self) -> (bool, bool, u32) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let waits = matches!(self.idle_tracker.waiting_for(), WaitingFor::Head(_));
        let settled = self.idle_tracker.flushed.load(Relaxed);
        (waits, settled, self.idle_tracker.heads.load(Relaxed))
    }
}

#[tokio::test]
async fn headers_are_awaited_only_after_the_exchange_before() {
    let mut watch = Watch::new(64 * 1024);
    assert_eq!(watch.state().await, (true, true, 1), "from the beginning");
    watch.send("POST /read HTTP/1.1\r\nHost: a.com\r\n").await;
    assert_eq!(
        watch.state().await,
        (true, true, 1),
        "a part of the headers"
    );
    watch.send("Content-Length: 4\r\n\r\n").await;
    assert!(!watch.state().await.0, "the headers are complete");
    watch.send("bo").await;
    assert!(!watch.state().await.0, "a part of the body has arrived");
    watch.send("dy").await;
    assert!(
        !watch.state().await.0,
        "nothing of the response has arrived"
    );
    watch.answer("an").await;
    assert!(!watch.state().await.0, "a part of the response has arrived");
    watch.answer("").await;
    assert_eq!(watch.state().await, (true, true, 2), "all has arrived");
}

#[tokio::test]
async fn an_early_response_does_not_start_the_next_wait() {
    let mut watch = Watch::new(64 * 1024);
    let head = "POST /early HTTP/1.1\r\nHost: a.com\r\nContent-Length: 4\r\n\r\nbo";
    watch.send(head).await;
    watch.answer("all of it").await;
    watch.answer("").await;
    let (waits, _, heads) = watch.state().await;
    // hyper may discard the rest of the body, and then ends the connection; it never waits for
    // headers in the middle of a body.
    assert!(!waits && heads == 1, "the rest of the body is not headers");
}

#[tokio::test]
async fn output_is_flushed_when_headers_are_awaited_and_not_before() {
    // The pipe holds less than the response, so that it is not sent at once.
    let mut watch = Watch::new(100);
    watch.send("GET / HTTP/1.1\r\nHost: a.com\r\n\r\n").await;
    watch
        .answer("0123456789012345678901234567890123456789")
        .await;
    watch.answer("").await;
    let (_, settled, _) = watch.state().await;
    assert!(!settled, "the client has not read it");
    let mut taken = [0; 10_000];
    let mut length = 0;
    while !taken[..length].ends_with(b"\r\n0\r\n\r\n") {
        length += watch.client.read(&mut taken[length..]).await.unwrap();
    }
    assert_eq!(watch.state().await, (true, true, 2));
}

#[tokio::test]
async fn pipelined_requests_are_awaited_one_by_one() {
    let mut watch = Watch::new(64 * 1024);
    let request = "GET / HTTP/1.1\r\nHost: a.com\r\n\r\n";
    watch.send(&request.repeat(2)).await;
    assert!(!watch.state().await.0);
    watch.answer("").await;
    // The second request has already arrived, whether its headers were waited for or not.
    assert!(!watch.state().await.0, "the second one is in progress");
    watch.answer("").await;
    let (waits, settled, _) = watch.state().await;
    assert!(waits && settled);
}
