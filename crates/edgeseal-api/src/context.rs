//! What operations share: catalog, clock, settings and state about recent calls.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::{
    Timestamp, domain::Environment, private_origins::PrivateOrigins, quota::Quotas, rate::RateLimit,
};
use edgeseal_store::{Catalog, Revision, catalog::AuditContext, nodes::NodeList};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    alarms::{AlarmCache, AlarmChannels},
    dry_run,
    edge_reports::EdgeReports,
    error::error_chain,
    fair_semaphore::FairSemaphore,
    http::{Budgets, ConnectionLimiter, ConnectionLimits, MemoryLimit},
    key_encryption::KeyEncryption,
    key_uses::KeyUses,
    log_limiter::UnauthenticatedLogLimiter,
    oidc_providers::OidcProviders,
    ownership::OwnershipVerifier,
    policy_cache::PolicyCache,
    rate_limit::{AuthFailureLimiter, DenialLimiter, NonceCache, RateLimiter},
    refusal_audit::{self, AuditedRefusal},
    reissue_planner::ReissuePlanner,
    settle::RequestProof,
};

/// Most refusals that wait to be written to the audit log. Beyond that, because the store is too
/// slow, refusals are only counted and logged.
const REFUSAL_QUEUE_MAX: usize = 4096;

/// Everything that calls share.
pub struct Context {
    /// The typed store.
    pub catalog: Catalog,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// The operator's settings.
    pub settings: Settings,
    /// Nonces seen by this node.
    pub nonces: NonceCache,
    /// The rate limiter, by account and action.
    pub rate_limiter: RateLimiter,
    /// The policies of users and sessions that called recently.
    pub policy_cache: PolicyCache,
    /// Recent failed authentications, by source address.
    pub auth_failures: AuthFailureLimiter,
    /// Recent calls without permission, by principal.
    pub denials: DenialLimiter,
    /// Open connections.
    pub connections: Arc<ConnectionLimiter>,
    /// Memory budgets of requests and responses in flight.
    pub(crate) budgets: Budgets,
    /// Runs slow policy evaluations one at a time.
    pub(crate) slow_decisions: Arc<FairSemaphore>,
    /// The revision that the edge in this process serves, if there is one.
    pub local_edge_revision: Option<watch::Receiver<Revision>>,
    /// Requests proofs from the edge in this process, if there is one.
    pub request_proof: Option<RequestProof>,
    /// The environment of the edge in this process. Calls wait for it even before its first report.
    pub local_edge_environment: Option<Environment>,
    /// Returns the addresses that this process listens on, if known.
    pub listeners: Option<ListenAddresses>,
    /// The channels for alarms, if this process has any.
    pub alarm_channels: Option<Arc<dyn AlarmChannels>>,
    /// The alarms that calls have read.
    pub(crate) alarms: AlarmCache,
    /// Plans replacements of many certificates, if this process orders certificates.
    pub reissue_planner: Option<Arc<dyn ReissuePlanner>>,
    /// Manages the key-encryption keys, if this process does.
    pub key_encryption: Option<Arc<dyn KeyEncryption>>,
    /// The processes on the store, this one included, if this process knows them.
    pub nodes: Option<watch::Receiver<Arc<NodeList>>>,
    /// Watches the reports of edges.
    pub(crate) reports: EdgeReports,
    /// Records when access keys were last used.
    pub(crate) key_uses: KeyUses,
    /// Limits the log lines of calls without a valid key.
    pub(crate) unauthenticated_log: UnauthenticatedLogLimiter,
    refusals: mpsc::Sender<AuditedRefusal>,
    _shutdown: oneshot::Sender<()>,
}

/// Returns the addresses that the process listens on at present.
pub type ListenAddresses = Box<dyn Fn() -> Vec<SocketAddr> + Send + Sync>;

