//! The orders of certificates: issuers and challenges as they are configured.

use std::sync::Arc;

use async_trait::async_trait;
use edgeseal_acme::{
    CertificateSettings, ChallengeSolver, EdgeSolver, OrderHandle, OrderTask, Settings,
    dns01::DnsSolver, preflight::PreflightSettings,
};
use edgeseal_api::reissue_planner::{Outlook, ReissuePlanner};
use edgeseal_core::acme::reissue::Reissue;
use edgeseal_store::Catalog;
use tokio::{sync::watch, task::JoinHandle};

use super::{StartError, context::NodeContext};
use crate::{bootstrap::BootstrapError, clock};

/// Domains for which orders are in progress at once. Most of an order is waiting.
const CONCURRENT_ORDERS: usize = 16;

/// The task that orders certificates.
pub(super) struct Orders {
    pub(super) planner: Arc<dyn ReissuePlanner>,
    /// Whether it has the lease to order.
    pub(super) has_lease: watch::Receiver<bool>,
    pub(super) task: JoinHandle<()>,
}

/// Answers questions of the API.
struct Planner(OrderHandle);

/// Orders and renews certificates until `stop` completes, if there are issuers.
///
/// # Errors
/// [`StartError`] if an issuer cannot be used as configured, or the store failed.
pub(super) async fn spawn_orders(
    node: &NodeContext,
    catalog: &Catalog,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Option<Orders>, StartError> {
    let issuers = node.config.issuers()?;
    if issuers.is_empty() {
        return Ok(None);
    }
    let mut solvers: Vec<Arc<dyn ChallengeSolver>> = vec![
        Arc::new(EdgeSolver::http_01(catalog.clone(), clock::now)),
        Arc::new(EdgeSolver::tls_alpn_01(catalog.clone(), clock::now)),
    ];
    if let Some(dns) = node.config.dns_challenges()? {
        solvers.push(Arc::new(DnsSolver::new(catalog.clone(), dns, clock::now)));
    }
    let preflight = PreflightSettings {
        resolver: node.config.dns,
        http_port: node.config.acme_preflight_port,
        ..PreflightSettings::default()
    };
    let settings = Settings {
        issuers,
        solvers,
        preflight: node.config.acme_preflight.0.then_some(preflight),
        certificates: CertificateSettings {
            quotas: node.settings.quotas,
            region: edgeseal_api::DEFAULT_REGION,
        },
        concurrent: CONCURRENT_ORDERS,
        owner: node.node_id.clone(),
    };
    let task = OrderTask::new(catalog.clone(), settings, clock::now).await;
    let task = task.map_err(|error| match error {
        edgeseal_acme::StartError::Issuer(error) => StartError::Issuer(error),
        edgeseal_acme::StartError::Store(fault) => BootstrapError::from(fault).into(),
    })?;
    Ok(Some(Orders {
        planner: Arc::new(Planner(task.handle())),
        has_lease: task.has_lease(),
        task: tokio::spawn(task.run(stop)),
    }))
}

#[async_trait]
impl ReissuePlanner for Planner {
    fn issuers(&self) -> &[String] {
        self.0.issuers()
    }

    async fn outlook(&self, reissue: Reissue) -> Option<Outlook> {
        let known = self.0.outlook(reissue).await?;
        Some(Outlook {
            left: known.left,
            failing: known.failing,
            forecast: known.forecast,
        })
    }
}
