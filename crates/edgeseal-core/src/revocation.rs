//! The revocation of a certificate that was ordered by ACME (RFC 8555 §7.6).

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, DomainPattern, Timestamp, acme::RetryState, certificate::CertificateId,
    domain::Domain, managed_certificate::ManagedCertificate,
};

/// A revocation that was requested. It is kept until the certificate has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The certificate.
    pub certificate: CertificateId,
    /// The domain that it was ordered for.
    pub domain: DomainPattern,
    /// The account that owns the domain.
    pub account: AccountId,
    /// Its issuer, by the name in the configuration; empty if that is not known any more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// Why it is revoked.
    pub reason: RevocationReason,
    /// The leaf in DER: the store may delete the certificate before it is revoked.
    pub leaf: Vec<u8>,
    /// End of validity of the leaf.
    pub not_after: Timestamp,
    /// Whether it waits until no edge serves the certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_replacement: bool,
    /// The domains that served it when the revocation was requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<DomainPattern>,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Its state.
    pub state: RevocationState,
    /// Why the last attempt failed; empty if none has failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
    /// Failed attempts, and when the next one may be.
    #[serde(default)]
    pub retry: RetryState,
}

/// Why a certificate is revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// For no stated reason.
    Unspecified,
    /// Somebody else may have the private key.
    KeyCompromise,
    /// It was replaced.
    Superseded,
    /// The names belong to somebody else now, or nothing is served under them any more.
    CessationOfOperation,
}

/// The state of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationState {
    /// The issuer has not revoked it yet.
    Pending,
    /// The issuer has revoked it.
    Revoked,
    /// The issuer refuses.
    Failed,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// The name in RFC 5280.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
        }
    }

    /// The reason of this name; upper and lower case are the same.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_it = |reason: &Self| reason.as_str().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(is_it)
    }
}

impl RevocationState {
    /// The name in responses and audit records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Revoked => "Revoked",
            Self::Failed => "Failed",
        }
    }
}

impl Revocation {
    /// Whether a managed certificate is to be replaced because of this revocation.
    ///
    /// It is if it is the revoked one. After a compromise it also is if it was ordered before the
    /// revocation was requested: it may have the same key.
    #[must_use]
    pub fn replaces(&self, managed: &ManagedCertificate) -> bool {
        managed.issued.as_ref().is_some_and(|issued| {
            issued.certificate == self.certificate
                || issued.companion == Some(self.certificate)
                || (self.reason == RevocationReason::KeyCompromise
                    && issued.ordered_at < self.requested_at)
        })
    }
}

/// Whether edges serve this certificate for the domain.
#[must_use]
pub fn is_served(domain: &Domain, certificate: CertificateId) -> bool {
    let bindings = domain.production.iter().chain(&domain.staging);
    bindings
        .filter(|binding| binding.enabled)
        .flat_map(|binding| binding.certificates())
        .any(|(id, _)| id == certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Environment,
        managed_certificate::{IssuedCertificate, OrderRequest},
    };

    const REQUESTED: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn revocation(reason: RevocationReason) -> Revocation {
        Revocation {
            certificate: 7,
            domain: DomainPattern::parse("www.example.com").unwrap(),
            account: AccountId::from_random(1),
            issuer: String::new(),
            reason,
            leaf: Vec::new(),
            not_after: REQUESTED,
            after_replacement: false,
            served_by: Vec::new(),
            requested_at: REQUESTED,
            state: RevocationState::Pending,
            failure: String::new(),
            retry: RetryState::default(),
        }
    }

    fn managed(certificate: CertificateId, ordered_s: i64) -> ManagedCertificate {
        let domain = DomainPattern::parse("www.example.com").unwrap();
        let requested = OrderRequest {
            at: REQUESTED,
            access_key: String::new(),
            action: String::new(),
            request_id: String::new(),
        };
        let ordered = (String::new(), REQUESTED.plus_ms(ordered_s * 1000));
        let validity = (REQUESTED, REQUESTED.plus_ms(1_000_000));
        let issued = IssuedCertificate::new(ordered, (certificate, Some(9)), validity, &domain);
        let of = (domain, 1);
        let account = AccountId::from_random(1);
        let environment = Environment::Production;
        let mut managed = ManagedCertificate::requested(of, account, environment, requested);
        managed.issued = Some(issued);
        managed
    }

    #[test]
    fn what_is_replaced() {
        use RevocationReason::{KeyCompromise, Superseded};
        let rows = [
            (Superseded, managed(7, -10), true),
            (Superseded, managed(8, -10), false),
            (Superseded, managed(8, 10), false),
            (KeyCompromise, managed(7, -10), true),
            // It may have the same key.
            (KeyCompromise, managed(8, -10), true),
            (KeyCompromise, managed(8, 10), false),
        ];
        for (reason, managed, replaced) in rows {
            let revocation = revocation(reason);
            assert_eq!(
                revocation.replaces(&managed),
                replaced,
                "{reason:?} {managed:?}"
            );
        }
        let mut companion = revocation(Superseded);
        companion.certificate = 9;
        assert!(companion.replaces(&managed(7, 10)));
    }

    #[test]
    fn reasons_have_names() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::parse(reason.as_str()), Some(reason));
        }
        let lower = RevocationReason::parse("keycompromise");
        assert_eq!(lower, Some(RevocationReason::KeyCompromise));
        assert_eq!(RevocationReason::parse("key-compromise"), None);
    }
}
