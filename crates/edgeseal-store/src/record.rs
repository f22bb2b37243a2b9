//! Stored shapes. Metadata is JSON with a version, so that an operator can read it and a later
//! release can migrate it; material is binary.

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    account::AccessKey,
    certificate::{CertificateId, CertificateInfo, Digest},
    domain::{Coverage, Domain, DomainState, Environment, ServiceType},
    ticket::TicketPeriod,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Fault;

/// A JSON shape with its version. `1` is the only one so far; a release that changes a shape adds a
/// version and converts older ones in [`decode`].
#[derive(Serialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    record: T,
}

/// The version of a shape.
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

/// A certificate of an account: who has it, how it is called, where its material is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Its number.
    pub id: CertificateId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: String,
    /// How it came here.
    pub source: CertificateSource,
    /// Region of the certificate centre that it belongs to.
    pub region: String,
    /// The domain whose call it came with, of several the first: once no domain has it bound, it is
    /// one of that domain's superseded uploads. Absent in the certificate centre, and in records of
    /// releases that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_for: Option<DomainPattern>,
    /// Address of its material.
    pub material: Digest,
    /// Whether the material has a private key.
    pub has_key: bool,
    /// Whether its owner revoked or disabled it.
    #[serde(default)]
    pub revoked: bool,
    /// Whether its owner removed it while a domain used it: it goes with its last binding, and is
    /// shown only where it is bound until then.
    #[serde(default)]
    pub removed: bool,
    /// A grouping label of the owner.
    #[serde(default)]
    pub resource_group: String,
    /// Labels of the owner.
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    /// What the leaf says.
    #[serde(rename = "facts")]
    pub info: CertificateInfo,
    /// When it came here.
    pub created: Timestamp,
}

/// A deployment: certificates for domains of one account, and how it ended for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// Its number.
    pub id: i64,
    /// A name that its owner gave it.
    pub name: String,
    /// The certificates, in the order in which they are looked at.
    pub certificates: Vec<CertificateId>,
    /// What it is for.
    pub domains: Vec<DeployedDomain>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it last ran.
    pub changed: Timestamp,
    /// Who asked for it: the number of a user, a role or the account, as long as that is told apart
    /// from those of others.
    #[serde(default)]
    pub created_by: String,
}

/// Who asked for a deployment, without the rest of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeploymentCreator {
    /// See [`DeploymentRecord::created_by`].
    #[serde(default)]
    pub created_by: String,
}

/// One domain of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedDomain {
    /// The domain's number.
    pub id: i64,
    /// Its name.
    pub name: DomainPattern,
    /// The certificate that is for it.
    pub certificate: CertificateId,
    /// What it had before.
    pub before: Option<CertificateId>,
    /// Why it does not have the certificate now.
    pub failure: Option<String>,
}

/// What listings filter domains by. Kept beside the account's index of its domains, so that a
/// listing reads the records of one page only. Borrows: a listing decodes all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSummary<'a> {
    /// Its number.
    pub id: i64,
    /// Whether it is served.
    pub state: DomainState,
    /// What it delivers.
    pub service: ServiceType,
    /// Where it is delivered.
    pub coverage: Coverage,
    /// When it was last changed.
    pub modified: Timestamp,
    /// A grouping label of the owner.
    pub resource_group: &'a str,
    /// Labels of the owner.
    #[serde(borrow)]
    pub tags: Vec<(&'a str, &'a str)>,
    /// Host names or IP addresses of its origins.
    #[serde(borrow)]
    pub origins: Vec<&'a str>,
    /// Its certificate, if HTTPS is on on the production edges.
    pub served: Option<BindingSummary>,
    /// Names of its settings, each once.
    #[serde(borrow)]
    pub settings: Vec<&'a str>,
}

/// The certificate of a domain with HTTPS on, as far as listings look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSummary {
    /// Which certificate; of two the first.
    pub certificate: CertificateId,
    /// End of validity of the served chain; of two chains the earlier.
    pub expires: Timestamp,
}

