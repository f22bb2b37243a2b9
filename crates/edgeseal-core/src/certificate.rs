//! Validation of uploads: a chain and a key become a [`Certificate`], or an error that says why
//! not.

mod chain;
mod digest;
mod info;
mod invalid;
mod key;
mod parsed;
mod path;
mod pem;
mod preflight;
mod public_path;
mod signature;
mod subject;
mod validation;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DomainPattern, Secret, Timestamp};

pub use digest::Digest;
pub use invalid::{
    Base64Error, BlockName, BlockRef, InvalidBase64, InvalidCertificate, InvalidChain,
    InvalidFormat, InvalidKey, InvalidKeyBlock, InvalidPemBoundary, InvalidPemCharacter, NotACa,
    TooLong, UnexpectedContent, Untrusted,
};
pub use pem::{chain_to_pem, key_to_pem};
pub use preflight::{Finding, Preflight, Severity, preflight};
pub use public_path::{Anchors, NoPublicPath, PublicPath, public_path};
pub use validation::{inspect, validate_chain, validate_upload};

/// Longest chain text, in bytes: ten certificates of 3 KiB each, in base64 with their markers,
/// leave 2 KiB for the text around them.
pub const CHAIN_BYTES_MAX: usize = 32 * 1024;
/// Most certificates in an uploaded chain.
pub const CERTIFICATES_MAX: usize = 10;
/// Most DNS names of a leaf. Public authorities issue 100 to 250; a listing shows them in each row.
pub const NAMES_MAX: usize = 250;
/// Longest key text, in bytes: RSA of 8192 bits takes 6.3 KiB.
pub const KEY_BYTES_MAX: usize = 16 * 1024;

/// How much longer than the canonical PEM a stored original may be, in bytes: OpenSSL's text output
/// for a leaf (5 KiB) and a root that is not served (2 KiB) fit.
pub const TEXT_SURPLUS_MAX: usize = 8 * 1024;

/// Remaining validity that counts as expiring soon, in milliseconds: 30 days.
pub const EXPIRY_WARNING_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The ID of a certificate, unique over all accounts. Positive and below 2^53, so that JavaScript
/// clients read it back unchanged.
pub type CertificateId = i64;

/// A validated certificate: one leaf, the intermediates in serving order, the leaf's private key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// DER of the leaf.
    pub leaf: Vec<u8>,
    /// DER of the intermediates in serving order, without a root.
    pub intermediates: Vec<Vec<u8>>,
    /// The private key as PKCS#8 DER.
    pub key: Secret,
    /// What people ask about the leaf.
    pub info: CertificateInfo,
    /// Not errors, but worth showing the owner.
    pub warnings: Vec<Warning>,
    /// The PEM as it was uploaded.
    pub original_pem: OriginalPem,
}

/// A validated chain as it would be served: one leaf, and its intermediates in serving order.
#[derive(Clone, Debug)]
pub struct ServedChain {
    /// DER of the leaf.
    pub leaf: Vec<u8>,
    /// DER of the intermediates in serving order, without a root.
    pub intermediates: Vec<Vec<u8>>,
    /// What people ask about the leaf.
    pub info: CertificateInfo,
    /// Not errors, but worth showing the owner.
    pub warnings: Vec<Warning>,
}

/// The texts of an upload, where they differ from the canonical [`chain_to_pem`] and
/// [`key_to_pem`]: reads return what was uploaded, byte for byte, and most uploads need no copy.
///
/// A text that exceeds its canonical form by more than [`TEXT_SURPLUS_MAX`] is not stored: no quota
/// counts it.
#[derive(Clone, Debug, Default)]
pub struct OriginalPem {
    /// The chain.
    pub chain: Option<String>,
    /// The private key.
    pub key: Option<Secret>,
}

/// A leaf that was parsed but not validated: nothing about it is verified.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The leaf's DER.
    pub der: Vec<u8>,
    /// SHA-256 of its public key (DER of SubjectPublicKeyInfo).
    pub spki_sha256: Digest,
    /// The full name of its issuer, as in `C=US, O=Example, CN=Example CA`; safe to print.
    pub issuer: String,
    /// What people ask about it.
    pub info: CertificateInfo,
}

