//! The path that browsers build from a served chain to a root that they trust.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{prelude::FromDer as _, x509::X509Name};

use super::{parsed::ParsedCertificate, subject::short_name};
use crate::Timestamp;

/// The roots that a path may lead to.
#[derive(Clone, Copy, Debug)]
pub struct Anchors<'a> {
    /// Those that browsers trust.
    pub public: &'a [TrustAnchor<'a>],
    /// Those of private CAs, which only some clients trust. Public ones go first.
    pub private: &'a [TrustAnchor<'a>],
}

/// A path to a trusted root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicPath {
    /// Whether browsers trust the root; else it is that of a private CA.
    pub is_public: bool,
    /// The subjects of the intermediates on it, from the leaf upwards, as in `CN=Example CA`.
    pub intermediates: Vec<String>,
    /// The subject of the root.
    pub root: String,
}

/// Why browsers build no path to a trusted root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPublicPath {
    /// The leaf is its own issuer.
    #[error("it is self-signed: only clients that were told to trust it accept it")]
    SelfSigned,
    /// The chain ends below a root that is not trusted; nothing else is wrong with it.
    #[error(
        "its issuer, {issuer}, leads to no root that browsers trust: only clients that trust its \
         own root accept it"
    )]
    UnknownIssuer {
        /// The issuer of the last served certificate.
        issuer: String,
    },
    /// As [`UnknownIssuer`](Self::UnknownIssuer), and the issuer is no root: its certificate is
    /// missing from the chain.
    #[error(
        "{issuer} is missing on the way to a root that browsers trust: add the chain that the \
         authority issued with the certificate"
    )]
    MissingIssuer {
        /// The issuer of the last served certificate.
        issuer: String,
    },
    /// An intermediate constrains the names below it (RFC 5280 §4.2.1.10).
    #[error("a CA in the chain may not issue for all names of the certificate (name constraints)")]
    NameConstraints,
    /// More intermediates than one above them allows (RFC 5280 §4.2.1.9).
    #[error("the chain has more intermediates than a CA in it allows (path length)")]
    PathLength,
    /// More intermediates than the path builders of clients follow.
    #[error("the chain has more than {MAX} intermediates, which not all clients follow", MAX = INTERMEDIATES_MAX)]
    TooLong,
    /// The leaf is not for TLS servers (RFC 5280 §4.2.1.12).
    #[error(
        "the certificate is not for TLS servers (extended key usage): order one for server \
         authentication"
    )]
    NotForServers,
    /// An intermediate is not for TLS servers (RFC 5280 §4.2.1.12).
    #[error("a CA in the chain is not for TLS servers (extended key usage)")]
    CaNotForServers,
    /// The key usage of the leaf lacks digitalSignature, which every handshake of TLS 1.3 needs
    /// (RFC 8446 §4.4.2.2).
    #[error(
        "the key usage of the certificate allows no signatures, which TLS needs: order one with \
         digitalSignature"
    )]
    KeyUsage,
    /// The leaf is a CA.
    #[error("the certificate of the server is that of a CA")]
    LeafIsCa,
    /// A signature algorithm that browsers do not verify.
    #[error("a signature in the chain has an algorithm that browsers do not verify")]
    SignatureAlgorithm,
    /// A critical extension of an intermediate (RFC 5280 §4.2).
    #[error("a CA in the chain has a critical extension that not all clients know")]
    CriticalExtension,
    /// Anything else.
    #[error("browsers refuse the chain: {0}")]
    Other(String),
}

/// Most intermediates that webpki follows. Other clients follow more or fewer.
const INTERMEDIATES_MAX: usize = 6;

/// The path from a served leaf through served intermediates (DER) to one of the `anchors`, as
/// browsers build it at `now`.
///
/// Signatures, validity, path lengths, name constraints, the key usage of the leaf and the extended
/// key usage for servers are checked; what the leaf is called is not.
///
/// # Errors
/// [`NoPublicPath`]. A chain that lacks only a trusted root is checked as if its last certificate
/// were trusted, so that [`NoPublicPath::UnknownIssuer`] means that nothing else is wrong.
pub fn public_path(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    anchors: &Anchors<'_>,
    now: Timestamp,
) -> Result<PublicPath, NoPublicPath> {
    let found = path_or_cause(leaf, intermediates, anchors, now);
    let parsed = ParsedCertificate::parse(1, leaf).ok();
    match found {
        Ok(_) | Err(NoPublicPath::UnknownIssuer { .. })
            if parsed
                .as_ref()
                .is_some_and(|leaf| !leaf.may_sign_handshakes()) =>
        {
            Err(NoPublicPath::KeyUsage)
        }
        Err(NoPublicPath::NotForServers)
            if parsed
                .as_ref()
                .is_some_and(ParsedCertificate::is_for_servers) =>
        {
            Err(NoPublicPath::CaNotForServers)
        }
        found => found,
    }
}

