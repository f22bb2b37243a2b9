//! A certificate that is ordered and renewed by ACME (RFC 8555) for one domain, as opposed to one
//! that its owner uploads.
//!
//! A [`Domain`](crate::domain::Domain) says for which environments its certificate is managed; the
//! state of that is a [`ManagedCertificate`], apart from the domain, because edges do not need it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, DomainPattern, Timestamp,
    acme::{
        RenewalInfo, RenewalInfoPoll, RetryState, Seed, Validity,
        renewal::{Renewal, renewal},
    },
    certificate::{CertificateId, CertificateInfo, KeyAlgorithm},
    domain::Environment,
};

/// The certificate that is managed for a domain in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedCertificate {
    /// The domain.
    pub domain: DomainPattern,
    /// Its ID: a domain that was deleted and added again is another one.
    pub domain_id: i64,
    /// The account that owns the domain.
    pub account: AccountId,
    /// The edges that serve the certificate.
    pub environment: Environment,
    /// Who asked for it, and when.
    pub requested: OrderRequest,
    /// The state of the last order.
    pub status: OrderStatus,
    /// Why the last order failed, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<OrderFailure>,
    /// The entry about failed orders in the domain's history, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedOrders>,
    /// Orders in progress, one for each key algorithm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    /// Failures since the last certificate, and when the next attempt may be.
    #[serde(default)]
    pub backoff: RetryState,
    /// What was issued last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedCertificate>,
}

/// The call that asked for a managed certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRequest {
    /// When it was received.
    pub at: Timestamp,
    /// The access key that signed it.
    pub access_key: String,
    /// Its action.
    pub action: String,
    /// Its ID.
    pub request_id: String,
}

/// The state of the last order for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// The first certificate is being ordered.
    Applying,
    /// A certificate was issued and bound. It stays so while it is renewed, even if a renewal
    /// fails: the certificate is served.
    Success,
    /// The last attempt to get the first certificate failed; there will be another.
    Failed,
}

/// Why an order failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFailure {
    /// When.
    pub at: Timestamp,
    /// The issuer, by the name in the configuration; empty if none was asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// A sentence for the owner of the domain, without control characters and bounded.
    pub reason: String,
}

/// Orders that failed for the same reason, one after the other: one entry of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOrders {
    /// When the first one failed.
    pub first: Timestamp,
    /// The last one.
    pub last: OrderFailure,
    /// How many there were.
    pub times: u32,
    /// The number of the entry, from 1, since an order succeeded.
    pub entry: u8,
}

/// An order at an issuer that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The issuer, by the name in the configuration.
    pub issuer: String,
    /// URL of its directory at that time: the name may stand for another one later.
    pub directory: String,
    /// The algorithm of the key, whose private part is stored apart, sealed.
    pub key: KeyType,
    /// The URL of the order (RFC 8555 §7.1.3); absent until it is placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The certificate that it replaces (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// When the issuer was told last that its challenges are answered; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Timestamp>,
    /// Whether the issuer was asked to sign: it may have issued a certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finalizing: bool,
    /// The chain that was issued (PEM), until it is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// When it was created.
    pub created: Timestamp,
}

/// The algorithm and size of the key of a managed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA with P-256.
    P256,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// A certificate that an issuer has issued, and when to renew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// The primary certificate.
    pub certificate: CertificateId,
    /// The companion, whose key has the other algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<CertificateId>,
    /// The issuer, by the name in the configuration.
    pub issuer: String,
    /// URL of its directory at that time; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// When it was ordered; authorities date the begin of validity back.
    pub ordered_at: Timestamp,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity; of two certificates the earlier.
    pub not_after: Timestamp,
    /// When to renew it, without regard to failures.
    pub renew_at: Timestamp,
    /// Whether it replaced a [young](Validity::is_young) certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced_young: bool,
    /// Its identifier in renewal information (RFC 9773 §4.1); absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_id: Option<String>,
    /// As [`renewal_id`](Self::renewal_id), of the companion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion_renewal_id: Option<String>,
    /// What its issuer says about the renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_info: Option<RenewalInfo>,
    /// When to ask the issuer about that.
    #[serde(default)]
    pub poll: RenewalInfoPoll,
}

impl ManagedCertificate {
    /// A managed certificate that was just requested, due at once.
    #[must_use]
    pub fn requested(
        (domain, domain_id): (DomainPattern, i64),
        account: AccountId,
        environment: Environment,
        requested: OrderRequest,
    ) -> Self {
        Self {
            domain,
            domain_id,
            account,
            environment,
            requested,
            status: OrderStatus::Applying,
            failure: None,
            failed: None,
            orders: Vec::new(),
            backoff: RetryState::default(),
            issued: None,
        }
    }

