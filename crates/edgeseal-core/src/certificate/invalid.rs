//! Why an upload is not let in.
//!
//! Each variant of [`InvalidCertificate`] is one kind of refusal, in the order in which admission
//! looks for them; what exactly is wrong, and where, is in its fields. The texts are made for the
//! one who uploaded. No text and no field holds a part of a private key.

mod text;

use std::fmt;

use crate::Timestamp;

pub use text::{
    Base64Error, BlockName, InvalidBase64, InvalidPemBoundary, InvalidPemCharacter,
    UnexpectedContent,
};

/// Why an upload is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The key is only white space.
    #[error("the private key is only white space")]
    BlankKey,
    /// More than admission reads.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The chain holds characters that PEM cannot carry.
    #[error("the certificate chain cannot be PEM: {0}")]
    ChainText(InvalidPemCharacter),
    /// The key holds characters that PEM cannot carry.
    #[error("the private key cannot be PEM: {0}")]
    KeyText(InvalidPemCharacter),
    /// The markers of a block are there, but what is between them is not base64.
    #[error(transparent)]
    Base64(#[from] InvalidBase64),
    /// The text is no chain: not its blocks, and not what they hold together.
    #[error(transparent)]
    Chain(#[from] InvalidChain),
    /// A certificate block is no certificate that may be served.
    #[error(transparent)]
    Format(#[from] InvalidFormat),
    /// The text does not hold exactly one private-key block that can be read.
    #[error(transparent)]
    KeyBlock(#[from] InvalidKeyBlock),
    /// The private-key block is no key that can be served.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The key is not the key of the leaf.
    #[error("{}", mismatch(leaf, leaf_key, key, belongs_to.as_ref()))]
    Mismatch {
        /// The leaf.
        leaf: BlockRef,
        /// What kind of key the leaf has, such as `ECDSA P-256`.
        leaf_key: String,
        /// What kind of key was given.
        key: String,
        /// The certificate of the chain that it is the key of, if there is one.
        belongs_to: Option<BlockRef>,
    },
    /// A certificate of the chain was not issued by the one that claims to be its issuer.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The leaf, or an intermediate that the chain needs, is past its end.
    #[error("{certificate} expired at {not_after}")]
    Expired {
        /// Which one.
        certificate: BlockRef,
        /// The last second of its validity.
        not_after: Timestamp,
    },
    /// The leaf, or an intermediate that the chain needs, is before its start.
    #[error("{certificate} is not valid before {not_before}")]
    NotYetValid {
        /// Which one.
        certificate: BlockRef,
        /// The first second of its validity.
        not_before: Timestamp,
    },
}

/// More than admission reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// The text of the chain.
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
    /// The names in the leaf.
    #[error("the certificate has {count} names; at most {max} are accepted", max = super::NAMES_MAX)]
    Names {
        /// How many.
        count: usize,
    },
    /// The text of the key.
    #[error("the private key has {bytes} bytes; at most {max} are accepted", max = super::KEY_BYTES_MAX)]
    Key {
        /// Its length.
        bytes: usize,
    },
}

/// The text is no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChain {
    /// The markers of the blocks are broken.
    #[error("the certificate chain is broken: {0}")]
    Boundary(InvalidPemBoundary),
    /// A private key among the certificates.
    #[error("the certificate chain holds a private key, in line {line}; send the key apart")]
    PrivateKey {
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
    /// No certificate in it.
    #[error("the certificate chain holds no CERTIFICATE block: {found}")]
    NoCertificate {
        /// What is there instead.
        found: UnexpectedContent,
    },
    /// Two certificates of which neither is an issuer.
    #[error("{first} and {second} are both leaf certificates; a chain has one")]
    TwoLeaves {
        /// The one that comes first in the text.
        first: BlockRef,
        /// The other one.
        second: BlockRef,
    },
    /// A certificate stands where the issuer of another should be.
    #[error(
        "certificate block {} is not the issuer of block {}: block {} names {wanted} as its issuer, block {} is {}",
        .issuer.block, .child.block, .child.block, .issuer.block, .issuer.subject
    )]
    WrongIssuer {
        /// The last certificate of the chain that begins at the leaf.
        child: BlockRef,
        /// The name of its issuer.
        wanted: String,
        /// What is there instead.
        issuer: BlockRef,
    },
    /// A certificate that belongs to another chain.
    #[error("{certificate} is not part of the chain: it issued none of the other certificates")]
    Unrelated {
        /// Which one.
        certificate: BlockRef,
    },
    /// Every certificate is the issuer of another one.
    #[error("no certificate of the chain is a leaf: each is the issuer of another one")]
    NoLeaf,
}

