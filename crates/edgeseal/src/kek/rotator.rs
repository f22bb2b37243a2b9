//! The keeper of the key-encryption keys of a running process: changes them, and has everything
//! sealed anew in the background.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use edgeseal_api::key_encryption::{
    KeyEncryption, KeyEncryptionError, KeyEncryptionStatus, ResealProgress, ResealState,
};
use edgeseal_core::Timestamp;
use edgeseal_edge::ResealHandle;
use edgeseal_store::{
    Fault, Keyring, SharedStore,
    reseal::{self, ResealPass, SealedCounts},
    seal::{KeyId, RetiredKeys},
};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::{KekSource, read_all};
use crate::private_files::replace_private_file;

/// See the [module](self).
pub(crate) struct KekRotator {
    keyring: Keyring,
    sources: Vec<KekSource>,
    store: SharedStore,
    edge: ResealHandle,
    per_second: u32,
    clock: fn() -> Timestamp,
    /// One change of the keys at a time.
    change_lock: tokio::sync::Mutex<()>,
    /// Keys of before, under which something may still be on its way into the store.
    superseded: Mutex<Vec<RetiredKeys>>,
    resealing: watch::Sender<ResealProgress>,
    reseal_requested: Notify,
}

/// Between two tries while the store fails.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

impl KekRotator {
    /// A keeper of `keyring`, which was read from `sources`.
    pub(crate) fn new(
        (keyring, sources): (Keyring, Vec<KekSource>),
        store: SharedStore,
        edge: ResealHandle,
        per_second: u32,
        clock: fn() -> Timestamp,
    ) -> Self {
        let began = ResealProgress {
            state: ResealState::Running,
            ..ResealProgress::default()
        };
        Self {
            keyring,
            sources,
            store,
            edge,
            per_second,
            clock,
            change_lock: tokio::sync::Mutex::new(()),
            superseded: Mutex::default(),
            resealing: watch::Sender::new(began),
            reseal_requested: Notify::new(),
        }
    }

