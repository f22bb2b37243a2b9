//! A store with a managed domain, an authority, and what stands for an edge.

use std::sync::Arc;

use bytes::Bytes;
use edgeseal_acme::{
    CertificateSettings, EdgeSolver, IssuedKeys, IssuerConfig, OrderHandle, OrderTask, Settings,
};
use edgeseal_core::{
    AccountId, DomainPattern, Secret,
    acme::IssuerLimits,
    challenge::Token,
    delivery::DeliveryConfig,
    domain::{Coverage, Domain, DomainMode, DomainState, Environment, ServiceType},
    managed_certificate::{KeyType, ManagedCertificate, Order, OrderRequest, OrderStatus},
    private_origins::OriginPermission,
    quota::{Quota, Quotas},
};
use edgeseal_store::{
    Catalog, Key, Keyring, Log, LogRange, LogRow, SharedStore, Txn, Write,
    catalog::{AuditContext, ChangeError},
    memory::MemoryStore,
    record::{self, ChallengeRecord, ChallengeResponse, EdgeRecord},
};
use edgeseal_testing::{
    clock::now,
    origin::origin,
    pebble::{Pebble, PebbleOptions, server_root},
    pem,
    wait::eventually,
};
use http::Response;
use http_body_util::Full;
use rustls::pki_types::CertificateDer;
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) const DOMAIN: &str = "www.example.com";

/// A store with a domain whose certificate is managed.
pub(crate) struct Fixture {
    pub(crate) store: SharedStore,
    pub(crate) keyring: Keyring,
    pub(crate) catalog: Catalog,
    pub(crate) pebble: Pebble,
    pub(crate) name: DomainPattern,
    /// Where http-01 is answered.
    pub(crate) http_port: u16,
    /// What answers http-01 instead of the key authorization, if anything.
    pub(crate) answer: Arc<std::sync::Mutex<Option<String>>>,
}

/// A task that runs until it is stopped.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    pub(crate) orders: OrderHandle,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }

    /// As a crash does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub(crate) fn domain_name() -> DomainPattern {
    DomainPattern::parse(DOMAIN).unwrap()
}

pub(crate) fn account() -> AccountId {
    AccountId::from_random(7)
}

