//! Shutdown: requests in flight finish, nothing new is accepted, and the process exits.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, task::JoinHandle};

use crate::harness::{
    HttpConnection, Server, eventually,
    held_origin::{HELD_BODY, HeldOrigin},
    raw, tls,
};

const NAME: &str = "drained.example.com";

/// A request that the origin keeps in flight.
struct PendingRequest {
    held: HeldOrigin,
    request: JoinHandle<Result<(u16, String), String>>,
}

async fn begin(server: &Server) -> PendingRequest {
    let (api, held) = (server.root_client(), HeldOrigin::start().await);
    api.serve(NAME, &held.origin).await;
    let edge = server.addresses().https;
    let stream = tls::connect(edge, NAME, &["http/1.1"]).await.unwrap();
    let mut connection = HttpConnection::h1_over(stream).await;
    let request = tokio::spawn(async move { connection.try_get(NAME, "/").await });
    held.wait_for_request().await;
    PendingRequest { held, request }
}

/// Sends SIGTERM, and waits until the edge accepts no more.
async fn ask_to_end(server: &Server) {
    server.signal("TERM");
    let edge = server.addresses().https;
    eventually("the end of new connections", async || is_closed(edge).await).await;
}

async fn is_closed(address: SocketAddr) -> Option<()> {
    TcpStream::connect(address).await.is_err().then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished() {
    let mut server = Server::start();
    let under_way = begin(&server).await;
    let addresses = server.addresses();
    ask_to_end(&server).await;
    eventually("the end of new calls", async || {
        is_closed(addresses.api).await
    })
    .await;
    // `/readyz` tells load balancers, while requests in flight continue.
    let ready = raw::get(addresses.admin, "localhost", "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("draining"), "{}", ready.body);
    assert!(server.is_running(), "it waits for the request");

    under_way.held.release();
    let answer = under_way.request.await.unwrap();
    assert_eq!(answer, Ok((200, HELD_BODY.to_owned())));
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_time_ends_what_does_not_end_itself() {
    let mut server = Server::start_with("drain_timeout_ms = 500\n");
    let under_way = begin(&server).await;
    let begun = Instant::now();
    ask_to_end(&server).await;
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500), "it drained: {took:?}");
    assert!(took < Duration::from_secs(10), "but not for long: {took:?}");
    let answer = under_way.request.await.unwrap();
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let mut server = Server::start(); // drains for 30 seconds
    let under_way = begin(&server).await;
    let begun = Instant::now();
    ask_to_end(&server).await;
    server.signal("TERM");
    assert_eq!(server.wait_for_exit().code(), Some(1), "{}", server.log());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // An edge that ends may still say that it lost the origin.
    let answer = under_way.request.await.unwrap();
    assert_ne!(answer, Ok((200, HELD_BODY.to_owned())));
}