/// What listings filter certificates by; see [`DomainSummary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Common name of its subject.
    pub common_name: &'a str,
    /// Its DNS names as people write them, separated by commas.
    pub names: std::borrow::Cow<'a, str>,
    /// Whether its owner revoked or disabled it.
    pub revoked: bool,
    /// A grouping label of the owner.
    pub resource_group: &'a str,
    /// End of validity of the leaf.
    pub not_after: Timestamp,
}

/// A private key as it was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalKeyRecord {
    /// The text, sealed for [`crate::Key::original_key`]; base64.
    pub sealed_text: String,
}

/// A request for a certificate whose private key was made here and stays here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningRequestRecord {
    /// The private key (PKCS#8 DER), sealed for [`crate::Key::signing_request`]; base64.
    pub sealed_key: String,
    /// Common name that the certificate is asked for.
    pub common_name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// When something happened that there is nothing else to say of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimestampRecord {
    /// When.
    pub at: Timestamp,
}

/// How a certificate came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// With the call that bound it to a domain.
    Upload,
    /// Through the certificate centre.
    Centre,
}

/// What the edge serves: addressed by [`Digest`], never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// DER of the leaf.
    pub leaf: Vec<u8>,
    /// Addresses of the intermediates in serving order; see [`crate::Key::issuer`].
    pub issuers: Vec<[u8; 32]>,
    /// The private key (PKCS#8 DER), sealed for [`crate::Key::material`]; empty if there is none.
    pub sealed_key: Vec<u8>,
}

/// One change of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// When.
    pub at: Timestamp,
    /// Who: the access key that signed the call.
    pub access_key: String,
    /// The call.
    pub action: String,
    /// For which edges, where that matters.
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
    /// The number of the certificate bound after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateId>,
    /// The number of the companion bound after; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<CertificateId>,
    /// Id of the request.
    #[serde(rename = "request")]
    pub request_id: String,
}

/// One call that changed something or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// Whose account.
    pub account: AccountId,
    /// Who: `acs:ram::{account}:root`, `…:user/{name}` or `…:assumed-role/{role}/{session}`. Empty in
    /// records of releases that did not write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// The access key that signed the call; empty if it is one of another account.
    pub access_key: String,
    /// Address of the peer.
    pub source: String,
    /// The call.
    pub action: String,
    /// The domain or other thing acted upon, as given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// `OK` or the code of the refusal.
    pub code: String,
    /// What domains serve before and after, one entry for each domain and environment whose binding
    /// the call changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<BindingChange>,
    /// Warnings and the detail of a refusal; never key material.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Id of the request.
    #[serde(rename = "request")]
    pub request_id: String,
}

/// The secret of the chains over the audits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSecretRecord {
    /// The secret, sealed for [`crate::Key::audit_chain_secret`]; base64.
    pub sealed_secret: String,
}

/// A key that seals session tickets during one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKeyRecord {
    /// The period.
    pub period: TicketPeriod,
    /// When it was made.
    pub created: Timestamp,
    /// The name that stands in its tickets (16 octets) and the key (32), sealed for
    /// [`crate::Key::ticket_key`]; base64.
    pub sealed_key: String,
}

/// What a domain serves before and after a change of its binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingChange {
    /// The domain.
    pub domain: DomainPattern,
    /// On which edges.
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

/// The leaves that a domain serves, each by its SHA-256 in hex; none with HTTPS off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedLeaves {
    /// Of the first certificate.
    pub primary: Option<String>,
    /// Of the companion.
    pub companion: Option<String>,
}

/// What an edge reports of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRecord {
    /// Its name.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Every change up to this revision is served.
    pub revision: u64,
    /// When it reported.
    pub at: Timestamp,
    /// Domains that it serves.
    pub domains: u64,
    /// Records that it could not use and for which it serves the last good state: the first ones in
    /// order of their names.
    pub quarantined: Vec<Quarantined>,
    /// How many of these there are in all; 0 in reports of releases that named all of them.
    #[serde(default)]
    pub quarantined_total: u64,
    /// Domains of which a handshake showed something else than it should, or nothing: the first ones
    /// in order of their names.
    #[serde(default)]
    pub unproved: Vec<Unproved>,
    /// How many of these there are in all.
    #[serde(default)]
    pub unproved_total: u64,
    /// Leaves that it read from real handshakes with its own listener, latest first. Some only: the
    /// room in a report is limited, and in bulk a sample is read.
    pub proofs: Vec<Proof>,
}

