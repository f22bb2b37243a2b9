//! When access keys were last used.

use edgeseal_core::Timestamp;

use super::Catalog;
use crate::{
    Fault, Key, Write,
    record::{self, TimestampRecord},
    write_all,
};

/// How long the last use of a key is kept, in milliseconds: 400 days.
const LAST_USED_TTL_MS: i64 = 400 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// When an access key was last used, as recorded by
    /// [`record_access_key_use`](Self::record_access_key_use).
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn access_key_last_used(&self, id: &str) -> Result<Option<Timestamp>, Fault> {
        let used = self
            .read::<TimestampRecord>(&Key::access_key_last_used(id))
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
            value: record::encode(&TimestampRecord { at })?,
            expires: Some(at.plus_ms(LAST_USED_TTL_MS)),
        };
        write_all(&*self.store, vec![write]).await?;
        Ok(())
    }
}
