//! The keyring of a running process: every change of it, and what may still be stored under the keys
//! that it has replaced.

use std::sync::{Mutex, MutexGuard, PoisonError};

use edgeseal_store::{
    Keyring,
    seal::{KeyId, MissingKey, RemoveKeyError, RetiredKeys},
};

/// Changes a keyring, one change at a time, so that each is decided by the keys that it changes. No
/// lock is held while keys are read from their sources.
pub(super) struct LiveKeyring {
    keyring: Keyring,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    count: u64,
    /// Keys under which transactions in flight may still store something.
    superseded: Vec<RetiredKeys>,
    /// Whether the key that seals has changed and nobody has looked since the transactions in
    /// flight ended: see [`LiveKeyring::confirm`].
    is_unconfirmed: bool,
}

/// A moment between two changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeysVersion(u64);

impl LiveKeyring {
    pub(super) fn new(keyring: Keyring) -> Self {
        Self {
            keyring,
            changes: Mutex::default(),
        }
    }

    /// The keys, to seal and open with.
    pub(super) const fn keys(&self) -> &Keyring {
        &self.keyring
    }

    /// The active key.
    pub(super) fn active(&self) -> KeyId {
        self.keyring.active()
    }

    /// All keys; the active one first.
    pub(super) fn ids(&self) -> Vec<KeyId> {
        self.keyring.ids()
    }

    /// To be taken before keys are read that are [added](Self::add) then.
    pub(super) fn version(&self) -> KeysVersion {
        KeysVersion(self.changes().count)
    }

    /// Replaces the keys; the first one of `ring` seals.
    ///
    /// # Errors
    /// [`MissingKey`] if `ring` lacks a key; nothing has changed then.
    pub(super) fn replace(&self, ring: &Keyring) -> Result<(), MissingKey> {
        let mut changes = self.changes();
        let retired = self.keyring.replace(ring)?;
        changes.superseded.push(retired);
        changes.count += 1;
        Ok(())
    }

    /// Replaces the keys by those that were read at `version`; the one that seals stays. Does
    /// nothing and returns `false` if they were changed since: a key may have been removed.
    ///
    /// # Errors
    /// [`MissingKey`] if `ring` lacks a key; nothing has changed then.
    pub(super) fn add(&self, ring: &Keyring, version: KeysVersion) -> Result<bool, MissingKey> {
        let mut changes = self.changes();
        if changes.count != version.0 {
            return Ok(false);
        }
        ring.activate(self.keyring.active())?;
        let retired = self.keyring.replace(ring)?;
        changes.superseded.push(retired);
        changes.count += 1;
        Ok(true)
    }

    /// Lets a key of the keyring seal. Returns whether another one did before.
    ///
    /// # Errors
    /// [`MissingKey`] if there is no such key.
    pub(super) fn seal_with(&self, id: KeyId) -> Result<bool, MissingKey> {
        let mut changes = self.changes();
        let Some(retired) = self.keyring.activate(id)? else {
            return Ok(false);
        };
        changes.superseded.push(retired);
        changes.count += 1;
        changes.is_unconfirmed = true;
        Ok(true)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`RemoveKeyError`] if it is the active key, or there is none.
    pub(super) fn remove(&self, id: KeyId) -> Result<(), RemoveKeyError> {
        let mut changes = self.changes();
        self.keyring.remove_key(id)?;
        changes.count += 1;
        Ok(())
    }

    /// The key under which everything is stored from now on; `None` while something may still be
    /// stored under another one, or before that was [confirmed](Self::confirm).
    pub(super) fn sealing(&self) -> Option<KeyId> {
        let changes = self.changes_in_flight();
        (changes.superseded.is_empty() && !changes.is_unconfirmed).then(|| self.keyring.active())
    }

    /// The active key, if everything that was sealed under another one has been stored or given up
    /// since it became active, and this was not confirmed yet.
    pub(super) fn unconfirmed(&self) -> Option<KeyId> {
        let changes = self.changes_in_flight();
        (changes.superseded.is_empty() && changes.is_unconfirmed).then(|| self.keyring.active())
    }

    /// Confirms that what was stored under other keys until [`unconfirmed`](Self::unconfirmed)
    /// returned `id` is resealed.
    pub(super) fn confirm(&self, id: KeyId) {
        let mut changes = self.changes();
        if self.keyring.active() == id {
            changes.is_unconfirmed = false;
        }
    }

    /// Waits until nothing can be stored any more under keys that were replaced.
    pub(super) async fn drained(&self) {
        let superseded = std::mem::take(&mut self.changes().superseded);
        for keys in superseded {
            keys.drained().await;
        }
    }

    fn changes_in_flight(&self) -> MutexGuard<'_, Changes> {
        let mut changes = self.changes();
        changes.superseded.retain(|keys| !keys.is_drained());
        changes
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings() -> (String, String, [KeyId; 2]) {
        let (old, new) = (Keyring::generate(), Keyring::generate());
        let ids = [&old, &new].map(|text| Keyring::parse(text).unwrap().active());
        (old.to_string(), format!("{}\n{}", *old, *new), ids)
    }

    #[test]
    fn keys_that_were_read_before_one_was_removed_do_not_bring_it_back() {
        let (_, both, [old, new]) = rings();
        let live = LiveKeyring::new(Keyring::parse(&both).unwrap());
        let (version, read) = (live.version(), Keyring::parse(&both).unwrap());
        live.remove(new).unwrap();
        assert!(!live.add(&read, version).unwrap());
        assert_eq!(live.ids(), [old]);
        assert!(live.add(&read, live.version()).unwrap());
        assert_eq!(live.ids(), [old, new]);
    }

    #[test]
    fn added_keys_do_not_change_which_one_seals() {
        let (one, both, [old, new]) = rings();
        let live = LiveKeyring::new(Keyring::parse(&one).unwrap());
        let (version, read) = (live.version(), Keyring::parse(&both).unwrap());
        assert!(live.add(&read, version).unwrap());
        assert!(live.seal_with(new).unwrap());
        // As it is in the sources.
        assert!(
            live.add(&Keyring::parse(&both).unwrap(), live.version())
                .unwrap()
        );
        assert_eq!(live.ids(), [new, old]);
    }

    #[test]
    fn a_key_seals_alone_once_nothing_is_in_flight_and_that_is_confirmed() {
        let (_, both, [old, new]) = rings();
        let live = LiveKeyring::new(Keyring::parse(&both).unwrap());
        assert_eq!(live.sealing(), Some(old));
        let in_flight = live.keys().seal_guard();
        assert!(live.seal_with(new).unwrap());
        assert_eq!((live.sealing(), live.unconfirmed()), (None, None));
        drop(in_flight);
        assert_eq!((live.sealing(), live.unconfirmed()), (None, Some(new)));
        live.confirm(old);
        assert_eq!(live.sealing(), None, "another key");
        live.confirm(new);
        assert_eq!((live.sealing(), live.unconfirmed()), (Some(new), None));
    }
}
