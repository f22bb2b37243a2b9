//! What is worth knowing about a chain before it is uploaded: what browsers will make of it, and
//! what is in the text although it is not served.

use std::fmt;

use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, oid_registry::asn1_rs::oid,
};

use super::{
    Anchors, Digest, InvalidCertificate, KeyAlgorithm, NoPublicPath, PublicPath, ServedChain,
    invalid::BlockRef,
    parsed::ParsedCertificate,
    public_path,
    subject::full_name,
    validation::{decode_chain, validate_chain, validate_upload},
};
use crate::Timestamp;

/// A valid chain, examined before its upload.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// What would be served.
    pub served: ServedChain,
    /// The full name of the leaf's issuer, as in `C=US, O=Example, CN=Example CA`; safe to print.
    pub issuer: String,
    /// SHA-256 of the leaf's public key (DER of SubjectPublicKeyInfo).
    pub spki_sha256: Digest,
    /// The path that browsers build, or why they build none.
    pub path: Result<PublicPath, NoPublicPath>,
    /// Number of embedded signed certificate timestamps (RFC 6962 §3.3).
    pub scts: usize,
    /// What else is worth knowing, the important first.
    pub findings: Vec<Finding>,
}

/// Something worth knowing that is no reason to refuse an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The leaf has no name that a domain can have, so it covers none.
    NoNames,
    /// Browsers build no path to a trusted root.
    NoPublicPath(NoPublicPath),
    /// Clients require a stapled OCSP response (RFC 7633), which the edge never sends.
    MustStaple,
    /// Publicly trusted, but with too few signed certificate timestamps for browsers.
    TooFewScts {
        /// How many are embedded.
        count: usize,
        /// How many browsers require.
        required: usize,
    },
    /// A key that many clients do not support in certificates.
    UncommonKey {
        /// The kind of key, as in `Ed25519`.
        key: &'static str,
    },
    /// Valid longer than public authorities may issue since its first day.
    LongValidity {
        /// Its validity in days, each begun one counted.
        days: i64,
        /// The limit in days.
        limit: i64,
        /// Since when that is the limit.
        since: Timestamp,
    },
    /// The text contains the root, which is not served.
    RootIncluded {
        /// The root.
        root: BlockRef,
    },
    /// The text contains a certificate that is not on the path, and not served.
    NotOnPath {
        /// The certificate.
        certificate: BlockRef,
    },
    /// The text contains certificates more than once.
    Repeated {
        /// How many blocks are repetitions.
        blocks: usize,
    },
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Some clients will fail.
    Warning,
    /// Good to know.
    Note,
}

/// Examines a chain that is to be uploaded with this key; without a key, the chain alone.
///
/// # Errors
/// [`InvalidCertificate`] if the upload would be refused, as by [`validate_upload`]; without a key,
/// as by [`validate_chain`].
pub fn preflight(
    chain_pem: &str,
    key_pem: Option<&str>,
    anchors: &Anchors<'_>,
    now: Timestamp,
) -> Result<Preflight, InvalidCertificate> {
    if let Some(key_pem) = key_pem {
        validate_upload(chain_pem, key_pem, now)?;
    }
    let served = validate_chain(chain_pem, now)?;
    let leaf = ParsedCertificate::parse(1, &served.leaf)?;
    let path = public_path(&served.leaf, &served.intermediates, anchors, now);
    let path = path.map_err(|reason| match reason {
        NoPublicPath::UnknownIssuer { issuer } if served.info.missing_issuer.is_some() => {
            NoPublicPath::MissingIssuer { issuer }
        }
        reason => reason,
    });
    let scts = embedded_scts(&leaf.x509);
    let mut findings = Vec::new();
    findings.extend(served.info.names.is_empty().then_some(Finding::NoNames));
    findings.extend(path.clone().err().map(Finding::NoPublicPath));
    findings.extend(must_staple(&leaf.x509).then_some(Finding::MustStaple));
    if path.as_ref().is_ok_and(|path| path.is_public) {
        findings.extend(too_few_scts(scts, &served));
    }
    findings.extend(uncommon_key(&served));
    findings.extend(long_validity(&served));
    findings.extend(not_served(chain_pem, &served)?);
    Ok(Preflight {
        issuer: full_name(leaf.x509.issuer()),
        spki_sha256: Digest::of(leaf.x509.public_key().raw),
        path,
        scts,
        findings,
        served,
    })
}

