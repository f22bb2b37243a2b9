//! Rotation of the key-encryption key where several processes share a store; the rule is in the
//! store's `reseal/epoch.rs`.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use edgeseal_api::key_encryption::{KeyEncryptionError, ResealProgress, ResealState};
use edgeseal_store::{
    Fault, Keyring,
    nodes::NodeStatus,
    reseal::{EpochError, SealingEpoch},
    seal::{KeyId, MissingKey, RetiredKeys},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{KekRotator, KekSource, read_all, rotator::source_error};
use crate::node::Nodes;

/// How often the sources are read for a key that this process lacks.
const LOAD_INTERVAL: Duration = Duration::from_secs(2);
/// How long a change of the nodes is waited for before the store is asked again.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a process knows of the others.
pub(crate) struct Fleet {
    /// The processes on the store.
    pub(crate) nodes: watch::Receiver<Nodes>,
    /// Whether this process is the keeper.
    pub(crate) keeper: watch::Receiver<bool>,
}

/// When the sources were last read for a missing key.
#[derive(Default)]
pub(crate) struct LastLoad(Option<Instant>);

impl Fleet {
    /// Completes when this process is not the keeper any more.
    pub(super) async fn lost_lease(&self) {
        let mut keeper = self.keeper.clone();
        // Without a reporter the process ends.
        let _ = keeper.wait_for(|is_keeper| !is_keeper).await;
    }
}

impl KekRotator {
    /// The key under which this process seals; `None` while it may still store what it sealed
    /// under another one.
    pub(crate) fn sealing_key(&self) -> Option<KeyId> {
        let mut superseded = self.superseded();
        superseded.retain(|retired| !retired.is_drained());
        superseded.is_empty().then(|| self.keyring.active())
    }

    /// Follows the key that the store says seals, and lets the next one seal once all processes that
    /// report, or have reported recently, have it. To be called about once a second, with what they last reported.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(crate) async fn follow(
        &self,
        nodes: &[NodeStatus],
        last_load: &mut LastLoad,
    ) -> Result<(), Fault> {
        let Some(epoch) = SealingEpoch::read(&*self.store).await? else {
            return Ok(());
        };
        let wanted = [Some(epoch.under), epoch.next];
        let ids = self.keyring.ids();
        if wanted.into_iter().flatten().any(|id| !ids.contains(&id)) {
            self.load(epoch.under, last_load).await;
        }
        self.seal_with(epoch.under);
        let Some(next) = epoch.next else {
            return Ok(());
        };
        let name = next.to_string();
        // One that is silent may only be slow, and could not open what is sealed under this key: it
        // counts until it has withdrawn or is forgotten.
        let lacking: Vec<&str> = nodes
            .iter()
            .filter(|node| !node.node.keys.contains(&name))
            .map(|node| node.node.id.as_str())
            .collect();
        if !lacking.is_empty() || !self.keyring.ids().contains(&next) {
            let lacking = lacking.join(", ");
            self.update_progress(|resealing| {
                resealing.error = format!("these nodes lack key {next} still: {lacking}");
            });
            return Ok(());
        }
        match epoch.advance(&*self.store, next).await {
            Ok(()) => self.seal_with(next),
            // By another process, which is as good.
            Err(EpochError::Changed) => {}
            Err(EpochError::Fault(fault)) => return Err(fault),
        }
        Ok(())
    }

    /// Proposes the first key of the sources as the next one.
    pub(super) async fn propose(&self, ring: &Keyring) -> Result<KeyId, KeyEncryptionError> {
        let (next, active) = (ring.active(), self.keyring.active());
        if next == active {
            let source = self.sources.first();
            return Err(KeyEncryptionError::NoNewKey {
                source_name: source.map(KekSource::name).unwrap_or_default(),
                active,
                advice: "put a new key first at every server (edgeseal kek generate makes one), then rotate again",
            });
        }
        let epoch = SealingEpoch::read(&*self.store).await?;
        let missing = Fault::new("read the key that seals: there is none");
        let epoch = epoch.ok_or(missing)?;
        if !epoch.is_finished {
            return Err(KeyEncryptionError::Resealing { under: epoch.under });
        }
        self.replace(ring, active).map_err(source_error)?;
        epoch
            .propose(&*self.store, next)
            .await
            .map_err(|error| match error {
                EpochError::Fault(fault) => KeyEncryptionError::Fault(fault),
                changed @ EpochError::Changed => source_error(changed),
            })?;
        tracing::info!(key.id = %next, "this key-encryption key is to seal once every node has it");
        self.update_progress(|resealing| {
            *resealing = ResealProgress {
                state: ResealState::Running,
                ..ResealProgress::default()
            };
        });
        Ok(next)
    }

    /// Waits until it is this process that reseals, and returns the marker; `None` if everything is
    /// resealed. The keeper begins once no live process seals with another key.
    pub(super) async fn wait_for_turn(&self, fleet: &Fleet) -> Result<Option<SealingEpoch>, Fault> {
        let mut nodes = fleet.nodes.clone();
        loop {
            // Both may change during the wait.
            let active = self.keyring.active();
            let epoch = SealingEpoch::read(&*self.store).await?;
            if let Some(epoch) = epoch.filter(|epoch| epoch.under == active) {
                if epoch.is_finished {
                    return Ok(None);
                }
                let name = active.to_string();
                let follow = |nodes: &Nodes| {
                    let mut live = nodes.iter().filter(|node| node.is_live());
                    live.all(|node| node.node.sealing == name)
                };
                if *fleet.keeper.borrow() && follow(&nodes.borrow_and_update()) {
                    return Ok(Some(epoch));
                }
            }
            let _ = timeout(TURN_TIMEOUT, nodes.changed()).await;
        }
    }

    fn superseded(&self) -> MutexGuard<'_, Vec<RetiredKeys>> {
        self.superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a key of the keyring seal.
    fn seal_with(&self, id: KeyId) {
        match self.keyring.activate(id) {
            Ok(None) => {}
            Ok(Some(retired)) => {
                self.superseded().push(retired);
                tracing::info!(key.id = %id, "the active key-encryption key has changed");
                self.update_progress(|resealing| {
                    *resealing = ResealProgress {
                        state: ResealState::Running,
                        ..ResealProgress::default()
                    };
                });
                self.reseal_requested.notify_one();
            }
            Err(missing) => {
                let why = format!(
                    "the store is sealed with key {}, which this node lacks",
                    missing.missing
                );
                if self.resealing.borrow().error != why {
                    tracing::error!("{why}: give it the key");
                    self.update_progress(|resealing| resealing.error = why);
                }
            }
        }
    }

    /// Reads the sources again, for a key that another process has already.
    async fn load(&self, under: KeyId, last_load: &mut LastLoad) {
        if last_load
            .0
            .is_some_and(|last| last.elapsed() < LOAD_INTERVAL)
        {
            return;
        }
        last_load.0 = Some(Instant::now());
        let ring = match read_all(&self.sources).await {
            Ok(ring) => ring,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the key-encryption keys cannot be read again");
                return;
            }
        };
        let active = self.keyring.active();
        let active = if ring.ids().contains(&under) {
            under
        } else {
            active
        };
        if let Err(missing) = self.replace(&ring, active) {
            let error: &dyn std::error::Error = &missing;
            tracing::warn!(error, "the key-encryption keys are not replaced");
        }
    }

    /// Replaces the keys, and keeps the one that seals whatever their order is.
    fn replace(&self, ring: &Keyring, active: KeyId) -> Result<(), MissingKey> {
        ring.activate(active)?;
        let retired = self.keyring.replace(ring)?;
        self.superseded().push(retired);
        Ok(())
    }
}
