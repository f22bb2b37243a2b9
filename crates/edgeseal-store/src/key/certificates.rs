//! Keys of certificates, of what they consist of, and of their uses.

use edgeseal_core::{
    AccountId, DomainPattern,
    certificate::{CertificateId, Digest},
    domain::Environment,
    managed_certificate::KeyType,
};

use super::{
    CERTIFICATE_NAMES, CERTIFICATE_SUMMARIES, CERTIFICATE_USES, CERTIFICATES, CONTENTS,
    ISSUER_COUNTS, ISSUERS, Key, MANAGED_CERTIFICATES, MATERIALS, ORDER_KEYS, ORIGINAL_CHAINS,
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

    /// The account of [`Key::uploads`]; `None` for any other key.
    pub(crate) fn uploads_account(&self) -> Option<AccountId> {
        let (account, _) = self.0.strip_prefix(UPLOADS)?.split_once('/')?;
        AccountId::parse(account).ok()
    }

    /// The certificates of an account with this content; see [`crate::record::ContentRecord`].
    #[must_use]
    pub fn content(digest: &Digest, account: &AccountId) -> Self {
        Self(format!("{}{account}", contents(digest)).into())
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

    /// Marks that a domain has this certificate bound that it was not uploaded for.
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

    /// Rewritten whenever an account adds a certificate with material that is there; as
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
        Self(format!("{ISSUERS}{digest}").into())
    }

    /// How many times material has this intermediate in its chain.
    #[must_use]
    pub fn issuer_count(issuer: &Digest) -> Self {
        Self(format!("{ISSUER_COUNTS}{issuer}").into())
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

/// Prefix of [`Key::content`].
#[must_use]
pub fn contents(digest: &Digest) -> String {
    format!("{CONTENTS}{digest}/")
}

/// Prefix of [`Key::signing_request`].
#[must_use]
pub fn signing_requests(account: &AccountId) -> String {
    format!("{SIGNING_REQUESTS}{account}/")
}
