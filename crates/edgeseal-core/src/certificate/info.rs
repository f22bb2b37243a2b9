//! What is stored about a certificate besides its material.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
};

use super::{
    CertificateInfo,
    key::PublicKey,
    parsed::ParsedCertificate,
    subject::{common_name, organization, subject},
};
use crate::DomainPattern;

impl CertificateInfo {
    /// Reads a certificate that stands alone: its chain ends when it does. Nothing is verified.
    /// `None` if it is not an X.509 v3 certificate, or its key has an algorithm that cannot be
    /// served.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Self::of(&ParsedCertificate::parse(1, der).ok()?)
    }

    /// Reads a leaf; `None` if its key has an algorithm that cannot be served.
    pub(super) fn of(leaf: &ParsedCertificate<'_>) -> Option<Self> {
        let x509 = &leaf.x509;
        let key = PublicKey::of(x509.public_key());
        let issuer_organization = organization(x509.issuer());
        let issuer = Some(common_name(x509.issuer())).filter(|name| !name.is_empty());
        Some(Self {
            common_name: common_name(x509.subject()),
            subject: subject(x509.subject()),
            names: names(x509),
            issuer: issuer.unwrap_or_else(|| issuer_organization.clone()),
            issuer_organization,
            serial: serial(x509),
            not_before: leaf.not_before(),
            not_after: leaf.not_after(),
            chain_not_after: leaf.not_after(),
            sha256: hex::encode(digest(&SHA256, leaf.der)),
            sha1: hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf.der)),
            key: key.algorithm?,
            key_bits: key.bits,
            missing_issuer: None,
        })
    }
}

/// DNS names of the subject alternative name extension, never the common name (RFC 9525 §2).
fn names(x509: &X509Certificate<'_>) -> Vec<DomainPattern> {
    dns_names(x509).filter_map(pattern).collect()
}

/// The same, as written in the certificate.
pub(super) fn dns_names<'a>(x509: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    let extension = x509.get_extension_unique(&OID_X509_EXT_SUBJECT_ALT_NAME);
    let names = match extension.ok().flatten().map(|it| it.parsed_extension()) {
        Some(ParsedExtension::SubjectAlternativeName(names)) => &names.general_names[..],
        _ => &[],
    };
    names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    })
}

/// Parses a DNS name as TLS clients do: other ways to write a name (`.example.com`, U-labels, a
/// trailing dot, white space) are not the same name in a certificate.
fn pattern(name: &str) -> Option<DomainPattern> {
    let plain = name.bytes().all(|b| b.is_ascii_graphic());
    let as_written = plain && !name.starts_with('.') && !name.ends_with('.');
    as_written
        .then(|| DomainPattern::parse(name).ok())
        .flatten()
}

/// Longest serial number that is shown, in bytes; RFC 5280 §4.1.2.2 allows 20.
const SERIAL_MAX: usize = 64;

/// Lower-case hex, without the leading zero byte that only marks the number as positive.
fn serial(x509: &X509Certificate<'_>) -> String {
    let number = match x509.raw_serial() {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    hex::encode(&number[..number.len().min(SERIAL_MAX)])
}
