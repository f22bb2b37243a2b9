//! Calls at each node, and handshakes with each edge, as a record of what was seen when.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use edgeseal_api::client::CallError;
use rcgen::KeyPair;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::world::{BOTH, NODES, TIMEOUT, World};
use crate::harness::{
    ApiClient, CDN_VERSION, TestCertificate, pem,
    pki::{self, AUTHORITY},
    tls,
};

/// Two writers, two readers and two observers for each of the domains, until it is stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

struct Shared {
    records: Mutex<Records>,
    /// Acknowledged changes of each node.
    acknowledged: [AtomicUsize; 2],
}

/// What was seen.
pub(super) struct Records {
    /// The account, at each node.
    pub(super) clients: Vec<ApiClient>,
    pub(super) domains: Vec<Domain>,
    /// The numbers of certificates by the [fingerprint](fingerprint) of the leaf.
    pub(super) numbers: HashMap<String, u32>,
    /// Handshakes that failed although their edge ran.
    pub(super) failures: Vec<String>,
}

pub(super) struct Domain {
    pub(super) name: String,
    pub(super) calls: Vec<Call>,
    /// The certificates that each edge has shown, one after the other.
    pub(super) shown: [Vec<u32>; 2],
}

/// A call whose effect matters.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) called: Instant,
    pub(super) returned: Instant,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Write(u32),
    Read(u32),
}

pub(super) enum Outcome {
    /// It succeeded. The id of the request.
    Done(String),
    /// It says that nothing was changed. The id of the request.
    Refused(String),
    /// It may have changed something: an error of the store, or no answer.
    Unknown,
}

/// Domains that a load writes to.
const DOMAINS: usize = 2;
/// Between two calls of a client: histories stay short enough to be checked.
const PAUSE: Duration = Duration::from_millis(40);

/// SHA-256 of a certificate, as audit records have it.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der))
}

/// The fingerprint of the certificate of a domain, from the API.
pub(super) async fn read(client: &ApiClient, domain: &str) -> Option<String> {
    let named = [("DomainName", domain)];
    let reply = client
        .call(CDN_VERSION, "DescribeDomainCertificateInfo", &named)
        .await;
    let body = reply.ok()?.body;
    let leaf = body["CertInfos"]["CertInfo"][0]["ServerCertificate"].as_str()?;
    Some(fingerprint(&pem::decode(leaf)))
}

impl Load {
    /// Starts it on new domains of a new account.
    pub(super) async fn start(world: &World, label: &str) -> Self {
        let clients = world.create_account().await;
        let shared = Arc::new(Shared {
            records: Mutex::new(Records {
                clients: clients.clone(),
                domains: Vec::new(),
                numbers: HashMap::new(),
                failures: Vec::new(),
            }),
            acknowledged: Default::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for index in 0..DOMAINS {
            let name = format!("{label}d{index}-{}.faults.example", clients[0].account);
            let key = Arc::new(pki::new_key());
            shared.records().domains.push(Domain {
                name: name.clone(),
                calls: Vec::new(),
                shown: Default::default(),
            });
            clients[0].add(&name, &world.origin).await;
            let at = |node: usize| At {
                client: clients[node].clone(),
                shared: Arc::clone(&shared),
                stopped: stopped.clone(),
                name: name.clone(),
                node,
                index,
            };
            let (first, pem) = at(0).issue(&key);
            assert!(
                at(0).set(first, &pem).await,
                "the first certificate of {name}"
            );
            for node in NODES {
                await_edge(world.edge(node), &name, &pem).await;
            }
            for node in NODES {
                let faulty = Arc::clone(&world.faulty[node]);
                tasks.spawn(at(node).write(Arc::clone(&key)));
                tasks.spawn(at(node).read());
                tasks.spawn(at(node).observe(world.edge(node), faulty));
            }
        }
        Self {
            shared,
            stop,
            tasks,
        }
    }

    /// Waits until each of these nodes has acknowledged so many further changes.
    pub(super) async fn wait_for_acknowledged(&self, nodes: &[usize], further: usize) {
        let before = BOTH.map(|node| self.acknowledged_at(node));
        let what = format!("{further} changes at {nodes:?}");
        wait_until(&what, || {
            nodes
                .iter()
                .all(|&node| self.acknowledged_at(node) >= before[node] + further)
        })
        .await;
    }

    /// Changes that a node has acknowledged.
    pub(super) fn acknowledged_at(&self, node: usize) -> usize {
        self.shared.acknowledged[node].load(Ordering::SeqCst)
    }

    /// Changes that were called and acknowledged between these times.
    pub(super) fn acknowledged_within(&self, since: Instant, until: Instant) -> usize {
        let records = self.shared.records();
        let calls = records.domains.iter().flat_map(|domain| &domain.calls);
        calls
            .filter(|call| call.is_acknowledged_change())
            .filter(|call| call.called >= since && call.returned <= until)
            .count()
    }

    /// Waits for the calls that have begun, and returns what was seen.
    pub(super) async fn stop(mut self) -> Records {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let shared = Arc::into_inner(self.shared).expect("all tasks have ended");
        shared.records.into_inner().unwrap()
    }
}

/// Waits until an edge serves a certificate.
async fn await_edge(edge: SocketAddr, name: &str, pem: &TestCertificate) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let served = tls::served_leaf(edge, name).await;
        if served.as_ref().is_ok_and(|leaf| *leaf == pem.leaf) {
            return;
        }
        let late = Instant::now() > deadline;
        assert!(!late, "{name} at {edge}: {:?}", served.err());
        sleep(PAUSE).await;
    }
}

async fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

impl Shared {
    fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap()
    }
}

impl Records {
    /// The longest time without an acknowledged change that overlaps with this span.
    pub(super) fn longest_gap(&self, begin: Instant, end: Instant) -> Duration {
        let calls = self.domains.iter().flat_map(|domain| &domain.calls);
        let mut times: Vec<Instant> = calls
            .filter(|call| call.is_acknowledged_change())
            .map(|call| call.returned)
            .collect();
        times.sort_unstable();
        let gaps = times
            .windows(2)
            .filter(|pair| pair[1] > begin && pair[0] < end);
        gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Call {
    pub(super) fn is_acknowledged_change(&self) -> bool {
        matches!(
            (&self.kind, &self.outcome),
            (Kind::Write(_), Outcome::Done(_))
        )
    }
}

/// A client of one node for one domain.
struct At {
    client: ApiClient,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    name: String,
    node: usize,
    /// Of the domain.
    index: usize,
}

impl At {
    /// A certificate with the next number.
    fn issue(&self, key: &KeyPair) -> (u32, TestCertificate) {
        let mut records = self.shared.records();
        let number = u32::try_from(records.numbers.len() + 1).unwrap();
        let pem = AUTHORITY.issue_for(&[&self.name], pki::same_key(key), |params| {
            params.serial_number = Some(u64::from(number).into());
        });
        records.numbers.insert(fingerprint(&pem.leaf), number);
        (number, pem)
    }

    /// Sets a certificate once. Whether that was acknowledged.
    async fn set(&self, number: u32, pem: &TestCertificate) -> bool {
        let called = Instant::now();
        let result = self.client.set(&self.name, pem).await;
        let outcome = match result {
            Ok(reply) => Outcome::Done(reply.body["RequestId"].as_str().unwrap().to_owned()),
            Err(CallError::Api(refusal)) if refusal.status < 500 => {
                Outcome::Refused(refusal.request)
            }
            Err(_) => Outcome::Unknown,
        };
        let is_acknowledged = matches!(outcome, Outcome::Done(_));
        self.record(Kind::Write(number), called, outcome);
        if is_acknowledged {
            self.shared.acknowledged[self.node].fetch_add(1, Ordering::SeqCst);
        }
        is_acknowledged
    }

    fn record(&self, kind: Kind, called: Instant, outcome: Outcome) {
        let returned = Instant::now();
        let call = Call {
            kind,
            called,
            returned,
            outcome,
        };
        self.shared.records().domains[self.index].calls.push(call);
    }

    /// Sets one certificate after the other, each until it is acknowledged: repeating must be safe.
    async fn write(self, key: Arc<KeyPair>) {
        while !self.is_stopped() {
            let (number, pem) = self.issue(&key);
            while !self.set(number, &pem).await && !self.is_stopped() {
                sleep(PAUSE).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the API which certificate the domain has.
    async fn read(self) {
        while !self.is_stopped() {
            let called = Instant::now();
            if let Some(found) = read(&self.client, &self.name).await {
                let number = self.number(&found);
                self.record(Kind::Read(number), called, Outcome::Done(String::new()));
            }
            sleep(PAUSE).await;
        }
    }

    /// Makes handshakes.
    async fn observe(self, edge: SocketAddr, faulty: Arc<AtomicBool>) {
        while !self.is_stopped() {
            let was_faulty = faulty.load(Ordering::SeqCst);
            match tls::served_leaf(edge, &self.name).await {
                Ok(leaf) => {
                    let number = self.number(&fingerprint(&leaf));
                    let mut records = self.shared.records();
                    let shown = &mut records.domains[self.index].shown[self.node];
                    if shown.last() != Some(&number) {
                        shown.push(number);
                    }
                }
                Err(why) if !was_faulty && !faulty.load(Ordering::SeqCst) => {
                    let failure = format!("{} at node {}: {why}", self.name, self.node);
                    self.shared.records().failures.push(failure);
                }
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }

    fn number(&self, fingerprint: &str) -> u32 {
        let records = self.shared.records();
        let known = records.numbers.get(fingerprint);
        *known.expect("nobody else sets certificates")
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }
}
