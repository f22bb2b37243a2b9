//! Hostile clients: too many, too slow, malformed, or valid but costly. The cost of each attack is
//! bounded, others are served meanwhile, and memory and descriptors are released afterwards.

mod floods;
mod h2;
mod hellos;
mod http1;
mod names;
mod slow;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::client::TlsStream;

use crate::harness::{HttpConnection, Origin, Server, eventually, pki::AUTHORITY, process, tls};

/// The domain that is attacked and must be served meanwhile.
const NAME: &str = "www.attacked.example";
/// A wildcard domain, as the API spells it.
const WILDCARD: &str = ".wild.example";
/// How soon a client must get a response during an attack: far above the usual time, because other
/// tests share the machine, and far below any timeout.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// The attacked server, with [`NAME`] and [`WILDCARD`].
struct Target {
    server: Server,
}

impl Target {
    async fn start(config: &str) -> Self {
        process::raise_nofile_limit();
        let server = Server::start_quiet(config);
        let (api, origin) = (server.root_client(), Origin::start().await);
        api.serve(NAME, &origin).await;
        api.add(WILDCARD, &origin).await;
        api.set(WILDCARD, &AUTHORITY.issue(&["*.wild.example"]))
            .await
            .unwrap();
        let target = Self { server };
        // Memory allocated by the first requests does not count.
        for _ in 0..20 {
            target.assert_serves().await;
        }
        target
    }

    fn edge(&self) -> SocketAddr {
        self.server.addresses().https
    }

    fn plain(&self) -> SocketAddr {
        self.server.addresses().http
    }

    /// Asserts that a new client is served.
    async fn assert_serves(&self) {
        request_once(self.edge()).await.unwrap();
    }

    /// A connection to [`NAME`] after its handshake.
    async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        tls::connect(self.edge(), NAME, &[alpn]).await.unwrap()
    }

    /// Resets the peak memory, and returns the current one.
    fn baseline_kib(&self) -> u64 {
        process::reset_peak(self.server.id()).unwrap();
        self.memory_kib().0
    }

    /// Resident memory now, and the peak.
    fn memory_kib(&self) -> (u64, u64) {
        process::resident_kib(self.server.id()).unwrap()
    }

    /// Asserts that the peak memory stayed below [`Self::baseline_kib`] plus this.
    fn assert_memory(&self, before_kib: u64, more_kib: u64) {
        let (_, highest) = self.memory_kib();
        assert!(
            highest <= before_kib + more_kib,
            "memory rose from {before_kib} to {highest} KiB"
        );
    }

    fn descriptors(&self) -> usize {
        process::open_descriptors(self.server.id()).unwrap()
    }

    /// Waits until as few descriptors are open as before, plus a few for idle connections.
    async fn assert_descriptors_back(&self, before: usize) {
        eventually("the end of the attack's connections", async || {
            (self.descriptors() <= before + 8).then_some(())
        })
        .await;
    }

    /// Asserts that it still serves, has not panicked, and shuts down gracefully.
    async fn stop(self) {
        self.assert_serves().await;
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
        self.server.stop();
    }
}

/// Clients that connect all the time, and one with a persistent connection.
struct BackgroundClients {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl BackgroundClients {
    async fn begin(target: &Target) -> Self {
        let (stop, served) = (Arc::default(), Arc::default());
        let mut visitors = Self {
            stop,
            served,
            tasks: Vec::new(),
        };
        let edge = target.edge();
        let kept = HttpConnection::h1_over(target.connect("http/1.1").await).await;
        visitors.spawn_loop(kept, |mut kept: HttpConnection| async move {
            let got = kept.try_get(NAME, "/").await;
            assert_eq!(got.unwrap().0, 200, "on a connection from before");
            kept
        });
        visitors.spawn_loop(
            (),
            move |()| async move { request_once(edge).await.unwrap() },
        );
        visitors
    }

    fn spawn_loop<S: Send + 'static, F>(
        &mut self,
        state: S,
        mut ask: impl FnMut(S) -> F + Send + 'static,
    ) where
        F: Future<Output = S> + Send,
    {
        let (stop, served) = (Arc::clone(&self.stop), Arc::clone(&self.served));
        self.tasks.push(tokio::spawn(async move {
            let mut state = state;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                state = ask(state).await;
                assert!(begun.elapsed() < RESPONSE_TIMEOUT, "{:?}", begun.elapsed());
                served.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }

    /// Asserts that all of them were served, and more than `at_least` in total.
    async fn end(self, at_least: usize) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let served = self.served.load(Ordering::Relaxed);
        assert!(served >= at_least, "{served} were served");
    }
}

/// A handshake and a request.
async fn request_once(edge: SocketAddr) -> Result<(), String> {
    let stream = tls::connect(edge, NAME, &["http/1.1"]).await;
    let stream = stream.map_err(|error| format!("{error:?}"))?;
    let (status, body) = HttpConnection::h1_over(stream)
        .await
        .try_get(NAME, "/")
        .await?;
    assert_eq!((status, body), (200, Origin::page(NAME, "/")));
    Ok(())
}
