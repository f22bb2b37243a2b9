//! Rotates the key-encryption keys of a running process, and reseals everything in the background.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use edgeseal_api::key_encryption::{
    KeyEncryption, KeyEncryptionError, KeyEncryptionStatus, ResealProgress, ResealState,
};
use edgeseal_core::{Backoff, Timestamp};
use edgeseal_edge::EdgeHandle;
use edgeseal_store::{
    Fault, Keyring, SharedStore,
    reseal::{self, EpochError, ResealPass, SealedCounts, SealingEpoch},
    seal::KeyId,
};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::{KekSource, fleet::Fleet, live_keyring::LiveKeyring, read_all};
use crate::private_files::replace_private_file;

/// The key-encryption keys of a process, their sources, and the state of the reseal.
pub(crate) struct KekRotator {
    pub(super) keyring: LiveKeyring,
    pub(super) sources: Vec<KekSource>,
    pub(super) store: SharedStore,
    edge: Option<EdgeHandle>,
    per_second: u32,
    clock: fn() -> Timestamp,
    /// The processes on the store and whether this one is the keeper, if several share it: the
    /// store then says which key seals.
    pub(super) fleet: Option<Fleet>,
    /// Serializes the changes that operators ask for, which also change files.
    change_lock: tokio::sync::Mutex<()>,
    pub(super) resealing: watch::Sender<ResealProgress>,
    reseal_requested: Notify,
}

/// Delays of retries while the store fails.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30));

impl KekRotator {
    /// A rotator of `keyring`, which was read from `sources`.
    pub(crate) fn new(
        (keyring, sources): (Keyring, Vec<KekSource>),
        store: SharedStore,
        edge: Option<EdgeHandle>,
        per_second: u32,
        clock: fn() -> Timestamp,
        fleet: Option<Fleet>,
    ) -> Self {
        let began = ResealProgress {
            state: ResealState::Running,
            ..ResealProgress::default()
        };
        Self {
            keyring: LiveKeyring::new(keyring),
            sources,
            store,
            edge,
            per_second,
            clock,
            fleet,
            change_lock: tokio::sync::Mutex::new(()),
            resealing: watch::Sender::new(began),
            reseal_requested: Notify::new(),
        }
    }

