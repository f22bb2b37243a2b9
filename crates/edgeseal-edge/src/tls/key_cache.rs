//! Private keys, decrypted on demand; parsed keys are in a bounded cache.

use std::sync::Arc;

use edgeseal_core::{Timestamp, certificate::Digest};
use edgeseal_store::{Key, Keyring, seal::UnsealError};
use quick_cache::sync::Cache;
use rustls::{
    SignatureAlgorithm,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};

use crate::{
    served_domain::{KeyKind, Material},
    telemetry,
};

/// Decrypts, parses and caches keys.
pub(crate) struct KeyCache {
    cache: Cache<Digest, ServingKey>,
    keyring: Keyring,
}

/// A certificate with its parsed key.
#[derive(Clone, Debug)]
pub(super) struct ServingKey {
    pub(super) certified: Arc<CertifiedKey>,
    /// End of the certificate's validity.
    pub(super) not_after: Timestamp,
}

/// Why certificate and key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MaterialError {
    /// The material holds no key.
    #[error("it has no private key")]
    NoKey,
    /// The key cannot be decrypted.
    #[error("the private key cannot be decrypted: {0}")]
    Sealed(#[from] UnsealError),
    /// The decrypted value is no key that can sign.
    #[error("the private key cannot be parsed")]
    Malformed,
    /// The key belongs to another certificate.
    #[error("the private key does not match the leaf")]
    Mismatch,
    /// The digest of leaf and chain is not their address.
    #[error("leaf and chain do not match their digest")]
    WrongDigest,
}

impl KeyCache {
    /// A cache of at most `capacity` parsed keys.
    pub(crate) fn new(keyring: Keyring, capacity: usize) -> Self {
        Self {
            cache: Cache::new(capacity),
            keyring,
        }
    }

    /// The parsed certificate and key. A miss costs one AES-GCM decryption and one parse: some 20
    /// µs for P-256, 170 µs for RSA; no I/O.
    pub(super) fn get(&self, material: &Material) -> Result<ServingKey, MaterialError> {
        let cached = self.cache.get(material.digest());
        telemetry::key_cache(cached.is_some());
        if let Some(parsed) = cached {
            return Ok(parsed);
        }
        let parsed = ServingKey {
            certified: Arc::new(self.open(material)?),
            not_after: not_after(material.leaf()),
        };
        self.cache.insert(*material.digest(), parsed.clone());
        telemetry::key_cache_size(self.cache.len());
        Ok(parsed)
    }

    /// Checks material from outside: that it matches its digest, that its key can be decrypted and
    /// matches the leaf.
    pub(crate) fn check(&self, material: &Material) -> Result<(), MaterialError> {
        let chain = std::iter::once(material.leaf()).chain(material.issuers().map(|der| &**der));
        if Digest::of_chain(chain) != *material.digest() {
            return Err(MaterialError::WrongDigest);
        }
        // Unknown cannot happen: all keys of the provider expose their public part.
        self.open(material)?
            .keys_match()
            .map_err(|_| MaterialError::Mismatch)
    }

    /// The kind of a key; `None` if a pair cannot contain its kind, or if it cannot be used.
    pub(crate) fn kind(&self, material: &Material) -> Option<KeyKind> {
        let cached = self.cache.get(material.digest());
        let cached = cached.map(|parsed| parsed.certified);
        let key = cached.or_else(|| Some(Arc::new(self.open(material).ok()?)))?;
        match key.key.algorithm() {
            SignatureAlgorithm::ECDSA => Some(KeyKind::Ecdsa),
            SignatureAlgorithm::RSA => Some(KeyKind::Rsa),
            _ => None,
        }
    }

    /// Checks only that the key can be decrypted, not that it can be parsed: about two
    /// microseconds.
    pub(crate) fn check_opens(&self, material: &Material) -> Result<(), MaterialError> {
        self.unseal(material).map(drop)
    }

