//! The content of the store of a stopped server.

use edgeseal_store::{
    PAGE_MAX, Pages,
    open::{StoreUrl, open},
};

use super::{Server, now};

/// Everything stored, read by the store's own code.
pub(crate) struct StoreDump {
    entries: Vec<(String, Vec<u8>)>,
}

impl StoreDump {
    /// Reads the store of a stopped server.
    pub(crate) async fn read(server: &Server) -> Self {
        let url = StoreUrl::Sqlite(server.data().join("store.db"));
        let store = open(&url, now).await.unwrap();
        let mut pages = Pages::new(&*store, "", PAGE_MAX);
        let entries = pages.collect().await.unwrap().into_iter();
        Self {
            entries: entries
                .map(|entry| (entry.key.as_str().to_owned(), entry.value.to_vec()))
                .collect(),
        }
    }

    /// Keys with this prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<&str> {
        let keys = self.entries.iter().map(|(key, _)| key.as_str());
        keys.filter(|key| key.starts_with(prefix)).collect()
    }

    /// Keys of records that contain these bytes, such as the material of a leaf by its DER.
    pub(crate) fn keys_containing(&self, bytes: &[u8]) -> Vec<&str> {
        let holds = |value: &[u8]| value.windows(bytes.len()).any(|piece| piece == bytes);
        let entries = self.entries.iter().filter(|(_, value)| holds(value));
        entries.map(|(key, _)| key.as_str()).collect()
    }
}
