//! What each metric is, for `# HELP`: the texts that a dashboard shows beside a name.

use metrics::{describe_counter, describe_gauge, describe_histogram};

use Kind::{Counter, Gauge, Histogram};

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Up only.
    Counter,
    /// Up and down.
    Gauge,
    /// Into buckets.
    Histogram,
}

/// Every metric of Edgeseal's own.
#[rustfmt::skip]
pub(super) const METRICS: &[(Kind, &str, &str)] = &[
    (Gauge, "edgeseal_build_info", "Always 1; the labels say which build this is."),
    (Histogram, "edgeseal_api_request_duration_seconds", "From the head of a call to its answer, waiting for the edge included."),
    (Counter, "edgeseal_api_requests_total", "Calls; OK or the code; unknown before the action is known."),
    (Counter, "edgeseal_api_warnings_total", "Certificates that were accepted with a warning."),
    (Counter, "edgeseal_api_connections_refused_total", "Connections to the API that were closed as they came: too many were open."),
    (Counter, "edgeseal_api_connections_evicted_total", "Connections to the API that were closed to make room: their source held most."),
    (Counter, "edgeseal_api_log_lines_suppressed_total", "Calls without a valid key that got no line in the log, as of a flood."),
    (Counter, "edgeseal_api_shed_total", "Calls to the API that were refused because there was no room for them or their answer."),
    (Counter, "edgeseal_settle_timeouts_total", "Changes answered before the edge in the process had followed them."),
    (Counter, "edgeseal_audit_coalesced_total", "Refusals that are only counted in the audit, as of a flood."),
    (Counter, "edgeseal_audit_dropped_total", "Refusals that did not fit into the audit's queue."),
    (Gauge, "edgeseal_edge_revision", "The revision up to which the edge has followed."),
    (Gauge, "edgeseal_edge_domains", "Domains in the edge's table."),
    (Gauge, "edgeseal_quarantined_domains", "Domains whose newest record cannot be used: should be 0."),
    (Gauge, "edgeseal_unproved_domains", "Domains of which a handshake of the edge with itself does not show what it should: should be 0."),
    (Counter, "edgeseal_proofs_total", "Handshakes of the edge with itself after a change."),
    (Histogram, "edgeseal_proof_seconds", "From the call that made a change until such a handshake showed it; in bulk, of the sample."),
    (Counter, "edgeseal_proof_clock_skew_total", "Proofs older than their change, by clocks that disagree."),
    (Counter, "edgeseal_replica_failures_total", "Writes of the replica that failed or were left out."),
    (Gauge, "edgeseal_connections", "Open connections of visitors."),
    (Counter, "edgeseal_handshakes_total", "TLS handshakes."),
    (Counter, "edgeseal_tls_sessions_total", "Completed handshakes."),
    (Gauge, "edgeseal_ticket_key_age_seconds", "Age of the key that seals session tickets: up to a day."),
    (Gauge, "edgeseal_ticket_key_shared", "1 if all edges have that key, 0 if it is the edge's own."),
    (Counter, "edgeseal_ocsp_fetches_total", "What came of asking OCSP responders."),
    (Gauge, "edgeseal_ocsp_staples", "OCSP responses that are stapled."),
    (Gauge, "edgeseal_ocsp_revoked", "Certificates that are served and revoked: should be 0."),
    (Counter, "edgeseal_shed_total", "New connections that were closed unserved, and requests refused."),
    (Counter, "edgeseal_connections_evicted_total", "Connections closed because their source held most of it."),
    (Counter, "edgeseal_accept_failures_total", "Connections that could not be accepted."),
    (Gauge, "edgeseal_memory_pressure", "1 while memory is short."),
    (Counter, "edgeseal_tls_refusals_total", "Handshakes that got no certificate."),
    (Counter, "edgeseal_proxy_requests_total", "Answers to visitors."),
    (Counter, "edgeseal_log_lines_lost_total", "Lines of the log that are missing."),
    (Counter, "edgeseal_access_log_lost_total", "Lines of the access log that are missing."),
    (Counter, "edgeseal_origin_failures_total", "Tries of an origin that brought no answer."),
    (Counter, "edgeseal_key_cache_hits_total", "Parsed private keys that were found in memory."),
    (Counter, "edgeseal_key_cache_misses_total", "Private keys that had to be opened and parsed."),
    (Gauge, "edgeseal_key_cache_size", "Parsed private keys in memory."),
];

/// Tells the recorder of them.
pub(super) fn register_help() {
    for (kind, name, help) in METRICS {
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

    /// What `metrics-process` tells of on Linux.
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

    /// The names of metrics in a text.
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
        let known = |name: &str| METRICS.iter().any(|(_, known, _)| *known == name);
        known(name) || PROCESS.contains(&name) || bare.is_some_and(known)
    }

    #[test]
    fn every_documented_metric_is_described() {
        let document = fs::read_to_string(repository().join("docs/reference/metrics.md")).unwrap();
        let rows = document
            .lines()
            .filter(|line| line.starts_with("| `edgeseal_"));
        let first_cells: String = rows.map(|row| row.split(" | ").next().unwrap()).collect();
        for name in names(&first_cells) {
            assert!(is_known(name), "{name} has no HELP in admin/described.rs");
        }
        for (_, name, _) in METRICS {
            let short = name.strip_prefix("edgeseal_key_cache").unwrap_or(name);
            assert!(
                first_cells.contains(short),
                "docs/reference/metrics.md does not tell of {name}"
            );
        }
    }

    #[test]
    fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
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
        for (kind, name, help) in METRICS {
            assert!(
                help.ends_with('.') && !help.contains('\n'),
                "{name}: {help}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
        }
    }
}
