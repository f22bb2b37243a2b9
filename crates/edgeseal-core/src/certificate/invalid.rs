//! Why an upload is refused.
//!
//! Each variant of [`InvalidCertificate`] is one kind of refusal, in the order in which validation
//! checks for them; its fields say what is wrong and where. The messages are written for the
//! uploader. Neither messages nor fields contain a part of a private key.

mod text;

use std::fmt;

use crate::Timestamp;

pub use text::{
    Base64Error, BlockName, InvalidBase64, InvalidPemBoundary, InvalidPemCharacter,
    UnexpectedContent,
};

/// Why an upload is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The key is only white space.
    #[error("the private key is only white space")]
    BlankKey,
    /// The upload exceeds a limit.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The chain contains characters that PEM cannot contain.
    #[error("the certificate chain cannot be PEM: {0}")]
    ChainText(InvalidPemCharacter),
    /// The key contains characters that PEM cannot contain.
    #[error("the private key cannot be PEM: {0}")]
    KeyText(InvalidPemCharacter),
    /// A block has its markers, but its content is not base64.
    #[error(transparent)]
    Base64(#[from] InvalidBase64),
    /// The blocks of the chain are broken, or are not one chain.
    #[error(transparent)]
    Chain(#[from] InvalidChain),
    /// A certificate block is not a certificate that may be served.
    #[error(transparent)]
    Format(#[from] InvalidFormat),
    /// The key text does not contain exactly one readable private-key block.
    #[error(transparent)]
    KeyBlock(#[from] InvalidKeyBlock),
    /// The private-key block is not a key that can be served.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The key is not the key of the leaf.
    #[error("{}", mismatch(leaf, leaf_key, key, belongs_to.as_ref()))]
    Mismatch {
        /// The leaf.
        leaf: BlockRef,
        /// The kind of the leaf's key, such as `ECDSA P-256`.
        leaf_key: String,
        /// The kind of the uploaded key.
        key: String,
        /// The certificate of the chain to which the key belongs, if any.
        belongs_to: Option<BlockRef>,
    },
    /// The issuer that a certificate of the chain names did not issue it, or may not issue.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The leaf, or an intermediate that the chain needs, has expired.
    #[error("{certificate} expired at {not_after}")]
    Expired {
        /// Which one.
        certificate: BlockRef,
        /// The last second of its validity.
        not_after: Timestamp,
    },
    /// The leaf, or an intermediate that the chain needs, is not yet valid.
    #[error("{certificate} is not valid before {not_before}")]
    NotYetValid {
        /// Which one.
        certificate: BlockRef,
        /// The first second of its validity.
        not_before: Timestamp,
    },
}

/// The upload exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// The length of the chain text.
    #[error("the certificate chain has {bytes} bytes; at most {max} are accepted", max = super::CHAIN_BYTES_MAX)]
    Chain {
        /// Its length.
        bytes: usize,
    },
    /// The number of certificates.
    #[error("the certificate chain has {count} certificates; at most {max} are accepted", max = super::CERTIFICATES_MAX)]
    Certificates {
        /// How many.
        count: usize,
    },
    /// The number of names in the leaf.
    #[error("the certificate has {count} names; at most {max} are accepted", max = super::NAMES_MAX)]
    Names {
        /// How many.
        count: usize,
    },
    /// The length of the key text.
    #[error("the private key has {bytes} bytes; at most {max} are accepted", max = super::KEY_BYTES_MAX)]
    Key {
        /// Its length.
        bytes: usize,
    },
}

/// The chain text is not one chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChain {
    /// The markers of a block are broken.
    #[error("the certificate chain is broken: {0}")]
    Boundary(InvalidPemBoundary),
    /// A private key among the certificates.
    #[error(
        "the certificate chain contains a private key, in line {line}; send the key separately"
    )]
    PrivateKey {
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
    /// The text contains no certificate.
    #[error("the certificate chain contains no CERTIFICATE block: {found}")]
    NoCertificate {
        /// What the text contains instead.
        found: UnexpectedContent,
    },
    /// Two certificates, neither of which issued another.
    #[error("{first} and {second} are both leaf certificates; a chain has one")]
    TwoLeaves {
        /// The one that comes first in the text.
        first: BlockRef,
        /// The other one.
        second: BlockRef,
    },
    /// A certificate is out of place: it is not the issuer of the last one.
    #[error(
        "certificate block {} is not the issuer of block {}: block {} names {wanted} as its issuer, block {} is {}",
        .issuer.block, .child.block, .child.block, .issuer.block, .issuer.subject
    )]
    WrongIssuer {
        /// The last certificate of the chain that starts at the leaf.
        child: BlockRef,
        /// The name of its issuer.
        wanted: String,
        /// The certificate that is there instead.
        issuer: BlockRef,
    },
    /// A certificate of another chain.
    #[error("{certificate} is not part of the chain: it issued none of the other certificates")]
    Unrelated {
        /// Which one.
        certificate: BlockRef,
    },
    /// Every certificate issued another one.
    #[error("no certificate of the chain is a leaf: each issued another one")]
    NoLeaf,
}

