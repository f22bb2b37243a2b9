//! `DescribeKeyEncryption`: which keys there are, what is sealed under each, how far a rotation is.

use std::collections::BTreeMap;

use edgeseal_store::{
    reseal::{Census, SEALED_KINDS},
    seal::KeyId,
};
use serde::Serialize;

use super::key_encryption_key::{Error, keeper};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    key_encryption::{Resealing, Standing},
    operation::{Done, Operation, Trouble},
    request::Params,
};

/// The operation.
pub struct DescribeKeyEncryption;

/// How things stand.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    sources: Vec<String>,
    keys: Vec<Key>,
    /// Sealed records that do not read; absent if nothing was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<u64>,
    resealing: Progress,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    key_id: String,
    /// Whether it seals.
    active: bool,
    /// Whether this process has it.
    present: bool,
    /// What is sealed under it; absent if nothing was counted.
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
    trouble: String,
}

impl Operation for DescribeKeyEncryption {
    type Params = bool;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[];

    fn parse(params: &Params) -> Result<bool, Error> {
        Ok(params.given("Count") != Some("false"))
    }

    async fn run(context: &Context, _: &Authorized, count: bool) -> Result<Done<Reply>, Error> {
        let keeper = keeper(context)?;
        let census = if count {
            Some(keeper.census().await.map_err(Trouble::from)?)
        } else {
            None
        };
        Ok(Done::read(Reply::of(keeper.standing(), census.as_ref())))
    }
}

impl Reply {
    fn of(standing: Standing, census: Option<&Census>) -> Self {
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

/// A row for each kind, so that what is not there is seen not to be.
fn records(census: &Census, id: KeyId) -> Vec<Records> {
    let none = BTreeMap::new();
    let under = census.records.get(&id).unwrap_or(&none);
    let rows = SEALED_KINDS.iter().map(|kind| Records {
        kind: kind.name,
        count: under.get(kind.name).copied().unwrap_or_default(),
    });
    rows.collect()
}

impl Progress {
    fn of(resealing: Resealing) -> Self {
        Self {
            state: resealing.state.as_str(),
            opened: resealing.opened,
            resealed: resealing.resealed,
            unopened: resealing.unopened,
            trouble: resealing.trouble,
        }
    }
}
