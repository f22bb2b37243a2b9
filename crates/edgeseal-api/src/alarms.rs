//! Alarms as the actions see them: what is stored, and the channels. The component that owns the
//! channels implements the trait; the actions only call it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use edgeseal_core::alarm::{Alarm, AlarmId};
use edgeseal_store::{Catalog, Fault};
use tokio::sync::Mutex;

/// How long the alarms that were read may be shown: they change with an evaluation only.
const CACHE_AGE_MAX: Duration = Duration::from_secs(1);

/// The stored alarms, read once a second for the calls of all accounts: there may be thousands.
#[derive(Default)]
pub(crate) struct AlarmCache(Mutex<Option<(Instant, StoredAlarms)>>);

/// What is stored.
type StoredAlarms = Arc<BTreeMap<AlarmId, Alarm>>;

impl AlarmCache {
    /// The alarms as of the last second.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(crate) async fn read(&self, catalog: &Catalog) -> Result<StoredAlarms, Fault> {
        let mut cached = self.0.lock().await;
        if let Some((at, alarms)) = &*cached
            && at.elapsed() < CACHE_AGE_MAX
        {
            return Ok(Arc::clone(alarms));
        }
        let alarms = Arc::new(catalog.alarms().await?);
        *cached = Some((Instant::now(), Arc::clone(&alarms)));
        Ok(alarms)
    }
}

/// Sends notifications of this process.
#[async_trait]
pub trait AlarmChannels: Send + Sync {
    /// Sends a test through every channel, whatever its least severity, and returns what each one
    /// answered; `None` if another test has not ended.
    async fn test(&self) -> Option<Vec<ChannelTest>>;
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTest {
    /// The name of the channel.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Why it did not accept the test; `None` if it did. Never a secret.
    pub failure: Option<String>,
}
