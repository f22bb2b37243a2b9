//! What the operations stand on: catalog, clock, settings and the memory of recent calls.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::{
    Timestamp, domain::Environment, private_origins::PrivateOrigins, quota::Quotas, rate::Limit,
};
use edgeseal_store::{Catalog, Revision, catalog::Deed};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    admit::{Denials, Failures, Limits, Nonces},
    http::{Budgets, ConnectionLimits, Connections, Memory},
    key_encryption::KeyEncryption,
    key_uses::KeyUses,
    oidc_keys::OidcProviders,
    operation::causes,
    ownership::OwnerCheck,
    refusals::{self, Refusal},
    reports::Reports,
    rights::KnownRights,
    settled::AskForProof,
    stranger_lines::StrangerLines,
    turns::Turns,
};

/// Refusals that wait to be written into the audit. When the store is slower than that, further
/// ones are counted and logged only.
const REFUSALS_WAITING: usize = 4096;

/// Everything that a call needs, shared by all calls.
pub struct Context {
    /// The typed store.
    pub catalog: Catalog,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// What the operator chose.
    pub settings: Settings,
    /// Nonces seen at this node.
    pub nonces: Nonces,
    /// Calls made lately, by account and action.
    pub limits: Limits,
    /// What users and sessions that called lately may do.
    pub rights: KnownRights,
    /// Failed authentications lately, by address.
    pub failures: Failures,
    /// Calls without permission lately, by principal.
    pub denials: Denials,
    /// Connections that are open.
    pub connections: Arc<Connections>,
    /// What requests and answers under way may hold.
    pub(crate) budgets: Budgets,
    /// Decisions that take long are made one after the other.
    pub(crate) long_decisions: Arc<Turns>,
    /// The revision that an edge in this same process serves, if there is one.
    pub local_edge: Option<watch::Receiver<Revision>>,
    /// Asks the edge in this process for proofs, if there is one.
    pub ask_for_proof: Option<AskForProof>,
    /// The environment of the edge in this process. It is waited for even before its first report.
    pub own_edge: Option<Environment>,
    /// Says where this process listens, if somebody keeps account of it.
    pub listeners: Option<Listeners>,
    /// The keeper of the key-encryption keys, if this process has one.
    pub key_encryption: Option<Arc<dyn KeyEncryption>>,
    /// News of what edges serve.
    pub(crate) reports: Reports,
    /// When access keys were last used.
    pub(crate) key_uses: KeyUses,
    /// What calls without a valid key may write into the log.
    pub(crate) stranger_lines: StrangerLines,
    refusals: mpsc::Sender<Refusal>,
    _alive: oneshot::Sender<()>,
}

/// The sockets that a process listens on, now.
pub type Listeners = Box<dyn Fn() -> Vec<SocketAddr> + Send + Sync>;

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Start of the address of the page about a code; the code is appended.
    pub recommend: String,
    /// Calls allowed, by action; the documented ones where an action is not named.
    pub limits: HashMap<String, Limit>,
    /// Failed authentications allowed to one source address.
    pub failures: Limit,
    /// Calls without permission allowed to one user, role or account.
    pub denials: Limit,
    /// Connections that may be open at once.
    pub connections: ConnectionLimits,
    /// The memory that this process may take; `None`: any amount.
    pub memory: Option<Memory>,
    /// Whether a certificate may be bound to a domain that none of its names covers.
    pub name_mismatch: NameMismatch,
    /// Whether an account may upload the same content under a second name with the call that binds
    /// it. The certificate centre takes it.
    pub duplicate_content: DuplicateContent,
    /// What the removal of a certificate from the centre does while a domain has it bound. Version
    /// 2018-07-13 of the centre always releases: the tools that speak it need that.
    pub bound_certificate: BoundCertificate,
    /// Whether the certificate centre gives private keys back to who may read them: those who manage
    /// certificates with Terraform compare what they sent with what they read.
    pub return_private_keys: bool,
    /// Whether an account must prove to own a root domain before it adds a domain below it.
    pub demand_ownership: bool,
    /// Whose origins may have addresses that are not public.
    pub private_origins: PrivateOrigins,
    /// How much accounts may have, but the root account.
    pub quotas: Quotas,
    /// Who asks the DNS and web servers of domains; `None` if this machine has no DNS server.
    pub owner_check: Option<OwnerCheck>,
    /// Identity providers whose tokens open roles.
    pub oidc_providers: OidcProviders,
    /// What the CNAME of a domain ends with.
    pub cname_suffix: String,
    /// How long a change waits for an edge in this same process to serve it before it is answered.
    pub settle: Duration,
}

