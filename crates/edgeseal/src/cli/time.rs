//! Times on the command line: a moment, or how long ago it was.

use edgeseal_core::Timestamp;

/// Resolves a relative time, for the API: `7d` is seven days before `now`; units are s, m, h, d and
/// w. Any other text is passed on for the API to parse.
pub(super) fn resolve_time(text: &str, now: Timestamp) -> String {
    duration_ms(text).map_or_else(|| text.to_owned(), |ms| now.plus_ms(-ms).to_string())
}

/// A duration such as `7d`, in milliseconds; units are s, m, h, d and w.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let unit_ms: i64 = match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        'w' => 604_800_000,
        _ => return None,
    };
    // More than a hundred years would overflow, and is not meant.
    const LONGEST_MS: i64 = 100 * 366 * 86_400_000;
    let count: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let ms = count.checked_mul(unit_ms)?;
    (0..=LONGEST_MS).contains(&ms).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        for (given, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("7d", 604_800),
            ("1w", 604_800),
            ("0d", 0),
        ] {
            let expected = now.plus_ms(-seconds * 1000).to_string();
            assert_eq!(resolve_time(given, now), expected, "{given}");
        }
        for given in [
            "2026-01-02T03:04:05Z",
            "",
            "d",
            "-1d",
            "7",
            "1y",
            "9999999999999999d",
            "400000w",
            "7 d",
            "7д",
        ] {
            assert_eq!(resolve_time(given, now), given);
        }
    }
}
