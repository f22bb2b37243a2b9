//! From a stored record to a [`ServedDomain`], or the reason why not.

use std::sync::Arc;

use bytes::Bytes;
use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::{Digest, KeyAlgorithm},
    domain::{Binding, Companion, Domain, DomainState, Environment},
};
use edgeseal_store::{
    Change, Fault, Key, Revision, Source,
    record::{self, decode, decode_material, encode_material},
};

use super::name_of;
use crate::{
    prover::AppliedChange,
    replica::{Batch, DomainWrite, Issuer},
    served_domain::{Certificates, Https, KeyKind, Material, ServedDomain, SharedMaterial},
    serving_state::ServingState,
};

/// A change, ready to be applied.
#[derive(Debug)]
pub(super) enum Prepared {
    /// Serve this.
    Serve(Box<UsableRecord>),
    /// Stop serving it.
    Remove(DomainPattern, Revision),
    /// The record cannot be used.
    Quarantine {
        /// The domain.
        name: DomainPattern,
        /// The reason, in words.
        reason: String,
    },
    /// The key belongs to no domain. Already logged.
    Ignore,
}

/// A usable record.
#[derive(Debug)]
pub(super) struct UsableRecord {
    pub(super) entry: ServedDomain,
    /// When the call that made the change was received.
    pub(super) modified: Timestamp,
    pub(super) row: DomainWrite,
    /// All issuers of its material: the replica decides which of them are new.
    pub(super) issuers: Vec<Issuer>,
    /// Why one of its two certificates cannot be used; the other one is served.
    pub(super) unusable: Option<String>,
}

/// Why a record was not prepared: it is invalid, or the store failed.
enum PrepareError {
    Invalid(String),
    Store(Fault),
}

impl From<Fault> for PrepareError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault)
    }
}

impl Prepared {
    /// Adds what the replica writes of it.
    pub(super) fn add_to(&self, batch: &mut Batch) {
        match self {
            Self::Serve(good) => {
                batch.issuers.extend(good.issuers.iter().cloned());
                batch.put.push(good.row.clone());
                let name = good.row.name.clone();
                batch
                    .quarantine
                    .extend(good.unusable.clone().map(|reason| (name, reason)));
            }
            Self::Remove(name, _) => batch.remove.push(name.clone()),
            Self::Quarantine { name, reason } => {
                batch.quarantine.push((name.clone(), reason.clone()));
            }
            Self::Ignore => {}
        }
    }

    /// What is to be proven once it is applied.
    pub(super) fn applied_change(&self) -> Option<AppliedChange> {
        let (name, revision, at) = match self {
            Self::Serve(good) => (&good.row.name, good.row.revision, Some(good.modified)),
            Self::Remove(name, revision) => (name, *revision, None),
            Self::Quarantine { .. } | Self::Ignore => return None,
        };
        Some(AppliedChange {
            name: name.clone(),
            revision,
            at,
        })
    }

    /// Applies it to what is served.
    pub(super) fn apply(self, serving: &ServingState) {
        match self {
            Self::Serve(good) => match good.unusable {
                None => serving.put(&good.row.name, good.entry),
                Some(reason) => serving.put_partial(&good.row.name, good.entry, &reason),
            },
            Self::Remove(name, _) => serving.remove(&name),
            Self::Quarantine { name, reason } => serving.quarantine().put(&name, &reason),
            Self::Ignore => {}
        }
    }
}

/// Fetches what a change needs and checks all of it.
pub(super) async fn prepare(
    store: &dyn Source,
    serving: &ServingState,
    change: &Change,
) -> Result<Prepared, Fault> {
    let Some(name) = name_of(&change.key) else {
        tracing::error!(key = %change.key, "a key under the domains' prefix names no domain");
        return Ok(Prepared::Ignore);
    };
    let Some(value) = &change.value else {
        return Ok(Prepared::Remove(name, change.revision));
    };
    match prepare_record(store, serving, &name, value, change).await {
        Ok(good) => Ok(Prepared::Serve(Box::new(good))),
        Err(PrepareError::Invalid(reason)) => Ok(Prepared::Quarantine { name, reason }),
        Err(PrepareError::Store(fault)) => Err(fault),
    }
}