/// What people ask about a certificate, read from the leaf at validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// Common name of the subject; empty if it has none.
    pub common_name: String,
    /// The other attributes of the subject.
    #[serde(default)]
    pub subject: Subject,
    /// DNS subject alternative names that are valid patterns, in order of appearance.
    pub names: Vec<DomainPattern>,
    /// Common name of the issuer, or its organisation if it has none.
    pub issuer: String,
    /// Organisation of the issuer; empty if it has none.
    pub issuer_organization: String,
    /// Serial number in lower-case hex, two digits per byte.
    pub serial: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity of the leaf.
    pub not_after: Timestamp,
    /// End of validity of the whole served chain: the earliest end among its certificates.
    pub chain_not_after: Timestamp,
    /// SHA-256 of the leaf's DER in lower-case hex.
    pub sha256: String,
    /// SHA-1 of the leaf's DER in lower-case hex, the fingerprint that the cloud's API returns.
    pub sha1: String,
    /// Algorithm of the public key.
    pub key: KeyAlgorithm,
    /// Size of the public key in bits.
    pub key_bits: u32,
    /// Subject of the issuer that is missing from the served chain, if one is. See
    /// [`Warning::IncompleteChain`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_issuer: Option<String>,
}

/// Attributes of a subject beside its common name; empty where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Organisation.
    pub organization: String,
    /// Country, two letters.
    pub country: String,
    /// State or province.
    pub province: String,
    /// Locality.
    pub locality: String,
}

/// Algorithms of leaf keys that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// RSA, 2048 bits or more.
    Rsa,
    /// ECDSA on P-256, P-384 or P-521.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// Not an error, but worth showing the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The last certificate of the chain is not a root, and its issuer is neither in the chain nor
    /// a root that clients know (Mozilla's list) nor apparently a private CA: some clients cannot
    /// build the rest of the path.
    IncompleteChain {
        /// Subject of the missing issuer.
        missing_issuer: String,
    },
    /// Expires within 30 days.
    ExpiresSoon {
        /// End of validity.
        not_after: Timestamp,
    },
    /// The certificates were not in serving order, leaf first (RFC 8446 §4.4.2). They are served in
    /// order; servers that use the file as it is would not do that.
    ChainReordered,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncompleteChain { missing_issuer } => write!(
                f,
                "the chain is incomplete: {missing_issuer} is missing, and is no root that clients \
                 know"
            ),
            Self::ExpiresSoon { not_after } => write!(f, "expires soon, at {not_after}"),
            Self::ChainReordered => f.write_str(
                "the certificates were not in serving order, leaf first; they are served in order",
            ),
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        })
    }
}

impl Certificate {
    /// Content digest of the served chain.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let chain = std::iter::once(&self.leaf).chain(&self.intermediates);
        Digest::of_chain(chain.map(Vec::as_slice))
    }
}

impl CertificateInfo {
    /// The warnings that apply at `now`, whenever the certificate was uploaded.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let missing = self.missing_issuer.iter();
        let incomplete = missing.map(|missing_issuer| Warning::IncompleteChain {
            missing_issuer: missing_issuer.clone(),
        });
        incomplete.chain(self.expiry_warning(now)).collect()
    }

    /// The warning that the served chain expires within 30 days of `now`, or has expired.
    #[must_use]
    pub const fn expiry_warning(&self, now: Timestamp) -> Option<Warning> {
        let not_after = self.chain_not_after;
        if is_expiring(not_after, now) {
            Some(Warning::ExpiresSoon { not_after })
        } else {
            None
        }
    }

    /// Whether a subject alternative name covers `domain` (RFC 9525 §6.3).
    #[must_use]
    pub fn covers(&self, domain: &DomainPattern) -> bool {
        self.names.iter().any(|name| name.covers(domain))
    }
}

/// Whether a certificate that expires at `not_after` has less than 30 days left, or has expired.
#[must_use]
pub const fn is_expiring(not_after: Timestamp, now: Timestamp) -> bool {
    not_after.since_ms(now) < EXPIRY_WARNING_MS
}

#[cfg(test)]
mod tests;
