//! `DescribeKeyEncryption`: the key-encryption keys, the number of records sealed under each, and
//! the progress of a rotation.

use std::collections::BTreeMap;

use edgeseal_store::{
    reseal::{SEALED_KINDS, SealedCounts},
    seal::KeyId,
};
use serde::Serialize;

use super::key_encryption_key::{Error, key_encryption};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    key_encryption::{KeyEncryptionStatus, ResealProgress},
    operation::{Input, Operation, Success},
};

/// `DescribeKeyEncryption`.
pub struct DescribeKeyEncryption;

/// The status.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    sources: Vec<String>,
    keys: Vec<Key>,
    /// Sealed records that cannot be decoded; absent if records were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<u64>,
    resealing: Progress,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    key_id: String,
    /// Whether it is the sealing key.
    active: bool,
    /// Whether this process has it.
    present: bool,
    /// The records sealed under it; absent if records were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<Records>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    kind: &'static str,
    count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Progress {
    state: &'static str,
    opened: u64,
    resealed: u64,
    unopened: u64,
    #[serde(rename = "Trouble")]
    error: String,
}

impl Operation for DescribeKeyEncryption {
    type Params = bool;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<bool, Error> {
        Ok(params.get_non_empty("Count") != Some("false"))
    }

    async fn run(context: &Context, _: &Authorized, count: bool) -> Result<Success<Reply>, Error> {
        let keeper = key_encryption(context)?;
        let census = if count {
            Some(keeper.census().await.map_err(StoreError::from)?)
        } else {
            None
        };
        Ok(Success::read(Reply::of(keeper.status(), census.as_ref())))
    }
}

impl Reply {
    fn of(standing: KeyEncryptionStatus, census: Option<&SealedCounts>) -> Self {
        let mut ids = standing.keys.clone();
        let needed = census.iter().flat_map(|census| census.records.keys());
        ids.extend(needed.filter(|id| !standing.keys.contains(id)));
        let keys = ids.iter().map(|id| Key {
            key_id: id.to_string(),
            active: standing.keys.first() == Some(id),
            present: standing.keys.contains(id),
            records: census.map(|census| records(census, *id)),
        });
        Self {
            keys: keys.collect(),
            sources: standing.sources,
            unreadable: census.map(|census| census.unreadable),
            resealing: Progress::of(standing.resealing),
        }
    }
}

/// A row for every kind of record, including those with a count of 0.
fn records(census: &SealedCounts, id: KeyId) -> Vec<Records> {
    let none = BTreeMap::new();
    let under = census.records.get(&id).unwrap_or(&none);
    let rows = SEALED_KINDS.iter().map(|kind| Records {
        kind: kind.name,
        count: under.get(kind.name).copied().unwrap_or_default(),
    });
    rows.collect()
}

impl Progress {
    fn of(resealing: ResealProgress) -> Self {
        Self {
            state: resealing.state.as_str(),
            opened: resealing.opened,
            resealed: resealing.resealed,
            unopened: resealing.unopened,
            error: resealing.error,
        }
    }
}