/// A record that an edge could not use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The domain.
    pub domain: DomainPattern,
    /// Why.
    #[serde(rename = "why")]
    pub reason: String,
}

/// A domain of which a handshake with the own listener did not show what it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproved {
    /// The domain.
    pub domain: DomainPattern,
    /// What was seen in place of it.
    #[serde(rename = "why")]
    pub reason: String,
    /// The commit of the state that should have been seen.
    pub revision: u64,
    /// When it was first not seen, by the clock of the edge.
    pub since: Timestamp,
}

/// A leaf read from a real handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The domain.
    pub domain: DomainPattern,
    /// SHA-256 of the leaf in hex, or `None` if the handshake was refused, as it must be with HTTPS
    /// off.
    pub sha256: Option<String>,
    /// SHA-256 in hex of the leaf that clients of the other kind get, where a domain has two
    /// certificates. `sha256` is then the first one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companion: Option<String>,
    /// The commit of the state that was seen; 0 in reports of releases that did not say it.
    #[serde(default)]
    pub revision: u64,
    /// When it was read, by the clock of the edge.
    #[serde(default)]
    pub at: Timestamp,
    /// When the call came that made the change, by the clock of the API; absent if the edge did not
    /// get this state as a change but found it, as after a start.
    #[serde(rename = "changed", default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

impl<'a> DomainSummary<'a> {
    /// The summary of a domain that serves this certificate.
    #[must_use]
    pub fn of(domain: &'a Domain, served: Option<BindingSummary>) -> Self {
        let tags = domain.tags.iter();
        let origins = domain.origins.iter();
        let mut settings: Vec<&str> = domain.settings.iter().map(|it| it.name.as_str()).collect();
        settings.sort_unstable();
        settings.dedup();
        Self {
            id: domain.id,
            state: domain.state,
            service: domain.service,
            coverage: domain.coverage,
            modified: domain.modified,
            resource_group: &domain.resource_group,
            tags: tags
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            origins: origins.map(|origin| origin.address.as_str()).collect(),
            served,
            settings,
        }
    }
}

impl<'a> CertificateSummary<'a> {
    /// The summary of a certificate.
    #[must_use]
    pub fn of(certificate: &'a CertificateRecord) -> Self {
        let names = certificate.info.names.iter();
        let names: Vec<String> = names.map(DomainPattern::to_san).collect();
        Self {
            name: &certificate.name,
            common_name: &certificate.info.common_name,
            names: names.join(",").into(),
            revoked: certificate.revoked,
            resource_group: &certificate.resource_group,
            not_after: certificate.info.not_after,
        }
    }
}

/// The version of both kinds of summaries.
///
/// A change of their shapes needs another one: the form says nothing of itself, and what another shape
/// left would be read as something else. [`crate::Catalog::rebuild_summaries`] writes those of other versions anew.
const SUMMARY_VERSION: u8 = 2;

/// Whether a summary is of the version that this release writes.
#[must_use]
pub fn is_summary_current(value: &[u8]) -> bool {
    value.first() == Some(&SUMMARY_VERSION)
}

/// Encodes a summary.
///
/// # Errors
/// Never in practice.
pub fn encode_summary<T: Serialize>(summary: &T) -> Result<Bytes, Fault> {
    let mut bytes = vec![SUMMARY_VERSION];
    bytes.append(&mut postcard::to_allocvec(summary).map_err(Fault::of("encode a summary"))?);
    Ok(Bytes::from(bytes))
}

/// Decodes a summary, without copying its texts.
///
/// # Errors
/// A [`Fault`] if the value is no summary of a version that this release knows.
pub fn decode_summary<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, Fault> {
    match value.split_first() {
        Some((&SUMMARY_VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(Fault::of("decode a summary"))
        }
        _ => Err(Fault::new(
            "decode a summary: it was written by another release",
        )),
    }
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
    // Not flattened: every value would be built in an intermediate form first, at several times the
    // cost, and an edge decodes a million records when it starts. All that `encode` writes begins
    // with its version; of anything else the whole text is gone through for it.
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
