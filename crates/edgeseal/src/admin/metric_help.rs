//! The metrics: the `# HELP` text of each, which dashboards show beside its name, and the rows of
//! `docs/reference/metrics.md`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

use Kind::{Counter, Gauge, Histogram};

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Up only.
    Counter,
    /// Up and down.
    Gauge,
    /// Into buckets.
    Histogram,
}

/// Labels of a metric, with their values; an empty list of values stands for those of an open set.
type Labels = &'static [(&'static str, &'static [&'static str])];

/// Edgeseal's own metrics: type, name, labels, help.
#[rustfmt::skip]
const METRICS: &[(Kind, &str, Labels, &str)] = &[
    (Gauge, "edgeseal_build_info", &[("version", &[])], "Always 1; the labels say which build this is."),
    (Histogram, "edgeseal_api_request_duration_seconds", &[], "Time from a call's request headers to its response, including the wait for the edge."),
    (Counter, "edgeseal_api_requests_total", &[("action", &[]), ("code", &[])], "API calls: the code is OK or that of the refusal; the action is unknown if the call names none that exists."),
    (Counter, "edgeseal_api_warnings_total", &[("action", &[]), ("kind", &[])], "Certificates accepted with a warning."),
    (Counter, "edgeseal_api_connections_refused_total", &[("limit", &["in_all", "per_source"])], "API connections refused because a connection limit was reached."),
    (Counter, "edgeseal_api_connections_evicted_total", &[], "API connections evicted for others, from the source that held most."),
    (Counter, "edgeseal_api_log_lines_suppressed_total", &[], "Unauthenticated calls left out of the log by the log rate limit."),
    (Counter, "edgeseal_api_shed_total", &[("direction", &["requests", "responses"])], "API calls refused because the memory for requests or responses was exhausted."),
    (Counter, "edgeseal_settle_timeouts_total", &[], "Changes answered before the local edge had applied them."),
    (Counter, "edgeseal_audit_coalesced_total", &[], "Refusals that are only counted in the audit, not recorded one by one."),
    (Counter, "edgeseal_audit_dropped_total", &[], "Refusals dropped because the audit queue was full."),
    (Gauge, "edgeseal_nodes", &[], "Live processes on the store, as this one knows them."),
    (Gauge, "edgeseal_node_clock_offset_seconds", &[], "How far the clock of this process is ahead of the database's; 0 if the store is a file."),
    (Gauge, "edgeseal_node_lag_seconds", &[], "How long the edge of this process has lacked a newer commit of the database; 0 if the store is a file."),
    (Gauge, "edgeseal_edge_revision", &[], "Last applied store revision."),
    (Gauge, "edgeseal_edge_domains", &[], "Domains in the edge's index."),
    (Gauge, "edgeseal_quarantined_domains", &[], "Domains whose newest record cannot be used; alert if above 0."),
    (Gauge, "edgeseal_unproven_domains", &[], "Domains whose self-test handshake does not show the expected certificate; alert if above 0."),
    (Counter, "edgeseal_proofs_total", &[("result", &["match", "mismatch"])], "Self-test handshakes after a change."),
    (Histogram, "edgeseal_proof_seconds", &[], "Time from the call that made a change until a self-test handshake showed it; of bulk changes, a sample."),
    (Counter, "edgeseal_proof_clock_skew_total", &[], "Proofs older than their change because clocks disagree; in edgeseal_proof_seconds they count as 0 s."),
    (Counter, "edgeseal_replica_failures_total", &[], "Writes of the replica that failed or were skipped."),
    (Gauge, "edgeseal_connections", &[], "Open client connections."),
    (Counter, "edgeseal_handshakes_total", &[("result", &["completed", "refused", "timed_out", "failed", "shed"])], "TLS handshakes."),
    (Counter, "edgeseal_tls_sessions_total", &[("kind", &["full", "resumed"])], "Completed TLS handshakes, full or resumed."),
    (Gauge, "edgeseal_ticket_key_age_seconds", &[], "Age of the key that seals session tickets, up to a day."),
    (Gauge, "edgeseal_ticket_key_shared", &[], "1 if all edges share that key, 0 if it is local to this edge."),
    (Counter, "edgeseal_acme_orders_total", &[("issuer", &[]), ("outcome", &["issued", "refused", "limited", "unreachable", "not_ready", "not_bound", "unable", "stopped"])], "Attempts to order a certificate that ended; the issuer is one of the configuration, or none if none was asked. not_ready: a check before the order found something missing; not_bound: issued, but there is no room or the domain is locked; unable: a setting is missing."),
    (Gauge, "edgeseal_acme_orders_in_progress", &[], "Domains with orders in progress; 0 in a process that does not order, as the following."),
    (Gauge, "edgeseal_acme_orders_waiting", &[("reason", &["limit", "backoff", "issuer_paused"])], "Domains whose order is due and waits: for a limit, the pace of renewals or its turn, after a failure, or because no issuer takes orders."),
    (Gauge, "edgeseal_acme_oldest_waiting_seconds", &[("reason", &["limit", "backoff", "issuer_paused"])], "How long the first of them has been due."),
    (Gauge, "edgeseal_acme_renewals_late", &[], "Domains for which half of the time between the due renewal and the expiry has passed."),
    (Gauge, "edgeseal_acme_orders_left", &[("issuer", &[])], "Orders that the account may place now; absent if the issuer has no such limit."),
    (Gauge, "edgeseal_acme_issuer_paused", &[("issuer", &[])], "1 while the issuer takes no orders: it is down, or limits the account."),
    (Gauge, "edgeseal_acme_challenges", &[], "Pending ACME challenges that the edge answers."),
    (Counter, "edgeseal_acme_answers_total", &[("type", &["http-01", "tls-alpn-01"]), ("outcome", &["held", "looked_up", "unknown", "too_many", "store_failed"])], "Requests for an ACME challenge of a domain: held in memory, looked up in the store, unknown, or not looked up."),
    (Counter, "edgeseal_shed_total", &[("reason", &["connections", "connections_per_source", "handshakes", "handshakes_per_source", "streams", "streams_per_source", "large_headers", "large_headers_per_source", "delay", "memory", "proxy_header"])], "Connections closed unserved and requests refused."),
    (Counter, "edgeseal_connections_evicted_total", &[("reason", &["connections", "handshakes", "streams", "large_headers", "idle", "memory", "origin_connections"])], "Connections evicted because their source held most of the exhausted resource, or because they were idle longest."),
    (Counter, "edgeseal_accept_failures_total", &[("reason", &["descriptors", "other"])], "accept() failures."),
    (Gauge, "edgeseal_memory_pressure", &[], "1 while memory use is above the limit."),
    (Counter, "edgeseal_tls_refusals_total", &[("reason", &["no_sni", "unknown_name", "stopped", "https_off", "key_unusable"])], "TLS handshakes without a certificate."),
    (Counter, "edgeseal_proxy_requests_total", &[("class", &["1xx", "2xx", "3xx", "4xx", "5xx"])], "Responses sent to clients."),
    (Counter, "edgeseal_log_lines_lost_total", &[("reason", &["queue_full", "write_failed"])], "Log lines lost."),
    (Counter, "edgeseal_access_log_lost_total", &[("reason", &["queue_full", "write_failed"])], "Access log lines lost."),
    (Counter, "edgeseal_origin_failures_total", &[("reason", &["unreachable", "address_not_allowed", "tls_untrusted", "connect_timeout", "connection_limit", "response_timeout", "bad_response", "client_too_slow", "client_aborted", "too_large", "length_required"])], "Attempts at an origin that returned no response."),
    (Counter, "edgeseal_key_cache_hits_total", &[], "Key cache hits."),
    (Counter, "edgeseal_key_cache_misses_total", &[], "Key cache misses: keys decrypted and parsed."),
    (Gauge, "edgeseal_certificate_not_after_timestamp_seconds", &[("domain", &[])], "End of the served chain, of the 100 production domains where it comes first; the only metric with names."),
    (Gauge, "edgeseal_certificates_expiring", &[("within_days", &["0", "1", "3", "7", "14", "30", "60", "90", "+Inf"])], "Production domains whose served chain ends within so many days, those of smaller labels included; 0: it has ended."),
    (Gauge, "edgeseal_alarms", &[("code", &[]), ("severity", &["info", "warning", "critical"])], "Raised alarms that are not silenced; the codes are in the reference of alarms."),
    (Gauge, "edgeseal_alarm_evaluation_timestamp_seconds", &[], "When all alarms were evaluated for the last time, in seconds since 1970."),
    (Counter, "edgeseal_alarm_deliveries_total", &[("type", &["webhook", "alertmanager", "command", "smtp"]), ("result", &["accepted", "failed"])], "Attempts to notify a channel of alarms."),
    (Counter, "edgeseal_outside_checks_total", &[("verdict", &["ok", "expiring", "refused", "other_certificate", "unreachable", "points_elsewhere", "no_address", "unknown"])], "Checks of what visitors of a domain find; unknown: the DNS servers did not respond, or this machine has no route or no descriptor left."),
    (Gauge, "edgeseal_outside_round_timestamp_seconds", &[], "When all domains had been checked from outside for the last time, or when this process began to, in seconds since 1970."),
    (Gauge, "edgeseal_key_cache_size", &[], "Parsed private keys in the cache."),
];