/// What happens to a certificate that does not cover its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameMismatch {
    /// It is refused.
    Refuse,
    /// It is bound, as the cloud does, and reported as a mismatch.
    Accept,
}

/// What happens to content that the account uploaded before under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateContent {
    /// It is refused.
    Refuse,
    /// It becomes a further certificate; the material is stored once.
    Accept,
}

/// What happens to a certificate that is removed while a domain has it bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundCertificate {
    /// The removal is refused.
    Refuse,
    /// It leaves the centre, its name is free, and it is gone once no domain has it.
    Release,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            recommend: "https://github.com/edgeseal/edgeseal/blob/main/docs/reference/errors.md#"
                .to_owned(),
            limits: HashMap::new(),
            failures: Limit {
                calls: 600,
                per_ms: 60_000,
            },
            denials: Limit {
                calls: 120,
                per_ms: 60_000,
            },
            connections: ConnectionLimits::default(),
            memory: None,
            name_mismatch: NameMismatch::Refuse,
            duplicate_content: DuplicateContent::Accept,
            bound_certificate: BoundCertificate::Refuse,
            return_private_keys: false,
            demand_ownership: false,
            private_origins: PrivateOrigins::default(),
            quotas: Quotas::default(),
            owner_check: None,
            oidc_providers: OidcProviders::default(),
            cname_suffix: "w.edgeseal.example".to_owned(),
            settle: Duration::from_secs(1),
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
        let (refusals, waiting) = mpsc::channel(REFUSALS_WAITING);
        let auditor = refusals::write(catalog.clone(), clock, waiting);
        let (_alive, gone) = oneshot::channel();
        let completed = catalog.clone();
        let (reports, follower) = Reports::new(catalog.clone());
        let (key_uses, uses_writer) = KeyUses::new(catalog.clone());
        let failures = Failures::new(settings.failures);
        let denials = Denials::new(settings.denials);
        let connections = Arc::new(Connections::new(settings.connections));
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
            nonces: Nonces::default(),
            rights: KnownRights::default(),
            limits: Limits::default(),
            failures,
            denials,
            connections,
            budgets,
            long_decisions: Turns::new(1, 1),
            local_edge,
            ask_for_proof: None,
            own_edge: None,
            listeners: None,
            key_encryption: None,
            reports,
            key_uses,
            stranger_lines: StrangerLines::default(),
            refusals,
            _alive,
        };
        let completed = async move {
            tokio::select! {
                () = async {
                    // Without its store this is done by the next one, once the store is back.
                    if completed.access_key("-").await.is_err() {
                        return;
                    }
                    rebuild_summaries(&completed).await;
                    stamp_origin_permissions(&completed, clock).await;
                    recount(&completed).await;
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
    pub fn own_listeners(&self) -> Vec<SocketAddr> {
        self.listeners.as_ref().map_or_else(Vec::new, |all| all())
    }

    /// Puts a refusal into the audit, soon. Of many of the same kind some are only counted there.
    pub fn audit_refusal(&self, deed: Deed, code: &str, detail: Option<String>) {
        let refusal = Refusal {
            deed,
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
            why = causes(&error),
            "not all summaries that listings filter by are written anew; tried again at the next start"
        ),
    }
}

/// Has the domains of an earlier release say what their accounts may.
async fn stamp_origin_permissions(catalog: &Catalog, clock: fn() -> Timestamp) {
    if let Err(error) = catalog.stamp_all_origin_permissions(clock()).await {
        tracing::warn!(
            why = causes(&error),
            "not all domains say yet whether they may have private origins; tried again at the next start"
        );
    }
}

/// Corrects what is counted for quotas, where a release that does not count had the store.
async fn recount(catalog: &Catalog) {
    match catalog.recount_all().await {
        Ok(corrected) => {
            for it in corrected {
                // That is how signing requests leave.
                if it.kind.expires() && it.was > Some(it.is) {
                    continue;
                }
                tracing::warn!(
                    account = %it.account,
                    was = it.was,
                    is = it.is,
                    "the number of {} of an account was wrong, and is corrected",
                    it.kind
                );
            }
        }
        Err(error) => tracing::warn!(
            why = causes(&error),
            "what accounts have is not counted anew; tried again at the next start"
        ),
    }
}
