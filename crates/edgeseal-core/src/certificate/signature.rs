//! Signatures of certificates: verification, and which hashes are refused.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use x509_parser::{
    asn1_rs::BitString,
    certificate::X509Certificate,
    error::X509Error,
    signature_algorithm::RsaSsaPssParams,
    verify::verify_signature,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureError {
    /// Another key made it, or the signed part was changed.
    Invalid,
    /// Its algorithm is not supported.
    Unsupported,
}

/// The broken hash that a signature algorithm uses, if any (RFC 9155, RFC 6194, RFC 6151).
pub(super) fn weak_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static str> {
    match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        "1.2.840.113549.1.1.3" => Some("MD4"),
        "1.2.840.113549.1.1.4" | "1.3.14.3.2.25" => Some("MD5"),
        "1.2.840.113549.1.1.5" // RSA
        | "1.3.14.3.2.29" // RSA, as OIW calls it
        | "1.2.840.10045.4.1" // ECDSA
        | "1.2.840.10040.4.3" // DSA
        | "1.3.14.3.2.27" => Some("SHA-1"),
        RSASSA_PSS => {
            // Absent parameters mean SHA-1 (RFC 4055 §3.1).
            let parameters = algorithm.parameters()?;
            let parameters = RsaSsaPssParams::try_from(parameters).ok()?;
            let hash = parameters.hash_algorithm_oid().to_id_string();
            (hash == "1.3.14.3.2.26").then_some("SHA-1")
        }
        _ => None,
    }
}

/// Verifies the signature of `child` with the public key of `issuer`.
pub(super) fn verify(
    child: &X509Certificate<'_>,
    issuer: &SubjectPublicKeyInfo<'_>,
) -> Result<(), SignatureError> {
    let signature = (&child.signature_algorithm, &child.signature_value);
    verify_signed(child.tbs_certificate.as_ref(), signature, issuer)
}

/// Verifies a signature over `signed` with a public key.
pub(super) fn verify_signed(
    signed: &[u8],
    (algorithm, signature): (&AlgorithmIdentifier<'_>, &BitString<'_>),
    signer: &SubjectPublicKeyInfo<'_>,
) -> Result<(), SignatureError> {
    if let Some(algorithm) = extra_ecdsa_algorithm(algorithm, signer) {
        return UnparsedPublicKey::new(algorithm, &signer.subject_public_key.data)
            .verify(signed, &signature.data)
            .map_err(|_| SignatureError::Invalid);
    }
    verify_signature(signer, algorithm, signature, signed).map_err(|why| match why {
        X509Error::SignatureUnsupportedAlgorithm => SignatureError::Unsupported,
        _ => SignatureError::Invalid,
    })
}

/// ECDSA with SHA-512 or on P-521, which the certificate library does not support.
fn extra_ecdsa_algorithm(
    signature: &AlgorithmIdentifier<'_>,
    signer: &SubjectPublicKeyInfo<'_>,
) -> Option<&'static EcdsaVerificationAlgorithm> {
    let curve = signer.algorithm.parameters()?.as_oid().ok()?;
    let curve = curve.to_id_string();
    let hash = signature.algorithm.to_id_string();
    match (curve.as_str(), hash.strip_prefix("1.2.840.10045.4.3.")?) {
        ("1.2.840.10045.3.1.7", "4") => Some(&ECDSA_P256_SHA512_ASN1),
        ("1.3.132.0.34", "4") => Some(&ECDSA_P384_SHA512_ASN1),
        ("1.3.132.0.35", "2") => Some(&ECDSA_P521_SHA256_ASN1),
        ("1.3.132.0.35", "3") => Some(&ECDSA_P521_SHA384_ASN1),
        ("1.3.132.0.35", "4") => Some(&ECDSA_P521_SHA512_ASN1),
        _ => None,
    }
}