/// The lines before the series of a gauge that the recorder does not have.
pub(super) fn heading(name: &str) -> String {
    let help = METRICS.iter().find(|(_, known, _, _)| *known == name);
    let help = help.map_or("", |(_, _, _, help)| *help);
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n")
}

/// Registers the help texts with the recorder.
pub(super) fn register_help() {
    for (kind, name, _, help) in METRICS {
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, *help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::generated_docs::assert_generated;

    /// The metrics of `metrics-process` on Linux.
    const PROCESS: [&str; 8] = [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
    ];

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The metric names in a text.
    fn names(text: &str) -> BTreeSet<&str> {
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let words = text.split(|c| !of_name(c));
        let words = words.filter(|word| {
            word.starts_with("edgeseal_") || PROCESS.contains(word) || word.starts_with("process_")
        });
        words.collect()
    }

    fn is_known(name: &str) -> bool {
        let series = ["_bucket", "_sum", "_count"];
        let bare = series.iter().find_map(|end| name.strip_suffix(end));
        let known = |name: &str| METRICS.iter().any(|(_, known, ..)| *known == name);
        known(name) || PROCESS.contains(&name) || bare.is_some_and(known)
    }

    #[test]
    fn the_docs_list_every_metric() {
        let mut table = "| name | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
        for (kind, name, labels, help) in METRICS {
            let kind = format!("{kind:?}").to_ascii_lowercase();
            let labels = labels.iter().map(|(label, values)| match values {
                [] => format!("`{label}`"),
                values => format!("`{label}`: `{}`", values.join("`, `")),
            });
            let labels = labels.collect::<Vec<_>>().join(", ");
            table += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
        }
        assert_generated("docs/reference/metrics.md", "metrics", &table);
    }

    #[test]
    fn dashboard_and_alerts_use_existing_metrics() {
        for file in [
            "packaging/grafana/edgeseal.json",
            "packaging/prometheus/edgeseal.rules.yml",
        ] {
            let text = fs::read_to_string(repository().join(file)).unwrap();
            let asked = names(&text);
            assert!(asked.len() > 8, "{file}: {asked:?}");
            for name in asked {
                assert!(is_known(name), "{file}: there is no metric {name}");
            }
            if file.ends_with("json") {
                serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
        }
    }

    #[test]
    fn helps_are_sentences_on_one_line() {
        for (kind, name, _, help) in METRICS {
            assert!(
                help.ends_with('.') && !help.contains('\n'),
                "{name}: {help}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
        }
    }
}
