//! The drain of an edge.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use edgeseal_testing::{http::HttpConnection, origin::origin, pki::TestCertificate};
use http::Response;
use http_body_util::Full;
use tokio::{net::TcpStream, sync::Notify, time::timeout};

use crate::harness::{Harness, TIMEOUT};

/// An origin that responds when told to, and notifies when it gets a request.
async fn waiting() -> (u16, Arc<Notify>, Arc<Notify>) {
    let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&answer));
    let port = origin(move |_| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Response::new(Full::new(Bytes::from_static(b"late")))
        }
    })
    .await;
    (port, asked, answer)
}

#[tokio::test]
async fn requests_in_flight_end_and_new_connections_do_not_begin() {
    for h2 in [false, true] {
        let world = Harness::new();
        let (port, asked, answer) = waiting().await;
        world
            .serve("a.com", &TestCertificate::self_signed("a.com"), port)
            .await;
        let edge = world.edge().await;
        let address = edge.https_addr();
        // An idle connection must not delay the drain.
        let _idle = HttpConnection::h1(address, "a.com").await;
        let request = tokio::spawn(async move {
            let mut http = match h2 {
                true => HttpConnection::h2(address, "a.com").await,
                false => HttpConnection::h1(address, "a.com").await,
            };
            http.get("a.com", "/").await
        });
        asked.notified().await;
        let drain = tokio::spawn(edge.drain());
        let refused = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, refused)
            .await
            .expect("the listener must close");
        assert!(!drain.is_finished());
        answer.notify_one();
        assert_eq!(request.await.unwrap(), (200, "late".to_owned()));
        timeout(Duration::from_secs(4), drain)
            .await
            .expect("nothing is left")
            .unwrap();
    }
}

#[tokio::test]
async fn requests_that_do_not_end_are_aborted() {
    let world = Harness::new();
    let (port, asked, _never) = waiting().await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.drain_timeout = Duration::from_millis(100))
        .await;
    let address = edge.https_addr();
    let request = tokio::spawn(async move {
        let mut http = HttpConnection::h1(address, "a.com").await;
        let request = http::Request::get("/").header("host", "a.com");
        http.send(request.body(Full::default()).unwrap()).await
    });
    asked.notified().await;
    timeout(TIMEOUT, edge.drain()).await.expect("a drain ends");
    assert!(request.await.unwrap().is_err());
}
