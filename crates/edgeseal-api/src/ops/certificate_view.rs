//! How responses represent certificates: PEM, dates, status, chain.

use edgeseal_core::{
    Timestamp,
    certificate::{
        Certificate, CertificateInfo, Digest, EXPIRY_WARNING_MS, OriginalPem, chain_to_pem,
        is_expiring,
    },
    domain::Domain,
};
use edgeseal_store::{Catalog, Fault, filter::CertificateCondition, record::CertificateRecord};

use crate::context::Context;

/// The status of a certificate, regardless of its domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateStatus {
    /// Valid.
    Issued,
    /// Expires within 30 days.
    ExpiresSoon,
    /// Expired.
    Expired,
    /// Revoked or disabled by its owner.
    Revoked,
}

impl CertificateStatus {
    /// The status of a certificate that expires at `not_after`.
    pub(super) fn of(not_after: Timestamp, revoked: bool, now: Timestamp) -> Self {
        if revoked {
            Self::Revoked
        } else if not_after < now {
            Self::Expired
        } else if is_expiring(not_after, now) {
            Self::ExpiresSoon
        } else {
            Self::Issued
        }
    }

    /// What holds for the certificates of which [`of`](Self::of) returns this status.
    pub(super) fn conditions(self, now: Timestamp) -> Vec<CertificateCondition> {
        use CertificateCondition::{ExpiresBefore, ExpiresFrom, Revoked};
        let soon = now.plus_ms(EXPIRY_WARNING_MS);
        match self {
            Self::Revoked => vec![Revoked(true)],
            Self::Expired => vec![Revoked(false), ExpiresBefore(now)],
            Self::ExpiresSoon => vec![Revoked(false), ExpiresFrom(now), ExpiresBefore(soon)],
            Self::Issued => vec![Revoked(false), ExpiresFrom(now), ExpiresFrom(soon)],
        }
    }

    /// The name in CAS orders.
    pub(super) const fn order_status(self) -> &'static str {
        match self {
            Self::Issued => "ISSUED",
            Self::ExpiresSoon => "WILLEXPIRED",
            Self::Expired => "EXPIRED",
            Self::Revoked => "REVOKED",
        }
    }

    /// The name in CAS's newer actions.
    pub(super) const fn certificate_status(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::ExpiresSoon => "willExpire",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// The status with this name in CAS's newer actions, or in its older ones; ASCII case is
    /// ignored.
    pub(super) fn from_certificate_status(word: &str) -> Option<Self> {
        let newer = word.eq_ignore_ascii_case(Self::ExpiresSoon.certificate_status());
        newer
            .then_some(Self::ExpiresSoon)
            .or_else(|| Self::from_order_status(word))
    }

    /// The status with this name in CAS orders; ASCII case is ignored.
    pub(super) fn from_order_status(word: &str) -> Option<Self> {
        [
            Self::Issued,
            Self::ExpiresSoon,
            Self::Expired,
            Self::Revoked,
        ]
        .into_iter()
        .find(|standing| standing.order_status().eq_ignore_ascii_case(word))
    }
}

/// The worst status of the certificates of a domain, as `DescribeCdnHttpsDomainList` names it.
pub(super) fn domain_certificate_status(
    covers: bool,
    expires: Timestamp,
    now: Timestamp,
) -> &'static str {
    if !covers {
        "mismatch"
    } else if expires < now {
        "expired"
    } else if is_expiring(expires, now) {
        "expire_soon"
    } else {
        "ok"
    }
}

/// Leaf and chain in PEM, byte for byte as uploaded, so that clients which compare it find no
/// difference. Edges serve the intermediates in order, without the root.
pub(super) async fn public_pem(
    catalog: &Catalog,
    certificate: &CertificateRecord,
) -> Result<String, Fault> {
    if let Some(text) = catalog.original_chain(certificate.id).await? {
        return Ok(text);
    }
    let chain = chain(catalog, certificate).await?;
    Ok(match chain.split_first() {
        Some((leaf, intermediates)) => chain_to_pem(leaf, intermediates),
        None => String::new(),
    })
}

