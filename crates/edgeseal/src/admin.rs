//! Health and metrics, for those who watch.

use std::sync::OnceLock;

use axum::{
    Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get,
};
use edgeseal_store::Catalog;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, sync::watch};

/// What health is judged by.
#[derive(Clone)]
pub(crate) struct Health {
    /// The store answers.
    pub(crate) catalog: Catalog,
    /// What is wrong with what the edge serves: told, but no reason to send visitors away.
    pub(crate) edge: edgeseal_edge::Health,
    /// Whether the process is about to end.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Serves `/healthz` (the process runs), `/readyz` (it can do its work) and `/metrics`.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Health,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
    {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the admin pages ended"
        );
    }
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    if *health.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if health.catalog.edges().await.is_err() {
        let why = "the store does not answer\n".to_owned();
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let ailing = health.edge.ailing();
    if ailing.is_nothing() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::OK, format!("ready, degraded; {ailing}\n"))
    }
}

async fn metrics() -> impl IntoResponse {
    let text = RECORDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting. Buckets are in seconds, from what a memory lookup takes to what a timeout takes.
pub(crate) fn start_metrics() {
    const BUCKETS: [f64; 14] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
    ];
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS);
    let Ok(handle) = builder.and_then(PrometheusBuilder::install_recorder) else {
        return;
    };
    let _ = RECORDER.set(handle);
}
