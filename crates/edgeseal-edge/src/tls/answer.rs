//! What a ClientHello is answered with: the certificate of its domain, or of two the one that the
//! client can check.
//!
//! That of the ECDSA key, if the client takes a signature that this key makes, and has a cipher suite
//! for it in case that TLS 1.2 is spoken; else that of the RSA key (RFC 8446 §4.2.3, RFC 5246
//! §7.4.1.4.1, RFC 8422 §5.4). Which version is spoken cannot be known here, and some clients list
//! suites of versions that they do not offer; so a client whose suites of TLS 1.2 are for RSA only
//! gets that certificate in TLS 1.3 too, where suites do not count.

use std::sync::{Arc, OnceLock};

use rustls::{
    CipherSuite,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::keys::{Keys, Unusable};
use crate::{
    entry::{Certificates, Choice, SharedMaterial},
    telemetry::{self, Refusal},
};

/// Answers one ClientHello.
#[derive(Debug)]
pub(super) struct Answer {
    preferred: Arc<CertifiedKey>,
    /// For clients that cannot check the preferred one.
    otherwise: Option<Otherwise>,
    unusable: OnceLock<Unusable>,
}

#[derive(Debug)]
struct Otherwise {
    material: SharedMaterial,
    /// Opened only when it is needed: most clients never need it.
    keys: Arc<Keys>,
}

impl Answer {
    /// Of these certificates. One of two that cannot be used is left out.
    ///
    /// # Errors
    /// [`Unusable`] if there is no other.
    pub(super) fn of(keys: &Arc<Keys>, certificates: &Certificates) -> Result<Self, Unusable> {
        let (ecdsa, rsa) = match certificates.choice() {
            Choice::One(material) => return Ok(Self::with(keys.of(&material)?)),
            Choice::Two { ecdsa, rsa, .. } => (ecdsa, rsa),
        };
        match keys.of(&ecdsa) {
            Ok(preferred) => Ok(Self {
                otherwise: Some(Otherwise {
                    material: rsa.clone_arc(),
                    keys: Arc::clone(keys),
                }),
                ..Self::with(preferred)
            }),
            Err(why) => {
                let only = Self::with(keys.of(&rsa)?);
                Ok(Self {
                    unusable: why.into(),
                    ..only
                })
            }
        }
    }

    fn with(preferred: Arc<CertifiedKey>) -> Self {
        Self {
            preferred,
            otherwise: None,
            unusable: OnceLock::new(),
        }
    }

    /// Why one of two certificates could not be used, if that was found.
    pub(super) fn unusable(&self) -> Option<&Unusable> {
        self.unusable.get()
    }
}

impl ResolvesServerCert for Answer {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        let preferred = || Some(Arc::clone(&self.preferred));
        let Some(otherwise) = &self.otherwise else {
            return preferred();
        };
        let taken = self.preferred.key.choose_scheme(offered).is_some();
        if taken && !is_for_rsa_only(hello.cipher_suites()) {
            return preferred();
        }
        match otherwise.keys.of(&otherwise.material) {
            Ok(key) if key.key.choose_scheme(offered).is_some() => Some(key),
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
