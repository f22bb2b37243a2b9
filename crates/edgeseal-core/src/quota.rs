//! How many domains, certificates and signing requests an account may have.
//!
//! An installation has a quota for each kind, for every account except root. Root is the operator's
//! own account: a limit would protect the operator only from itself, and a default limit would one
//! day stop the renewals of an installation with a single account. The operator may set other
//! quotas for any single account, root included ([`QuotaOverrides`]).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    /// Domains, online or not.
    Domains,
    /// Certificates that the account sees. A removed certificate that a domain still has bound does
    /// not count: a domain keeps at most four of those.
    Certificates,
    /// Signing requests whose private keys are stored, until they expire.
    CsrKeys,
}

/// How many of a kind an account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Up to this many.
    AtMost(u32),
    /// Any number.
    Unlimited,
}

/// The quotas of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Domains.
    pub domains: Quota,
    /// Certificates.
    pub certificates: Quota,
    /// Signing requests.
    pub csr_keys: Quota,
}

/// Quotas that the operator set for one account; `None` where the installation's applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaOverrides {
    /// Domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Quota>,
    /// Certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Quota>,
    /// Signing requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr_keys: Option<Quota>,
}

/// The account would exceed its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account has {used} of {limit} {kind}, and {adding} more {} asked for", if *.adding == 1 { "is" } else { "are" })]
pub struct OverQuota {
    /// What is counted.
    pub kind: QuotaKind,
    /// How many it has.
    pub used: u64,
    /// How many would be added.
    pub adding: u64,
    /// How many it may have.
    pub limit: u32,
}

/// Why a string is not a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quota is a number up to {}, or \"unlimited\"", u32::MAX)]
pub struct InvalidQuota;

/// Whether an account that has `used` of a kind may have `adding` more. An account that exceeds a
/// lowered quota keeps what it has, and may replace one by another.
///
/// # Errors
/// [`OverQuota`].
pub const fn check(kind: QuotaKind, used: u64, adding: u64, quota: Quota) -> Result<(), OverQuota> {
    match quota {
        Quota::AtMost(limit) if adding > 0 && used.saturating_add(adding) > limit as u64 => {
            Err(OverQuota {
                kind,
                used,
                adding,
                limit,
            })
        }
        Quota::AtMost(_) | Quota::Unlimited => Ok(()),
    }
}

impl QuotaKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Domains, Self::Certificates, Self::CsrKeys];

    /// Whether things of this kind expire by themselves.
    #[must_use]
    pub const fn expires(self) -> bool {
        matches!(self, Self::CsrKeys)
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Domains => "domains",
            Self::Certificates => "certificates",
            Self::CsrKeys => "signing requests",
        })
    }
}

impl Quota {
    /// The highest number allowed.
    #[must_use]
    pub const fn at_most(self) -> u64 {
        match self {
            Self::AtMost(limit) => limit as u64,
            Self::Unlimited => u64::MAX,
        }
    }
}

impl Default for Quotas {
    /// 10,000 domains, so that one account takes at most a hundredth of an edge's design capacity;
    /// five certificates for each, the bound one and four that it superseded; and 1,000 signing
    /// requests, which are kept for 400 days.
    fn default() -> Self {
        Self {
            domains: Quota::AtMost(10_000),
            certificates: Quota::AtMost(50_000),
            csr_keys: Quota::AtMost(1_000),
        }
    }
}

impl Quotas {
    /// The quota of an account, with the operator's overrides `chosen`.
    #[must_use]
    pub fn effective(&self, kind: QuotaKind, is_root: bool, chosen: &QuotaOverrides) -> Quota {
        match chosen.get(kind) {
            Some(quota) => quota,
            None if is_root => Quota::Unlimited,
            None => match kind {
                QuotaKind::Domains => self.domains,
                QuotaKind::Certificates => self.certificates,
                QuotaKind::CsrKeys => self.csr_keys,
            },
        }
    }
}

impl QuotaOverrides {
    /// The override for a kind.
    #[must_use]
    pub const fn get(&self, kind: QuotaKind) -> Option<Quota> {
        match kind {
            QuotaKind::Domains => self.domains,
            QuotaKind::Certificates => self.certificates,
            QuotaKind::CsrKeys => self.csr_keys,
        }
    }

    /// Sets or clears the override for a kind.
    pub const fn set(&mut self, kind: QuotaKind, quota: Option<Quota>) {
        match kind {
            QuotaKind::Domains => self.domains = quota,
            QuotaKind::Certificates => self.certificates = quota,
            QuotaKind::CsrKeys => self.csr_keys = quota,
        }
    }

