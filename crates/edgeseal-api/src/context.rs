//! What the operations stand on: catalog, clock, settings and the memory of recent calls.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::{
    Timestamp, domain::Environment, private_origins::PrivateOrigins, quota::Quotas, rate::RateLimit,
};
use edgeseal_store::{Catalog, Revision, catalog::AuditContext};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    admit::{AuthFailureLimiter, DenialLimiter, NonceCache, RateLimiter},
    edge_reports::EdgeReports,
    fair_semaphore::FairSemaphore,
    http::{Budgets, ConnectionLimiter, ConnectionLimits, MemoryLimit},
    key_encryption::KeyEncryption,
    key_uses::KeyUses,
    log_limiter::UnauthenticatedLogLimiter,
    oidc_providers::OidcProviders,
    operation::error_chain,
    ownership::OwnershipVerifier,
    policy_cache::PolicyCache,
    refusal_audit::{self, AuditedRefusal},
    settle::RequestProof,
};

/// Refusals that wait to be written into the audit. When the store is slower than that, further
/// ones are counted and logged only.
const REFUSAL_QUEUE_MAX: usize = 4096;

/// Everything that a call needs, shared by all calls.
pub struct Context {
    /// The typed store.
    pub catalog: Catalog,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// What the operator chose.
    pub settings: Settings,
    /// Nonces seen at this node.
    pub nonces: NonceCache,
    /// Calls made lately, by account and action.
    pub rate_limiter: RateLimiter,
    /// What users and sessions that called lately may do.
    pub policy_cache: PolicyCache,
    /// Failed authentications lately, by address.
    pub auth_failures: AuthFailureLimiter,
    /// Calls without permission lately, by principal.
    pub denials: DenialLimiter,
    /// Connections that are open.
    pub connections: Arc<ConnectionLimiter>,
    /// What requests and answers under way may hold.
    pub(crate) budgets: Budgets,
    /// Decisions that take long are made one after the other.
    pub(crate) slow_decisions: Arc<FairSemaphore>,
    /// The revision that an edge in this same process serves, if there is one.
    pub local_edge_revision: Option<watch::Receiver<Revision>>,
    /// Asks the edge in this process for proofs, if there is one.
    pub request_proof: Option<RequestProof>,
    /// The environment of the edge in this process. It is waited for even before its first report.
    pub local_edge_environment: Option<Environment>,
    /// Says where this process listens, if somebody keeps account of it.
    pub listeners: Option<ListenAddresses>,
    /// The keeper of the key-encryption keys, if this process has one.
    pub key_encryption: Option<Arc<dyn KeyEncryption>>,
    /// News of what edges serve.
    pub(crate) reports: EdgeReports,
    /// When access keys were last used.
    pub(crate) key_uses: KeyUses,
    /// What calls without a valid key may write into the log.
    pub(crate) unauthenticated_log: UnauthenticatedLogLimiter,
    refusals: mpsc::Sender<AuditedRefusal>,
    _shutdown: oneshot::Sender<()>,
}

/// The sockets that a process listens on, now.
pub type ListenAddresses = Box<dyn Fn() -> Vec<SocketAddr> + Send + Sync>;

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Start of the address of the page about a code; the code is appended.
    pub docs_base_url: String,
    /// Calls allowed, by action; the documented ones where an action is not named.
    pub rate_limits: HashMap<String, RateLimit>,
    /// Failed authentications allowed to one source address.
    pub auth_failure_limit: RateLimit,
    /// Calls without permission allowed to one user, role or account.
    pub denial_limit: RateLimit,
    /// Connections that may be open at once.
    pub connection_limits: ConnectionLimits,
    /// The memory that this process may take; `None`: any amount.
    pub memory: Option<MemoryLimit>,
    /// Whether a certificate may be bound to a domain that none of its names covers.
    pub name_mismatch: NameMismatchPolicy,
    /// Whether an account may upload the same content under a second name with the call that binds
    /// it. The certificate centre takes it.
    pub duplicate_content: DuplicateContentPolicy,
    /// What the removal of a certificate from the centre does while a domain has it bound. Version
    /// 2018-07-13 of the centre always releases: the tools that speak it need that.
    pub delete_bound_certificate: BoundCertificatePolicy,
    /// Whether the certificate centre gives private keys back to who may read them: those who manage
    /// certificates with Terraform compare what they sent with what they read.
    pub return_private_keys: bool,
    /// Whether an account must prove to own a root domain before it adds a domain below it.
    pub require_ownership: bool,
    /// Whose origins may have addresses that are not public.
    pub private_origins: PrivateOrigins,
    /// How much accounts may have, but the root account.
    pub quotas: Quotas,
    /// Who asks the DNS and web servers of domains; `None` if this machine has no DNS server.
    pub ownership_verifier: Option<OwnershipVerifier>,
    /// Identity providers whose tokens open roles.
    pub oidc_providers: OidcProviders,
    /// What the CNAME of a domain ends with.
    pub cname_suffix: String,
    /// How long a change waits for an edge in this same process to serve it before it is answered.
    pub settle_timeout: Duration,
}