/// The operator's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL of the page about a code; the code is appended.
    pub docs_base_url: String,
    /// Rate limits by action; an action that is not listed has its documented limit.
    pub rate_limits: HashMap<String, RateLimit>,
    /// Limit on failed authentications from one source address.
    pub auth_failure_limit: RateLimit,
    /// Limit on calls without permission by one user, role or account.
    pub denial_limit: RateLimit,
    /// Limits on open connections.
    pub connection_limits: ConnectionLimits,
    /// The memory limit of this process; `None`: unlimited.
    pub memory: Option<MemoryLimit>,
    /// Whether a certificate may be bound to a domain that none of its names covers.
    pub name_mismatch: NameMismatchPolicy,
    /// Whether an account may upload the same content under a second name with the call that binds
    /// it. CAS accepts it.
    pub duplicate_content: DuplicateContentPolicy,
    /// What deleting a certificate from CAS does while a domain uses it. Version 2018-07-13 of CAS
    /// always releases it: tools for that version need this.
    pub delete_bound_certificate: BoundCertificatePolicy,
    /// Whether CAS returns private keys to callers with permission to read them. Terraform compares
    /// what it sent with what it reads.
    pub return_private_keys: bool,
    /// Whether an account must prove ownership of a root domain before it adds a domain below it.
    pub require_ownership: bool,
    /// Which accounts may have origins with non-public addresses.
    pub private_origins: PrivateOrigins,
    /// Quotas of all accounts but the root account.
    pub quotas: Quotas,
    /// Queries the DNS and web servers of domains; `None` if this machine has no DNS server.
    pub ownership_verifier: Option<OwnershipVerifier>,
    /// OIDC providers whose tokens can assume roles.
    pub oidc_providers: OidcProviders,
    /// What certificates can be ordered.
    pub orders: CertificateOrders,
    /// Suffix of the CNAME of a domain.
    pub cname_suffix: String,
    /// How long a change waits for the edge in this process to serve it before the response is
    /// sent.
    pub settle_timeout: Duration,
}

/// What certificates can be ordered, by the operator's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateOrders {
    /// Whether there is an issuer.
    pub has_issuers: bool,
    /// Whether the challenge dns-01 (RFC 8555 §8.4) can be met, which wildcards need.
    pub has_dns_challenge: bool,
}

/// What happens to a certificate that does not cover its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameMismatchPolicy {
    /// Refuse it.
    Refuse,
    /// Bind it, as the cloud does, and report the mismatch.
    Accept,
}

/// What happens to content that the account has uploaded under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateContentPolicy {
    /// Refuse it.
    Refuse,
    /// Add a further certificate; the material is stored once.
    Accept,
}

/// What happens when a bound certificate is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundCertificatePolicy {
    /// Refuse the deletion.
    Refuse,
    /// Remove it from CAS and free its name; delete it once no domain uses it.
    Release,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            docs_base_url:
                "https://github.com/edgeseal/edgeseal/blob/main/docs/reference/errors.md#"
                    .to_owned(),
            rate_limits: HashMap::new(),
            auth_failure_limit: RateLimit {
                calls: 600,
                per_ms: 60_000,
            },
            denial_limit: RateLimit {
                calls: 120,
                per_ms: 60_000,
            },
            connection_limits: ConnectionLimits::default(),
            memory: None,
            name_mismatch: NameMismatchPolicy::Refuse,
            duplicate_content: DuplicateContentPolicy::Accept,
            delete_bound_certificate: BoundCertificatePolicy::Refuse,
            return_private_keys: false,
            require_ownership: false,
            private_origins: PrivateOrigins::default(),
            quotas: Quotas::default(),
            ownership_verifier: None,
            oidc_providers: OidcProviders::default(),
            orders: CertificateOrders::default(),
            cname_suffix: "w.edgeseal.example".to_owned(),
            settle_timeout: Duration::from_secs(1),
        }
    }
}

