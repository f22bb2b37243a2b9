use edgeseal_core::Timestamp;

use super::Catalog;
use crate::{
    CommitError, Fault, Key, Txn, Write,
    record::{self, Since},
};

/// How long it is known when a key was last used, in milliseconds: 400 days.
const KEPT_MS: i64 = 400 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// When an access key was last used, as [`record_key_use`](Self::record_key_use) was told.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn key_used(&self, id: &str) -> Result<Option<Timestamp>, Fault> {
        let since = self.read::<Since>(&Key::access_key_use(id)).await?;
        Ok(since.map(|since| since.at))
    }

    /// Remembers that an access key was used at `at`, whatever is known of it: the later writer
    /// wins. It is forgotten after 400 days.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn record_key_use(&self, id: &str, at: Timestamp) -> Result<(), Fault> {
        let write = Write::Put {
            key: Key::access_key_use(id),
            value: record::encode(&Since { at })?,
            expires: Some(at.plus_ms(KEPT_MS)),
        };
        let txn = Txn {
            expect: Vec::new(),
            write: vec![write],
        };
        match self.store.commit(txn).await {
            // Nothing was expected, so nothing can conflict.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Fault(fault)) => Err(fault),
        }
    }
}
