use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::{CommitError, Fault, Key, Txn, Write, record};

/// How long the last use of a key is kept, in milliseconds: 400 days.
const LAST_USED_TTL_MS: i64 = 400 * 24 * 60 * 60 * 1000;

/// The last use of an access key.
#[derive(Serialize, Deserialize)]
struct LastUsedRecord {
    at: Timestamp,
}

impl Catalog {
    /// When an access key was last used, as recorded by
    /// [`record_access_key_use`](Self::record_access_key_use).
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn access_key_last_used(&self, id: &str) -> Result<Option<Timestamp>, Fault> {
        let used = self
            .read::<LastUsedRecord>(&Key::access_key_last_used(id))
            .await?;
        Ok(used.map(|used| used.at))
    }

    /// Records that an access key was used at `at`; the last writer wins. The record expires after
    /// 400 days.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn record_access_key_use(&self, id: &str, at: Timestamp) -> Result<(), Fault> {
        let write = Write::Put {
            key: Key::access_key_last_used(id),
            value: record::encode(&LastUsedRecord { at })?,
            expires: Some(at.plus_ms(LAST_USED_TTL_MS)),
        };
        let txn = Txn {
            expect: Vec::new(),
            write: vec![write],
        };
        match self.store.commit(txn).await {
            // Without expectations nothing can conflict.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }
}
