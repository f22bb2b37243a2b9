//! `DescribeCdnDomainByCertificate`: the domains that a certificate could serve.

use std::collections::HashSet;

use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::{CertificateInfo, InvalidCertificate, inspect},
};
use edgeseal_store::{Fault, record::DomainSummary};
use serde::Serialize;

use super::wire_names::WireName as _;
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_view::{names, openssl_time},
        encoded_pem::{self, InvalidEncodedPem},
    },
};

/// `DescribeCdnDomainByCertificate`.
pub struct DescribeCdnDomainByCertificate;

/// The parameters.
pub struct Params {
    facts: CertificateInfo,
    /// The issuer's distinguished name.
    issuer: String,
    /// Only domains with HTTPS enabled, or disabled.
    https: Option<bool>,
    /// Only domains that the certificate names exactly, not by a wildcard.
    exact: bool,
}

/// The certificate and the domains.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cert_infos: CertInfos,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfos {
    cert_info: [CertInfo; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfo {
    cert_subject_common_name: String,
    cert_start_time: String,
    cert_expire_time: String,
    cert_type: &'static str,
    cert_expired: &'static str,
    cert_ca_is_legacy: &'static str,
    domain_names: String,
    domain_list: String,
    issuer: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate.
    #[error("give the certificate in SSLPub, as PEM or base64-encoded PEM")]
    Missing,
    /// Neither PEM nor base64-encoded PEM.
    #[error(transparent)]
    Encoding(#[from] InvalidEncodedPem),
    /// The certificate cannot be parsed.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeCdnDomainByCertificate {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let text = params.get_non_empty("SSLPub").ok_or(Error::Missing)?;
        let leaf = inspect(&encoded_pem::decode(text)?)?;
        let flag = |name| {
            params
                .get_non_empty(name)
                .map(|word| word.eq_ignore_ascii_case("true"))
        };
        Ok(Params {
            facts: leaf.info,
            issuer: leaf.issuer,
            https: flag("SSLStatus"),
            exact: flag("Exact").unwrap_or(false),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let domains = search
            .domains(context, call)
            .await
            .map_err(StoreError::from)?;
        Ok(Success::read(Reply {
            cert_infos: CertInfos {
                cert_info: [CertInfo::of(search, domains.join(","), call.now())],
            },
        }))
    }
}

impl Params {
    async fn domains(&self, context: &Context, call: &Authorized) -> Result<Vec<String>, Fault> {
        let (covered, https) = (CoveredNames::by(&self.facts, self.exact), self.https);
        let wanted = move |name: &str, domain: &DomainSummary<'_>| {
            https.is_none_or(|on| domain.served.is_some() == on) && covered.has(name)
        };
        let catalog = &context.catalog;
        catalog.domain_names_where(call.account(), wanted).await
    }
}

/// The names that a certificate covers, in a form that makes matching many domains fast.
struct CoveredNames {
    /// Names, and `.x` for `*.x`.
    names: HashSet<String>,
    /// Whether names covered by a wildcard match.
    below: bool,
}

impl CoveredNames {
    fn by(facts: &CertificateInfo, exact: bool) -> Self {
        Self {
            names: facts.names.iter().map(DomainPattern::to_string).collect(),
            below: !exact,
        }
    }

    fn has(&self, name: &str) -> bool {
        let parent = || name.find('.').map(|dot| &name[dot..]);
        self.names.contains(name)
            || (self.below && parent().is_some_and(|parent| self.names.contains(parent)))
    }
}

impl CertInfo {
    fn of(Params { facts, issuer, .. }: Params, domain_list: String, now: Timestamp) -> Self {
        let yes_no = |yes| if yes { "yes" } else { "no" };
        Self {
            domain_names: names(&facts),
            cert_start_time: openssl_time(facts.not_before),
            cert_expire_time: openssl_time(facts.not_after),
            cert_type: facts.key.wire_name(),
            cert_expired: yes_no(facts.not_after < now),
            // Always ok: a certificate signed with an obsolete algorithm is refused.
            cert_ca_is_legacy: "no",
            cert_subject_common_name: facts.common_name,
            domain_list,
            issuer,
        }
    }
}

api_error!(Error {
    Missing => CertParameterMissing,
    Encoding => SslPubDecodeError,
    Certificate(InvalidCertificate::Format(_)) => CertificateFormat,
    Certificate => CertificateDecodeError,
    Store(StoreError),
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covered_names_agree_with_domain_patterns() {
        let patterns =
            ["a.com", "*.a.com", "x.b.com"].map(|name| DomainPattern::parse(name).unwrap());
        let names: HashSet<String> = patterns.iter().map(DomainPattern::to_string).collect();
        let covered = CoveredNames { names, below: true };
        for name in [
            "a.com",
            "b.a.com",
            ".a.com",
            "c.b.a.com",
            ".b.a.com",
            "x.b.com",
            "y.x.b.com",
            "b.com",
            ".b.com",
        ] {
            let domain = DomainPattern::parse(name).unwrap();
            let rule = patterns.iter().any(|pattern| pattern.covers(&domain));
            assert_eq!(covered.has(name), rule, "{name}");
        }
    }
}
