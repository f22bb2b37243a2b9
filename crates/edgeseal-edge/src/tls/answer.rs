//! What a ClientHello is answered with: the certificate of its domain, or of two the one that the
//! client can check.
//!
//! That of the ECDSA key, if the client takes a signature that this key makes; else that of the RSA
//! key. rustls asks once the version is known, and then leaves out of the client's signature schemes
//! what no cipher suite of TLS 1.2 that both have could use, so that schemes alone decide in both
//! versions (RFC 8446 §4.2.3, RFC 5246 §7.4.1.4.1, RFC 8422 §5.4).

use std::sync::{Arc, OnceLock};

use rustls::{
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
        if self.preferred.key.choose_scheme(offered).is_some() {
            return preferred();
        }
        match otherwise.keys.of(&otherwise.material) {
            Ok(key) => Some(key),
            Err(why) => {
                telemetry::refusal(Refusal::KeyUnusable);
                let _ = self.unusable.set(why); // asked once for each ClientHello
                // What the client cannot check: rustls says so with `handshake_failure`.
                preferred()
            }
        }
    }
}
