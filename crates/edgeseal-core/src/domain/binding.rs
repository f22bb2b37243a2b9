//! The certificates that are bound to a domain: how they are bound, switched and managed.

use serde::{Deserialize, Serialize};

use super::{Domain, Environment};
use crate::{
    Timestamp,
    certificate::{CertificateId, Digest, KeyAlgorithm},
};

/// The certificate of a domain in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Whether HTTPS is on. A binding that is off is kept for display and rollback.
    pub enabled: bool,
    /// The certificate.
    pub certificate: CertificateId,
    /// Content digest of the served material.
    pub material: Digest,
    /// Whether a name of the certificate covers the domain.
    pub covers: bool,
    /// When it was bound, or HTTPS switched.
    pub updated: Timestamp,
    /// A second certificate, whose key has the other algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<Companion>,
}

/// The second certificate of a domain: with an RSA key beside one with an ECDSA key, or the
/// reverse. HTTPS is switched for both together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// The certificate.
    pub certificate: CertificateId,
    /// Content digest of the served material.
    pub material: Digest,
    /// Algorithm of its key; the primary certificate has the other of RSA and ECDSA.
    pub key: KeyAlgorithm,
    /// Whether a name of the certificate covers the domain.
    pub covers: bool,
    /// When it was bound.
    pub updated: Timestamp,
}

/// Why a domain gets no second certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompanionError {
    /// The domain has no certificate.
    #[error("the domain has no certificate to add this one to")]
    NothingBound,
    /// The domain has a certificate, but HTTPS is off.
    #[error("HTTPS is off for the domain; there is no certificate to add this one to")]
    HttpsOff,
    /// Both keys have the same algorithm.
    #[error("the domain's certificate has a key of the same kind: {key}")]
    SameKey {
        /// The algorithm.
        key: KeyAlgorithm,
    },
    /// The two algorithms are not RSA and ECDSA.
    #[error("{companion} does not go beside {primary}: one must be RSA, the other ECDSA")]
    UnsupportedPair {
        /// The algorithm of the primary certificate's key.
        primary: KeyAlgorithm,
        /// The algorithm of the second certificate's key.
        companion: KeyAlgorithm,
    },
}

impl Binding {
    /// The certificates, primary first, each with the content digest of its material.
    pub fn certificates(&self) -> impl Iterator<Item = (CertificateId, Digest)> {
        let companion = self.companion.iter();
        let companion = companion.map(|companion| (companion.certificate, companion.material));
        std::iter::once((self.certificate, self.material)).chain(companion)
    }

    /// Whether all its certificates cover the domain.
    #[must_use]
    pub fn all_cover(&self) -> bool {
        self.covers && self.companion.as_ref().is_none_or(|it| it.covers)
    }
}

impl Domain {
    /// What edges of `environment` serve: on staging edges the staged binding if there is one,
    /// otherwise the production binding.
    #[must_use]
    pub const fn binding(&self, environment: Environment) -> Option<&Binding> {
        match (environment, &self.staging) {
            (Environment::Staging, Some(staged)) => Some(staged),
            _ => self.production.as_ref(),
        }
    }

    /// Whether HTTPS is on for the production edges.
    #[must_use]
    pub fn is_https_on(&self) -> bool {
        self.production
            .as_ref()
            .is_some_and(|binding| binding.enabled)
    }

    /// Binds a certificate and switches HTTPS on. The binding replaces both earlier certificates; a
    /// production binding also discards a staged one. What is bound so is no longer managed.
    pub fn bind(&mut self, binding: Binding, environment: Environment, now: Timestamp) {
        self.end_management(environment);
        self.put_binding(binding, environment, now);
    }

    /// Binds a certificate that was ordered here, as [`bind`](Self::bind) does, and keeps managing
    /// it.
    pub fn bind_managed(&mut self, binding: Binding, environment: Environment, now: Timestamp) {
        self.manage(environment, now);
        self.put_binding(binding, environment, now);
    }

    /// Whether the certificate is ordered and renewed here.
    #[must_use]
    pub fn is_managed(&self, environment: Environment) -> bool {
        self.managed.contains(&environment)
    }

    /// Has the certificate ordered and renewed from now on. What is bound stays bound until another
    /// certificate is issued.
    pub fn manage(&mut self, environment: Environment, now: Timestamp) {
        if !self.is_managed(environment) {
            self.managed.push(environment);
        }
        self.modified = now;
    }

    pub(super) fn end_management(&mut self, environment: Environment) {
        self.managed.retain(|managed| *managed != environment);
    }

    fn put_binding(&mut self, binding: Binding, environment: Environment, now: Timestamp) {
        match environment {
            Environment::Production => {
                self.production = Some(binding);
                self.staging = None;
                self.end_management(Environment::Staging);
            }
            Environment::Staging => self.staging = Some(binding),
        }
        self.modified = now;
    }

    /// The binding that a second certificate would join.
    ///
    /// # Errors
    /// [`CompanionError`] if nothing is bound or HTTPS is off.
    pub const fn companion_base(
        &self,
        environment: Environment,
    ) -> Result<&Binding, CompanionError> {
        match self.binding(environment) {
            None => Err(CompanionError::NothingBound),
            Some(binding) if !binding.enabled => Err(CompanionError::HttpsOff),
            Some(binding) => Ok(binding),
        }
    }

    /// Binds a second certificate beside the primary one, whose key has the algorithm `first`. It
    /// replaces an earlier second certificate and otherwise behaves like [`Domain::bind`].
    ///
    /// # Errors
    /// [`CompanionError`]; the domain is then unchanged.
    pub fn bind_companion(
        &mut self,
        companion: Companion,
        first: KeyAlgorithm,
        environment: Environment,
        now: Timestamp,
    ) -> Result<(), CompanionError> {
        use KeyAlgorithm::{Ecdsa, Rsa};
        let mut joined = self.companion_base(environment)?.clone();
        match (first, companion.key) {
            (Rsa, Ecdsa) | (Ecdsa, Rsa) => {}
            (first, key) if first == key => return Err(CompanionError::SameKey { key }),
            (first, beside) => {
                return Err(CompanionError::UnsupportedPair {
                    primary: first,
                    companion: beside,
                });
            }
        }
        joined.companion = Some(companion);
        self.put_binding(joined, environment, now);
        Ok(())
    }

    /// Switches HTTPS off and keeps the binding, which is no longer managed. Does nothing else if
    /// nothing is bound.
    pub fn disable_https(&mut self, environment: Environment, now: Timestamp) {
        self.end_management(environment);
        let Some(mut off) = self.binding(environment).cloned() else {
            return;
        };
        if off.enabled {
            off.enabled = false;
            off.updated = now;
        }
        self.bind(off, environment, now);
    }
}