/// A certificate block is not a certificate that may be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFormat {
    /// Not DER of an X.509 certificate.
    #[error("certificate block {block} is not an X.509 certificate")]
    NotX509 {
        /// Block number, from 1.
        block: usize,
    },
    /// Trailing bytes after the certificate.
    #[error("certificate block {block} has {bytes} bytes after the end of the certificate")]
    TrailingBytes {
        /// Block number, from 1.
        block: usize,
        /// How many.
        bytes: usize,
    },
    /// X.509, but not version 3.
    #[error("{certificate} is X.509 version {version}; only version 3 is accepted")]
    Version {
        /// Which one.
        certificate: BlockRef,
        /// Its version.
        version: u32,
    },
    /// An extension that validation reads does not parse or is duplicated (RFC 5280 §4.2).
    #[error("{certificate} has a malformed or duplicated extension {extension}")]
    Extension {
        /// Which one.
        certificate: BlockRef,
        /// Name of the extension.
        extension: &'static str,
    },
    /// The signed part and the signature name different algorithms (RFC 5280 §4.1.1.2).
    #[error("{certificate} names two different signature algorithms")]
    AlgorithmsDiffer {
        /// Which one.
        certificate: BlockRef,
    },
    /// Signed with a broken hash.
    #[error("{certificate} is signed with {hash}, which is no longer accepted")]
    WeakSignature {
        /// Which one.
        certificate: BlockRef,
        /// The hash: `MD5` or `SHA-1`, or an older one.
        hash: &'static str,
    },
    /// A precertificate (RFC 6962 §3.1): what an authority logs before it issues.
    #[error(
        "{certificate} is a precertificate, which clients refuse; send the certificate that the \
         authority issued after it"
    )]
    Precertificate {
        /// Which one.
        certificate: BlockRef,
    },
    /// A critical extension that the TLS library does not know (RFC 5280 §4.2).
    #[error(
        "{certificate} has the critical extension {oid}, which TLS clients do not know and so \
         refuse; order one without it"
    )]
    CriticalExtension {
        /// Which one.
        certificate: BlockRef,
        /// Object identifier of the extension.
        oid: String,
    },
    /// The TLS library rejects the leaf: it could be stored, but not served.
    #[error("{certificate} cannot be served: the TLS library reports {reason}")]
    Unservable {
        /// Which one.
        certificate: BlockRef,
        /// The library's error.
        reason: String,
    },
    /// The leaf's public key is a compressed point; TLS needs it uncompressed (RFC 8422 §5.1.1).
    #[error("{certificate} has its public key in compressed form, which TLS does not allow")]
    CompressedKey {
        /// Which one.
        certificate: BlockRef,
    },
}

