//! From a stored record to an entry that can be served, or the reason why not.

use std::sync::Arc;

use bytes::Bytes;
use edgeseal_core::{
    Pattern, Timestamp,
    certificate::Digest,
    domain::{Domain, State},
};
use edgeseal_store::{
    Change, Fault, Key, Revision, Store,
    record::{self, decode, decode_material, encode_material},
};

use super::{Holdings, name_of};
use crate::{
    entry::{Entry, Https, Material},
    replica::{Issuer, Row},
};

/// A change, ready to be applied.
#[derive(Debug)]
pub(super) enum Prepared {
    /// Serve this.
    Good(Box<Good>),
    /// Serve it no more.
    Gone(Pattern, Revision),
    /// It cannot be used.
    Bad {
        /// The domain.
        name: Pattern,
        /// Why, for people.
        why: String,
    },
    /// The key is no domain's. Logged already.
    Nameless,
}

/// A record that can be used.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) entry: Entry,
    /// When the call came that made the change.
    pub(super) modified: Timestamp,
    pub(super) row: Row,
    /// All issuers of its material: the replica tells which of them are new to it.
    pub(super) issuers: Vec<Issuer>,
}

/// Why something cannot be used: it is wrong itself, or the store failed.
enum Problem {
    Bad(String),
    Fault(Fault),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Fetches what a change needs and checks all of it.
pub(super) async fn prepare(
    store: &dyn Store,
    holdings: &Holdings,
    change: &Change,
) -> Result<Prepared, Fault> {
    let Some(name) = name_of(&change.key) else {
        tracing::error!(key = %change.key, "a key under the domains' prefix is no domain's");
        return Ok(Prepared::Nameless);
    };
    let Some(value) = &change.value else {
        return Ok(Prepared::Gone(name, change.revision));
    };
    match good(store, holdings, &name, value, change).await {
        Ok(good) => Ok(Prepared::Good(Box::new(good))),
        Err(Problem::Bad(why)) => Ok(Prepared::Bad { name, why }),
        Err(Problem::Fault(fault)) => Err(fault),
    }
}

async fn good(
    store: &dyn Store,
    holdings: &Holdings,
    name: &Pattern,
    value: &Bytes,
    change: &Change,
) -> Result<Good, Problem> {
    let domain: Domain = decode(value)
        .map_err(|fault| Problem::Bad(format!("the record does not read: {}", cause(&fault))))?;
    if domain.name != *name {
        let why = format!("the record is of {}", domain.name);
        return Err(Problem::Bad(why));
    }
    let (material, stored) = match served_material(&domain, holdings) {
        Some(digest) => {
            let (material, value) = fetch(store, holdings, digest).await?;
            (Some(material), Some((digest, value)))
        }
        None => (None, None),
    };
    let issuers = material.iter().flat_map(|material| material.issuers());
    Ok(Good {
        issuers: issuers
            .map(|der| (Digest::of(der), Arc::clone(der)))
            .collect(),
        entry: entry(holdings, &domain, material, change.revision),
        modified: domain.modified,
        row: Row {
            name: name.clone(),
            revision: change.revision,
            record: value.clone(),
            material: stored,
        },
    })
}

/// The material that a domain serves, or with HTTPS off none.
pub(super) fn served_material(domain: &Domain, holdings: &Holdings) -> Option<Digest> {
    let binding = domain.binding(holdings.environment())?;
    binding.enabled.then_some(binding.material)
}

pub(super) fn entry(
    holdings: &Holdings,
    domain: &Domain,
    material: Option<Arc<Material>>,
    revision: Revision,
) -> Entry {
    Entry {
        online: domain.state == State::Online,
        https: material.map_or(Https::Off, Https::On),
        origins: holdings.origins(&domain.origins),
        delivery: *domain.delivery(holdings.environment()),
        revision,
    }
}

/// Material that can be used, and its stored form.
async fn fetch(
    store: &dyn Store,
    holdings: &Holdings,
    digest: Digest,
) -> Result<(Arc<Material>, Bytes), Problem> {
    // Material never changes, and what is held was checked when it came; only the key-encryption
    // key may have changed since.
    if let Some(material) = holdings.material(&digest)
        && holdings.keys().check_opens(&material).is_ok()
    {
        let stored = encode_material(&stored_form(&material))?;
        return Ok((material, stored));
    }
    let found = store.get(&Key::material(&digest)).await?;
    let stored = found
        .ok_or_else(|| Problem::Bad(format!("material {digest} is not in the store")))?
        .value;
    let decoded = decode_material(&stored).map_err(|fault| {
        Problem::Bad(format!(
            "material {digest} does not read: {}",
            cause(&fault)
        ))
    })?;
    let issuers: Vec<Digest> = decoded.issuers.iter().copied().map(Digest).collect();
    fetch_issuers(store, holdings, &issuers).await?;
    let chain = holdings
        .chain(&issuers)
        .ok_or_else(|| Problem::Bad("an issuer is not there".to_owned()))?;
    let material = Material::new(digest, &decoded.leaf, chain, &decoded.sealed_key);
    holdings
        .keys()
        .check(&material)
        .map_err(|why| Problem::Bad(format!("material {digest}: {why}")))?;
    Ok((Arc::new(material), stored))
}

async fn fetch_issuers(
    store: &dyn Store,
    holdings: &Holdings,
    issuers: &[Digest],
) -> Result<(), Problem> {
    for issuer in issuers {
        if holdings.knows_issuer(issuer) {
            continue;
        }
        let found = store.get(&Key::issuer(issuer)).await?;
        let der = found
            .ok_or_else(|| Problem::Bad(format!("issuer {issuer} is not in the store")))?
            .value;
        if Digest::of(&der) != *issuer {
            return Err(Problem::Bad(format!("issuer {issuer} has another digest")));
        }
        holdings.keep_issuer(*issuer, Arc::from(&der[..]));
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

/// What is wrong with a value, without the frame of a store failure around it.
fn cause(fault: &Fault) -> String {
    fault
        .cause
        .as_ref()
        .map_or_else(|| fault.what.to_owned(), ToString::to_string)
}