/// A certificate block is no certificate that may be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFormat {
    /// Not DER of an X.509 certificate.
    #[error("certificate block {block} is not an X.509 certificate")]
    NotX509 {
        /// Its number, from 1.
        block: usize,
    },
    /// Bytes after the certificate.
    #[error("certificate block {block} has {bytes} bytes after the end of the certificate")]
    TrailingBytes {
        /// Its number, from 1.
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
    /// An extension that matters does not parse or is there twice (RFC 5280 §4.2).
    #[error("{certificate} has an extension {extension} that is malformed or there twice")]
    Extension {
        /// Which one.
        certificate: BlockRef,
        /// Name of the extension.
        extension: &'static str,
    },
    /// The signed part names another signature algorithm than the signature (RFC 5280 §4.1.1.2).
    #[error("{certificate} names two different signature algorithms")]
    AlgorithmsDiffer {
        /// Which one.
        certificate: BlockRef,
    },
    /// Signed with a hash that is broken.
    #[error("{certificate} is signed with {hash}, which is no longer accepted")]
    WeakSignature {
        /// Which one.
        certificate: BlockRef,
        /// The hash: `MD5` or `SHA-1`, or an older one.
        hash: &'static str,
    },
    /// The TLS library does not read the leaf: it could be stored, but not served.
    #[error("{certificate} cannot be served: the TLS library says {reason}")]
    Unservable {
        /// Which one.
        certificate: BlockRef,
        /// What it says.
        reason: String,
    },
    /// The leaf's point is compressed; TLS needs it uncompressed (RFC 8422 §5.1.1).
    #[error("{certificate} has its public key in compressed form, which TLS does not allow")]
    CompressedKey {
        /// Which one.
        certificate: BlockRef,
    },
}

/// The text does not hold exactly one private-key block that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyBlock {
    /// The markers of the blocks are broken.
    #[error("the private key is broken: {0}")]
    Boundary(InvalidPemBoundary),
    /// A certificate in place of the key.
    #[error("a certificate was sent in place of the private key, in line {line}")]
    Certificate {
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
    /// No key in it.
    #[error("there is no private-key block: {found}")]
    NoKey {
        /// What is there instead.
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

/// The private-key block is no key that can be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Neither PKCS#8, PKCS#1 nor SEC1, or its parts contradict each other.
    #[error(
        "the private-key block does not hold a sound private key in PKCS#8, PKCS#1 or SEC1 form"
    )]
    Malformed,
    /// An RSA key of a size that is not accepted.
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

/// A certificate of the chain was not issued by the one that claims to be its issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The signature does not verify.
    #[error(
        "the signature of {child} does not verify with the key of {issuer}, which has the name of its issuer"
    )]
    Signature {
        /// The signed one.
        child: BlockRef,
        /// The one that should have signed.
        issuer: BlockRef,
    },
    /// The signature is of a kind that cannot be verified here.
    #[error(
        "the signature of {child} cannot be verified with the key of {issuer}: algorithm {algorithm} is not supported"
    )]
    SignatureAlgorithm {
        /// The signed one.
        child: BlockRef,
        /// The one that should have signed.
        issuer: BlockRef,
        /// Object identifier of the algorithm.
        algorithm: String,
    },
    /// The issuer may not issue (RFC 5280 §4.2.1.9 and §4.2.1.3).
    #[error("{issuer} may not issue certificates, but stands as the issuer of {child}: {reason}")]
    NotACa {
        /// The issued one.
        child: BlockRef,
        /// The one that may not issue.
        issuer: BlockRef,
        /// Why it may not.
        reason: NotACa,
    },
}

/// Why a certificate may not issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACa {
    /// No basic constraints, or they say so.
    #[error("its basic constraints do not make it a CA")]
    BasicConstraints,
    /// Its key usage leaves `keyCertSign` out.
    #[error("its key usage does not allow certificate signing")]
    KeyUsage,
}

/// A certificate of the upload as errors call it.
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
