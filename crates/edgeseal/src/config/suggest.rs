//! Suggestions for misspelt names.

/// The name in `known` closest to `given`, with at most a third of it different.
pub(super) fn suggestion<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    let distance = |name: &&'a str| strsim::damerau_levenshtein(&given, name);
    let closest = known.iter().copied().min_by_key(distance)?;
    let slips = strsim::damerau_levenshtein(&given, closest);
    (slips <= (given.len() / 3).clamp(1, 3)).then_some(closest)
}

/// The suggestion as the end of a sentence; empty if there is none.
pub(super) fn did_you_mean(given: &str, known: &[&str]) -> String {
    suggestion(given, known).map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips() {
        let known = [
            "http",
            "https",
            "api",
            "api_tls",
            "connections",
            "connections_per_source",
        ];
        for (given, meant) in [
            ("htps", Some("https")),
            ("HTTPS_", Some("https")),
            ("apí", Some("api")),
            ("api-tls", Some("api_tls")),
            ("conections", Some("connections")),
            ("strange", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(suggestion(given, &known), meant, "{given}");
        }
        assert_eq!(suggestion("x", &[]), None);
    }
}