async fn prepare_record(
    store: &dyn Source,
    serving: &ServingState,
    name: &DomainPattern,
    value: &Bytes,
    change: &Change,
) -> Result<UsableRecord, PrepareError> {
    let domain: Domain = decode(value).map_err(|fault| {
        PrepareError::Invalid(format!("the record cannot be decoded: {}", cause(&fault)))
    })?;
    if domain.name != *name {
        let reason = format!("the record is of {}", domain.name);
        return Err(PrepareError::Invalid(reason));
    }
    let served = match served_binding(&domain, serving.environment()) {
        Some(binding) => fetch_bound(store, serving, binding).await?,
        None => Fetched::default(),
    };
    let materials = served.certificates.iter().flat_map(Certificates::materials);
    let issuers = materials.flat_map(|material| material.get().issuers());
    Ok(UsableRecord {
        issuers: issuers
            .map(|der| (Digest::of(der), Arc::clone(der)))
            .collect(),
        modified: domain.modified,
        row: DomainWrite {
            name: name.clone(),
            revision: change.revision,
            record: value.clone(),
            material: served.first,
            companion: served.companion,
        },
        entry: served_domain(serving, &domain, served.certificates, change.revision),
        unusable: served.unusable,
    })
}

/// The binding that a domain serves; `None` with HTTPS off.
pub(super) fn served_binding(domain: &Domain, environment: Environment) -> Option<&Binding> {
    domain
        .binding(environment)
        .filter(|binding| binding.enabled)
}

/// The key kind of the first certificate, from the record.
pub(super) const fn recorded_kind_of_first(companion: &Companion) -> Option<KeyKind> {
    match companion.key {
        KeyAlgorithm::Rsa => Some(KeyKind::Ecdsa),
        KeyAlgorithm::Ecdsa => Some(KeyKind::Rsa),
        KeyAlgorithm::Ed25519 => None,
    }
}

pub(super) fn served_domain(
    serving: &ServingState,
    domain: &Domain,
    certificates: Option<Certificates>,
    revision: Revision,
) -> ServedDomain {
    ServedDomain {
        domain_id: domain.id,
        online: domain.state == DomainState::Online,
        https: certificates.map_or(Https::Off, Https::On),
        origins: serving.origins(domain),
        delivery: domain.delivery(serving.environment()).clone(),
        revision,
    }
}

/// The usable part of a binding.
#[derive(Default)]
struct Fetched {
    certificates: Option<Certificates>,
    first: Option<Stored>,
    companion: Option<Stored>,
    unusable: Option<String>,
}

/// A digest and what is stored under it.
type Stored = (Digest, Bytes);

/// The certificates of a binding; if one of two cannot be used, the other one.
async fn fetch_bound(
    store: &dyn Source,
    serving: &ServingState,
    binding: &Binding,
) -> Result<Fetched, PrepareError> {
    let first = fetch(store, serving, binding.material).await;
    let Some(companion) = &binding.companion else {
        return Ok(Fetched::only_first(first?));
    };
    let second = fetch(store, serving, companion.material).await;
    let part = |fetched, which, reason| Fetched {
        unusable: Some(format!("its {which} certificate cannot be used: {reason}")),
        ..fetched
    };
    match (split_invalid(first)?, split_invalid(second)?) {
        (Ok(first), Ok(second)) => match kind_of_first(serving, companion, &first.0, &second.0) {
            Some(kind) => Ok(Fetched {
                certificates: Some(Certificates::pair(first.0, second.0, kind)),
                first: Some(first.1),
                companion: Some(second.1),
                unusable: None,
            }),
            None => {
                let reason = "the kind of its key is not what the record says";
                Ok(part(
                    Fetched::only_first(first),
                    "second",
                    reason.to_owned(),
                ))
            }
        },
        (Ok(first), Err(reason)) => Ok(part(Fetched::only_first(first), "second", reason)),
        (Err(reason), Ok(second)) => {
            let only_second = Fetched {
                certificates: Some(Certificates::single(second.0)),
                companion: Some(second.1),
                ..Fetched::default()
            };
            Ok(part(only_second, "first", reason))
        }
        (Err(reason), Err(_)) => Err(PrepareError::Invalid(reason)),
    }
}