    /// Marks everything to be resealed where one process owns the store, if the active key is not that of the previous process. To
    /// be called before anything is sealed.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(crate) async fn mark_pending(&self) -> Result<(), Fault> {
        if self.fleet.is_some() || reseal::is_finished(&*self.store, self.keyring.keys()).await? {
            return Ok(());
        }
        reseal::begin(&*self.store, self.keyring.active()).await
    }

    /// Reseals everything on request, and at startup if an earlier process has not finished.
    /// Returns when `stop` completes.
    pub(crate) async fn run(&self, stop: impl Future<Output = ()>) {
        let work = async {
            loop {
                self.reseal_with_retries().await;
                self.reseal_requested.notified().await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
    }

    async fn reseal_with_retries(&self) {
        let mut retries = 0;
        while let Err(fault) = self.reseal().await {
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "resealing was interrupted; retrying"
            );
            self.update_progress(|resealing| {
                resealing.error = "the store fails; trying again".to_owned()
            });
            tokio::time::sleep(BACKOFF.delay(retries)).await;
            retries += 1;
        }
    }

    /// Reseals the store, then what the edge holds, under the active key; then records that it is
    /// finished.
    async fn reseal(&self) -> Result<(), Fault> {
        while let Some(epoch) = self.claim_reseal().await? {
            let lost = async {
                match &self.fleet {
                    None => std::future::pending().await,
                    Some(fleet) => fleet.lost_lease().await,
                }
            };
            tokio::select! {
                done = self.reseal_under(epoch) => match done {
                    Ok(()) => return Ok(()),
                    // Whoever changed them may have left something to do.
                    Err(EpochError::Changed) => {}
                    Err(EpochError::Fault(fault)) => return Err(fault),
                },
                () = lost => tracing::info!("another node continues the resealing"),
            }
        }
        // The edge's replica may be older than the store; checking it is cheap.
        self.reseal_edge().await?;
        self.update_progress(|resealing| resealing.state = ResealState::Finished);
        Ok(())
    }

    /// Waits until this process may reseal, and returns what the store says then; `None` if
    /// everything is resealed.
    async fn claim_reseal(&self) -> Result<Option<SealingEpoch>, Fault> {
        if let Some(fleet) = &self.fleet {
            return self.wait_for_turn(fleet).await;
        }
        let store = &*self.store;
        if reseal::is_finished(store, self.keyring.keys()).await? {
            return Ok(None);
        }
        self.keyring.drained().await;
        reseal::begin(store, self.keyring.active()).await?;
        SealingEpoch::read(store).await
    }

    async fn reseal_under(&self, epoch: SealingEpoch) -> Result<(), EpochError> {
        let store = &*self.store;
        let active = epoch.under;
        // Again: transactions in flight have ended by now, so the first pass sees what they stored.
        let epoch = epoch.restart(store).await?;
        tracing::info!(key.id = %active, "resealing what is sealed under other keys");
        let proof = self.reseal_store().await?;
        self.reseal_edge().await?;
        if proof.failed == 0 {
            epoch.finish(store, (self.clock)()).await?;
            tracing::info!(key.id = %active, records = proof.opened, "everything is sealed under the active key");
        }
        self.update_progress(|resealing| {
            resealing.state = match &proof.first_failure {
                None => ResealState::Finished,
                Some((key, reason)) => {
                    tracing::error!(
                        %key,
                        reason,
                        records = proof.failed,
                        "sealed records cannot be opened; they are left unchanged"
                    );
                    resealing.error = format!("{key}: {reason}");
                    ResealState::Stuck
                }
            };
        });
        Ok(())
    }

    /// Repeats passes until one finds nothing to do.
    async fn reseal_store(&self) -> Result<ResealPass, Fault> {
        let before = self.resealing.borrow().resealed;
        let mut done = 0;
        loop {
            let report = |pass: &ResealPass| {
                self.update_progress(|resealing| {
                    resealing.state = ResealState::Running;
                    resealing.opened = pass.opened;
                    resealing.resealed = before + done + pass.resealed;
                    resealing.unopened = pass.failed;
                    resealing.error.clear();
                });
            };
            let pass =
                reseal::pass(&*self.store, self.keyring.keys(), self.per_second, report).await?;
            done += pass.resealed;
            if pass.is_clean() {
                return Ok(pass);
            }
        }
    }

    async fn reseal_edge(&self) -> Result<(), Fault> {
        let Some(edge) = &self.edge else {
            return Ok(());
        };
        let done = edge.reseal().await;
        let done = done.map_err(Fault::of("reseal what the edge holds"))?;
        if done.resealed > 0 || done.failed > 0 {
            tracing::info!(
                resealed = done.resealed,
                unopened = done.failed,
                "the edge has resealed what it holds"
            );
        }
        Ok(())
    }

    pub(super) fn update_progress(&self, change: impl FnOnce(&mut ResealProgress)) {
        self.resealing.send_modify(change);
    }

    /// Asks for everything to be resealed in the background.
    pub(super) fn request_reseal(&self) {
        self.update_progress(|resealing| {
            *resealing = ResealProgress {
                state: ResealState::Running,
                ..ResealProgress::default()
            };
        });
        self.reseal_requested.notify_one();
    }

    /// Waits briefly for a running reseal: at startup it usually finds nothing to do.
    async fn wait_until_idle(&self) -> Result<(), KeyEncryptionError> {
        const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
        let mut resealing = self.resealing.subscribe();
        let ended = resealing.wait_for(|now| now.state != ResealState::Running);
        match tokio::time::timeout(IDLE_TIMEOUT, ended).await {
            Ok(_) => Ok(()),
            Err(_) => Err(KeyEncryptionError::Resealing {
                under: self.keyring.active(),
            }),
        }
    }

    /// Reads the sources again; fails if a key in use is missing from them.
    pub(super) async fn read_sources(&self) -> Result<Keyring, KeyEncryptionError> {
        let ring = read_all(&self.sources).await.map_err(source_error)?;
        let has = ring.ids();
        match self.keyring.ids().iter().find(|id| !has.contains(id)) {
            None => Ok(ring),
            Some(missing) => Err(KeyEncryptionError::Source {
                reason: format!(
                    "key {missing} is in use and has gone from where the keys come from"
                ),
            }),
        }
    }

    /// Adds a new key as the first one of the first source, which must be a file.
    async fn generate_key(&self, active: KeyId) -> Result<Keyring, KeyEncryptionError> {
        let source = self.sources.first();
        let no_new_key = |advice| KeyEncryptionError::NoNewKey {
            source_name: source.map(KekSource::name).unwrap_or_default(),
            active,
            advice,
        };
        match source {
            Some(source @ KekSource::File(path)) => {
                let old = source.read().await.map_err(source_error)?;
                let new = Keyring::generate();
                let mut text = Zeroizing::new(String::with_capacity(new.len() + 1 + old.len()));
                text.push_str(&new);
                text.push('\n');
                text.push_str(&old);
                rewrite_key_file(path, &text)?;
                self.read_sources().await
            }
            Some(KekSource::Variable(_)) => Err(no_new_key(
                "put a new key first into the variable and restart: a process that runs keeps its variables",
            )),
            Some(KekSource::Command(_)) | None => Err(no_new_key(
                "have it print a new key first and the others after it, then rotate again",
            )),
        }
    }

    /// Removes a key from a source. Returns whether it is still there, because Edgeseal changes
    /// files only.
    async fn remove_from(&self, source: &KekSource, id: KeyId) -> Result<bool, KeyEncryptionError> {
        let KekSource::File(path) = source else {
            return source.holds(id).await.map_err(source_error);
        };
        let text = source.read().await.map_err(source_error)?;
        let without = Keyring::text_without(&text, id).map_err(source_error)?;
        let Some(without) = without else {
            return Ok(false);
        };
        // A file must keep at least one key, or the next start fails.
        if Keyring::parse(&without).is_err() {
            return Ok(true);
        }
        rewrite_key_file(path, &without)?;
        Ok(false)
    }
}

