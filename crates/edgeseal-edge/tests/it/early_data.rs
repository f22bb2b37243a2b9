//! Early data: never accepted, and skipped if it arrives.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use edgeseal_testing::{
    origin::saying,
    pki::TestCertificate,
    tls::{client_config, server_config},
};
use rustls::{
    ClientConfig, ClientConnection, ServerConnection, Stream, pki_types::ServerName, version::TLS13,
};

use crate::harness::{Harness, TIMEOUT};

fn dialled(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("a.com").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// The previous server of the name: it issues tickets that allow this much early data.
fn predecessor(early_data: u32) -> SocketAddr {
    let mut config = server_config(&TestCertificate::self_signed("a.com"), &["http/1.1"]);
    config.max_early_data_size = early_data;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = Stream::new(&mut tls, &mut stream);
            // Written after the tickets.
            let _ = tls.write_all(b"x");
        }
    });
    address
}

/// A request with this much early data before it, in this many writes; returns the response.
fn ask(edge: SocketAddr, early_data: usize, writes: usize) -> String {
    let mut config = client_config(&[&TLS13], &["http/1.1"]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let before = predecessor(u32::try_from(early_data).unwrap());
    let mut stream = dialled(before);
    let mut tls = client(&config);
    Stream::new(&mut tls, &mut stream)
        .read_exact(&mut [0])
        .unwrap();

    let mut stream = dialled(edge);
    let mut tls = client(&config);
    let part = vec![b'e'; early_data / writes];
    for _ in 0..writes {
        let mut early = tls.early_data().expect("the ticket allows it");
        early.write_all(&part).unwrap();
        while tls.wants_write() {
            tls.write_tls(&mut stream).unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut both = Stream::new(&mut tls, &mut stream);
    both.write_all(b"GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    both.read_to_string(&mut answer).unwrap();
    assert!(!tls.is_early_data_accepted());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn early_data_of_an_earlier_servers_ticket_is_skipped() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let edge = edge.https_addr();
    for (early_data, writes) in [(100, 1), (8000, 1), (16_384, 1), (16_384, 8), (40_000, 4)] {
        let asked = tokio::task::spawn_blocking(move || ask(edge, early_data, writes));
        let answer = asked.await.unwrap();
        assert!(answer.ends_with("hello"), "{early_data} {writes}: {answer}");
    }
}

/// A ticket of the edge allows none.
#[tokio::test(flavor = "multi_thread")]
async fn no_ticket_allows_early_data() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let edge = edge.https_addr();
    let asked = tokio::task::spawn_blocking(move || {
        let mut config = client_config(&[&TLS13], &["http/1.1"]);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let mut stream = dialled(edge);
        let mut tls = client(&config);
        let mut both = Stream::new(&mut tls, &mut stream);
        both.write_all(b"GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n")
            .unwrap();
        both.read_to_string(&mut String::new()).unwrap();
        client(&config).early_data().is_some()
    });
    assert!(!asked.await.unwrap());
}