impl Fetched {
    fn only_first((material, stored): (SharedMaterial, Stored)) -> Self {
        Self {
            certificates: Some(Certificates::single(material)),
            first: Some(stored),
            ..Self::default()
        }
    }
}

/// Separates an invalid record from a failure of the store.
fn split_invalid<T>(fetched: Result<T, PrepareError>) -> Result<Result<T, String>, Fault> {
    match fetched {
        Ok(fetched) => Ok(Ok(fetched)),
        Err(PrepareError::Invalid(reason)) => Ok(Err(reason)),
        Err(PrepareError::Store(fault)) => Err(fault),
    }
}

/// The key kind of the first certificate, if both match the record.
fn kind_of_first(
    serving: &ServingState,
    companion: &Companion,
    first: &Material,
    second: &Material,
) -> Option<KeyKind> {
    let kind = recorded_kind_of_first(companion)?;
    let keys = serving.keys();
    let other = keys.kind(second)?;
    (keys.kind(first) == Some(kind) && other != kind).then_some(kind)
}

/// Usable material, and its stored form.
async fn fetch(
    store: &dyn Source,
    serving: &ServingState,
    digest: Digest,
) -> Result<(SharedMaterial, Stored), PrepareError> {
    // Material is immutable, and what is in memory was checked when it was fetched; only the
    // key-encryption key may have changed since.
    if let Some(material) = serving.material(&digest)
        && serving.keys().check_opens(&material).is_ok()
    {
        let stored = encode_material(&stored_form(&material))?;
        return Ok((material, (digest, stored)));
    }
    let found = store.get(&Key::material(&digest)).await?;
    let stored = found
        .ok_or_else(|| PrepareError::Invalid(format!("material {digest} is not in the store")))?
        .value;
    let decoded = decode_material(&stored).map_err(|fault| {
        PrepareError::Invalid(format!(
            "material {digest} cannot be decoded: {}",
            cause(&fault)
        ))
    })?;
    let issuers: Vec<Digest> = decoded.issuers.iter().copied().map(Digest).collect();
    fetch_issuers(store, serving, &issuers).await?;
    let chain = serving
        .chain(&issuers)
        .ok_or_else(|| PrepareError::Invalid("an issuer is not there".to_owned()))?;
    let material = Material::new(digest, &decoded.leaf, chain, &decoded.sealed_key);
    serving
        .keys()
        .check(&material)
        .map_err(|reason| PrepareError::Invalid(format!("material {digest}: {reason}")))?;
    Ok((SharedMaterial::new(material), (digest, stored)))
}

async fn fetch_issuers(
    store: &dyn Source,
    serving: &ServingState,
    issuers: &[Digest],
) -> Result<(), PrepareError> {
    for issuer in issuers {
        if serving.has_issuer(issuer) {
            continue;
        }
        let found = store.get(&Key::issuer(issuer)).await?;
        let der = found
            .ok_or_else(|| PrepareError::Invalid(format!("issuer {issuer} is not in the store")))?
            .value;
        if Digest::of(&der) != *issuer {
            return Err(PrepareError::Invalid(format!(
                "issuer {issuer} has another digest"
            )));
        }
        serving.keep_issuer(*issuer, Arc::from(&der[..]));
    }
    Ok(())
}

pub(super) fn stored_form(material: &Material) -> record::Material {
    record::Material {
        leaf: material.leaf().to_vec(),
        issuers: material.issuers().map(|der| Digest::of(der).0).collect(),
        sealed_key: material.sealed_key().into_vec(),
    }
}

/// The cause of a decode failure, without the store's own prefix.
fn cause(fault: &Fault) -> String {
    fault
        .cause
        .as_ref()
        .map_or_else(|| fault.operation.to_owned(), ToString::to_string)
}
