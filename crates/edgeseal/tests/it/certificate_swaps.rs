//! Replaces the certificate of one domain a thousand times under load, without a failure.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::task::JoinHandle;

use crate::harness::{HttpConnection, Origin, Server, UNLIMITED, pki::AUTHORITY, tls};

const NAME: &str = "swapped.example.com";
const SWAPS: usize = 1000;

/// The certificates that may be shown: from `acknowledged` to `sent`, both counted in swaps.
#[derive(Default)]
struct Progress {
    index_by_leaf: Mutex<HashMap<Vec<u8>, usize>>,
    sent: AtomicUsize,
    acknowledged: AtomicUsize,
    finished: AtomicBool,
}

impl Progress {
    fn is_over(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    fn number_of(&self, leaf: &[u8]) -> Option<usize> {
        self.index_by_leaf.lock().unwrap().get(leaf).copied()
    }
}

impl Progress {
    fn learn(&self, leaf: &[u8], number: usize) {
        self.index_by_leaf
            .lock()
            .unwrap()
            .insert(leaf.to_vec(), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_swaps_under_load() {
    let server = Server::start_with(&format!("keepalive_requests = 1000000000\n{UNLIMITED}"));
    let (api, origin) = (server.root_client(), Origin::start().await);
    let edge = server.addresses().https;
    api.add(NAME, &origin).await;
    let progress = Arc::new(Progress::default());
    let swap = async |number: usize| {
        let pem = AUTHORITY.issue(&[NAME]);
        progress.learn(&pem.leaf, number);
        progress.sent.store(number, Ordering::SeqCst);
        let set = api.set(NAME, &pem).await;
        set.unwrap_or_else(|error| panic!("swap {number}: {error:?}"));
        progress.acknowledged.store(number, Ordering::SeqCst);
        let when = format!("after swap {number} was acknowledged");
        server.assert_serves(NAME, &pem.leaf, &when).await;
    };
    swap(0).await;

    let handshakes = tokio::spawn(handshake_loop(edge, Arc::clone(&progress)));
    let stream = async |alpn| tls::connect(edge, NAME, &[alpn]).await.unwrap();
    let h1 = HttpConnection::h1_over(stream("http/1.1").await).await;
    let h2 = HttpConnection::h2_over(stream("h2").await).await;
    let requests = [h1, h2].map(|connection| spawn_requests(connection, Arc::clone(&progress)));
    for number in 1..=SWAPS {
        swap(number).await;
        let broken = handshakes.is_finished() || requests.iter().any(JoinHandle::is_finished);
        if broken {
            break; // joined below, where its panic is reported
        }
    }
    progress.finished.store(true, Ordering::SeqCst);
    let shaken = handshakes.await.unwrap();
    assert!(shaken >= SWAPS / 10, "only {shaken} handshakes");
    for request in requests {
        let sent = request.await.unwrap();
        assert!(sent >= SWAPS / 10, "only {sent} requests on a connection");
    }
    assert_eq!(progress.acknowledged.load(Ordering::SeqCst), SWAPS);
    server.stop();
}

/// New handshakes, one after the other. Each shows a certificate between the newest acknowledged
/// one at its start and the last one sent by its end.
async fn handshake_loop(edge: SocketAddr, progress: Arc<Progress>) -> usize {
    let mut shaken = 0;
    while !progress.is_over() {
        let acknowledged = progress.acknowledged.load(Ordering::SeqCst);
        let chain = tls::served_chain(edge, NAME).await;
        let chain = chain.unwrap_or_else(|why| panic!("handshake {shaken} failed: {why:?}"));
        let sent = progress.sent.load(Ordering::SeqCst);
        let shown = progress.number_of(&chain[0]);
        assert!(
            shown.is_some_and(|shown| (acknowledged..=sent).contains(&shown)),
            "shown {shown:?}, acknowledged {acknowledged} before, sent {sent} after"
        );
        shaken += 1;
    }
    shaken
}

/// Requests on a single connection.
fn spawn_requests(mut connection: HttpConnection, progress: Arc<Progress>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut sent = 0;
        while !progress.is_over() {
            let path = format!("/{sent}");
            let got = connection.try_get(NAME, &path).await;
            assert_eq!(got, Ok((200, Origin::page(NAME, &path))), "request {sent}");
            sent += 1;
        }
        sent
    })
}
