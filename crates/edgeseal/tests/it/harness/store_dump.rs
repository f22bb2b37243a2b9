//! What is in the store of a server that has ended.

use super::Server;

/// Everything that was stored, read through the store's own door.
pub(crate) struct StoreDump {
    entries: Vec<(String, Vec<u8>)>,
}

impl StoreDump {
    /// Reads the store of a server that does not run.
    pub(crate) async fn read(server: &Server) -> Self {
        let path = server.data().join("store.db");
        let url = format!("sqlite:{}", path.display());
        let store = edgeseal_store::open::open(&url).await.unwrap();
        let page = store.list("", None, usize::MAX >> 1).await.unwrap();
        assert!(!page.has_more);
        let entries = page.entries.into_iter();
        Self {
            entries: entries
                .map(|entry| (entry.key.as_str().to_owned(), entry.value.to_vec()))
                .collect(),
        }
    }

    /// Keys that begin with this.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<&str> {
        let keys = self.entries.iter().map(|(key, _)| key.as_str());
        keys.filter(|key| key.starts_with(prefix)).collect()
    }

    /// Keys of what holds these octets: the material of a leaf, by its DER.
    pub(crate) fn keys_containing(&self, octets: &[u8]) -> Vec<&str> {
        let holds = |value: &[u8]| value.windows(octets.len()).any(|piece| piece == octets);
        let entries = self.entries.iter().filter(|(_, value)| holds(value));
        entries.map(|(key, _)| key.as_str()).collect()
    }
}