    /// Returns a check whether the key-encryption key of some material is in the keyring. For the
    /// many keys of a cold start, which were checked in full when they were fetched and have not
    /// changed since.
    pub(crate) fn kek_checker(&self) -> impl Fn(&Material) -> Result<(), MaterialError> + use<> {
        let known = self.keyring.ids();
        move |material| match material.sealed_under() {
            None => Err(MaterialError::NoKey),
            Some(id) if known.contains(&id) => Ok(()),
            Some(needed) => Err(UnsealError::UnknownKey { needed }.into()),
        }
    }

    /// Reseals the key of material if it is under another key-encryption key than the active one.
    /// Returns whether it was.
    ///
    /// # Errors
    /// [`MaterialError`] if the key cannot be decrypted; it stays as it is.
    pub(crate) fn reseal(&self, material: &Material) -> Result<bool, MaterialError> {
        // First, because it copies nothing: at a start all of a million keys are sealed under the
        // active one.
        if material.sealed_under() == Some(self.keyring.active())
            || material.sealed_key().is_empty()
        {
            return Ok(false);
        }
        let plain = self.unseal(material)?;
        let holder = Key::material(material.digest());
        material.reseal(self.keyring.seal(&plain, &holder));
        Ok(true)
    }

    fn open(&self, material: &Material) -> Result<CertifiedKey, MaterialError> {
        let plain = self.unseal(material)?;
        // By reference, so that no copy is left unwiped.
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(plain.expose()));
        let key = parse(&der).ok_or(MaterialError::Malformed)?;
        let chain = std::iter::once(material.leaf())
            .chain(material.issuers().map(|der| &**der))
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        Ok(CertifiedKey::new(chain, key))
    }

    fn unseal(&self, material: &Material) -> Result<edgeseal_core::Secret, MaterialError> {
        let sealed = material.sealed_key();
        if sealed.is_empty() {
            return Err(MaterialError::NoKey);
        }
        let holder = Key::material(material.digest());
        Ok(self.keyring.open(&sealed, &holder)?)
    }
}

/// Parses a key. When asked for any type, the provider first tries to parse an EC key as RSA, which
/// costs time.
fn parse(der: &PrivateKeyDer<'_>) -> Option<Arc<dyn SigningKey>> {
    /// `id-ecPublicKey` (RFC 5480 §2.1.1) as encoded near the beginning of PKCS#8.
    const EC: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let start = der.secret_der().get(..24).unwrap_or_default();
    let is_ec = start.windows(EC.len()).any(|bytes| bytes == EC);
    let as_ec = is_ec.then(|| aws_lc_rs::sign::any_ecdsa_type(der).ok());
    as_ec
        .flatten()
        .or_else(|| aws_lc_rs::sign::any_supported_type(der).ok())
}

/// When a certificate expires. One that cannot be parsed counts as expired: the only consequence is
/// that its sessions are not resumed.
fn not_after(leaf: &[u8]) -> Timestamp {
    let parsed = x509_parser::parse_x509_certificate(leaf);
    let ends = parsed.map_or(0, |(_, leaf)| leaf.validity().not_after.timestamp());
    Timestamp::from_unix_seconds(ends)
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("cached", &self.cache.len())
            .field("keyring", &self.keyring)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
        PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
    };

    use super::*;

    #[test]
    fn keys_of_every_kind_parse_and_others_do_not() {
        use SignatureAlgorithm as Algorithm;
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        for (key, algorithm) in [
            (rsa, Algorithm::RSA),
            (KeyPair::generate_for(&PKCS_ED25519), Algorithm::ED25519),
            (
                KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
                Algorithm::ECDSA,
            ),
            (
                KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
                Algorithm::ECDSA,
            ),
            (
                KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
                Algorithm::ECDSA,
            ),
        ] {
            let der = key.unwrap().serialize_der();
            let parsed = |der: &[u8]| parse(&PrivatePkcs8KeyDer::from(der).into());
            let key = parsed(&der).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            for end in 0..der.len() {
                assert!(parsed(&der[..end]).is_none(), "{algorithm:?} cut at {end}");
            }
        }
    }
}
