//! Warns of unknown `EDGESEAL_*` environment variables: a misspelt one would silently have no
//! effect.

use std::env;

use super::{
    Config, suggest,
    table::{self, Setting},
};
use crate::kek::KekSource;

/// Variables that are read elsewhere in the program.
const OTHER_VARIABLES: [&str; 3] = ["log", "endpoint", "cacert"];

/// Logs a warning for every variable `EDGESEAL_…` that has no effect.
pub(crate) fn warn_of_unknown_variables(config: &Config) {
    let sources = config.kek_sources();
    let of_keys = |name: &str| {
        let named = |source: &KekSource| matches!(source, KekSource::Variable(it) if it == name);
        sources.iter().any(named)
    };
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| !of_keys(name)) {
        if let Some(hint) = unknown_variable_hint(&name) {
            tracing::warn!(variable = name, "{hint}");
        }
    }
}

/// The warning for a variable; `None` if it is known or has another prefix.
fn unknown_variable_hint(name: &str) -> Option<String> {
    let key = name.strip_prefix("EDGESEAL_")?.to_ascii_lowercase();
    let (tables, keys): (Vec<&Setting>, Vec<&Setting>) =
        table::all().partition(|setting| setting.is_table);
    let keys = keys.into_iter().map(|setting| setting.key);
    let mut known: Vec<&str> = keys.chain(OTHER_VARIABLES).collect();
    if known.contains(&key.as_str()) || is_kubernetes_service_variable(&key) {
        return None;
    }
    if tables.iter().any(|setting| setting.key == key) {
        return Some(format!(
            "{name} is ignored: {key} can be set in the configuration file only"
        ));
    }
    known.sort_unstable();
    let hint = suggest::suggestion(&key, &known)
        .map(|meant| format!("; did you mean EDGESEAL_{}?", meant.to_ascii_uppercase()));
    Some(format!(
        "{name} is ignored: there is no such setting{}",
        hint.unwrap_or_default()
    ))
}

/// Whether Kubernetes sets it for a service whose name begins with `edgeseal`: `…_SERVICE_HOST`,
/// `…_SERVICE_PORT`, `…_PORT`, `…_PORT_443_TCP…`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_kubernetes_service_variable(key: &str) -> bool {
    let key = format!("_{key}");
    let of_port = |at: usize| {
        let rest = key[at..].trim_start_matches("_port");
        rest.is_empty() || rest.starts_with('_') && rest[1..].starts_with(char::is_numeric)
    };
    key.contains("_service_host")
        || key.contains("_service_port")
        || key.match_indices("_port").any(|(at, _)| of_port(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_nobody_reads() {
        for (name, says) in [
            ("EDGESEAL_API", None),
            ("EDGESEAL_LOG", None),
            ("EDGESEAL_OWNER_CHECK_PORT", None),
            ("HOME", None),
            ("EDGESEAL_SERVICE_HOST", None),
            ("EDGESEAL_API_SERVICE_PORT_HTTPS", None),
            ("EDGESEAL_PORT", None),
            ("EDGESEAL_API_PORT_7080_TCP_ADDR", None),
            (
                "EDGESEAL_HTPS",
                Some(
                    "EDGESEAL_HTPS is ignored: there is no such setting; did you mean EDGESEAL_HTTPS?",
                ),
            ),
            (
                "EDGESEAL_STRANGE",
                Some("EDGESEAL_STRANGE is ignored: there is no such setting"),
            ),
            (
                "EDGESEAL_PORTS",
                Some("EDGESEAL_PORTS is ignored: there is no such setting"),
            ),
            (
                "EDGESEAL_RATE_LIMITS",
                Some(
                    "EDGESEAL_RATE_LIMITS is ignored: rate_limits can be set in the configuration file only",
                ),
            ),
        ] {
            assert_eq!(unknown_variable_hint(name).as_deref(), says, "{name}");
        }
    }
}
