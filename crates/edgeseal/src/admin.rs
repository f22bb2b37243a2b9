//! The admin endpoints: health and metrics.

mod metric_help;

use std::{
    collections::VecDeque,
    net::IpAddr,
    pin::pin,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
    routing::get,
};
use edgeseal_store::{Catalog, Store as _};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    alarms::{self, Alarms},
    error_chain::error_chain,
    revocable_store::RevocableStore,
};

/// The state that `/readyz` and `/metrics` report.
#[derive(Clone)]
pub(crate) struct AdminState {
    /// Read to check that the store is available.
    pub(crate) catalog: Catalog,
    /// Tells whether commits succeed.
    pub(crate) store: Arc<RevocableStore>,
    /// Problems of the edge: reported, but no reason to withdraw the node from service.
    pub(crate) edge: Option<edgeseal_edge::EdgeHandle>,
    /// What is known about served certificates.
    pub(crate) alarms: Arc<Alarms>,
    /// What is wrong if another process uses the id of this node.
    pub(crate) twin: watch::Receiver<Option<String>>,
    /// Whether shutdown has begun.
    pub(crate) draining: watch::Receiver<bool>,
    /// Host names accepted by `/metrics`, besides those of this machine.
    pub(crate) allowed_hosts: Arc<[String]>,
}

/// Most concurrent connections.
const CONNECTIONS_MAX: usize = 64;
/// Timeout for the headers of each request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of request headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Longest life of a connection: its client may not read the response.
const LIFETIME_MAX: Duration = Duration::from_secs(60);

/// Serves `/healthz` (the process runs), `/readyz` (it can do its work) and `/metrics`.
///
/// With 64 connections open, the next one evicts the oldest.
pub(crate) async fn serve(
    listener: TcpListener,
    health: AdminState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    let graceful = GracefulShutdown::new();
    let (mut tasks, mut open) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Out of file descriptors, most likely.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(router.clone()),
            );
        let connection = timeout(LIFETIME_MAX, graceful.watch(connection));
        open.push_back(tasks.spawn(async move {
            let _ = connection.await;
        }));
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn ready(State(health): State<AdminState>) -> impl IntoResponse {
    if *health.draining.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if let Err(fault) = health.catalog.decodable_edges().await {
        let why = format!("changes are refused: {}\n", error_chain(&fault));
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    if let Some(why) = health.store.commit_failure() {
        let why = format!("changes are refused: {why}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let edge = health.edge.map(|edge| edge.status());
    let edge = edge.filter(|edge| !edge.is_healthy());
    let edge = edge.map(|edge| edge.to_string());
    let summary = health.alarms.summary();
    let risk = health.store.durability_risk();
    let twin = health.twin.borrow().clone();
    let problems = edge.into_iter().chain(risk).chain(twin);
    let problems = problems.chain(summary.problems());
    let problems: Vec<String> = problems.collect();
    if problems.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let problems = problems.join("; ");
        (StatusCode::OK, format!("ready, degraded; {problems}\n"))
    }
}

async fn metrics(State(health): State<AdminState>, headers: HeaderMap) -> Response {
    let host = headers
        .get(header::HOST)
        .map(|host| host.to_str().unwrap_or_default());
    if !host.is_none_or(|host| is_allowed_host(host, &health.allowed_hosts)) {
        // Probably a web page in a browser of this network, whose name resolves to here (DNS
        // rebinding).
        let why = "ask by an address, by the name of this machine, or by a name in admin_hosts\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    PROCESS.collect();
    let mut text = RECORDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    text.push_str(&metric_help::heading(alarms::NOT_AFTER));
    text.push_str(&health.alarms.summary().series());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Whether a `Host` (RFC 9110 §7.2) cannot be used for DNS rebinding: an address, `localhost` and
/// names below it (RFC 6761 §6.3), the machine's name, a name without a dot, which only this
/// machine's resolver knows, or one of `hosts`.
fn is_allowed_host(host: &str, hosts: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy().to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || name == machine
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(&name))
}

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// CPU time, memory and file descriptors, under the names of Prometheus' client libraries.
static PROCESS: LazyLock<metrics_process::Collector> =
    LazyLock::new(metrics_process::Collector::default);

/// Installs the metrics recorder. Buckets are in seconds, from a memory lookup to a timeout.
pub(crate) fn install_recorder() {
    const BUCKETS: [f64; 14] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
    ];
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS);
    let Ok(handle) = builder.and_then(PrometheusBuilder::install_recorder) else {
        return;
    };
    let _ = RECORDER.set(handle);
    metric_help::register_help();
    PROCESS.describe();
    metrics::gauge!("edgeseal_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_safe_from_dns_rebinding() {
        let hosts = ["watched.example".to_owned()];
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_string_lossy().into_owned();
        for (host, expected) in [
            ("127.0.0.1:7081", true),
            ("192.0.2.1", true),
            ("[::1]:7081", true),
            ("localhost:7081", true),
            ("LOCALHOST.", true),
            ("a.localhost", true),
            ("edgeseal:7081", true),
            (machine.as_str(), true),
            ("Watched.Example:7081", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example:7081", false),
            ("localhost.evil.example", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(is_allowed_host(host, &hosts), expected, "{host}");
        }
    }
}
