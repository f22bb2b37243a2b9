//! Hostile clients: too many, too slow, malformed, or lawful and costly. Each attack is bounded, and
//! while it goes on others are served; after it memory and descriptors have come back.

mod floods;
mod h2;
mod hellos;
mod http1;
mod names;
mod slow;

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::client::TlsStream;

use crate::harness::{Origin, Server, eventually, origin::Connection, pki::AUTHORITY, raw, tls};

/// The domain that is attacked, and served meanwhile.
const NAME: &str = "www.attacked.example";
/// As the API spells a domain for all names of one label below it.
const WILDCARD: &str = ".wild.example";
/// How soon a visitor is answered while an attack goes on. Far more than it takes, far less than
/// any timeout: two cores and other tests share the machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// A server that is attacked, with [`NAME`] and [`WILDCARD`].
struct Target {
    server: Server,
}

impl Target {
    async fn start(config: &str) -> Self {
        raise_nofile_limit();
        let server = Server::start_quiet(config);
        let (api, origin) = (server.root_client(), Origin::start().await);
        api.add(NAME, &origin).await;
        api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap();
        api.add(WILDCARD, &origin).await;
        api.set(WILDCARD, &AUTHORITY.issue(&["*.wild.example"]))
            .await
            .unwrap();
        let target = Self { server };
        // What the first requests of all allocate is not the attack's.
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

    /// A new visitor is served.
    async fn assert_serves(&self) {
        request_once(self.edge()).await.unwrap();
    }

    /// A connection to [`NAME`] after its handshake.
    async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        tls::connect(self.edge(), NAME, &[alpn]).await.unwrap()
    }

    /// A figure of its process in KiB, out of `/proc/PID/status`.
    fn memory_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Forgets the highest memory so far (proc(5), `clear_refs`), and tells the present one.
    fn baseline_kib(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.server.id()), "5").unwrap();
        self.memory_kib("VmRSS:")
    }

    /// Asserts that memory never was this much over what [`Self::baseline_kib`] told.
    fn assert_memory(&self, before_kib: u64, more_kib: u64) {
        let highest = self.memory_kib("VmHWM:");
        assert!(
            highest <= before_kib + more_kib,
            "memory rose from {before_kib} to {highest} KiB"
        );
    }

    fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.server.id()));
        open.unwrap().count()
    }

    /// Waits until as many descriptors are open as before, with a few for idle connections.
    async fn assert_descriptors_back(&self, before: usize) {
        eventually("the end of the attack's connections", async || {
            (self.descriptors() <= before + 8).then_some(())
        })
        .await;
    }

    /// A metric that the admin listener shows.
    async fn metric(&self, series: &str) -> f64 {
        let page = raw::get(self.server.addresses().admin, "localhost", "/metrics").await;
        let line = page.body.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// The end: it still serves, has not panicked, and ends in order.
    async fn stop(self) {
        self.assert_serves().await;
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
        self.server.stop();
    }
}

/// Visitors who come all the time, and one whose connection is never closed.
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
        let kept = Connection::h1(target.connect("http/1.1").await).await;
        visitors.spawn_loop(kept, |mut kept: Connection| async move {
            let got = kept.get(NAME, "/").await;
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

    /// Every one of them was served, and more than `at_least` in all.
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
    let (status, body) = Connection::h1(stream).await.get(NAME, "/").await?;
    assert_eq!((status, body), (200, Origin::page(NAME, "/")));
    Ok(())
}

/// As many descriptors as the system lets this process have; the server inherits them.
fn raise_nofile_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).unwrap();
}
