//! Refusals that need a store which fails, or records that no call writes: API and edge in this
//! process, over a store that fails on demand.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use edgeseal_api::{
    Context, Settings,
    http::{self, Protocol},
};
use edgeseal_core::{Timestamp, account::Account};
use edgeseal_edge::{Edge, Options};
use edgeseal_store::{
    Catalog, CommitError, Fault, Key, Keyring, Revision, SharedStore, Store as _, Txn, Write,
    catalog::{AuditContext, NewAccessKey, random_account_id},
    memory::MemoryStore,
};
use edgeseal_testing::observed_store::{Observe, ObservedStore, Operation};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::{assert_documented, stored};
use crate::harness::{
    ApiClient, CDN_VERSION, Origin, SET, TestCertificate, api::upload_params, now, pki::AUTHORITY,
    tls,
};

pub(super) const NAME: &str = "www.node.example";

/// Makes commits of domains fail, or lose their race, on demand.
#[derive(Default)]
pub(super) struct Faults {
    fail_commits: AtomicBool,
    /// How many races will be lost.
    lost_races: AtomicUsize,
}

/// API and edge in this process.
pub(super) struct Node {
    pub(super) api: ApiClient,
    pub(super) catalog: Catalog,
    pub(super) bound: TestCertificate,
    store: Arc<ObservedStore<Faults>>,
    edge: Edge,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _directory: TempDir,
}

/// The codes that were seen.
pub(super) async fn collect_codes() -> BTreeSet<&'static str> {
    let node = Node::start().await;
    let mut seen = BTreeSet::new();
    let fresh = AUTHORITY.issue(&[NAME]);
    let on = upload_params(NAME, &fresh);
    let off = [("DomainName", NAME), ("SSLProtocol", "off")];

    node.store.fail_commits.store(true, Ordering::SeqCst);
    seen.insert(node.refused("CertStorage.failed", &on).await);
    seen.insert(node.refused("DeleteFailed", &off).await);
    node.store.fail_commits.store(false, Ordering::SeqCst);

    node.store.lost_races.store(usize::MAX, Ordering::SeqCst);
    seen.insert(node.refused("CreateCertificateFailed", &on).await);
    // A race that is lost a few times is run again and won.
    node.store.lost_races.store(5, Ordering::SeqCst);
    node.api
        .call(CDN_VERSION, SET, &upload_params(NAME, &node.bound))
        .await
        .unwrap();
    assert_eq!(node.store.lost_races.load(Ordering::SeqCst), 0);

    seen.extend(stored::collect_codes(&node).await);
    node.stop().await;
    seen
}

impl Node {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ObservedStore::over(Arc::new(MemoryStore::new()), Faults::default());
        let shared: SharedStore = store.clone();
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(Arc::clone(&shared), keyring.clone());
        let (account, key, secret) = make_root(&catalog).await;
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let options = Options::new("node", "production", anywhere, directory.path());
        let edge = Edge::start(options, shared, keyring, now).await.unwrap();
        let settings = Settings {
            settle_timeout: Duration::from_secs(10),
            ..Settings::default()
        };
        let (context, auditor) = Context::new(
            catalog.clone(),
            now,
            settings,
            Some(edge.handle().applied_revision()),
        );
        tokio::spawn(auditor);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
            http::ShutdownTimeouts {
                unused: Duration::ZERO,
                drain: Duration::from_secs(5),
            }
        };
        let serving = http::serve(listener, Protocol::Http, Arc::new(context), stopped);
        let node = Self {
            api: ApiClient::new(&address, &account, &key, &secret),
            catalog,
            bound: AUTHORITY.issue(&[NAME]),
            store,
            edge,
            stop,
            serving: tokio::spawn(serving),
            _directory: directory,
        };
        node.api.add(NAME, &Origin::start().await).await;
        node.api.set(NAME, &node.bound).await.unwrap();
        node
    }

    /// Calls what must be refused with this code; afterwards the old certificate is served.
    pub(super) async fn refused(
        &self,
        code: &'static str,
        params: &[(&str, &str)],
    ) -> &'static str {
        let refusal = self.api.refused(CDN_VERSION, SET, params).await;
        assert_documented(&refusal, code, code);
        self.assert_serves_bound(code).await;
        code
    }

    pub(super) async fn assert_serves_bound(&self, when: &str) {
        let chain = tls::served_chain(self.edge.https_addr(), NAME).await;
        assert_eq!(chain.unwrap()[0], self.bound.leaf, "after {when}");
    }

    /// Writes a value past every rule.
    pub(super) async fn put(&self, key: Key, value: bytes::Bytes) -> Revision {
        let put = Write::Put {
            key,
            value,
            expires: None,
        };
        let txn = Txn {
            write: vec![put],
            ..Txn::default()
        };
        self.store.commit(txn).await.unwrap()
    }

    /// Waits until the edge serves this state.
    pub(super) async fn served(&self, revision: Revision) {
        let mut served = self.edge.handle().applied_revision();
        served.wait_for(|served| *served >= revision).await.unwrap();
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
        self.edge.drain().await;
    }
}

async fn make_root(catalog: &Catalog) -> (String, String, String) {
    let now: Timestamp = now();
    let account = Account {
        id: random_account_id(),
        name: "root".to_owned(),
        root: true,
        created: now,
        private_origins: None,
        quotas: Default::default(),
    };
    let key = NewAccessKey::generate(account.id.clone(), None, now);
    let audit = AuditContext {
        account: account.id.clone(),
        principal: format!("acs:ram::{}:root", account.id),
        access_key: "-".to_owned(),
        source: "-".to_owned(),
        action: "FirstStart".to_owned(),
        resource: String::new(),
        request_id: "0".to_owned(),
        nonce: None,
        now,
    };
    catalog
        .create_account(&audit, &account, &key)
        .await
        .unwrap();
    let secret = String::from_utf8(key.secret.expose().to_vec()).unwrap();
    (account.id.to_string(), key.key.id, secret)
}

impl Observe for Faults {
    fn before(&self, _: Operation<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn before_commit(&self, txn: &Txn) -> Result<(), CommitError> {
        let written = txn.write.iter().find_map(|write| match write {
            Write::Put { key, .. } if key.as_str().starts_with("domain/") => Some(key.clone()),
            Write::Put { .. } | Write::Delete(_) | Write::Add { .. } => None,
        });
        let Some(key) = written else { return Ok(()) };
        if self.fail_commits.load(Ordering::SeqCst) {
            return Err(Fault::new("commit: the disk is full").into());
        }
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if self.lost_races.fetch_update(order, order, one_less).is_ok() {
            return Err(CommitError::Conflict { key });
        }
        Ok(())
    }
}
