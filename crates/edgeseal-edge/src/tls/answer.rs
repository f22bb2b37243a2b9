//! What a ClientHello is answered with: the certificate of its domain, or of two the one that the
//! client can check.
//!
//! That of the ECDSA key, if the client takes a signature that this key makes, and has a cipher suite
//! for it in case that TLS 1.2 is spoken; else that of the RSA key (RFC 8446 §4.2.3, RFC 5246
//! §7.4.1.4.1, RFC 8422 §5.4). Which version is spoken cannot be known here, and some clients list
//! suites of versions that they do not offer; so a client whose suites of TLS 1.2 are for RSA only
//! gets that certificate in TLS 1.3 too, where suites do not count.

use std::sync::{Arc, OnceLock};

use edgeseal_core::{Timestamp, certificate::Digest};
use rustls::{
    CipherSuite, SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::keys::{Keys, Unusable, Usable};
use crate::{
    entry::{Certificates, Choice, SharedMaterial},
    telemetry::{self, Refusal},
};

/// Answers one ClientHello.
#[derive(Debug)]
pub(super) struct Answer {
    preferred: (Digest, Usable),
    /// For clients that cannot check the preferred one.
    otherwise: Option<Otherwise>,
    unusable: OnceLock<Unusable>,
    chosen: OnceLock<Chosen>,
}

/// The certificate that a client gets, or would get in a full handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) digest: Digest,
    pub(super) not_after: Timestamp,
}

#[derive(Debug)]
struct Otherwise {
    material: SharedMaterial,
    /// Whether its OCSP response is wanted.
    stapling: bool,
    /// Opened only when it is needed: most clients never need it.
    keys: Arc<Keys>,
}

impl Answer {
    /// Of these certificates, each with its own OCSP response if `stapling` is wanted. One of two that
    /// cannot be used is left out.
    ///
    /// # Errors
    /// [`Unusable`] if there is no other.
    pub(super) fn of(
        keys: &Arc<Keys>,
        certificates: &Certificates,
        stapling: bool,
    ) -> Result<Self, Unusable> {
        let (ecdsa, rsa) = match certificates.choice() {
            Choice::One(material) => {
                let usable = keys.of(&material, stapling)?;
                return Ok(Self::with(*material.digest(), usable));
            }
            Choice::Two { ecdsa, rsa, .. } => (ecdsa, rsa),
        };
        match keys.of(&ecdsa, stapling) {
            Ok(preferred) => Ok(Self {
                otherwise: Some(Otherwise {
                    material: rsa.clone_arc(),
                    stapling,
                    keys: Arc::clone(keys),
                }),
                ..Self::with(*ecdsa.digest(), preferred)
            }),
            Err(why) => {
                let only = Self::with(*rsa.digest(), keys.of(&rsa, stapling)?);
                Ok(Self {
                    unusable: why.into(),
                    ..only
                })
            }
        }
    }

    fn with(digest: Digest, preferred: Usable) -> Self {
        Self {
            preferred: (digest, preferred),
            otherwise: None,
            unusable: OnceLock::new(),
            chosen: OnceLock::new(),
        }
    }

    /// Whether this is one of the certificates.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        let otherwise = self.otherwise.as_ref();
        self.preferred.0 == *digest
            || otherwise.is_some_and(|otherwise| otherwise.material.digest() == digest)
    }

    /// Which certificate was chosen; `None` before the client was looked at.
    pub(super) fn chosen(&self) -> Option<Chosen> {
        self.chosen.get().copied()
    }

    /// Whether one of the keys makes a signature that the client takes. One that cannot be used makes
    /// any: what becomes of it is not decided here.
    pub(super) fn can_sign(&self, offered: &[SignatureScheme]) -> bool {
        let signs = |usable: &Usable| usable.key.key.choose_scheme(offered).is_some();
        signs(&self.preferred.1)
            || self.otherwise.as_ref().is_some_and(|otherwise| {
                let usable = otherwise.keys.of(&otherwise.material, otherwise.stapling);
                usable.map_or(true, |usable| signs(&usable))
            })
    }

    fn choose(&self, digest: Digest, usable: Usable) -> Arc<CertifiedKey> {
        let not_after = usable.not_after;
        // A second ClientHello chooses the same.
        let _ = self.chosen.set(Chosen { digest, not_after });
        usable.key
    }

    /// Why one of two certificates could not be used, if that was found.
    pub(super) fn unusable(&self) -> Option<&Unusable> {
        self.unusable.get()
    }
}

impl ResolvesServerCert for Answer {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        let preferred = || {
            let (digest, usable) = &self.preferred;
            Some(self.choose(*digest, usable.clone()))
        };
        let Some(otherwise) = &self.otherwise else {
            return preferred();
        };
        let taken = self.preferred.1.key.key.choose_scheme(offered).is_some();
        if taken && !is_for_rsa_only(hello.cipher_suites()) {
            return preferred();
        }
        match otherwise.keys.of(&otherwise.material, otherwise.stapling) {
            Ok(usable) if usable.key.key.choose_scheme(offered).is_some() => {
                Some(self.choose(*otherwise.material.digest(), usable))
            }
            Ok(_) => preferred(),
            Err(why) => {
                telemetry::refusal(Refusal::KeyUnusable);
                let _ = self.unusable.set(why); // asked once for each ClientHello
                // What the client cannot check: rustls says so with `handshake_failure`.
                preferred()
            }
        }
    }
}

/// Whether the suites of TLS 1.2 that are spoken here are all for RSA keys; `false` if there are none.
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
