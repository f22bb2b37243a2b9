//! Health and metrics.

use std::{collections::BTreeSet, fs, path::Path};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{CDN_VERSION, HttpConnection, Origin, Server, TIMEOUT, eventually, raw, tls};

const NAME: &str = "www.watched.example";

/// Series that appear in normal operation.
const SHOWN: &[&str] = &[
    "edgeseal_acme_answers_total",
    "edgeseal_acme_challenges",
    "edgeseal_alarms",
    "edgeseal_alarm_evaluation_timestamp_seconds",
    "edgeseal_certificates_expiring",
    "edgeseal_api_request_duration_seconds",
    "edgeseal_api_requests_total",
    "edgeseal_connections",
    "edgeseal_build_info",
    "edgeseal_edge_domains",
    "edgeseal_nodes",
    "edgeseal_node_clock_offset_seconds",
    "edgeseal_node_lag_seconds",
    "edgeseal_edge_revision",
    "edgeseal_handshakes_total",
    "edgeseal_key_cache_hits_total",
    "edgeseal_key_cache_misses_total",
    "edgeseal_key_cache_size",
    "edgeseal_proof_seconds",
    "edgeseal_proofs_total",
    "edgeseal_proxy_requests_total",
    "edgeseal_quarantined_domains",
    "edgeseal_ticket_key_age_seconds",
    "edgeseal_ticket_key_shared",
    "edgeseal_tls_refusals_total",
    "edgeseal_tls_sessions_total",
    "edgeseal_unproven_domains",
];
/// Series that appear only after failures, or with other settings.
const FAILURES: &[&str] = &[
    "edgeseal_acme_issuer_paused",
    "edgeseal_acme_oldest_waiting_seconds",
    "edgeseal_acme_orders_in_progress",
    "edgeseal_acme_orders_left",
    "edgeseal_acme_orders_total",
    "edgeseal_acme_orders_waiting",
    "edgeseal_acme_renewals_late",
    "edgeseal_alarm_deliveries_total",
    "edgeseal_accept_failures_total",
    "edgeseal_access_log_lost_total",
    "edgeseal_audit_coalesced_total",
    "edgeseal_api_log_lines_suppressed_total",
    "edgeseal_api_connections_refused_total",
    "edgeseal_api_connections_evicted_total",
    "edgeseal_api_shed_total",
    "edgeseal_api_warnings_total",
    "edgeseal_audit_dropped_total",
    "edgeseal_origin_failures_total",
    "edgeseal_outside_checks_total",
    "edgeseal_outside_round_timestamp_seconds",
    "edgeseal_log_lines_lost_total",
    "edgeseal_memory_pressure",
    "edgeseal_proof_clock_skew_total",
    "edgeseal_replica_failures_total",
    "edgeseal_connections_evicted_total",
    "edgeseal_settle_timeouts_total",
    "edgeseal_shed_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_events_without_names() {
    let server = Server::start_with("alarm_interval_ms = 100\n");
    let (api, origin) = (server.root_client(), Origin::start().await);
    let addresses = server.addresses();
    api.serve(NAME, &origin).await;
    api.refused(
        CDN_VERSION,
        "StopCdnDomain",
        &[("DomainName", "no.example")],
    )
    .await;
    for _ in 0..2 {
        let stream = tls::connect(addresses.https, NAME, &["http/1.1"]).await;
        let got = HttpConnection::h1_over(stream.unwrap())
            .await
            .try_get(NAME, "/")
            .await;
        assert_eq!(got.unwrap().0, 200);
    }
    assert!(server.served("unknown.watched.example").await.is_err());
    // Of a name that is not served nothing is looked up.
    for host in [NAME, "unknown.watched.example"] {
        raw::get(addresses.http, host, "/.well-known/acme-challenge/token").await;
    }

    let series = [
        r#"edgeseal_api_requests_total{action="AddCdnDomain",code="OK"} 1"#,
        r#"edgeseal_api_requests_total{action="SetCdnDomainSSLCertificate",code="OK"} 1"#,
        r#"edgeseal_api_requests_total{action="StopCdnDomain",code="InvalidDomain.NotFound"} 1"#,
        r#"edgeseal_handshakes_total{result="refused"} 1"#,
        r#"edgeseal_tls_refusals_total{reason="unknown_name"} 1"#,
        r#"edgeseal_proxy_requests_total{class="2xx"} 3"#,
        r#"edgeseal_proofs_total{result="match"}"#,
        r#"edgeseal_acme_answers_total{type="http-01",outcome="unknown"} 1"#,
        "edgeseal_acme_challenges 0",
        "edgeseal_edge_domains 1",
        concat!(
            "edgeseal_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
        "# HELP edgeseal_handshakes_total TLS handshakes.",
        "# HELP edgeseal_proof_seconds Time from the call",
        "# TYPE process_resident_memory_bytes gauge",
        "process_open_fds ",
        "process_cpu_seconds_total ",
        "edgeseal_certificate_not_after_timestamp_seconds{domain=",
        "edgeseal_quarantined_domains 0",
        "edgeseal_unproven_domains 0",
    ];
    // Counted after the client has received the response.
    let text = eventually("all that happened in the metrics", || async {
        let answer = raw::get(addresses.admin, "admin", "/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("text/plain; version=0.0.4"));
        let there = series.iter().all(|line| answer.body.contains(line));
        let there = there && SHOWN.iter().all(|name| answer.body.contains(name));
        there.then_some(answer.body)
    })
    .await;
    // The one metric with names, of a bounded number of domains.
    let expiry = "edgeseal_certificate_not_after_timestamp_seconds{domain=\"www.watched.example\"}";
    assert_eq!(text.matches(expiry).count(), 1);
    let text = text.replace(expiry, "");
    for private in ["watched", "no.example", &api.key, &api.account, "127.0.0.1"] {
        assert!(!text.contains(private), "{private} is in the metrics");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_served_until_the_exit() {
    let mut server = Server::start();
    let addresses = server.addresses();
    let get = |path| raw::get(addresses.admin, "admin", path);
    for (path, status, body) in [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/nothing", 404, ""),
    ] {
        let answer = get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{path}"
        );
    }
    // An unfinished call keeps the process from exiting until it is answered or times out.
    let mut call = TcpStream::connect(addresses.api).await.unwrap();
    call.write_all(b"POST / HTTP/1.1\r\nhost: api\r\ncontent-length: 100\r\n\r\nAction=")
        .await
        .unwrap();
    // The server has accepted it once a later call is answered.
    raw::get(addresses.api, "api", "/").await;
    server.signal("TERM");
    eventually("draining", || async {
        let answer = get("/readyz").await;
        (answer.status == 503 && answer.body == "draining\n").then_some(())
    })
    .await;
    assert_eq!(get("/healthz").await.status, 200);
    drop(call);
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_to_expected_hosts_only() {
    let server = Server::start_with("admin_hosts = [\"metrics.watched.example\"]\n");
    let admin = server.addresses().admin;
    let port = admin.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("metrics.watched.example:{port}"), 200),
        (format!("rebound.example:{port}"), 421),
    ] {
        let answer = raw::get(admin, &host, "/metrics").await;
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(answer.body.contains("edgeseal_"), status == 200, "{host}");
        assert_eq!(raw::get(admin, &host, "/healthz").await.status, 200);
    }
    server.stop();
}

/// Half a request on each of more connections than the limit: new ones are accepted, and all are
/// closed.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_block_others() {
    const FLOOD: usize = 200;
    const PLACES: usize = 64;
    let server = Server::start();
    let admin = server.addresses().admin;
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let mut connection = TcpStream::connect(admin).await.unwrap();
        let half = b"GET /healthz HTTP/1.1\r\nhost: admin\r\n";
        connection.write_all(half).await.unwrap();
        flood.push(connection);
        if flood.len() % 50 == 0 {
            assert_eq!(raw::get(admin, "admin", "/healthz").await.status, 200);
        }
    }
    let newest = flood.split_off(FLOOD - PLACES);
    for (which, connections) in [("made room", flood), ("took too long", newest)] {
        for mut connection in connections {
            let mut bytes = Vec::new();
            let ended = timeout(TIMEOUT, connection.read_to_end(&mut bytes)).await;
            assert!(ended.is_ok(), "one that {which} goes on");
        }
    }
    assert_eq!(raw::get(admin, "admin", "/readyz").await.status, 200);
    server.stop();
}

#[test]
fn every_metric_of_the_sources_is_listed() {
    let listed: BTreeSet<String> = [SHOWN, FAILURES]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    for member in fs::read_dir(crates).unwrap() {
        collect(&member.unwrap().path().join("src"), &mut found);
    }
    assert_eq!(found, listed);
}

/// The names in `counter!`, `gauge!` and `histogram!` in the sources below a directory.
fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let Ok(source) = fs::read_to_string(&path) else {
            continue;
        };
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let names = source.split(kind).skip(1);
            let names = names.filter_map(|after| after.trim_start().strip_prefix('"'));
            found.extend(names.filter_map(|name| Some(name.split_once('"')?.0.to_owned())));
        }
    }
}
