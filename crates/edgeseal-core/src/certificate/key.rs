//! Private keys: which ones can be served, and their canonical form.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    error::KeyRejected,
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair as _,
    },
};
use x509_parser::{
    asn1_rs::{Any, FromDer as _, Oid, Tag},
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

use super::{KeyAlgorithm, invalid::InvalidKey};
use crate::Secret;

/// Accepted sizes of RSA keys: below 2048 bits they are not safe (NIST SP 800-131A), and above 4096
/// every handshake costs many times as much, at the expense of all clients of the edge.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";

/// A private key that can be served.
pub(super) struct PrivateKey {
    /// PKCS#8 DER.
    pub(super) pkcs8: Secret,
    /// DER of its `SubjectPublicKeyInfo`.
    pub(super) spki_der: Vec<u8>,
    /// What kind it is, in readable form.
    pub(super) description: String,
}

/// A public key's algorithm and size.
pub(super) struct PublicKey {
    /// Its algorithm, if it can be served.
    pub(super) algorithm: Option<KeyAlgorithm>,
    /// Its size; 0 if unknown.
    pub(super) bits: u32,
    /// Both in readable form, such as `ECDSA P-256`.
    pub(super) description: String,
}

impl PrivateKey {
    /// Parses PKCS#8 (RFC 5208, RFC 5958), PKCS#1 (RFC 8017 §A.1.2) or SEC1 (RFC 5915). The
    /// structure decides which: labels are often wrong.
    pub(super) fn parse(der: &[u8]) -> Result<Self, InvalidKey> {
        let structure = Structure::of(der).ok_or(InvalidKey::Malformed)?;
        let (pkcs8, public) = match structure {
            Structure::Rsa { bits } => {
                if !RSA_BITS.contains(&bits) {
                    return Err(InvalidKey::RsaSize { bits });
                }
                rsa_key(der)?
            }
            Structure::Ec { curve } => ec_key(der, &curve)?,
            Structure::Ed25519 => ed25519_key(der)?,
            Structure::Unsupported { algorithm } => {
                let what = oid_name(&algorithm);
                return Err(InvalidKey::Unsupported { what });
            }
        };
        let description = SubjectPublicKeyInfo::from_der(&public)
            .map(|(_, spki)| PublicKey::of(&spki).description)
            .map_err(|_| InvalidKey::Malformed)?;
        Ok(Self {
            pkcs8,
            spki_der: public,
            description,
        })
    }
}

impl PublicKey {
    pub(super) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = spki.algorithm.algorithm.to_id_string();
        let (algorithm, bits, description) = match algorithm.as_str() {
            RSA => {
                let modulus = elements(&spki.subject_public_key.data).and_then(|of| {
                    let [modulus, _exponent] = of.as_slice() else {
                        return None;
                    };
                    bit_length(modulus)
                });
                let bits = modulus.unwrap_or(0);
                (Some(KeyAlgorithm::Rsa), bits, format!("RSA of {bits} bits"))
            }
            EC => {
                let curve = curve_of(&spki.algorithm).unwrap_or_default();
                let bits = match curve.as_str() {
                    P256 => 256,
                    P384 => 384,
                    P521 => 521,
                    _ => 0,
                };
                let known = (bits != 0).then_some(KeyAlgorithm::Ecdsa);
                (known, bits, oid_name(&curve))
            }
            ED25519 => (Some(KeyAlgorithm::Ed25519), 256, oid_name(ED25519)),
            other => (None, 0, oid_name(other)),
        };
        Self {
            algorithm,
            bits: u32::try_from(bits).unwrap_or(u32::MAX),
            description,
        }
    }
}

/// The form of a private key, from its outermost elements only.
enum Structure {
    Rsa { bits: usize },
    Ec { curve: String },
    Ed25519,
    Unsupported { algorithm: String },
}

impl Structure {
    fn of(der: &[u8]) -> Option<Self> {
        let parts = elements(der)?;
        match tags(&parts)[..] {
            [Tag::Integer, Tag::Sequence, Tag::OctetString, ..] => Self::of_pkcs8(&parts),
            [Tag::Integer, Tag::OctetString, ..] => Self::of_sec1(&parts),
            // version, n, e, d, p, q and three CRT parameters
            [
                Tag::Integer,
                Tag::Integer,
                _,
                _,
                _,
                _,
                _,
                _,
                Tag::Integer,
                ..,
            ] => Some(Self::Rsa {
                bits: bit_length(&parts[1])?,
            }),
            _ => None,
        }
    }

