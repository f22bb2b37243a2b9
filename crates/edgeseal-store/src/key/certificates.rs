//! Keys of certificates, of what they consist of, and of their uses.

use edgeseal_core::{
    AccountId, DomainPattern,
    certificate::{CertificateId, Digest},
    domain::Environment,
    managed_certificate::KeyType,
};

use super::{
    CERTIFICATE_CONTENTS, CERTIFICATE_NAMES, CERTIFICATE_SUMMARIES, CERTIFICATE_USES, CERTIFICATES,
    ISSUER_USES, Key, MANAGED_CERTIFICATES, MATERIAL_USES, MATERIALS, ORDER_KEYS, ORIGINAL_CHAINS,
    ORIGINAL_KEYS, SIGNING_REQUESTS, UPLOADS, hash, shard,
};

impl Key {
    /// A certificate by ID.
    #[must_use]
    pub fn certificate(id: CertificateId) -> Self {
        let id = id.to_string();
        Self(format!("{CERTIFICATES}{}/{id}", shard(id.as_bytes())).into())
    }

    /// A certificate's summary in its account; see [`crate::record::CertificateSummary`].
    #[must_use]
    pub fn account_certificate(account: &AccountId, region: &str, id: CertificateId) -> Self {
        Self(format!("{}{id:019}", regional_certificates(account, region)).into())
    }

    /// The certificate with this name in an account. Names are free text and therefore hashed.
    #[must_use]
    pub fn certificate_name(account: &AccountId, name: &str) -> Self {
        Self(format!("{CERTIFICATE_NAMES}{account}/{}", hash(&[name.as_bytes()])).into())
    }

    /// A certificate with this content in an account.
    #[must_use]
    pub fn certificate_content(account: &AccountId, digest: &Digest) -> Self {
        Self(format!("{CERTIFICATE_CONTENTS}{account}/{digest}").into())
    }

    /// The chain of a certificate as it was uploaded.
    #[must_use]
    pub fn original_chain(id: CertificateId) -> Self {
        Self(format!("{ORIGINAL_CHAINS}{id}").into())
    }

    /// The private key of a certificate as it was uploaded, sealed.
    #[must_use]
    pub fn original_key(id: CertificateId) -> Self {
        Self(format!("{ORIGINAL_KEYS}{id}").into())
    }

    /// Marks that a domain has this certificate bound.
    #[must_use]
    pub fn certificate_use(id: CertificateId, name: &DomainPattern) -> Self {
        Self(format!("{}{name}", certificate_uses(id)).into())
    }

    /// Rewritten whenever a domain binds this certificate, so that a removal, which reads it,
    /// conflicts with a concurrent binding.
    #[must_use]
    pub fn certificate_use_guard(id: CertificateId) -> Self {
        Self(format!("certused/{id}").into())
    }

    /// The uploads for a domain of an account; see [`crate::record::UploadsRecord`].
    #[must_use]
    pub fn uploads(account: &AccountId, name: &DomainPattern) -> Self {
        Self(format!("{UPLOADS}{account}/{name}").into())
    }

    /// Marks that a certificate has this material.
    #[must_use]
    pub fn material_use(digest: &Digest, id: CertificateId) -> Self {
        Self(format!("{}{id}", material_uses(digest)).into())
    }

    /// Rewritten whenever a certificate with this material is added; as
    /// [`Key::certificate_use_guard`].
    #[must_use]
    pub fn material_use_guard(digest: &Digest) -> Self {
        Self(format!("materialused/{digest}").into())
    }

    /// A signing request of an account, by the SHA-256 of its public key.
    #[must_use]
    pub fn signing_request(account: &AccountId, public_key: &Digest) -> Self {
        Self(format!("{}{public_key}", signing_requests(account)).into())
    }

    /// The state of a domain's managed certificate in one environment.
    #[must_use]
    pub fn managed_certificate(name: &DomainPattern, environment: Environment) -> Self {
        let (name, environment) = (name.to_string(), environment.as_str());
        let shard = shard(name.as_bytes());
        Self(format!("{MANAGED_CERTIFICATES}{shard}/{name}/{environment}").into())
    }

    /// The private key of an order for a managed certificate.
    #[must_use]
    pub fn order_key(name: &DomainPattern, environment: Environment, key_type: KeyType) -> Self {
        let environment = environment.as_str();
        Self(format!("{ORDER_KEYS}{name}/{environment}/{key_type}").into())
    }

    /// Leaf and sealed key.
    #[must_use]
    pub fn material(digest: &Digest) -> Self {
        let digest = digest.to_string();
        Self(format!("{MATERIALS}{}/{digest}", &digest[..2]).into())
    }

    /// An intermediate, shared by all certificates below it.
    #[must_use]
    pub fn issuer(digest: &Digest) -> Self {
        Self(format!("issuer/{digest}").into())
    }

    /// Marks that material has this intermediate in its chain.
    #[must_use]
    pub fn issuer_use(issuer: &Digest, material: &Digest) -> Self {
        Self(format!("{}{material}", issuer_uses(issuer)).into())
    }

    /// Rewritten whenever material with this intermediate is added; as
    /// [`Key::certificate_use_guard`].
    #[must_use]
    pub fn issuer_use_guard(issuer: &Digest) -> Self {
        Self(format!("issuerused/{issuer}").into())
    }

    /// Marks that all uses of this intermediate are recorded, which earlier releases did not do.
    #[must_use]
    pub fn issuer_uses_complete(issuer: &Digest) -> Self {
        Self(format!("issuercounted/{issuer}").into())
    }
}

/// Prefix of [`Key::account_certificate`].
#[must_use]
pub fn account_certificates(account: &AccountId) -> String {
    format!("{CERTIFICATE_SUMMARIES}{account}/")
}

/// Prefix of [`Key::account_certificate`] for one region.
#[must_use]
pub fn regional_certificates(account: &AccountId, region: &str) -> String {
    format!("{}{region}/", account_certificates(account))
}

/// Prefix of [`Key::certificate_use`].
#[must_use]
pub fn certificate_uses(id: CertificateId) -> String {
    format!("{CERTIFICATE_USES}{id}/")
}

/// Prefix of [`Key::material_use`].
#[must_use]
pub fn material_uses(digest: &Digest) -> String {
    format!("{MATERIAL_USES}{digest}/")
}

/// Prefix of [`Key::issuer_use`].
#[must_use]
pub fn issuer_uses(issuer: &Digest) -> String {
    format!("{ISSUER_USES}{issuer}/")
}

/// Prefix of [`Key::signing_request`].
#[must_use]
pub fn signing_requests(account: &AccountId) -> String {
    format!("{SIGNING_REQUESTS}{account}/")
}