/// The PEM of the certificate that the production edges serve for a domain, the primary one of two;
/// empty if HTTPS is disabled.
pub(super) async fn served_pem(catalog: &Catalog, domain: &Domain) -> Result<String, Fault> {
    let Some(binding) = domain.production.as_ref().filter(|binding| binding.enabled) else {
        return Ok(String::new());
    };
    match catalog.certificate(binding.certificate).await? {
        Some(certificate) => public_pem(catalog, &certificate).await,
        None => Ok(String::new()),
    }
}

/// The stored PEM of a certificate. It includes the key only if keys are returned.
pub(super) fn retained_texts(context: &Context, certificate: &Certificate) -> OriginalPem {
    let OriginalPem { chain, key } = certificate.original_pem.clone();
    let key = key.filter(|_| context.settings.return_private_keys);
    OriginalPem { chain, key }
}

/// The parsed leaf and intermediates, in serving order.
pub(super) async fn chain_facts(
    catalog: &Catalog,
    certificate: &CertificateRecord,
) -> Result<Vec<CertificateInfo>, Fault> {
    let chain = chain(catalog, certificate).await?;
    Ok(chain
        .iter()
        .filter_map(|der| CertificateInfo::from_der(der))
        .collect())
}

/// DER of leaf and intermediates in serving order; empty if the certificate was deleted
/// concurrently.
async fn chain(catalog: &Catalog, certificate: &CertificateRecord) -> Result<Vec<Vec<u8>>, Fault> {
    let Some(material) = catalog.material(&certificate.material).await? else {
        return Ok(Vec::new());
    };
    let mut chain = vec![material.leaf];
    for issuer in material.issuers {
        let der = catalog.issuer(&Digest(issuer)).await?;
        chain.extend(der.map(|der| der.to_vec()));
    }
    Ok(chain)
}

/// `yyyy-MM-dd`.
pub(super) fn date(at: Timestamp) -> String {
    at.utc().date().to_string()
}

/// `yyyy-MM-dd HH:mm:ss`.
pub(super) fn date_time(at: Timestamp) -> String {
    let utc = at.utc();
    let (hour, minute, second) = utc.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", utc.date())
}

/// `Nov 29 23:59:59 2017 GMT`, as OpenSSL prints validity dates.
pub(super) fn openssl_time(at: Timestamp) -> String {
    let utc = at.utc();
    let (hour, minute, second) = utc.to_hms();
    let month = utc.month().to_string();
    format!(
        "{} {:>2} {hour:02}:{minute:02}:{second:02} {} GMT",
        &month[..3],
        utc.day(),
        utc.year()
    )
}

/// The names of a certificate, `*.x` for a wildcard.
pub(super) fn names(facts: &CertificateInfo) -> String {
    let names: Vec<String> = facts.names.iter().map(|name| name.to_san()).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_unix_seconds(1_511_999_999);
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn times() {
        assert_eq!(date(AT), "2017-11-29");
        assert_eq!(date_time(AT), "2017-11-29 23:59:59");
        assert_eq!(openssl_time(AT), "Nov 29 23:59:59 2017 GMT");
        assert_eq!(
            openssl_time(Timestamp::from_unix_seconds(0)),
            "Jan  1 00:00:00 1970 GMT"
        );
    }

    #[test]
    fn standings() {
        for (days, word, on_domain) in [
            (31, "ISSUED", "ok"),
            (29, "WILLEXPIRED", "expire_soon"),
            (-1, "EXPIRED", "expired"),
        ] {
            let end = AT.plus_ms(days * DAY_MS);
            assert_eq!(CertificateStatus::of(end, false, AT).order_status(), word);
            assert_eq!(
                CertificateStatus::of(end, true, AT).order_status(),
                "REVOKED"
            );
            assert_eq!(domain_certificate_status(true, end, AT), on_domain);
            assert_eq!(domain_certificate_status(false, end, AT), "mismatch");
        }
        assert_eq!(
            CertificateStatus::from_order_status("willexpired"),
            Some(CertificateStatus::ExpiresSoon)
        );
        assert_eq!(CertificateStatus::from_order_status("CHECKING"), None);
        for word in ["willExpire", "WILLEXPIRED"] {
            assert_eq!(
                CertificateStatus::from_certificate_status(word),
                Some(CertificateStatus::ExpiresSoon)
            );
        }
        assert_eq!(
            CertificateStatus::from_certificate_status("issued"),
            Some(CertificateStatus::Issued)
        );
    }
}