/// The key text does not contain exactly one readable private-key block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyBlock {
    /// The markers of a block are broken.
    #[error("the private key is broken: {0}")]
    Boundary(InvalidPemBoundary),
    /// A certificate instead of the key.
    #[error("a certificate was sent instead of the private key, in line {line}")]
    Certificate {
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
    /// The text contains no key.
    #[error("there is no private-key block: {found}")]
    NoKey {
        /// What the text contains instead.
        found: UnexpectedContent,
    },
    /// More than one key.
    #[error("there are {count} private-key blocks, the second in line {second}; send one")]
    Several {
        /// How many.
        count: usize,
        /// The line of the second one's BEGIN marker, from 1.
        second: usize,
    },
    /// The key needs a passphrase.
    #[error("the private key in line {line} is protected by a passphrase; remove it first")]
    Encrypted {
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
}

/// The private-key block is not a key that can be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not PKCS#8, PKCS#1 or SEC1, or inconsistent.
    #[error(
        "the private-key block does not contain a valid private key in PKCS#8, PKCS#1 or SEC1 form"
    )]
    Malformed,
    /// In the form that `ssh-keygen` writes.
    #[error(
        "the private key is in OpenSSH form; ssh-keygen -p -m PKCS8 -f FILE converts it, if it is \
         the key of the certificate"
    )]
    OpenSsh,
    /// An RSA key of an unaccepted size.
    #[error("the private key is RSA of {bits} bits; 2048 to 4096 are accepted")]
    RsaSize {
        /// Its size.
        bits: usize,
    },
    /// An algorithm, curve or container that cannot be served.
    #[error(
        "the private key is {what}; RSA, ECDSA on P-256, P-384 or P-521, and Ed25519 are accepted"
    )]
    Unsupported {
        /// What it is.
        what: String,
    },
}

/// The issuer that a certificate of the chain names did not issue it, or may not issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The signature does not verify.
    #[error(
        "the signature of {child} does not verify with the key of {issuer}, which has the name of its issuer"
    )]
    Signature {
        /// The signed certificate.
        child: BlockRef,
        /// The certificate that should have signed it.
        issuer: BlockRef,
    },
    /// The signature algorithm is not supported.
    #[error(
        "the signature of {child} cannot be verified with the key of {issuer}: algorithm {algorithm} is not supported"
    )]
    SignatureAlgorithm {
        /// The signed certificate.
        child: BlockRef,
        /// The certificate that should have signed it.
        issuer: BlockRef,
        /// Object identifier of the algorithm.
        algorithm: String,
    },
    /// The issuer is not a CA (RFC 5280 §4.2.1.9 and §4.2.1.3).
    #[error("{issuer} may not issue certificates, but is named as the issuer of {child}: {reason}")]
    NotACa {
        /// The issued certificate.
        child: BlockRef,
        /// The certificate that is not a CA.
        issuer: BlockRef,
        /// Why it is not a CA.
        reason: NotACa,
    },
}

/// Why a certificate is not a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACa {
    /// No basic constraints, or `cA` is false.
    #[error("its basic constraints do not make it a CA")]
    BasicConstraints,
    /// Its key usage lacks `keyCertSign`.
    #[error("its key usage does not allow certificate signing")]
    KeyUsage,
}

/// How errors identify a certificate of the upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Number of its block among the certificate blocks, from 1.
    pub block: usize,
    /// Its subject: the common name, else the organisation, as in `CN=example.com`.
    pub subject: String,
}

fn mismatch(leaf: &BlockRef, leaf_key: &str, key: &str, belongs_to: Option<&BlockRef>) -> String {
    match belongs_to {
        Some(other) => format!("the private key is the key of {other}, not of the leaf, {leaf}"),
        None if leaf_key == key => {
            format!("the private key is not the key of {leaf}: both are {key}, but differ")
        }
        None => format!(
            "the private key is not the key of {leaf}: the certificate is for {leaf_key}, the key is {key}"
        ),
    }
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate block {} ({})", self.block, self.subject)
    }
}
