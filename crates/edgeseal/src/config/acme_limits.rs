//! The limits of an issuer: `limits` in a table `[[acme]]`.

use edgeseal_core::{acme::IssuerLimits, rate::RateLimit};
use serde::Deserialize;

use super::types::{Text, Written};
use crate::cli::time::duration_ms;

/// Most orders or failures in a period.
const COUNT_MAX: u32 = 1_000_000;
/// The longest period: counters are kept for eight days.
const PERIOD_MAX_MS: u32 = 7 * 24 * 60 * 60 * 1000;

/// What differs from the [known limits](IssuerLimits::of_directory) of the directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcmeLimits {
    /// New orders of the account.
    orders: Option<Text<Limit>>,
    /// New certificates below one registered domain.
    per_registered_domain: Option<Text<Limit>>,
    /// New certificates for exactly the same name.
    per_name: Option<Text<Limit>>,
    /// Failed validations of one name.
    failures_per_name: Option<Text<Limit>>,
    /// Whether a renewal that names what it replaces (ARI) counts against none of the first three.
    exempt_replacements: Option<bool>,
    /// Whether another renewal counts against `per_name` only.
    exempt_renewals: Option<bool>,
}

/// A number in a period, or any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(Option<RateLimit>);

impl Written for Limit {
    const TYPE: &'static str =
        "a number in a period of up to 7d, as \"300 in 3h\", or \"unlimited\"";
    const WORDS: &'static [(&'static str, Self)] = &[("unlimited", Self(None))];

    fn parse(text: &str) -> Option<Self> {
        if text == "unlimited" {
            return Some(Self(None));
        }
        let (count, period) = text.split_once(" in ")?;
        let calls = count
            .parse()
            .ok()
            .filter(|it| (1..=COUNT_MAX).contains(it))?;
        let per_ms = u32::try_from(duration_ms(period)?).ok();
        let per_ms = per_ms.filter(|it| (1..=PERIOD_MAX_MS).contains(it))?;
        Some(Self(Some(RateLimit { calls, per_ms })))
    }
}

impl AcmeLimits {
    /// The limits of the issuer whose directory is at `url`.
    pub(super) fn of_directory(&self, url: &str) -> IssuerLimits {
        let known = IssuerLimits::of_directory(url);
        let or = |set: &Option<Text<Limit>>, known| set.map_or(known, |set| set.0.0);
        IssuerLimits {
            orders: or(&self.orders, known.orders),
            per_registered_domain: or(&self.per_registered_domain, known.per_registered_domain),
            per_name_set: or(&self.per_name, known.per_name_set),
            failures_per_name: or(&self.failures_per_name, known.failures_per_name),
            exempts_replacements: self
                .exempt_replacements
                .unwrap_or(known.exempts_replacements),
            exempts_renewals: self.exempt_renewals.unwrap_or(known.exempts_renewals),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_in_a_period() {
        let limit = |calls, per_ms| Some(Limit(Some(RateLimit { calls, per_ms })));
        assert_eq!(Limit::parse("300 in 3h"), limit(300, 10_800_000));
        assert_eq!(Limit::parse("50 in 1w"), limit(50, 604_800_000));
        assert_eq!(Limit::parse("unlimited"), Some(Limit(None)));
        for text in [
            "",
            "300",
            "300 in",
            "in 3h",
            "0 in 3h",
            "1 in 0s",
            "-1 in 3h",
            "5 in 8d",
            "5 in 3",
            "1000001 in 3h",
            "300 per 3h",
            "300 in  3h",
        ] {
            assert_eq!(Limit::parse(text), None, "{text}");
        }
    }
}
