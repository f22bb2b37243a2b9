//! Stapled OCSP responses: which certificates need one, and the current responses.

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
    /// Whether the certificate requires stapling (RFC 7633): then it is stapled whatever the
    /// delivery settings are.
    pub(crate) must_staple: bool,
}

/// Demand and responses, by the digest of the material.
#[derive(Debug, Default)]
pub(crate) struct Staples {
    kept: papaya::HashMap<Digest, Arc<Staple>>,
    /// The number of domains with stapling enabled for it.
    wanted: Mutex<HashMap<Digest, u32>>,
    /// Those whose demand changed since the last [`take_changed`](Self::take_changed).
    changed: Mutex<Vec<Digest>>,
    changed_notify: Notify,
}

impl Staples {
    /// This domain is served from now on.
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

    /// This domain is no longer served.
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

    /// Whether a domain needs it.
    pub(crate) fn is_wanted(&self, digest: &Digest) -> bool {
        lock(&self.wanted).contains_key(digest)
    }

    /// Waits for a change since the last call.
    pub(crate) async fn changed(&self) {
        self.changed_notify.notified().await;
    }

    /// The materials whose demand changed.
    pub(crate) fn take_changed(&self) -> Vec<Digest> {
        std::mem::take(&mut lock(&self.changed))
    }

    /// The response for this material.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Staple>> {
        self.kept.pin().get(digest).cloned()
    }

    /// Replaces or removes the response.
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

/// The materials of a domain that need a response.
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

/// Whether the certificate requires stapling (RFC 7633).
pub(crate) fn must_staple(material: &Material) -> bool {
    ocsp::must_staple(material.leaf())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
