//! Keys of certificates, and the requests that are signed with them.

use edgeseal_core::{DomainPattern, Secret, managed_certificate::KeyType};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    RsaKeySize,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// A new key as PKCS#8 DER.
///
/// # Errors
/// Never in practice: the generator of the crypto library fails.
pub(crate) fn generate(key: KeyType) -> Result<Secret, rcgen::Error> {
    let pair = match key {
        KeyType::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    }?;
    Ok(Secret::new(pair.serialize_der()))
}

/// The signing request (RFC 2986, DER) for a domain. Its subject is empty: authorities take the
/// names from the extension.
///
/// # Errors
/// If the key cannot be read.
pub(crate) fn signing_request(
    domain: &DomainPattern,
    key: &Secret,
) -> Result<Vec<u8>, rcgen::Error> {
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.expose()))?;
    let mut params = CertificateParams::new(vec![domain.to_san()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&pair)?.der().to_vec())
}
