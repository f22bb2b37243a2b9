//! The certificate for a ClientHello: the domain's only one, or of two the one that the client can
//! verify.
//!
//! The ECDSA certificate, if the client supports a signature scheme of its key, and has a cipher
//! suite for it in case TLS 1.2 is negotiated; otherwise the RSA certificate (RFC 8446 §4.2.3, RFC
//! 5246 §7.4.1.4.1, RFC 8422 §5.4). The negotiated version cannot be known here, and some clients
//! list suites of versions that they do not offer; so a client whose TLS 1.2 suites are all for RSA
//! gets the RSA certificate in TLS 1.3 too, where suites do not matter.

use std::sync::{Arc, OnceLock};

use edgeseal_core::{Timestamp, certificate::Digest};
use rustls::{
    CipherSuite, SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::key_cache::{KeyCache, MaterialError, ServingKey};
use crate::{
    served_domain::{CertificateSet, Certificates, SharedMaterial},
    telemetry::{self, RejectReason},
};

/// Resolves the certificate of one ClientHello.
#[derive(Debug)]
pub(super) struct CertResolver {
    preferred: (Digest, ServingKey),
    /// For clients that cannot verify the preferred one.
    fallback: Option<Fallback>,
    unusable: OnceLock<MaterialError>,
    chosen: OnceLock<ChosenCertificate>,
}

/// The certificate that a client gets, or would get in a full handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChosenCertificate {
    pub(super) digest: Digest,
    pub(super) not_after: Timestamp,
}

#[derive(Debug)]
struct Fallback {
    material: SharedMaterial,
    /// The key is opened only when needed: most clients never need it.
    keys: Arc<KeyCache>,
}

impl CertResolver {
    /// Resolves to one of these certificates. One of two that cannot be used is skipped.
    ///
    /// # Errors
    /// [`MaterialError`] if there is no other.
    pub(super) fn of(
        keys: &Arc<KeyCache>,
        certificates: &Certificates,
    ) -> Result<Self, MaterialError> {
        let (ecdsa, rsa) = match certificates.as_set() {
            CertificateSet::Single(material) => {
                let key = keys.get(&material)?;
                return Ok(Self::with(*material.digest(), key));
            }
            CertificateSet::Pair { ecdsa, rsa, .. } => (ecdsa, rsa),
        };
        match keys.get(&ecdsa) {
            Ok(preferred) => Ok(Self {
                fallback: Some(Fallback {
                    material: rsa.clone_arc(),
                    keys: Arc::clone(keys),
                }),
                ..Self::with(*ecdsa.digest(), preferred)
            }),
            Err(reason) => {
                let only = Self::with(*rsa.digest(), keys.get(&rsa)?);
                Ok(Self {
                    unusable: reason.into(),
                    ..only
                })
            }
        }
    }

    fn with(digest: Digest, preferred: ServingKey) -> Self {
        Self {
            preferred: (digest, preferred),
            fallback: None,
            unusable: OnceLock::new(),
            chosen: OnceLock::new(),
        }
    }

    /// Whether this is one of the certificates.
    pub(super) fn includes(&self, digest: &Digest) -> bool {
        let fallback = self.fallback.as_ref();
        self.preferred.0 == *digest
            || fallback.is_some_and(|fallback| fallback.material.digest() == digest)
    }

    /// The chosen certificate; `None` before the client was considered.
    pub(super) fn chosen(&self) -> Option<ChosenCertificate> {
        self.chosen.get().copied()
    }

    /// Whether one of the keys supports a scheme that the client offers. A key that cannot be used
    /// counts as supporting all: its failure is not decided here.
    pub(super) fn can_sign(&self, offered: &[SignatureScheme]) -> bool {
        let signs = |key: &ServingKey| key.certified.key.choose_scheme(offered).is_some();
        signs(&self.preferred.1)
            || self.fallback.as_ref().is_some_and(|fallback| {
                let key = fallback.keys.get(&fallback.material);
                key.map_or(true, |key| signs(&key))
            })
    }

    fn choose(&self, digest: Digest, key: ServingKey) -> Arc<CertifiedKey> {
        let not_after = key.not_after;
        // A second ClientHello chooses the same.
        let _ = self.chosen.set(ChosenCertificate { digest, not_after });
        key.certified
    }

    /// Why one of two certificates could not be used, if that was found.
    pub(super) fn unusable(&self) -> Option<&MaterialError> {
        self.unusable.get()
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        let preferred = || {
            let (digest, key) = &self.preferred;
            Some(self.choose(*digest, key.clone()))
        };
        let Some(fallback) = &self.fallback else {
            return preferred();
        };
        let taken = self
            .preferred
            .1
            .certified
            .key
            .choose_scheme(offered)
            .is_some();
        if taken && !is_for_rsa_only(hello.cipher_suites()) {
            return preferred();
        }
        match fallback.keys.get(&fallback.material) {
            Ok(key) if key.certified.key.choose_scheme(offered).is_some() => {
                Some(self.choose(*fallback.material.digest(), key))
            }
            Ok(_) => preferred(),
            Err(reason) => {
                telemetry::handshake_rejected(RejectReason::KeyUnusable);
                let _ = self.unusable.set(reason); // set once for each ClientHello
                // A client that cannot verify it gets `handshake_failure` from rustls.
                preferred()
            }
        }
    }
}

/// Whether all supported TLS 1.2 suites are for RSA keys; `false` if there are none.
fn is_for_rsa_only(suites: &[CipherSuite]) -> bool {
    let has = |wanted: [CipherSuite; 3]| wanted.iter().any(|suite| suites.contains(suite));
    has(FOR_RSA) && !has(FOR_ECDSA)
}

const FOR_RSA: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
const FOR_ECDSA: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::provider;

    #[test]
    fn every_suite_of_tls_1_2_is_for_one_kind_of_keys() {
        let suites = provider().cipher_suites.clone();
        let spoken = suites.iter().filter(|suite| suite.tls13().is_none());
        let mut spoken: Vec<u16> = spoken.map(|suite| suite.suite().into()).collect();
        let mut known: Vec<u16> = [FOR_RSA, FOR_ECDSA]
            .concat()
            .into_iter()
            .map(u16::from)
            .collect();
        spoken.sort_unstable();
        known.sort_unstable();
        assert_eq!(spoken, known);
    }
}
