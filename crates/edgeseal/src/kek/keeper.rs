//! The keeper of the key-encryption keys of a running process: changes them, and has everything
//! sealed anew in the background.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use edgeseal_api::key_encryption::{KeyEncryption, KeyRefused, ResealState, Resealing, Standing};
use edgeseal_core::Timestamp;
use edgeseal_edge::Reseal;
use edgeseal_store::{
    Fault, Keyring, SharedStore,
    reseal::{self, Census, Pass},
    seal::{KeyId, Superseded},
};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use super::{KekSource, read_all};
use crate::bootstrap::write_private;

/// See the [module](self).
pub(crate) struct Keeper {
    keyring: Keyring,
    sources: Vec<KekSource>,
    store: SharedStore,
    edge: Reseal,
    per_second: u32,
    clock: fn() -> Timestamp,
    /// One change of the keys at a time.
    turn: tokio::sync::Mutex<()>,
    /// Keys of before, under which something may still be on its way into the store.
    superseded: Mutex<Vec<Superseded>>,
    resealing: watch::Sender<Resealing>,
    wanted: Notify,
}

/// Between two tries while the store fails.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

impl Keeper {
    /// A keeper of `keyring`, which was read from `sources`.
    pub(crate) fn new(
        (keyring, sources): (Keyring, Vec<KekSource>),
        store: SharedStore,
        edge: Reseal,
        per_second: u32,
        clock: fn() -> Timestamp,
    ) -> Self {
        let began = Resealing {
            state: ResealState::Running,
            ..Resealing::default()
        };
        Self {
            keyring,
            sources,
            store,
            edge,
            per_second,
            clock,
            turn: tokio::sync::Mutex::new(()),
            superseded: Mutex::default(),
            resealing: watch::Sender::new(began),
            wanted: Notify::new(),
        }
    }

    /// Has everything sealed anew whenever that is wanted, and at the start if an earlier process
    /// has not finished it. Ends with `stop`.
    pub(crate) async fn run(&self, stop: impl Future<Output = ()>) {
        let work = async {
            loop {
                self.until_done().await;
                self.wanted.notified().await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
    }

    async fn until_done(&self) {
        let (mut pause, longest) = PAUSES;
        while let Err(fault) = self.reseal().await {
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "sealing anew was interrupted; trying again"
            );
            self.tell(|resealing| resealing.trouble = "the store fails; trying again".to_owned());
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
            self.tell(|resealing| resealing.state = ResealState::Finished);
            return Ok(());
        }
        for superseded in self.take_superseded() {
            superseded.released().await;
        }
        reseal::begin(store, &self.keyring).await?;
        tracing::info!(key.id = %active, "sealing anew what is under other keys");
        let proof = self.passes().await?;
        self.reseal_edge().await?;
        if proof.unopened == 0 {
            reseal::finish(store, active, (self.clock)()).await?;
            tracing::info!(key.id = %active, records = proof.opened, "all is sealed under this key");
        }
        self.tell(|resealing| {
            resealing.state = match &proof.unopened_first {
                None => ResealState::Finished,
                Some((key, why)) => {
                    tracing::error!(
                        %key,
                        why,
                        records = proof.unopened,
                        "sealed records do not open, and stay as they are"
                    );
                    resealing.trouble = format!("{key}: {why}");
                    ResealState::Stuck
                }
            };
        });
        Ok(())
    }

    /// Passes until one finds nothing to do.
    async fn passes(&self) -> Result<Pass, Fault> {
        let before = self.resealing.borrow().resealed;
        let mut done = 0;
        loop {
            let told = |pass: &Pass| {
                self.tell(|resealing| {
                    resealing.state = ResealState::Running;
                    resealing.opened = pass.opened;
                    resealing.resealed = before + done + pass.resealed;
                    resealing.unopened = pass.unopened;
                    resealing.trouble.clear();
                });
            };
            let pass = reseal::pass(&*self.store, &self.keyring, self.per_second, told).await?;
            done += pass.resealed;
            if pass.is_proof() {
                return Ok(pass);
            }
        }
    }

    async fn reseal_edge(&self) -> Result<(), Fault> {
        let done = self.edge.run().await;
        let done = done.map_err(Fault::of("seal anew what the edge holds"))?;
        if done.resealed > 0 || done.unopened > 0 {
            tracing::info!(
                resealed = done.resealed,
                unopened = done.unopened,
                "the edge has sealed anew what it holds"
            );
        }
        Ok(())
    }

    fn tell(&self, change: impl FnOnce(&mut Resealing)) {
        self.resealing.send_modify(change);
    }

    fn take_superseded(&self) -> Vec<Superseded> {
        let mut waiting = self
            .superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }

    /// A look that finds nothing to do, as at each start, is waited for.
    async fn refuse_while_resealing(&self) -> Result<(), KeyRefused> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let mut resealing = self.resealing.subscribe();
        let ended = resealing.wait_for(|now| now.state != ResealState::Running);
        match tokio::time::timeout(PATIENCE, ended).await {
            Ok(_) => Ok(()),
            Err(_) => Err(KeyRefused::Resealing {
                under: self.keyring.active(),
            }),
        }
    }