    fn of_pkcs8(parts: &[Any<'_>]) -> Option<Self> {
        let [_, algorithm, key, ..] = parts else {
            return None;
        };
        let algorithm = parse_algorithm_identifier(algorithm.data)?;
        let id = algorithm.algorithm.to_id_string();
        match id.as_str() {
            RSA => match Self::of(key.data)? {
                rsa @ Self::Rsa { .. } => Some(rsa),
                _ => None,
            },
            EC => match curve_of(&algorithm) {
                Some(curve) => Some(Self::of_curve(curve)),
                None => Self::of_sec1(&elements(key.data)?),
            },
            ED25519 => Some(Self::Ed25519),
            _ => Some(Self::Unsupported { algorithm: id }),
        }
    }

    fn of_sec1(parts: &[Any<'_>]) -> Option<Self> {
        let [_, key, rest @ ..] = parts else {
            return None;
        };
        // [0] holds the curve; without it, the length decides: ceil(log2(n)/8) bytes (RFC 5915 §3).
        let named = rest.iter().find(|part| part.tag() == Tag(0));
        let named = named.and_then(|part| Oid::from_der(part.data).ok());
        let curve = match (named, key.data.len()) {
            (Some((_, curve)), _) => curve.to_id_string(),
            (None, 32) => P256.to_owned(),
            (None, 48) => P384.to_owned(),
            (None, 66) => P521.to_owned(),
            (None, _) => return None,
        };
        Some(Self::of_curve(curve))
    }

    fn of_curve(curve: String) -> Self {
        match curve.as_str() {
            P256 | P384 | P521 => Self::Ec { curve },
            _ => Self::Unsupported { algorithm: curve },
        }
    }
}

fn rsa_key(der: &[u8]) -> Result<(Secret, Vec<u8>), InvalidKey> {
    let is_pkcs8 = elements(der).is_some_and(|parts| tags(&parts).get(1) == Some(&Tag::Sequence));
    let key = if is_pkcs8 {
        rsa::KeyPair::from_pkcs8(der)
    } else {
        rsa::KeyPair::from_der(der)
    };
    let key = key.map_err(rejected)?;
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| InvalidKey::Malformed)?;
    let public: PublicKeyX509Der<'_> = key
        .public_key()
        .as_der()
        .map_err(|_| InvalidKey::Malformed)?;
    Ok((
        Secret::new(pkcs8.as_ref().to_vec()),
        public.as_ref().to_vec(),
    ))
}

fn ec_key(der: &[u8], curve: &str) -> Result<(Secret, Vec<u8>), InvalidKey> {
    let algorithm: &'static EcdsaSigningAlgorithm = match curve {
        P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => &ECDSA_P521_SHA512_ASN1_SIGNING,
    };
    let key = EcdsaKeyPair::from_private_key_der(algorithm, der).map_err(rejected)?;
    let pkcs8 = key.to_pkcs8v1().map_err(|_| InvalidKey::Malformed)?;
    let public: PublicKeyX509Der<'_> = key
        .public_key()
        .as_der()
        .map_err(|_| InvalidKey::Malformed)?;
    Ok((
        Secret::new(pkcs8.as_ref().to_vec()),
        public.as_ref().to_vec(),
    ))
}

fn ed25519_key(der: &[u8]) -> Result<(Secret, Vec<u8>), InvalidKey> {
    let key = Ed25519KeyPair::from_pkcs8(der).map_err(rejected)?;
    let pkcs8 = key.to_pkcs8v1().map_err(|_| InvalidKey::Malformed)?;
    let public: PublicKeyX509Der<'_> = key
        .public_key()
        .as_der()
        .map_err(|_| InvalidKey::Malformed)?;
    Ok((
        Secret::new(pkcs8.as_ref().to_vec()),
        public.as_ref().to_vec(),
    ))
}

/// The library's reason says little; specific causes were checked before.
const fn rejected(_why: KeyRejected) -> InvalidKey {
    InvalidKey::Malformed
}

/// The elements of a `SEQUENCE` that spans all of `der`.
fn elements(der: &[u8]) -> Option<Vec<Any<'_>>> {
    let (after, outer) = Any::from_der(der).ok()?;
    if !after.is_empty() || outer.tag() != Tag::Sequence {
        return None;
    }
    let mut rest = outer.data;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (after, part) = Any::from_der(rest).ok()?;
        parts.push(part);
        rest = after;
    }
    Some(parts)
}

fn tags(parts: &[Any<'_>]) -> Vec<Tag> {
    parts.iter().map(Any::tag).collect()
}

/// Size in bits of a positive `INTEGER`.
fn bit_length(integer: &Any<'_>) -> Option<usize> {
    let first = integer.data.iter().position(|byte| *byte != 0)?;
    let significant = &integer.data[first..];
    let leading = significant.first()?.leading_zeros() as usize;
    Some(significant.len() * 8 - leading)
}

/// Parses an `AlgorithmIdentifier` from its contents.
fn parse_algorithm_identifier(contents: &[u8]) -> Option<AlgorithmIdentifier<'_>> {
    let (rest, algorithm) = Oid::from_der(contents).ok()?;
    let parameters = Any::from_der(rest).ok().map(|(_, any)| any);
    Some(AlgorithmIdentifier::new(algorithm, parameters))
}

/// The curve that the parameters name, if any (RFC 5480 §2.1.1).
fn curve_of(algorithm: &AlgorithmIdentifier<'_>) -> Option<String> {
    let curve = algorithm.parameters()?.as_oid().ok()?;
    Some(curve.to_id_string())
}

/// A readable name of an algorithm or curve, or else its OID.
fn oid_name(id: &str) -> String {
    match id {
        P256 => "ECDSA P-256",
        P384 => "ECDSA P-384",
        P521 => "ECDSA P-521",
        ED25519 => "Ed25519",
        "1.2.840.113549.1.1.10" => "RSA for PSS only",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.110" => "X25519",
        "1.3.101.113" => "Ed448",
        "1.3.132.0.10" => "ECDSA on secp256k1",
        "1.3.132.0.33" => "ECDSA on P-224",
        "1.3.36.3.3.2.8.1.1.7" => "ECDSA on brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "ECDSA on brainpoolP384r1",
        "1.2.156.10197.1.301" => "SM2",
        "" => "ECDSA on a curve without a name",
        // An OID can have any length.
        other => return format!("an unknown algorithm, {other:.64}"),
    }
    .to_owned()
}