impl Finding {
    /// Its name, as reports show it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoNames => "NoNames",
            Self::NoPublicPath(_) => "NotPubliclyTrusted",
            Self::MustStaple => "MustStaple",
            Self::TooFewScts { .. } => "TooFewScts",
            Self::UncommonKey { .. } => "UncommonKey",
            Self::LongValidity { .. } => "LongValidity",
            Self::RootIncluded { .. } => "RootIncluded",
            Self::NotOnPath { .. } => "NotOnPath",
            Self::Repeated { .. } => "Repeated",
        }
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::NoNames
            | Self::NoPublicPath(_)
            | Self::MustStaple
            | Self::TooFewScts { .. }
            | Self::UncommonKey { .. } => Severity::Warning,
            Self::LongValidity { .. }
            | Self::RootIncluded { .. }
            | Self::NotOnPath { .. }
            | Self::Repeated { .. } => Severity::Note,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNames => f.write_str(
                "it covers no domain: only DNS names in the subject alternative name count, never \
                 the common name",
            ),
            Self::NoPublicPath(reason) => reason.fmt(f),
            Self::MustStaple => f.write_str(
                "clients require a stapled OCSP response (must-staple), and the edge staples none: \
                 order the certificate without it",
            ),
            Self::TooFewScts { count, required } => write!(
                f,
                "it has {count} of the {required} signed certificate timestamps that browsers \
                 require of a public certificate"
            ),
            Self::UncommonKey { key } => write!(
                f,
                "its key is {key}, which many clients do not support in certificates"
            ),
            Self::LongValidity { days, limit, since } => {
                let since = since.utc().date();
                write!(
                    f,
                    "it is valid for {days} days; public authorities may issue for at most {limit} \
                     since {since}"
                )
            }
            Self::RootIncluded { root } => {
                write!(f, "{root} is a root, which clients have: it is not served")
            }
            Self::NotOnPath { certificate } => {
                write!(f, "{certificate} is not needed: it is not served")
            }
            Self::Repeated { blocks: 1 } => f.write_str("1 certificate block repeats another one"),
            Self::Repeated { blocks } => write!(f, "{blocks} certificate blocks repeat others"),
        }
    }
}

/// Number of signed certificate timestamps embedded in a certificate.
fn embedded_scts(x509: &X509Certificate<'_>) -> usize {
    let mut extensions = x509.extensions().iter();
    let list = extensions.find_map(|one| match one.parsed_extension() {
        ParsedExtension::SCT(list) => Some(list.len()),
        _ => None,
    });
    list.unwrap_or(0)
}

/// Whether the TLS feature extension demands `status_request` (RFC 7633 §4.2.2): a SEQUENCE OF
/// INTEGER with a 5.
fn must_staple(x509: &X509Certificate<'_>) -> bool {
    const STATUS_REQUEST: [u8; 3] = [2, 1, 5];
    let feature = oid!(1.3.6.1.5.5.7.1.24);
    let mut extensions = x509.extensions().iter();
    extensions.any(|one| {
        let demanded = one.value.windows(3).any(|part| part == STATUS_REQUEST);
        one.oid == feature && demanded
    })
}

/// What Chrome and Safari require: two timestamps, three above 180 days of validity
/// (Certificate Transparency policies of both, "embedded SCTs").
fn too_few_scts(count: usize, served: &ServedChain) -> Option<Finding> {
    let required = if validity_days(served) > 180 { 3 } else { 2 };
    (count < required).then_some(Finding::TooFewScts { count, required })
}

/// Keys that no browser or not all of them offer to verify in a handshake.
fn uncommon_key(served: &ServedChain) -> Option<Finding> {
    let info = &served.info;
    let key = match info.key {
        KeyAlgorithm::Ed25519 => "Ed25519",
        KeyAlgorithm::Ecdsa if info.key_bits > 384 => "ECDSA P-521",
        KeyAlgorithm::Ecdsa | KeyAlgorithm::Rsa => return None,
    };
    Some(Finding::UncommonKey { key })
}

/// Longest validity in days of public certificates issued from a day on (CA/Browser Forum, Baseline
/// Requirements §6.3.2 as of ballot SC-081v3), latest first.
const VALIDITY_LIMITS: [(Timestamp, i64); 4] = [
    (Timestamp::from_unix_seconds(1_868_227_200), 47), // 2029-03-15
    (Timestamp::from_unix_seconds(1_805_068_800), 100), // 2027-03-15
    (Timestamp::from_unix_seconds(1_773_532_800), 200), // 2026-03-15
    (Timestamp::from_unix_seconds(1_598_918_400), 398), // 2020-09-01
];

fn long_validity(served: &ServedChain) -> Option<Finding> {
    let issued = served.info.not_before;
    let (since, limit) = VALIDITY_LIMITS
        .into_iter()
        .find(|(since, _)| *since <= issued)?;
    let days = validity_days(served);
    (days > limit).then_some(Finding::LongValidity { days, limit, since })
}

/// The validity of the leaf in days; a begun day counts. Both ends are inclusive (RFC 5280
/// §4.1.2.5).
fn validity_days(served: &ServedChain) -> i64 {
    const DAY_SECONDS: i64 = 24 * 60 * 60;
    let info = &served.info;
    let seconds = info.not_after.unix_seconds() - info.not_before.unix_seconds() + 1;
    (seconds + DAY_SECONDS - 1).div_euclid(DAY_SECONDS)
}

/// What the text contains besides the certificates that are served.
fn not_served(chain_pem: &str, served: &ServedChain) -> Result<Vec<Finding>, InvalidCertificate> {
    let (_, ders) = decode_chain(chain_pem)?;
    let mut findings = Vec::new();
    let mut repeated = 0;
    for (at, der) in ders.iter().enumerate() {
        if ders[..at].contains(der) {
            repeated += 1;
            continue;
        }
        if **der == served.leaf || served.intermediates.contains(der) {
            continue;
        }
        let certificate = ParsedCertificate::parse(at + 1, der)?;
        let block = certificate.block_ref();
        findings.push(if certificate.is_self_issued() {
            Finding::RootIncluded { root: block }
        } else {
            Finding::NotOnPath { certificate: block }
        });
    }
    if repeated > 0 {
        findings.push(Finding::Repeated { blocks: repeated });
    }
    Ok(findings)
}