    /// Whether nothing is overridden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const UNLIMITED: &str = "unlimited";

impl FromStr for Quota {
    type Err = InvalidQuota;

    fn from_str(text: &str) -> Result<Self, InvalidQuota> {
        if text.eq_ignore_ascii_case(UNLIMITED) {
            return Ok(Self::Unlimited);
        }
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.map(Self::AtMost).ok_or(InvalidQuota)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => limit.fmt(f),
            Self::Unlimited => f.write_str(UNLIMITED),
        }
    }
}

/// A number, or `unlimited`.
impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AtMost(limit) => serializer.serialize_u32(*limit),
            Self::Unlimited => serializer.serialize_str(UNLIMITED),
        }
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Quota;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{InvalidQuota}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quota, E> {
                let limit = u32::try_from(number).map_err(|_| E::custom(InvalidQuota))?;
                Ok(Quota::AtMost(limit))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quota, E> {
                let number = u64::try_from(number).map_err(|_| E::custom(InvalidQuota))?;
                self.visit_u64(number)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quota, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_account_may_have() {
        use Quota::{AtMost, Unlimited};
        let installation = Quotas {
            domains: AtMost(3),
            ..Quotas::default()
        };
        for (is_root, chosen, quota) in [
            (false, None, AtMost(3)),
            (false, Some(AtMost(9)), AtMost(9)),
            (false, Some(AtMost(0)), AtMost(0)),
            (false, Some(Unlimited), Unlimited),
            (true, None, Unlimited),
            (true, Some(AtMost(9)), AtMost(9)),
        ] {
            let mut account = QuotaOverrides::default();
            account.set(QuotaKind::Domains, chosen);
            assert_eq!(account.is_empty(), chosen.is_none());
            let of = |kind| installation.effective(kind, is_root, &account);
            assert_eq!(of(QuotaKind::Domains), quota, "{is_root} {chosen:?}");
            let others = installation.certificates;
            let others = if is_root { Unlimited } else { others };
            assert_eq!(of(QuotaKind::Certificates), others, "{is_root} {chosen:?}");
        }
    }

    #[test]
    fn at_the_limit() {
        for (used, adding, quota, fits) in [
            (0, 1, Quota::AtMost(0), false),
            (0, 0, Quota::AtMost(0), true),
            (9, 1, Quota::AtMost(10), true),
            (9, 2, Quota::AtMost(10), false),
            (10, 1, Quota::AtMost(10), false),
            // The quota was lowered.
            (11, 1, Quota::AtMost(10), false),
            (11, 0, Quota::AtMost(10), true),
            (u64::MAX, u64::MAX, Quota::AtMost(u32::MAX), false),
            (u64::MAX, u64::MAX, Quota::Unlimited, true),
        ] {
            let found = check(QuotaKind::Domains, used, adding, quota);
            assert_eq!(found.is_ok(), fits, "{used} + {adding} of {quota}");
        }
        let over = check(QuotaKind::CsrKeys, 2, 1, Quota::AtMost(2)).unwrap_err();
        let told = "the account has 2 of 2 signing requests, and 1 more is asked for";
        assert_eq!(over.to_string(), told);
    }

    #[test]
    fn as_text() {
        for (text, quota) in [
            ("0", Ok(Quota::AtMost(0))),
            ("4294967295", Ok(Quota::AtMost(u32::MAX))),
            ("unlimited", Ok(Quota::Unlimited)),
            ("Unlimited", Ok(Quota::Unlimited)),
            ("4294967296", Err(InvalidQuota)),
            ("-1", Err(InvalidQuota)),
            ("+1", Err(InvalidQuota)),
            ("", Err(InvalidQuota)),
            ("many", Err(InvalidQuota)),
        ] {
            assert_eq!(text.parse(), quota, "{text}");
        }
        for (json, quota) in [
            ("7", Some(Quota::AtMost(7))),
            ("\"7\"", Some(Quota::AtMost(7))),
            ("\"unlimited\"", Some(Quota::Unlimited)),
            ("-1", None),
            ("4294967296", None),
            ("1.5", None),
            ("true", None),
        ] {
            let read: Option<Quota> = serde_json::from_str(json).ok();
            assert_eq!(read, quota, "{json}");
        }
        for quota in [Quota::AtMost(7), Quota::Unlimited] {
            let json = serde_json::to_string(&quota).unwrap();
            assert_eq!(serde_json::from_str::<Quota>(&json).unwrap(), quota);
        }
    }
}
