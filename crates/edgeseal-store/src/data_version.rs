//! The version of what is stored: which keys and rows there are, and what follows from what.
//!
//! It is a key of the store, so that a copy and a backup carry it. The layout of tables has versions of
//! its own in each engine, and each record the version of its shape ([`record::decode`]).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{CommitError, Entry, Expect, Fault, Key, Store, Txn, Write, record};

/// The version that this release writes. A release that changes it adds a step to `prepare` from the
/// version before; CONTRIBUTING says when.
pub const DATA_VERSION: u32 = 1;

/// Why a store is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataVersionError {
    /// A later release wrote it.
    #[error("it has data of version {found}, and this release knows versions up to {DATA_VERSION}")]
    Newer { found: u32 },
    /// No step leads from its version to the one of this release.
    #[error("it has data of version {found}, from which this release cannot migrate")]
    Older { found: u32 },
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The record under [`Key::data_version`].
#[derive(Serialize, Deserialize)]
struct DataVersion {
    version: u32,
}

/// Checks what is stored under [`Key::data_version`]. A store without it is new.
pub(crate) fn check(stored: Option<&Entry>) -> Result<(), DataVersionError> {
    let Some(entry) = stored else { return Ok(()) };
    let DataVersion { version: found } = record::decode(&entry.value)?;
    match found.cmp(&DATA_VERSION) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(DataVersionError::Newer { found }),
        Ordering::Less => Err(DataVersionError::Older { found }),
    }
}

/// Checks the version of an open store, and writes that of this release to a new one.
pub(crate) async fn prepare(store: &dyn Store) -> Result<(), DataVersionError> {
    let key = Key::data_version();
    let stored = store.get(&key).await?;
    if stored.is_some() {
        return check(stored.as_ref());
    }
    let version = DataVersion {
        version: DATA_VERSION,
    };
    let write = Write::put(key.clone(), record::encode(&version)?);
    let txn = Txn::new(vec![Expect::Absent(key.clone())], vec![write]);
    match store.commit(txn).await {
        Ok(_) => Ok(()),
        // Another process was faster.
        Err(CommitError::Conflict { .. }) => check(store.get(&key).await?.as_ref()),
        Err(CommitError::Fault(fault)) => Err(fault.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source as _, memory::MemoryStore};

    #[tokio::test]
    async fn a_store_says_which_version_it_has() {
        let store = MemoryStore::new();
        let key = Key::data_version();
        prepare(&store).await.unwrap();
        let written = store.get(&key).await.unwrap().unwrap();
        prepare(&store).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Some(written));
        for (version, message) in [
            (
                2,
                "it has data of version 2, and this release knows versions up to 1",
            ),
            (
                0,
                "it has data of version 0, from which this release cannot migrate",
            ),
        ] {
            let value = record::encode(&DataVersion { version }).unwrap();
            let txn = Txn::new(Vec::new(), vec![Write::put(key.clone(), value)]);
            store.commit(txn).await.unwrap();
            let refused = prepare(&store).await.unwrap_err();
            assert_eq!(refused.to_string(), message);
        }
    }
}
