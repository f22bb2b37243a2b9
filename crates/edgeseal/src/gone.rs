//! A store that is gone: the edge serves its replica, the API says that it cannot.

use async_trait::async_trait;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    Changes, ChangesError, CommitError, Entry, Fault, Key, Page, Revision, Store, Txn,
};

/// Fails every verb.
pub(crate) struct Gone;

const fn fault() -> Fault {
    Fault::new("the store could not be opened when this process started")
}

#[async_trait]
impl Store for Gone {
    async fn get(&self, _: &Key) -> Result<Option<Entry>, Fault> {
        Err(fault())
    }

    async fn list(&self, _: &str, _: Option<&Key>, _: usize) -> Result<Page, Fault> {
        Err(fault())
    }

    async fn commit(&self, _: Txn) -> Result<Revision, CommitError> {
        Err(fault().into())
    }

    async fn changes(&self, _: Revision, _: &[&str], _: usize) -> Result<Changes, ChangesError> {
        Err(fault().into())
    }

    async fn sweep(&self, _: Timestamp) -> Result<usize, Fault> {
        Ok(0)
    }
}
