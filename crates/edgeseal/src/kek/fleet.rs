//! Rotation of the key-encryption key where several processes share a store; the rule is in the
//! store's `reseal/epoch.rs`.

use std::time::Duration;

use edgeseal_api::key_encryption::{KeyEncryptionError, ResealProgress, ResealState};
use edgeseal_store::{
    Fault, Keyring,
    nodes::NodeList,
    reseal::{EpochError, SealingEpoch},
    seal::KeyId,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{KekRotator, KekSource, live_keyring::KeysVersion, read_all, rotator::source_error};
use crate::{error_chain::error_chain, node::Nodes};

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
struct LastLoad(Option<Instant>);

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
        self.keyring.sealing()
    }

    /// Follows the key that the store says seals, and lets the next one seal once all processes have
    /// it: each time that they have reported, until `stop` completes. It may wait for the sources of
    /// keys, so it is a task of its own.
    pub(crate) async fn follow_fleet(&self, stop: impl Future<Output = ()>) {
        let Some(fleet) = &self.fleet else { return };
        let mut nodes = fleet.nodes.clone();
        let work = async {
            let (mut last_load, mut is_failing) = (LastLoad::default(), false);
            while nodes.changed().await.is_ok() {
                let reported = Nodes::clone(&nodes.borrow_and_update());
                let followed = self.follow(&reported, &mut last_load).await;
                // Only the first failure in a row is logged.
                if let (Err(fault), false) = (&followed, is_failing) {
                    let error = error_chain(fault);
                    tracing::warn!(error, "the key that seals cannot be read from the store");
                }
                is_failing = followed.is_err();
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
    }

    async fn follow(&self, nodes: &NodeList, last_load: &mut LastLoad) -> Result<(), Fault> {
        let Some(mut epoch) = SealingEpoch::read(&*self.store).await? else {
            return Ok(());
        };
        let wanted = [Some(epoch.under), epoch.next];
        let ids = self.keyring.ids();
        if wanted.into_iter().flatten().any(|id| !ids.contains(&id)) {
            self.load(last_load).await;
            // That may have taken long.
            let now = SealingEpoch::read(&*self.store).await?;
            let Some(now) = now else { return Ok(()) };
            epoch = now;
        }
        self.seal_with(epoch.under);
        self.confirm_in_flight().await?;
        if !epoch.is_finished && self.resealing.borrow().state == ResealState::Finished {
            // Another process found that something may have been missed.
            self.request_reseal();
        }
        match epoch.next {
            Some(next) => self.advance(&epoch, next, nodes).await,
            None => Ok(()),
        }
    }

    /// Lets the next key seal, if every process has it.
    async fn advance(
        &self,
        epoch: &SealingEpoch,
        next: KeyId,
        nodes: &NodeList,
    ) -> Result<(), Fault> {
        let name = next.to_string();
        let lacking: Vec<&str> = nodes.lacking(&name).map(|it| it.node.id.as_str()).collect();
        let waits_for = if !lacking.is_empty() {
            format!("these nodes lack key {next} still: {}", lacking.join(", "))
        } else if !self.keyring.ids().contains(&next) {
            format!("this node lacks key {next} still")
        } else if !nodes.is_complete() {
            "the database has lost the reports of the nodes: all of them have a few seconds to report again".to_owned()
        } else {
            return match epoch.advance(&*self.store, next).await {
                Ok(()) => {
                    self.seal_with(next);
                    Ok(())
                }
                // By another process, which is as good.
                Err(EpochError::Changed) => Ok(()),
                Err(EpochError::Fault(fault)) => Err(fault),
            };
        };
        self.update_progress(|resealing| resealing.error = waits_for);
        Ok(())
    }

    /// Looks, once nothing is in flight any more that was sealed under the key before, whether
    /// resealing began without waiting for this process, which was taken to be gone; then what it has
    /// stored meanwhile may have been missed, and everything is resealed once more.
    async fn confirm_in_flight(&self) -> Result<(), Fault> {
        let Some(active) = self.keyring.unconfirmed() else {
            return Ok(());
        };
        // Not what was read before: resealing that begins from now on misses nothing.
        let epoch = SealingEpoch::read(&*self.store).await?;
        if let Some(epoch) = epoch.filter(|it| it.under == active && it.has_begun) {
            match epoch.restart(&*self.store).await {
                Ok(_) => tracing::info!(
                    key.id = %active,
                    "this node was late to seal with this key: everything is resealed once more"
                ),
                // Confirmed the next time.
                Err(EpochError::Changed) => return Ok(()),
                Err(EpochError::Fault(fault)) => return Err(fault),
            }
        }
        self.keyring.confirm(active);
        Ok(())
    }

    /// Proposes the first key of the sources, which were read at `version`, as the next one.
    pub(super) async fn propose(
        &self,
        ring: &Keyring,
        version: KeysVersion,
    ) -> Result<KeyId, KeyEncryptionError> {
        let next = ring.active();
        let epoch = self.epoch().await?;
        if next == epoch.under {
            let source = self.sources.first();
            return Err(KeyEncryptionError::NoNewKey {
                source_name: source.map(KekSource::name).unwrap_or_default(),
                active: next,
                advice: "put a new key first at every server (edgeseal kek generate makes one), then rotate again",
            });
        }
        if !epoch.is_finished {
            return Err(KeyEncryptionError::Resealing { under: epoch.under });
        }
        if !self.keyring.add(ring, version).map_err(source_error)? {
            return Err(source_error(EpochError::Changed));
        }
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

    /// Refuses to remove a key that the store names: this process may not seal with it yet, but
    /// will.
    pub(super) async fn refuse_named(&self, id: KeyId) -> Result<(), KeyEncryptionError> {
        let epoch = self.epoch().await?;
        if epoch.under == id || epoch.next == Some(id) {
            return Err(KeyEncryptionError::Active { id });
        }
        Ok(())
    }

    async fn epoch(&self) -> Result<SealingEpoch, Fault> {
        let epoch = SealingEpoch::read(&*self.store).await?;
        epoch.ok_or(Fault::new("read the key that seals: there is none"))
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
                let all_follow = nodes.borrow_and_update().all_seal_with(&active.to_string());
                if *fleet.keeper.borrow() && all_follow {
                    return Ok(Some(epoch));
                }
            }
            let _ = timeout(TURN_TIMEOUT, nodes.changed()).await;
        }
    }

    /// Lets a key of the keyring seal.
    fn seal_with(&self, id: KeyId) {
        match self.keyring.seal_with(id) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(key.id = %id, "the active key-encryption key has changed");
                self.request_reseal();
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
    async fn load(&self, last_load: &mut LastLoad) {
        if last_load
            .0
            .is_some_and(|last| last.elapsed() < LOAD_INTERVAL)
        {
            return;
        }
        last_load.0 = Some(Instant::now());
        let version = self.keyring.version();
        let ring = match read_all(&self.sources).await {
            Ok(ring) => ring,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the key-encryption keys cannot be read again");
                return;
            }
        };
        // If they changed meanwhile, the next time.
        if let Err(missing) = self.keyring.add(&ring, version) {
            let error: &dyn std::error::Error = &missing;
            tracing::warn!(error, "the key-encryption keys are not replaced");
        }
    }
}

#[cfg(test)]
mod tests;