fn path_or_cause(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    anchors: &Anchors<'_>,
    now: Timestamp,
) -> Result<PublicPath, NoPublicPath> {
    let found = build_to_any(leaf, intermediates, anchors, now);
    match found {
        Err(Error::UnknownIssuer) => {}
        Err(Error::CaUsedAsEndEntity) if is_self_issued(leaf) => {
            return Err(NoPublicPath::SelfSigned);
        }
        other => return other.map_err(NoPublicPath::from),
    }
    if is_self_issued(leaf) {
        return Err(NoPublicPath::SelfSigned);
    }
    if let Some((last, below)) = intermediates.split_last() {
        let last = CertificateDer::from_slice(last);
        let anchor = anchor_from_trusted_cert(&last);
        anchor
            .and_then(|anchor| build(leaf, below, &[anchor], now))
            .map_err(NoPublicPath::from)?;
    }
    let last = intermediates.last().map_or(leaf, Vec::as_slice);
    Err(NoPublicPath::UnknownIssuer {
        issuer: names_of(last).map_or_else(String::new, |(_, issuer)| issuer),
    })
}

fn build_to_any(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    anchors: &Anchors<'_>,
    now: Timestamp,
) -> Result<PublicPath, Error> {
    let error = match build(leaf, intermediates, anchors.public, now) {
        Ok(path) => return Ok(path),
        Err(error) => error,
    };
    match build(leaf, intermediates, anchors.private, now) {
        Ok(path) => Ok(PublicPath {
            is_public: false,
            ..path
        }),
        Err(Error::UnknownIssuer) => Err(error),
        Err(other) => Err(other),
    }
}

fn build(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    anchors: &[TrustAnchor<'_>],
    now: Timestamp,
) -> Result<PublicPath, Error> {
    let leaf = CertificateDer::from_slice(leaf);
    let leaf = EndEntityCert::try_from(&leaf)?;
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|one| CertificateDer::from_slice(one))
        .collect();
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
    let path = leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors,
        &intermediates,
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
        KeyUsage::server_auth(),
        None,
        None,
    )?;
    let subject = |der: CertificateDer<'_>| names_of(&der).map(|(subject, _)| subject);
    Ok(PublicPath {
        is_public: true,
        intermediates: path
            .intermediate_certificates()
            .filter_map(|one| subject(one.der()))
            .collect(),
        root: root_name(path.anchor()),
    })
}

/// The subject of an anchor, which lacks the header of its SEQUENCE.
fn root_name(anchor: &TrustAnchor<'_>) -> String {
    let der = der_sequence(anchor.subject.as_ref());
    let name = X509Name::from_der(&der);
    name.map_or_else(|_| String::new(), |(_, name)| short_name(&name))
}

/// DER of a SEQUENCE with this content (X.690 §8.1.3).
fn der_sequence(content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = &length[zeros..];
    let mut der = vec![0x30];
    match content.len() {
        short @ 0..=0x7f => der.push(short as u8),
        _ => {
            der.push(0x80 | length.len() as u8);
            der.extend_from_slice(length);
        }
    }
    der.extend_from_slice(content);
    der
}

fn is_self_issued(leaf: &[u8]) -> bool {
    ParsedCertificate::parse(1, leaf).is_ok_and(|leaf| leaf.is_self_issued())
}

/// Subject and issuer of a certificate.
fn names_of(der: &[u8]) -> Option<(String, String)> {
    let parsed = ParsedCertificate::parse(1, der).ok()?;
    let x509 = &parsed.x509;
    Some((short_name(x509.subject()), short_name(x509.issuer())))
}

impl From<Error> for NoPublicPath {
    fn from(error: Error) -> Self {
        match error {
            Error::NameConstraintViolation => Self::NameConstraints,
            Error::PathLenConstraintViolated => Self::PathLength,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Self::NotForServers,
            Error::CaUsedAsEndEntity => Self::LeafIsCa,
            Error::MaximumPathDepthExceeded => Self::TooLong,
            Error::UnsupportedCriticalExtension => Self::CriticalExtension,
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                Self::SignatureAlgorithm
            }
            other => Self::Other(other.to_string()),
        }
    }
}