pub(crate) fn audit() -> AuditContext {
    AuditContext {
        account: account(),
        principal: "test".to_owned(),
        access_key: String::new(),
        source: String::new(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: uuid::Uuid::new_v4().to_string(),
        nonce: None,
        now: now(),
    }
}

impl Fixture {
    pub(crate) async fn start(options: PebbleOptions) -> Self {
        Self::start_for(DOMAIN, options).await
    }

    /// The domain is `name`, a wildcard as in `*.example.com`.
    pub(crate) async fn start_for(name: &str, options: PebbleOptions) -> Self {
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let store: SharedStore = Arc::new(MemoryStore::new());
        let catalog = Catalog::new(Arc::clone(&store), keyring.clone());
        let answer = Arc::default();
        let http_port = responder(Arc::clone(&store), Arc::clone(&answer)).await;
        let pebble = Pebble::start(PebbleOptions {
            http_port,
            ..options
        })
        .await;
        pebble.dns.add_address(DOMAIN, [127, 0, 0, 1]).await;
        let fixture = Self {
            store,
            keyring,
            catalog,
            pebble,
            name: DomainPattern::parse(name).unwrap(),
            http_port,
            answer,
        };
        fixture.report().await;
        fixture.manage().await;
        fixture
    }

    /// The report of an edge that has applied everything.
    async fn report(&self) {
        self.report_of("test", u64::MAX).await;
    }

    /// The report of an edge that has confirmed all challenges, and has applied what was committed
    /// before `revision`.
    pub(crate) async fn report_of(&self, id: &str, revision: u64) {
        let report = EdgeRecord {
            id: id.to_owned(),
            group: "default".to_owned(),
            revision,
            challenge_revision: u64::MAX,
            at: now().plus_ms(60 * 60 * 1000),
            domains: 1,
            quarantined: Vec::new(),
            quarantined_total: 0,
            unproven: Vec::new(),
            unproven_total: 0,
            proofs: Vec::new(),
            disk: None,
        };
        let key = Key::edge(&report.group, &report.id);
        let write = vec![Write::put(key, record::encode(&report).unwrap())];
        let expect = Vec::new();
        self.store.commit(Txn::new(expect, write)).await.unwrap();
    }

    async fn manage(&self) {
        self.manage_domain(domain(self.name.clone())).await;
    }

    /// Has the certificate of another domain ordered.
    pub(crate) async fn manage_also(&self, name: &DomainPattern) {
        self.manage_domain(Domain {
            id: 2,
            ..domain(name.clone())
        })
        .await;
    }

    async fn manage_domain(&self, domain: Domain) {
        let requested = OrderRequest {
            at: now(),
            access_key: String::new(),
            action: "SetCdnDomainSSLCertificate".to_owned(),
            request_id: String::new(),
        };
        let of = (domain.name.clone(), domain.id);
        let managed =
            ManagedCertificate::requested(of, account(), Environment::Production, requested);
        let audit = audit();
        let made = self.catalog.transact(&audit, async |mut draft| {
            draft.add_domain(&domain, Quota::Unlimited).await.unwrap();
            draft.put_managed_certificate(&managed)?;
            Ok::<_, ChangeError<()>>((draft, ()))
        });
        made.await.unwrap();
    }

    /// Changes the domain as a call would.
    pub(crate) async fn change_domain(&self, change: impl Fn(&mut Domain) + Send + Sync) {
        let audit = audit();
        let changed = self.catalog.transact(&audit, async |mut draft| {
            let before = draft.domain(&domain_name()).await?.unwrap();
            let mut after = before.clone();
            change(&mut after);
            draft.change_domain(&before, &after).await?;
            Ok::<_, ChangeError<()>>((draft, ()))
        });
        changed.await.unwrap();
    }

    /// Notes orders in progress, as a process does that ends then.
    pub(crate) async fn put_orders(&self, orders: &[Order]) {
        self.put_orders_of((&self.name, 1), orders).await;
    }

    pub(crate) async fn put_orders_of(&self, of: (&DomainPattern, i64), orders: &[Order]) {
        let of = (of.0, Environment::Production, of.1);
        let key = |order: &Order| (order.key, Secret::new(b"the key of the order".to_vec()));
        let keys: Vec<_> = orders.iter().map(key).collect();
        let put = |managed: &mut ManagedCertificate| managed.orders = orders.to_vec();
        let updated = self.catalog.update_managed_certificate(of, &keys, put);
        assert!(updated.await.unwrap().is_some());
    }

    /// Asks for a certificate again, as the call does a minute after the last attempt.
    pub(crate) async fn request_again(&self) {
        let of = (&domain_name(), Environment::Production, 1);
        let again = |managed: &mut ManagedCertificate| {
            if let Some(failure) = &mut managed.failure {
                failure.at = now().plus_ms(-60_000);
            }
            managed.request_again(now());
        };
        let updated = self
            .catalog
            .update_managed_certificate(of, &[], again)
            .await;
        assert!(updated.unwrap().is_some());
    }

    /// The issuer that pebble is.
    pub(crate) fn issuer(&self) -> IssuerConfig {
        issuer("pebble", self.pebble.directory())
    }

    pub(crate) async fn run(&self, issuers: Vec<IssuerConfig>) -> Running {
        run_on(self.catalog.clone(), issuers).await
    }

    pub(crate) async fn managed(&self) -> ManagedCertificate {
        let found = self
            .catalog
            .managed_certificate(&self.name, Environment::Production);
        found.await.unwrap().unwrap()
    }

    pub(crate) async fn managed_when(
        &self,
        what: &str,
        is_so: impl Fn(&ManagedCertificate) -> bool,
    ) -> ManagedCertificate {
        eventually(what, async || {
            Some(self.managed().await).filter(|it| is_so(it))
        })
        .await
    }

    pub(crate) async fn success(&self) -> ManagedCertificate {
        self.managed_when("the certificate is bound", |managed| {
            managed.status == OrderStatus::Success
        })
        .await
    }

    pub(crate) async fn failure(&self) -> String {
        let failed = self.managed_when("the order fails", |it| it.failure.is_some());
        failed.await.failure.unwrap().reason
    }

    pub(crate) async fn domain(&self) -> Domain {
        self.catalog.domain(&self.name).await.unwrap().unwrap()
    }

    /// All audit records of the account.
    pub(crate) async fn audit(&self) -> Vec<LogRow> {
        let account = account().to_string();
        let records = LogRange {
            log: Log::Audit,
            scope: &account,
            after: "",
            before: None,
            newest_first: false,
        };
        self.store.read_log(records, 1000).await.unwrap().rows
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Vec<Key> {
        let page = self.store.list(prefix, None, 1000).await.unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}

pub(crate) async fn run_on(catalog: Catalog, issuers: Vec<IssuerConfig>) -> Running {
    let settings = settings(&catalog, issuers);
    run_with(catalog, settings).await
}

/// http-01, without checks before an order.
pub(crate) fn settings(catalog: &Catalog, issuers: Vec<IssuerConfig>) -> Settings {
    Settings {
        issuers,
        solvers: vec![Arc::new(EdgeSolver::http_01(catalog.clone(), now))],
        preflight: None,
        certificates: CertificateSettings {
            quotas: Quotas::default(),
            region: "region",
        },
        concurrent: 4,
        owner: "test".to_owned(),
    }
}

pub(crate) async fn run_with(catalog: Catalog, settings: Settings) -> Running {
    let task = OrderTask::new(catalog, settings, now).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let orders = task.handle();
    let task = tokio::spawn(task.run(async {
        let _ = stopped.await;
    }));
    Running { stop, orders, task }
}

pub(crate) fn issuer(name: &str, directory: String) -> IssuerConfig {
    IssuerConfig {
        name: name.to_owned(),
        directory,
        contact: vec!["mailto:ops@example.com".to_owned()],
        accept_terms: true,
        roots: vec![CertificateDer::from(pem::decode(&server_root()))],
        profile: None,
        external_account: None,
        key: IssuedKeys::P256,
        challenges: Vec::new(),
        keep_key: false,
        limits: IssuerLimits::UNKNOWN,
    }
}

/// An order that was placed at an issuer, which does not know it.
pub(crate) fn order_at(issuer: &IssuerConfig) -> Order {
    Order {
        issuer: issuer.name.clone(),
        directory: issuer.directory.clone(),
        key: KeyType::P256,
        url: Some(format!("{}/none", issuer.directory)),
        replaces: None,
        proved: None,
        finalizing: false,
        chain: None,
        created: now(),
    }
}

fn domain(name: DomainPattern) -> Domain {
    Domain {
        id: 1,
        name,
        account: account(),
        state: DomainState::Online,
        mode: DomainMode::Normal,
        service: ServiceType::Web,
        coverage: Coverage::Domestic,
        origins: Vec::new(),
        origin_permission: OriginPermission::default(),
        description: String::new(),
        resource_group: String::new(),
        tags: Vec::new(),
        created: now(),
        modified: now(),
        production: None,
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: DeliveryConfig::default(),
        staged_delivery: None,
        managed: vec![Environment::Production],
    }
}

/// Answers http-01 from the store, as an edge does.
async fn responder(store: SharedStore, wrong: Arc<std::sync::Mutex<Option<String>>>) -> u16 {
    origin(move |request| {
        let (store, wrong) = (Arc::clone(&store), wrong.lock().unwrap().clone());
        async move {
            let token = Token::of_path(request.uri().path()).unwrap();
            let found = store.get(&Key::http_challenge(&token)).await.unwrap();
            let body = match found {
                None => String::new(),
                Some(entry) => {
                    let challenge: ChallengeRecord = record::decode(&entry.value).unwrap();
                    match challenge.response {
                        ChallengeResponse::Http01 { key_authorization } => {
                            key_authorization.as_str().to_owned()
                        }
                        ChallengeResponse::TlsAlpn01 { .. } => String::new(),
                    }
                }
            };
            Response::new(Full::new(Bytes::from(wrong.unwrap_or(body))))
        }
    })
    .await
}
