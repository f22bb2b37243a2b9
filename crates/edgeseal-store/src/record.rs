//! Record types. Metadata is versioned JSON, so that an operator can read it and a later release
//! can migrate it; material is binary.

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    account::AccessKey,
    certificate::{CertificateId, CertificateInfo, Digest},
    domain::Environment,
    managed_certificate::FailedOrders,
    ticket::TicketPeriod,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Fault;

mod acme;
mod edge;
mod issuers;
mod summary;

pub use acme::{ChallengeRecord, ChallengeResponse, DnsChallengeRecord};
pub use edge::{EdgeRecord, Proof, Quarantined, Unproven};
pub use issuers::{
    Challenge, ChallengeMethod, IssuerAccountRecord, IssuerHealthRecord, IssuerUsageRecord,
    ProvisionedChallengesRecord,
};
pub use summary::{
    BindingSummary, CertificateSummary, DomainSummary, decode_summary, encode_summary,
    is_summary_current,
};

/// A JSON record with its version. `1` is the only version so far; a release that changes a record
/// adds a version and converts older ones in [`decode`].
#[derive(Serialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    record: T,
}

/// The version of a record.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// An access key with its sealed secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessKeyRecord {
    /// The key.
    #[serde(flatten)]
    pub key: AccessKey,
    /// Its secret, sealed for [`crate::Key::access_key`]; base64.
    pub sealed_secret: String,
}

/// A certificate of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Its ID.
    pub id: CertificateId,
    /// The account that owns it.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: String,
    /// How it was uploaded.
    pub source: CertificateSource,
    /// The region of the certificate service that it belongs to.
    pub region: String,
    /// The domain with whose call it was first uploaded: once no domain has it bound, it becomes
    /// one of that domain's superseded uploads. Absent for uploads to the certificate service, and
    /// in records of releases that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_for: Option<DomainPattern>,
    /// Content digest of its material.
    pub material: Digest,
    /// Whether the material has a private key.
    pub has_key: bool,
    /// Whether its owner revoked or disabled it.
    #[serde(default)]
    pub revoked: bool,
    /// Whether its owner removed it while a domain used it: it is deleted with its last binding,
    /// and until then shown only where it is bound.
    #[serde(default)]
    pub removed: bool,
    /// The owner's resource group.
    #[serde(default)]
    pub resource_group: String,
    /// The owner's tags.
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    /// What people ask about the leaf.
    #[serde(rename = "facts")]
    pub info: CertificateInfo,
    /// When it was uploaded.
    pub created: Timestamp,
}

/// A deployment: certificates for domains of one account, with the result for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// Its ID.
    pub id: i64,
    /// A name that its owner gave it.
    pub name: String,
    /// The certificates, in order of preference.
    pub certificates: Vec<CertificateId>,
    /// The domains, each with its certificate and result.
    pub domains: Vec<DeployedDomain>,
    /// When it was requested.
    pub created: Timestamp,
    /// When it last ran.
    pub changed: Timestamp,
    /// The creator: the ID of a user, a role or the account, for as long as creators are
    /// distinguished.
    #[serde(default)]
    pub created_by: String,
}

/// Only the creator of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeploymentCreator {
    /// See [`DeploymentRecord::created_by`].
    #[serde(default)]
    pub created_by: String,
}

/// One domain of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedDomain {
    /// The domain's ID.
    pub id: i64,
    /// Its name.
    pub name: DomainPattern,
    /// The certificate chosen for it.
    pub certificate: CertificateId,
    /// The certificate that it had before.
    pub before: Option<CertificateId>,
    /// Why it does not have the certificate now.
    pub failure: Option<String>,
}

/// A private key as it was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalKeyRecord {
    /// The text, sealed for [`crate::Key::original_key`]; base64.
    pub sealed_text: String,
}

/// A certificate signing request whose private key was generated here and never leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningRequestRecord {
    /// The private key (PKCS#8 DER), sealed for [`crate::Key::signing_request`]; base64.
    pub sealed_key: String,
    /// Common name in the request.
    pub common_name: String,
    /// When it was created.
    pub created: Timestamp,
}

/// The private key of an order for a managed certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKeyRecord {
    /// The private key (PKCS#8 DER), sealed for [`crate::Key::order_key`]; base64.
    pub sealed_key: String,
}

/// The uploads for a domain that no domain has bound, or that domain alone. One that another domain
/// had bound too is absent until no domain has it bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadsRecord {
    /// The one that was added or superseded last comes last.
    pub uploads: Vec<UploadRecord>,
}

/// An upload that at most the domain that it was uploaded for has bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The certificate.
    pub certificate: CertificateId,
    /// Content digest of its material.
    pub material: Digest,
    /// Since when no domain has it bound; absent while the domain has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded: Option<Timestamp>,
}

/// The certificates of one account that have the same content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRecord {
    /// In the order in which they were added; also those that their owner removed while a domain used
    /// them. Never empty.
    pub certificates: Vec<CertificateId>,
}

/// A point in time, with nothing else to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimestampRecord {
    /// When.
    pub at: Timestamp,
}

