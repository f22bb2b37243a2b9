//! Session tickets (RFC 5077, RFC 8446 §4.6.1) under keys that all edges of the environment share.
//!
//! A ticket is `key name (16 bytes) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`, sealed with
//! AES-256-GCM-SIV (RFC 8452); the key name and the domain id are the associated data. [`session`]
//! defines what it contains besides the rustls session. Nonces are random, and many edges seal
//! under one key for half a day: plain GCM is safe for some 2^32 tickets, and a repeated nonce
//! would reveal both tickets. Here it would only show that two tickets are equal, which they never
//! are.
//!
//! [`edgeseal_core::ticket`] decides which key seals and which ones open. Missing shared keys are
//! replaced by local keys of this process, so that sessions can at least be resumed here.

use std::{collections::HashSet, fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use edgeseal_core::{
    Timestamp,
    domain::Environment,
    ticket::{TicketKeyUse, TicketPeriod},
};
use edgeseal_store::{
    Key, Keyring, key,
    ticket_key::{NAME_LEN, TicketKey, TicketKeyError},
};
use parking_lot::{Mutex, RwLock};
use rustls::crypto::SecureRandom;
use tokio::sync::Notify;

use crate::telemetry;

mod session;

pub(super) use session::SessionTicketer;

/// The ticket keys of this edge; seals and opens tickets with them.
pub(crate) struct TicketKeys {
    environment: Environment,
    keyring: Keyring,
    clock: fn() -> Timestamp,
    random: &'static dyn SecureRandom,
    keys: RwLock<Arc<Vec<HeldTicketKey>>>,
    /// Shared keys that could not be used, to log each once.
    unusable: Mutex<HashSet<Key>>,
    changed: Notify,
}

/// A shared key in its stored form: sealed.
pub(crate) type StoredTicketKey = (Key, Bytes);

#[derive(Clone)]
struct HeldTicketKey {
    period: TicketPeriod,
    created: Timestamp,
    name: [u8; NAME_LEN],
    key: Arc<LessSafeKey>,
    /// The stored form; `None` for a local key.
    stored: Option<StoredTicketKey>,
}

impl TicketKeys {
    /// With local keys, until shared ones are inserted.
    pub(crate) fn new(
        environment: Environment,
        keyring: Keyring,
        clock: fn() -> Timestamp,
    ) -> Self {
        let tickets = Self {
            environment,
            keyring,
            clock,
            random: super::provider().secure_random,
            keys: RwLock::default(),
            unusable: Mutex::default(),
            changed: Notify::new(),
        };
        tickets.expire_and_fill();
        tickets
    }

    /// The environment whose edges share the keys.
    pub(crate) const fn environment(&self) -> Environment {
        self.environment
    }

    pub(crate) const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Inserts or replaces a shared key from the store or the replica. One whose period is over, or
    /// that cannot be decrypted, is ignored; the latter is logged.
    pub(crate) fn insert_stored(&self, holder: &Key, value: &Bytes) {
        if !holder
            .as_str()
            .starts_with(&key::ticket_keys(self.environment))
        {
            return;
        }
        let known = |held: &HeldTicketKey| {
            held.stored
                .as_ref()
                .is_some_and(|(_, stored)| stored == value)
        };
        if self.held().iter().any(known) {
            return;
        }
        match TicketKey::open(&self.keyring, holder, value) {
            Ok(opened) if opened.period.key_use(self.now()).is_some() => {
                self.drop_stored(|stored| stored == holder);
                self.hold(&opened, Some((holder.clone(), value.clone())));
                self.changed.notify_one();
            }
            Ok(_) => {}
            Err(reason) => self.log_unusable_once(holder, reason),
        }
    }

    /// Removes a shared key: it was removed from the store.
    pub(crate) fn forget(&self, holder: &Key) {
        self.drop_stored(|stored| stored == holder);
        self.changed.notify_one();
    }

    /// Removes the shared keys that are not among these.
    pub(crate) fn retain_listed(&self, listed: &HashSet<Key>) {
        self.drop_stored(|stored| !listed.contains(stored));
        self.changed.notify_one();
    }

    /// Destroys expired keys, and creates local ones for shared ones that are missing.
    pub(crate) fn expire_and_fill(&self) {
        let now = self.now();
        let held = self.held();
        if held.iter().any(|one| one.period.key_use(now).is_none()) {
            self.retain(|one| one.period.key_use(now).is_some());
            self.changed.notify_one();
        }
        for period in TicketPeriod::required(now) {
            if !held.iter().any(|one| one.period == period) {
                self.hold(&TicketKey::generate(period, now), None);
            }
        }
        if let Some(sealing) = sealing(&self.held(), now) {
            let age_ms = now.since_ms(sealing.created).max(0);
            telemetry::ticket_key(age_ms, sealing.stored.is_some());
        }
    }

    /// The periods whose shared keys are missing now.
    pub(crate) fn missing(&self) -> Vec<TicketPeriod> {
        let held = self.held();
        let shared = |period| {
            let mut of_period = held.iter().filter(|one| one.period == period);
            of_period.any(|one| one.stored.is_some())
        };
        let mut wanted = TicketPeriod::required(self.now()).to_vec();
        wanted.retain(|period| !shared(*period));
        wanted
    }

    /// The shared keys, for the replica.
    pub(crate) fn stored(&self) -> Vec<StoredTicketKey> {
        let held = self.held();
        held.iter().filter_map(|one| one.stored.clone()).collect()
    }

    /// Waits for a change of the shared keys since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Reseals, for the replica, keys that are sealed under another key than the active one. One
    /// that cannot be decrypted stays as it is.
    pub(crate) fn reseal(&self) {
        for (holder, value) in self.stored() {
            let resealed = TicketKey::open(&self.keyring, &holder, &value)
                .ok()
                .and_then(|key| key.seal(&self.keyring, &holder).ok());
            let Some(resealed) = resealed else { continue };
            self.change(|held| {
                let mut same = held.iter_mut().filter_map(|one| one.stored.as_mut());
                if let Some(stored) = same.find(|(_, stored)| *stored == value) {
                    stored.1 = resealed.clone();
                }
            });
        }
    }

    /// A ticket for a domain; `None` if there is no key or no randomness.
    fn seal(&self, domain: i64, plain: &[u8]) -> Option<Vec<u8>> {
        let held = self.held();
        let sealing = sealing(&held, self.now())?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let tag = sealing
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(&sealing.name, domain),
                &mut sealed,
            )
            .ok()?;
        Some([&sealing.name[..], &nonce, &sealed, tag.as_ref()].concat())
    }

    /// The content of a ticket for this domain, if its key is still held.
    fn open(&self, domain: i64, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let held = self.held();
        let now = self.now();
        // Key names are not secret: every ticket contains one.
        let one = held.iter().find(|one| one.name == *name)?;
        one.period.key_use(now)?;
        let mut buffer = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = one
            .key
            .open_in_place(nonce, associated(name, domain), &mut buffer);
        let length = opened.ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }

    fn log_unusable_once(&self, holder: &Key, reason: TicketKeyError) {
        let mut unusable = self.unusable.lock();
        if unusable.insert(holder.clone()) {
            tracing::error!(
                key = %holder,
                error = &reason as &dyn std::error::Error,
                "a shared ticket key cannot be used: sessions of its period resume at this edge only"
            );
        }
    }

    fn hold(&self, opened: &TicketKey, stored: Option<StoredTicketKey>) {
        let key = UnboundKey::new(&AES_256_GCM_SIV, opened.key.expose());
        let Ok(key) = key else { return }; // the length is correct
        let one = HeldTicketKey {
            period: opened.period,
            created: opened.created,
            name: opened.name,
            key: Arc::new(LessSafeKey::new(key)),
            stored,
        };
        self.change(|held| held.push(one));
    }

    fn drop_stored(&self, which: impl Fn(&Key) -> bool) {
        self.retain(|one| !one.stored.as_ref().is_some_and(|(holder, _)| which(holder)));
    }

    fn retain(&self, keep: impl Fn(&HeldTicketKey) -> bool) {
        self.change(|held| held.retain(keep));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<HeldTicketKey>)) {
        let mut held = self.keys.write();
        change(Arc::make_mut(&mut held));
    }

    /// The current keys. Locked only while a pointer is copied.
    fn held(&self) -> Arc<Vec<HeldTicketKey>> {
        Arc::clone(&self.keys.read())
    }
}

fn associated(name: &[u8; NAME_LEN], domain: i64) -> Aad<[u8; NAME_LEN + 8]> {
    let mut data = [0; NAME_LEN + 8];
    data[..NAME_LEN].copy_from_slice(name);
    data[NAME_LEN..].copy_from_slice(&domain.to_be_bytes());
    Aad::from(data)
}

/// The key that seals: the shared one, if it is there.
fn sealing(held: &[HeldTicketKey], now: Timestamp) -> Option<&HeldTicketKey> {
    let is_current = |one: &&HeldTicketKey| one.period.key_use(now) == Some(TicketKeyUse::Current);
    let current = held.iter().filter(is_current);
    current.max_by_key(|one| one.stored.is_some())
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("environment", &self.environment)
            .field("keys", &self.held().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