/// What happens to a certificate that does not cover its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameMismatchPolicy {
    /// It is refused.
    Refuse,
    /// It is bound, as the cloud does, and reported as a mismatch.
    Accept,
}

/// What happens to content that the account uploaded before under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateContentPolicy {
    /// It is refused.
    Refuse,
    /// It becomes a further certificate; the material is stored once.
    Accept,
}

/// What happens to a certificate that is removed while a domain has it bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundCertificatePolicy {
    /// The removal is refused.
    Refuse,
    /// It leaves the centre, its name is free, and it is gone once no domain has it.
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
            cname_suffix: "w.edgeseal.example".to_owned(),
            settle_timeout: Duration::from_secs(1),
        }
    }
}

impl Context {
    /// A context over `catalog`, and what runs beside it: refusals are written into the audit, uses
    /// of access keys are remembered, edges' reports are followed, and records of an earlier release
    /// are completed. Run it until it ends, which it
    /// does once the context is gone and the last of these is written.
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
            key_encryption: None,
            reports,
            key_uses,
            unauthenticated_log: UnauthenticatedLogLimiter::default(),
            refusals,
            _shutdown: _alive,
        };
        let completed = async move {
            tokio::select! {
                () = async {
                    // Without its store this is done by the next one, once the store is back.
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

    /// Where this process listens, as far as that is known.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.as_ref().map_or_else(Vec::new, |all| all())
    }

    /// Puts a refusal into the audit, soon. Of many of the same kind some are only counted there.
    pub fn audit_refusal(&self, deed: AuditContext, code: &str, detail: Option<String>) {
        let refusal = AuditedRefusal {
            audit: deed,
            code: code.to_owned(),
            notes: detail.into_iter().collect(),
        };
        if self.refusals.try_send(refusal).is_err() {
            metrics::counter!("edgeseal_audit_dropped_total").increment(1);
            tracing::warn!(code, "a refusal did not fit into the audit queue");
        }
    }
}

/// Has listings read what another release wrote for them.
async fn rebuild_summaries(catalog: &Catalog) {
    match catalog.rebuild_summaries().await {
        Ok(0) => {}
        Ok(rebuilt) => tracing::info!(
            rebuilt,
            "the summaries that listings filter by are written anew: another release wrote them"
        ),
        Err(error) => tracing::warn!(
            why = error_chain(&error),
            "not all summaries that listings filter by are written anew; tried again at the next start"
        ),
    }
}

/// Has the domains of an earlier release say what their accounts may.
async fn backfill_origin_permissions(catalog: &Catalog, clock: fn() -> Timestamp) {
    if let Err(error) = catalog.migrate_origin_permissions(clock()).await {
        tracing::warn!(
            why = error_chain(&error),
            "not all domains say yet whether they may have private origins; tried again at the next start"
        );
    }
}

/// Corrects what is counted for quotas, where a release that does not count had the store.
async fn recount_usage(catalog: &Catalog) {
    match catalog.recount_all().await {
        Ok(corrected) => {
            for it in corrected {
                // That is how signing requests leave.
                if it.kind.expires() && it.recorded > Some(it.actual) {
                    continue;
                }
                tracing::warn!(
                    account = %it.account,
                    was = it.recorded,
                    is = it.actual,
                    "the number of {} of an account was wrong, and is corrected",
                    it.kind
                );
            }
        }
        Err(error) => tracing::warn!(
            why = error_chain(&error),
            "what accounts have is not counted anew; tried again at the next start"
        ),
    }
}
