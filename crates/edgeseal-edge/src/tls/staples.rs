//! OCSP responses that are stapled: which certificates want one, and those that are there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use edgeseal_core::certificate::{Digest, ocsp};
use tokio::sync::Notify;

use crate::served_domain::{Certificates, Https, Material, ServedDomain};

/// A verified response.
#[derive(Debug)]
pub(crate) struct Staple {
    /// Its DER.
    pub(crate) der: Vec<u8>,
    /// Whether the certificate demands one (RFC 7633): then it is stapled whatever its domains chose.
    pub(crate) must_staple: bool,
}

/// Wishes and responses, by the digest of the material.
#[derive(Debug, Default)]
pub(crate) struct Staples {
    kept: papaya::HashMap<Digest, Arc<Staple>>,
    /// How many domains want one.
    wanted: Mutex<HashMap<Digest, u32>>,
    /// Those that are wanted, or not wanted any more, since somebody looked.
    changed: Mutex<Vec<Digest>>,
    changed_notify: Notify,
}

impl Staples {
    /// This entry is served from now on.
    pub(crate) fn serve(&self, entry: &ServedDomain) {
        for digest in wanting(entry) {
            let count = {
                let mut wanted = lock(&self.wanted);
                let count = wanted.entry(digest).or_default();
                *count += 1;
                *count
            };
            if count == 1 {
                self.tell(digest);
            }
        }
    }

    /// This entry is served no more.
    pub(crate) fn release(&self, entry: &ServedDomain) {
        for digest in wanting(entry) {
            let unwanted = {
                let mut wanted = lock(&self.wanted);
                let count = wanted
                    .get(&digest)
                    .map_or(0, |count| count.saturating_sub(1));
                if count == 0 {
                    wanted.remove(&digest);
                } else {
                    wanted.insert(digest, count);
                }
                count == 0
            };
            if unwanted {
                self.tell(digest);
            }
        }
    }

    /// Whether a domain wants it.
    pub(crate) fn is_wanted(&self, digest: &Digest) -> bool {
        lock(&self.wanted).contains_key(digest)
    }

    /// Waits for a change after the last call.
    pub(crate) async fn changed(&self) {
        self.changed_notify.notified().await;
    }

    /// What to look at again.
    pub(crate) fn take_changed(&self) -> Vec<Digest> {
        std::mem::take(&mut lock(&self.changed))
    }

    /// The response for this material.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Staple>> {
        self.kept.pin().get(digest).cloned()
    }

    /// Puts a response in the place of what is there, or takes that away.
    pub(super) fn put(&self, digest: &Digest, staple: Option<Arc<Staple>>) {
        let kept = self.kept.pin();
        match staple {
            Some(staple) => kept.insert(*digest, staple),
            None => kept.remove(digest),
        };
    }

    fn tell(&self, digest: Digest) {
        lock(&self.changed).push(digest);
        self.changed_notify.notify_one();
    }
}

/// The materials of an entry that want a response each.
fn wanting(entry: &ServedDomain) -> impl Iterator<Item = Digest> {
    let certificates = match &entry.https {
        Https::On(certificates) => Some(certificates),
        Https::Off => None,
    };
    let materials = certificates.into_iter().flat_map(Certificates::materials);
    materials
        .filter(|material| entry.delivery.ocsp_stapling || must_staple(material))
        .map(|material| *material.digest())
}

/// Whether the certificate demands a response (RFC 7633).
pub(crate) fn must_staple(material: &Material) -> bool {
    ocsp::must_staple(material.leaf())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