    /// The keys that the sources have now, if none is missing that is in use.
    async fn read_sources(&self) -> Result<Keyring, KeyRefused> {
        let ring = read_all(&self.sources).await.map_err(unusable)?;
        let has = ring.ids();
        match self.keyring.ids().iter().find(|id| !has.contains(id)) {
            None => Ok(ring),
            Some(missing) => Err(KeyRefused::Source {
                why: format!("key {missing} is in use and has gone from where the keys come from"),
            }),
        }
    }

    /// Puts a new key first into the file that is the first source.
    async fn make_key(&self, active: KeyId) -> Result<Keyring, KeyRefused> {
        let source = self.sources.first();
        let no_new_key = |advice| KeyRefused::NoNewKey {
            source_name: source.map(KekSource::name).unwrap_or_default(),
            active,
            advice,
        };
        match source {
            Some(source @ KekSource::File(path)) => {
                let old = source.read().await.map_err(unusable)?;
                let new = Keyring::generate();
                let mut text = Zeroizing::new(String::with_capacity(new.len() + 1 + old.len()));
                text.push_str(&new);
                text.push('\n');
                text.push_str(&old);
                replace_file(path, &text)?;
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
    async fn take_from(&self, source: &KekSource, id: KeyId) -> Result<bool, KeyRefused> {
        let KekSource::File(path) = source else {
            return source.holds(id).await.map_err(unusable);
        };
        let text = source.read().await.map_err(unusable)?;
        let without = Keyring::without(&text, id).map_err(unusable)?;
        let Some(without) = without else {
            return Ok(false);
        };
        // A file must hold a key at least, or the next start fails.
        if Keyring::parse(&without).is_err() {
            return Ok(true);
        }
        replace_file(path, &without)?;
        Ok(false)
    }
}

#[async_trait]
impl KeyEncryption for Keeper {
    async fn rotate(&self) -> Result<KeyId, KeyRefused> {
        let _turn = self.turn.lock().await;
        self.refuse_while_resealing().await?;
        let before = self.keyring.active();
        let mut ring = self.read_sources().await?;
        if ring.active() == before {
            ring = self.make_key(before).await?;
        }
        let superseded = self.keyring.replace(&ring).map_err(unusable)?;
        self.superseded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(superseded);
        let active = self.keyring.active();
        tracing::info!(key.id = %active, before = %before, "another key seals from now on");
        self.tell(|resealing| {
            *resealing = Resealing {
                state: ResealState::Running,
                ..Resealing::default()
            };
        });
        self.wanted.notify_one();
        Ok(active)
    }

    async fn retire(&self, id: KeyId) -> Result<Vec<String>, KeyRefused> {
        let _turn = self.turn.lock().await;
        if self.keyring.active() == id {
            return Err(KeyRefused::Active { id });
        }
        if !self.keyring.ids().contains(&id) {
            return Err(KeyRefused::Unknown { id });
        }
        self.refuse_while_resealing().await?;
        let census = self.census().await?;
        let records = census.under(id);
        if records > 0 {
            return Err(KeyRefused::InUse { id, records });
        }
        if census.unreadable > 0 {
            let records = census.unreadable;
            return Err(KeyRefused::Unreadable { id, records });
        }
        let mut still_in = Vec::new();
        for source in &self.sources {
            if self.take_from(source, id).await? {
                still_in.push(source.name());
            }
        }
        self.keyring.forget(id).map_err(unusable)?;
        tracing::info!(key.id = %id, "a key is retired");
        Ok(still_in)
    }

    fn standing(&self) -> Standing {
        Standing {
            keys: self.keyring.ids(),
            sources: self.sources.iter().map(KekSource::name).collect(),
            resealing: self.resealing.borrow().clone(),
        }
    }

    async fn census(&self) -> Result<Census, Fault> {
        reseal::census(&*self.store).await
    }
}

fn unusable(why: impl std::error::Error) -> KeyRefused {
    KeyRefused::Source {
        why: why.to_string(),
    }
}

/// Replaces the file of the keys, and not a link to it.
fn replace_file(path: &Path, text: &str) -> Result<(), KeyRefused> {
    let target: PathBuf = fs::canonicalize(path).map_err(unusable)?;
    write_private(&target, text.as_bytes()).map_err(unusable)
}
