//! Numbers of domains and certificates, allocated in blocks.

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::{CommitError, Expect, Fault, Key, SharedStore, Txn, Write};

/// IDs reserved at once. A crash loses the rest of a block, nothing else.
const BLOCK: i64 = 1000;
/// IDs look like the cloud's: seven digits or more.
const FIRST: i64 = 1_000_000;

/// Allocates IDs that are unique over all processes on one store, without a write for each.
pub struct IdAllocator {
    store: SharedStore,
    certificates: Mutex<Block>,
    domains: Mutex<Block>,
    settings: Mutex<Block>,
    deployments: Mutex<Block>,
}

#[derive(Default)]
struct Block {
    next: i64,
    end: i64,
}

impl IdAllocator {
    pub(super) fn new(store: SharedStore) -> Self {
        Self {
            store,
            certificates: Mutex::default(),
            domains: Mutex::default(),
            settings: Mutex::default(),
            deployments: Mutex::default(),
        }
    }

    /// An ID for a certificate: positive, below 2^53.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn certificate(&self) -> Result<i64, Fault> {
        self.take(&self.certificates, "certificate").await
    }

    /// An ID for a domain: positive, below 2^53.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain(&self) -> Result<i64, Fault> {
        self.take(&self.domains, "domain").await
    }

    /// An ID for a setting of a domain: positive, below 2^53.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn setting(&self) -> Result<i64, Fault> {
        self.take(&self.settings, "setting").await
    }

    /// An ID for a deployment: positive, below 2^53.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn deployment(&self) -> Result<i64, Fault> {
        self.take(&self.deployments, "deployment").await
    }

    async fn take(&self, block: &Mutex<Block>, name: &'static str) -> Result<i64, Fault> {
        let mut block = block.lock().await;
        if block.next == block.end {
            block.next = self.reserve(&Key::counter(name)).await?;
            block.end = block.next + BLOCK;
        }
        block.next += 1;
        Ok(block.next - 1)
    }

    async fn reserve(&self, key: &Key) -> Result<i64, Fault> {
        loop {
            let entry = self.store.get(key).await?;
            let start = match &entry {
                Some(entry) => parse(&entry.value)?,
                None => FIRST,
            };
            let value = Bytes::from((start + BLOCK).to_string());
            let txn = Txn {
                expect: vec![Expect::same_as(key.clone(), entry.as_ref())],
                write: vec![Write::put(key.clone(), value)],
                ..Txn::default()
            };
            match self.store.commit(txn).await {
                Ok(_) => return Ok(start),
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Fault(fault)) => return Err(fault),
            }
        }
    }
}

fn parse(value: &[u8]) -> Result<i64, Fault> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Fault::new("decode a counter"))
}