    /// To be called before anything is sealed: if the first key is another one than the last process
    /// had, everything is to come under it.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub(crate) async fn mark_pending(&self) -> Result<(), Fault> {
        if reseal::is_finished(&*self.store, &self.keyring).await? {
            return Ok(());
        }
        reseal::begin(&*self.store, self.keyring.active()).await
    }

    /// Has everything sealed anew whenever that is wanted, and at the start if an earlier process
    /// has not finished it. Ends with `stop`.
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
        let (mut pause, longest) = RETRY_BACKOFF;
        while let Err(fault) = self.reseal().await {
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "sealing anew was interrupted; trying again"
            );
            self.update_progress(|resealing| {
                resealing.error = "the store fails; trying again".to_owned()
            });
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Everything under the key that seals: the store, then what the edge holds, then the note that
    /// it is done.
    async fn reseal(&self) -> Result<(), Fault> {
        let active = self.keyring.active();
        let store = &*self.store;
        if reseal::is_finished(store, &self.keyring).await? {
            // The edge's replica may be older than the store: a look at what it holds is cheap.
            self.reseal_edge().await?;
            self.update_progress(|resealing| resealing.state = ResealState::Finished);
            return Ok(());
        }
        for superseded in self.take_superseded() {
            superseded.drained().await;
        }
        // Once more: what was handed to the store until now is seen by the first pass.
        reseal::begin(store, active).await?;
        tracing::info!(key.id = %active, "sealing anew what is under other keys");
        let proof = self.reseal_store().await?;
        self.reseal_edge().await?;
        if proof.failed == 0 {
            reseal::finish(store, active, (self.clock)()).await?;
            tracing::info!(key.id = %active, records = proof.opened, "all is sealed under this key");
        }
        self.update_progress(|resealing| {
            resealing.state = match &proof.first_failure {
                None => ResealState::Finished,
                Some((key, why)) => {
                    tracing::error!(
                        %key,
                        why,
                        records = proof.failed,
                        "sealed records do not open, and stay as they are"
                    );
                    resealing.error = format!("{key}: {why}");
                    ResealState::Stuck
                }
            };
        });
        Ok(())
    }

    /// Passes until one finds nothing to do.
    async fn reseal_store(&self) -> Result<ResealPass, Fault> {
        let before = self.resealing.borrow().resealed;
        let mut done = 0;
        loop {
            let told = |pass: &ResealPass| {
                self.update_progress(|resealing| {
                    resealing.state = ResealState::Running;
                    resealing.opened = pass.opened;
                    resealing.resealed = before + done + pass.resealed;
                    resealing.unopened = pass.failed;
                    resealing.error.clear();
                });
            };
            let pass = reseal::pass(&*self.store, &self.keyring, self.per_second, told).await?;
            done += pass.resealed;
            if pass.is_clean() {
                return Ok(pass);
            }
        }
    }

    async fn reseal_edge(&self) -> Result<(), Fault> {
        let done = self.edge.run().await;
        let done = done.map_err(Fault::of("seal anew what the edge holds"))?;
        if done.resealed > 0 || done.failed > 0 {
            tracing::info!(
                resealed = done.resealed,
                unopened = done.failed,
                "the edge has sealed anew what it holds"
            );
        }
        Ok(())
    }

    fn update_progress(&self, change: impl FnOnce(&mut ResealProgress)) {
        self.resealing.send_modify(change);
    }

    fn take_superseded(&self) -> Vec<RetiredKeys> {
        let mut waiting = self
            .superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }

    /// A look that finds nothing to do, as at each start, is waited for.
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

    /// The keys that the sources have now, if none is missing that is in use.
    async fn read_sources(&self) -> Result<Keyring, KeyEncryptionError> {
        let ring = read_all(&self.sources).await.map_err(source_error)?;
        let has = ring.ids();
        match self.keyring.ids().iter().find(|id| !has.contains(id)) {
            None => Ok(ring),
            Some(missing) => Err(KeyEncryptionError::Source {
                why: format!("key {missing} is in use and has gone from where the keys come from"),
            }),
        }
    }

    /// Puts a new key first into the file that is the first source.
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

    /// Takes a key from a source. Whether it is still there, since it is not Edgeseal's to change.
    async fn remove_from(&self, source: &KekSource, id: KeyId) -> Result<bool, KeyEncryptionError> {
        let KekSource::File(path) = source else {
            return source.holds(id).await.map_err(source_error);
        };
        let text = source.read().await.map_err(source_error)?;
        let without = Keyring::text_without(&text, id).map_err(source_error)?;
        let Some(without) = without else {
            return Ok(false);
        };
        // A file must hold a key at least, or the next start fails.
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
        let mut ring = self.read_sources().await?;
        if ring.active() == before {
            ring = self.generate_key(before).await?;
        }
        // Before anything is sealed under it: see `reseal::begin`.
        reseal::begin(&*self.store, ring.active()).await?;
        let superseded = self.keyring.replace(&ring).map_err(source_error)?;
        self.superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(superseded);
        let active = self.keyring.active();
        tracing::info!(key.id = %active, before = %before, "another key seals from now on");
        self.update_progress(|resealing| {
            *resealing = ResealProgress {
                state: ResealState::Running,
                ..ResealProgress::default()
            };
        });
        self.reseal_requested.notify_one();
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
        self.keyring.remove_key(id).map_err(source_error)?;
        tracing::info!(key.id = %id, "a key is retired");
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

fn source_error(why: impl std::error::Error) -> KeyEncryptionError {
    KeyEncryptionError::Source {
        why: why.to_string(),
    }
}

/// Replaces the file of the keys, and not a link to it.
fn rewrite_key_file(path: &Path, text: &str) -> Result<(), KeyEncryptionError> {
    let target: PathBuf = fs::canonicalize(path).map_err(source_error)?;
    replace_private_file(&target, text.as_bytes()).map_err(source_error)
}
