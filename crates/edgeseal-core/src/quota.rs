//! How many domains, certificates and signing requests an account may have.
//!
//! An installation has a quota for each kind, which holds for every account but the root account: that
//! is the operator's own, a limit on it would protect him from himself only, and one that nobody chose
//! would one day stop the renewals of an installation with one account. For a single account, root
//! included, the operator may choose something else ([`QuotaOverrides`]).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    /// Domains, online or not.
    Domains,
    /// Certificates that the account sees. One that was removed while a domain has it bound does not
    /// count: of those a domain keeps four at most.
    Certificates,
    /// Signing requests whose private keys are kept, until they are forgotten.
    CsrKeys,
}

/// How many of a kind an account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// So many.
    AtMost(u32),
    /// Any number.
    Unlimited,
}

/// The quotas of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Of domains.
    pub domains: Quota,
    /// Of certificates.
    pub certificates: Quota,
    /// Of signing requests.
    pub csr_keys: Quota,
}

/// What the operator chose for one account; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaOverrides {
    /// Of domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Quota>,
    /// Of certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Quota>,
    /// Of signing requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr_keys: Option<Quota>,
}

/// An account would have more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account has {used} of {limit} {kind}, and {adding} more {} asked for", if *.adding == 1 { "is" } else { "are" })]
pub struct OverQuota {
    /// Of what.
    pub kind: QuotaKind,
    /// How many it has.
    pub used: u64,
    /// How many more there would be.
    pub adding: u64,
    /// How many it may have.
    pub limit: u32,
}

/// Why a text is no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quota is a number up to {}, or \"unlimited\"", u32::MAX)]
pub struct InvalidQuota;

/// Whether an account that has `used` of a kind may have `adding` more. Who has more than the quota,
/// because it was lowered, keeps them, and may replace one by another.
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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Domains, Self::Certificates, Self::CsrKeys];

    /// Whether things of this kind are forgotten after some time, by nobody's call.
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
    /// The most that may be there.
    #[must_use]
    pub const fn at_most(self) -> u64 {
        match self {
            Self::AtMost(limit) => limit as u64,
            Self::Unlimited => u64::MAX,
        }
    }
}

impl Default for Quotas {
    /// An account has up to 10,000 domains, so that one of them takes a hundredth of what an edge is
    /// made for; five certificates for each, the one that is bound and four that it superseded; and
    /// 1,000 signing requests, which are kept for 400 days.
    fn default() -> Self {
        Self {
            domains: Quota::AtMost(10_000),
            certificates: Quota::AtMost(50_000),
            csr_keys: Quota::AtMost(1_000),
        }
    }
}

impl Quotas {
    /// How many of a kind an account may have for which the operator chose `chosen`.
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
    /// What was chosen for a kind.
    #[must_use]
    pub const fn get(&self, kind: QuotaKind) -> Option<Quota> {
        match kind {
            QuotaKind::Domains => self.domains,
            QuotaKind::Certificates => self.certificates,
            QuotaKind::CsrKeys => self.csr_keys,
        }
    }

    /// Chooses for a kind.
    pub const fn set(&mut self, kind: QuotaKind, quota: Option<Quota>) {
        match kind {
            QuotaKind::Domains => self.domains = quota,
            QuotaKind::Certificates => self.certificates = quota,
            QuotaKind::CsrKeys => self.csr_keys = quota,
        }
    }

    /// Whether nothing was chosen.
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

/// A number, or the word.
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
            // It was lowered since.
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