#[async_trait]
impl KeyEncryption for KekRotator {
    async fn rotate(&self) -> Result<KeyId, KeyEncryptionError> {
        let _turn = self.change_lock.lock().await;
        self.wait_until_idle().await?;
        let before = self.keyring.active();
        let version = self.keyring.version();
        let mut ring = self.read_sources().await?;
        if self.fleet.is_some() {
            return self.propose(&ring, version).await;
        }
        if ring.active() == before {
            ring = self.generate_key(before).await?;
        }
        // Before anything is sealed under it: see `reseal::begin`.
        reseal::begin(&*self.store, ring.active()).await?;
        self.keyring.replace(&ring).map_err(source_error)?;
        let active = self.keyring.active();
        tracing::info!(key.id = %active, before = %before, "the active key-encryption key has changed");
        self.request_reseal();
        Ok(active)
    }

    async fn retire(&self, id: KeyId) -> Result<Vec<String>, KeyEncryptionError> {
        let _turn = self.change_lock.lock().await;
        if self.keyring.active() == id {
            return Err(KeyEncryptionError::Active { id });
        }
        if !self.keyring.ids().contains(&id) {
            return Err(KeyEncryptionError::Unknown { id });
        }
        if self.fleet.is_some() {
            self.refuse_named(id).await?;
        }
        self.wait_until_idle().await?;
        let census = self.census().await?;
        let records = census.under(id);
        if records > 0 {
            return Err(KeyEncryptionError::InUse { id, records });
        }
        if census.unreadable > 0 {
            let records = census.unreadable;
            return Err(KeyEncryptionError::Unreadable { id, records });
        }
        let mut still_in = Vec::new();
        for source in &self.sources {
            if self.remove_from(source, id).await? {
                still_in.push(source.name());
            }
        }
        self.keyring.remove(id).map_err(source_error)?;
        tracing::info!(key.id = %id, "a key-encryption key was retired");
        Ok(still_in)
    }

    fn status(&self) -> KeyEncryptionStatus {
        KeyEncryptionStatus {
            keys: self.keyring.ids(),
            sources: self.sources.iter().map(KekSource::name).collect(),
            resealing: self.resealing.borrow().clone(),
        }
    }

    async fn census(&self) -> Result<SealedCounts, Fault> {
        reseal::count_sealed(&*self.store).await
    }
}

pub(super) fn source_error(why: impl std::error::Error) -> KeyEncryptionError {
    KeyEncryptionError::Source {
        reason: why.to_string(),
    }
}

/// Replaces a key file. If the path is a symbolic link, its target is replaced.
fn rewrite_key_file(path: &Path, text: &str) -> Result<(), KeyEncryptionError> {
    let target: PathBuf = fs::canonicalize(path).map_err(source_error)?;
    replace_private_file(&target, text.as_bytes()).map_err(source_error)
}