impl Context {
    /// Creates a context over `catalog`, and its background task: it writes refusals to the audit
    /// log, records uses of access keys, watches the edges' reports and migrates records of earlier
    /// releases. Run the task to its end: it ends after the context is dropped and the last refusal
    /// and use are written.
    pub fn new(
        catalog: Catalog,
        clock: fn() -> Timestamp,
        settings: Settings,
        local_edge: Option<watch::Receiver<Revision>>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (refusals, waiting) = mpsc::channel(REFUSAL_QUEUE_MAX);
        let auditor = refusal_audit::write(catalog.clone(), clock, waiting);
        let (_alive, gone) = oneshot::channel();
        let completed = catalog.clone();
        let (reports, follower) = EdgeReports::new(catalog.clone());
        let (key_uses, uses_writer) = KeyUses::new(catalog.clone());
        let failures = AuthFailureLimiter::new(settings.auth_failure_limit);
        let denials = DenialLimiter::new(settings.denial_limit);
        let connections = Arc::new(ConnectionLimiter::new(settings.connection_limits));
        let budgets = Budgets::new(settings.memory);
        let watched = settings.memory.map(|memory| budgets.watch(memory));
        let watch = async {
            if let Some(watched) = watched {
                watched.await;
            }
        };
        let context = Self {
            catalog,
            clock,
            settings,
            nonces: NonceCache::default(),
            policy_cache: PolicyCache::default(),
            rate_limiter: RateLimiter::default(),
            auth_failures: failures,
            denials,
            connections,
            budgets,
            slow_decisions: FairSemaphore::new(1, 1),
            local_edge_revision: local_edge,
            request_proof: None,
            local_edge_environment: None,
            listeners: None,
            alarm_channels: None,
            alarms: AlarmCache::default(),
            reissue_planner: None,
            key_encryption: None,
            nodes: None,
            reports,
            key_uses,
            unauthenticated_log: UnauthenticatedLogLimiter::default(),
            refusals,
            _shutdown: _alive,
        };
        let completed = async move {
            tokio::select! {
                () = async {
                    // If the store is unavailable, the next start does this.
                    if completed.access_key("-").await.is_err() {
                        return;
                    }
                    rebuild_summaries(&completed).await;
                    backfill_origin_permissions(&completed, clock).await;
                    recount_usage(&completed).await;
                } => {}
                _ = gone => {}
            }
        };
        let tasks = async move {
            tokio::join!(auditor, follower, uses_writer, completed, watch);
        };
        (context, tasks)
    }

    /// The addresses that this process listens on, if known.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.as_ref().map_or_else(Vec::new, |all| all())
    }

    /// Queues a refusal for the audit log. Repeated refusals of one kind are partly only counted.
    pub fn audit_refusal(
        &self,
        audit: AuditContext,
        code: &str,
        detail: Option<String>,
        is_dry_run: bool,
    ) {
        let marked = is_dry_run.then(|| dry_run::AUDIT_NOTE.to_owned());
        let refusal = AuditedRefusal {
            audit,
            code: code.to_owned(),
            is_dry_run,
            notes: marked.into_iter().chain(detail).collect(),
        };
        if self.refusals.try_send(refusal).is_err() {
            metrics::counter!("edgeseal_audit_dropped_total").increment(1);
            tracing::warn!(code, "audit queue full, refusal dropped");
        }
    }
}

/// Rebuilds the summaries that lists read, for certificates that another release has written.
async fn rebuild_summaries(catalog: &Catalog) {
    match catalog.rebuild_summaries().await {
        Ok(0) => {}
        Ok(rebuilt) => tracing::info!(
            rebuilt,
            "rebuilding the summaries that listings filter by: another release wrote them"
        ),
        Err(error) => tracing::warn!(
            error = error_chain(&error),
            "cannot rebuild all summaries that listings filter by; retrying at the next start"
        ),
    }
}

/// Records, on domains of an earlier release, whether their accounts may have private origins.
async fn backfill_origin_permissions(catalog: &Catalog, clock: fn() -> Timestamp) {
    if let Err(error) = catalog.migrate_origin_permissions(clock()).await {
        tracing::warn!(
            error = error_chain(&error),
            "cannot backfill the private origin permission of all domains; retrying at the next start"
        );
    }
}

/// Corrects the usage counts of quotas after a release that does not count has used the store.
async fn recount_usage(catalog: &Catalog) {
    match catalog.recount_all().await {
        Ok(corrected) => {
            for it in corrected {
                // Signing requests expire, so their count drops without a delete.
                if it.kind.expires() && it.recorded > Some(it.actual) {
                    continue;
                }
                tracing::warn!(
                    account = %it.account,
                    stored = it.recorded,
                    counted = it.actual,
                    "corrected the number of {} of an account",
                    it.kind
                );
            }
        }
        Err(error) => tracing::warn!(
            error = error_chain(&error),
            "cannot recount the usage of accounts; retrying at the next start"
        ),
    }
}