    /// Notes an order that failed, or that its issuer does not take now. The same failure as before is counted, another one begins an entry
    /// of the history; but reasons that take turns, or that name a time, begin no more than ten.
    pub fn note_failed_order(&mut self, failure: OrderFailure) {
        const ENTRIES_MAX: u8 = 10;
        let is_same = |known: &FailedOrders| {
            (&known.last.issuer, &known.last.reason) == (&failure.issuer, &failure.reason)
        };
        self.failure = Some(failure.clone());
        self.failed = Some(match self.failed.take() {
            Some(known) if is_same(&known) || known.entry >= ENTRIES_MAX => FailedOrders {
                last: failure,
                times: known.times.saturating_add(1),
                ..known
            },
            known => FailedOrders {
                first: failure.at,
                last: failure,
                times: 1,
                entry: known.map_or(0, |known| known.entry) + 1,
            },
        });
    }

    /// Whether one of its orders in progress was placed, as far as is known.
    #[must_use]
    pub fn has_placed_order(&self) -> bool {
        self.orders.iter().any(|order| order.url.is_some())
    }

    /// Asks again, because a call did: one that waits after a failure is tried
    /// [soon](RetryState::asked_again). Returns whether that changes anything.
    pub fn request_again(&mut self, now: Timestamp) -> bool {
        let Some(failure) = &self.failure else {
            return false;
        };
        self.backoff = self.backoff.asked_again(failure.at, now);
        self.requested.at = now;
        if self.status == OrderStatus::Failed {
            self.status = OrderStatus::Applying;
        }
        true
    }
}

impl IssuedCertificate {
    /// A certificate of this issuer, about which the issuer was not asked yet.
    #[must_use]
    pub fn new(
        (issuer, ordered_at): (String, Timestamp),
        (certificate, companion): (CertificateId, Option<CertificateId>),
        (not_before, not_after): (Timestamp, Timestamp),
        domain: &DomainPattern,
    ) -> Self {
        let mut issued = Self {
            certificate,
            companion,
            issuer,
            directory: String::new(),
            ordered_at,
            not_before,
            not_after,
            renew_at: not_after,
            replaced_young: false,
            renewal_id: None,
            companion_renewal_id: None,
            renewal_info: None,
            poll: RenewalInfoPoll::default(),
        };
        issued.renew_at = issued.renewal(domain).at;
        issued
    }

    /// From when until when it can be served.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        Validity {
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    /// When to renew it, and why.
    #[must_use]
    pub fn renewal(&self, domain: &DomainPattern) -> Renewal {
        // Another point in each life, but the same after a restart.
        let seed = format!("{domain} {}", self.certificate);
        let renewal = renewal(self.validity(), self.renewal_info, Seed::of(&seed));
        if self.replaced_young {
            let at = renewal.at.max(self.validity().earliest_renewal());
            return Renewal { at, ..renewal };
        }
        renewal
    }

    /// Notes at `now`, when it is bound, what it replaces.
    pub fn replace(&mut self, before: Option<&Self>, domain: &DomainPattern, now: Timestamp) {
        self.replaced_young = before.is_some_and(|it| it.validity().is_young(now));
        self.renew_at = self.renewal(domain).at;
    }

    /// The identifier, in renewal information, of the certificate with such a key. `primary` is the
    /// type of the primary certificate's key.
    #[must_use]
    pub fn renewal_id(&self, key: KeyType, primary: KeyType) -> Option<&str> {
        let id = if key == primary {
            &self.renewal_id
        } else {
            &self.companion_renewal_id
        };
        id.as_deref()
    }
}

impl KeyType {
    /// The type of a certificate's key; `None` if none is ordered with such a key.
    #[must_use]
    pub const fn of(info: &CertificateInfo) -> Option<Self> {
        match (info.key, info.key_bits) {
            (KeyAlgorithm::Ecdsa, 256) => Some(Self::P256),
            (KeyAlgorithm::Rsa, 2048) => Some(Self::Rsa2048),
            _ => None,
        }
    }

    /// The name in the configuration and in keys of the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::Rsa2048 => "rsa2048",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_of_failures_takes_few_entries() {
        let domain = DomainPattern::parse("www.a.example").unwrap();
        let request = OrderRequest {
            at: Timestamp::default(),
            access_key: String::new(),
            action: String::new(),
            request_id: "1".to_owned(),
        };
        let account = AccountId::from_random(1);
        let environment = Environment::Production;
        let mut managed = ManagedCertificate::requested((domain, 1), account, environment, request);
        let mut fail = |n: i64, reason: &str| {
            managed.note_failed_order(OrderFailure {
                at: Timestamp::from_unix_seconds(n),
                issuer: "ca".to_owned(),
                reason: reason.to_owned(),
            });
            managed.failed.clone().unwrap()
        };
        for n in 1..=1000 {
            let failed = fail(n, "refused");
            assert_eq!((failed.entry, i64::from(failed.times)), (1, n));
            assert_eq!(failed.first, Timestamp::from_unix_seconds(1));
            assert_eq!(failed.last.at, Timestamp::from_unix_seconds(n));
        }
        assert_eq!(fail(1001, "another reason").entry, 2);
        for n in 1002..2000 {
            let failed = fail(n, &format!("not before {n}"));
            assert!(failed.entry <= 10);
            assert_eq!(failed.last.reason, format!("not before {n}"));
        }
    }
}