/// How a certificate was uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// With the call that bound it to a domain.
    Upload,
    /// Not uploaded, but ordered from an issuer for one domain.
    Issued,
    /// To CAS, the certificate service.
    #[serde(rename = "centre")]
    Cas,
}

/// What the edge serves: identified by its [`Digest`], immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// DER of the leaf.
    pub leaf: Vec<u8>,
    /// Digests of the intermediates in serving order; see [`crate::Key::issuer`].
    pub issuers: Vec<[u8; 32]>,
    /// The private key (PKCS#8 DER), sealed for [`crate::Key::material`]; empty if there is none.
    pub sealed_key: Vec<u8>,
}

/// One change of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// When.
    pub at: Timestamp,
    /// The access key that signed the call.
    pub access_key: String,
    /// The action.
    pub action: String,
    /// The environment, if the action has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// SHA-256 of the leaf served before; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 of the leaf served after; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// SHA-256 of the companion's leaf before; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_companion: Option<String>,
    /// SHA-256 of the companion's leaf after; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_companion: Option<String>,
    /// The ID of the certificate bound after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateId>,
    /// The ID of the companion bound after; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<CertificateId>,
    /// Orders that failed: then nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedOrders>,
    /// The request ID; of failed orders that of the call that asked for the certificate.
    #[serde(rename = "request")]
    pub request_id: String,
}

/// A call that changed something or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// The account whose audit this is.
    pub account: AccountId,
    /// The caller: `acs:ram::{account}:root`, `…:user/{name}` or `…:assumed-role/{role}/{session}`.
    /// Empty in records of releases that did not write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// The access key that signed the call; empty if it belongs to another account.
    pub access_key: String,
    /// Address of the peer.
    pub source: String,
    /// The action.
    pub action: String,
    /// The domain or other resource acted upon, as given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// `OK` or the error code.
    pub code: String,
    /// What domains serve before and after: one entry for each domain and environment whose binding
    /// the call changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<BindingChange>,
    /// Warnings and the detail of an error; never key material.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The request ID.
    #[serde(rename = "request")]
    pub request_id: String,
}

/// The secret of the audit chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSecretRecord {
    /// The secret, sealed for [`crate::Key::audit_chain_secret`]; base64.
    pub sealed_secret: String,
}

/// A key that encrypts session tickets during one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKeyRecord {
    /// The period.
    pub period: TicketPeriod,
    /// When it was created.
    pub created: Timestamp,
    /// The key name in its tickets (16 bytes) and the key (32), sealed for
    /// [`crate::Key::ticket_key`]; base64.
    pub sealed_key: String,
}

/// What a domain serves before and after a change of its binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingChange {
    /// The domain.
    pub domain: DomainPattern,
    /// The environment.
    pub environment: Environment,
    /// SHA-256 of the leaf before, in hex; absent if HTTPS was off or nothing was bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 of the leaf after, in hex; absent if HTTPS is off or nothing is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// SHA-256 of the companion's leaf before, in hex; absent if none was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_companion: Option<String>,
    /// SHA-256 of the companion's leaf after, in hex; absent if none is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_companion: Option<String>,
}

/// The leaves that a domain serves, by their SHA-256 in hex; none if HTTPS is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedLeaves {
    /// Of the primary certificate.
    pub primary: Option<String>,
    /// Of the companion.
    pub companion: Option<String>,
}

/// Encodes a metadata record.
///
/// # Errors
/// Never in practice: the shapes above all have JSON forms.
pub fn encode<T: Serialize>(record: &T) -> Result<Bytes, Fault> {
    serde_json::to_vec(&Versioned { v: 1, record })
        .map(Bytes::from)
        .map_err(Fault::of("encode a record"))
}

/// Decodes a metadata record.
///
/// # Errors
/// A [`Fault`] if the value is not of this shape or of a newer version than this release knows.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Fault> {
    // Not flattened: serde would buffer every value in an intermediate form, at several times the
    // cost, and an edge decodes a million records at start. Everything that `encode` writes begins
    // with its version; any other value is parsed a second time for it.
    if !value.starts_with(br#"{"v":1,"#) {
        let version: Version =
            serde_json::from_slice(value).map_err(Fault::of("decode a record"))?;
        if version.v != 1 {
            return Err(Fault::new(
                "decode a record: it was written by a newer release",
            ));
        }
    }
    serde_json::from_slice(value).map_err(Fault::of("decode a record"))
}

/// Encodes material.
///
/// # Errors
/// Never in practice.
pub fn encode_material(material: &Material) -> Result<Bytes, Fault> {
    let mut bytes = vec![1]; // version
    bytes.append(&mut postcard::to_allocvec(material).map_err(Fault::of("encode material"))?);
    Ok(Bytes::from(bytes))
}

/// Decodes material.
///
/// # Errors
/// A [`Fault`] if the value is not material of a version that this release knows.
pub fn decode_material(value: &[u8]) -> Result<Material, Fault> {
    match value.split_first() {
        Some((1, rest)) => postcard::from_bytes(rest).map_err(Fault::of("decode material")),
        Some(_) => Err(Fault::new(
            "decode material: it was written by a newer release",
        )),
        None => Err(Fault::new("decode material: it is empty")),
    }
}
