//! What an edge serves from memory, each value stored once.

use std::{collections::HashMap, sync::Arc};

use edgeseal_core::{
    DomainPattern,
    certificate::Digest,
    domain::{Domain, Environment},
    private_origins::PrivateOrigins,
};
use parking_lot::Mutex;

use crate::{
    index::Index,
    quarantine::Quarantine,
    served_domain::{
        Chain, Https, Material, MaterialInterner, OriginInterner, Origins, ServedDomain,
        SharedMaterial,
    },
    tls::KeyCache,
};

/// Index, material, chains, origins, keys, quarantine.
#[derive(Debug)]
pub(crate) struct ServingState {
    index: Arc<Index<ServedDomain>>,
    keys: Arc<KeyCache>,
    environment: Environment,
    private_origins: PrivateOrigins,
    quarantine: Quarantine,
    materials: Mutex<MaterialInterner>,
    chains: Mutex<Chains>,
    origins: Mutex<OriginInterner>,
}

/// Issuers and chains of them, for as long as some material uses them.
#[derive(Debug, Default)]
struct Chains {
    issuers: HashMap<Digest, Arc<[u8]>>,
    /// By the digest of the issuers' digests.
    chains: HashMap<Digest, Arc<Chain>>,
    /// Number of issuers from which on a sweep for unused ones is worth its cost.
    sweep_threshold: usize,
}

impl Chains {
    /// Runs when there are twice as many as after the last sweep: amortized O(1).
    fn sweep(&mut self) {
        const SMALL: usize = 64;
        if self.issuers.len() < self.sweep_threshold.max(SMALL) {
            return;
        }
        self.chains.retain(|_, chain| Arc::strong_count(chain) > 1);
        self.issuers.retain(|_, der| Arc::strong_count(der) > 1);
        self.sweep_threshold = 2 * self.issuers.len();
    }
}

impl ServingState {
    /// An empty state.
    pub(crate) fn new(
        keys: Arc<KeyCache>,
        environment: Environment,
        private_origins: PrivateOrigins,
    ) -> Self {
        Self {
            index: Arc::default(),
            keys,
            environment,
            private_origins,
            quarantine: Quarantine::default(),
            materials: Mutex::default(),
            chains: Mutex::default(),
            origins: Mutex::default(),
        }
    }

    pub(crate) const fn index(&self) -> &Arc<Index<ServedDomain>> {
        &self.index
    }

    pub(crate) const fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    pub(crate) const fn environment(&self) -> Environment {
        self.environment
    }

    pub(crate) const fn keys(&self) -> &Arc<KeyCache> {
        &self.keys
    }

    /// Serves `entry` from now on, and ends the domain's quarantine.
    pub(crate) fn put(&self, name: &DomainPattern, entry: ServedDomain) {
        self.replace(name, entry);
        self.quarantine.release(name);
    }

    /// Serves `entry`, which lacks a part of what the domain should have; the domain is quarantined
    /// for that part.
    pub(crate) fn put_partial(&self, name: &DomainPattern, entry: ServedDomain, reason: &str) {
        self.replace(name, entry);
        self.quarantine.put(name, reason);
    }

    /// Serves `entry`, whose material is already interned and whose domain is new.
    pub(crate) fn insert(&self, name: &DomainPattern, entry: ServedDomain) {
        self.index.put(name, entry);
    }

    fn replace(&self, name: &DomainPattern, mut entry: ServedDomain) {
        if let Https::On(certificates) = entry.https {
            let mut materials = self.materials.lock();
            entry.https = Https::On(certificates.map(|material| materials.intern(material)));
        }
        let before = self.index.get(name);
        self.index.put(name, entry);
        self.retire(before);
    }

    /// Reserves capacity for `domains` more domains, each with its own material.
    pub(crate) fn reserve(&self, domains: usize) {
        self.index.reserve(domains);
        self.materials.lock().reserve(domains);
    }

    /// Stops serving the domain.
    pub(crate) fn remove(&self, name: &DomainPattern) {
        let before = self.index.get(name);
        self.index.remove(name);
        self.retire(before);
        self.quarantine.release(name);
    }

    /// Drops unused material, chains and issuers. Must not run between
    /// [`keep_issuer`](Self::keep_issuer) and [`chain`](Self::chain) of the same material.
    pub(crate) fn sweep(&self) {
        self.materials.lock().sweep();
        self.chains.lock().sweep();
    }

    /// Interns material for domains that are about to be inserted.
    pub(crate) fn keep_material(&self, material: Material) {
        self.materials.lock().intern(SharedMaterial::new(material));
    }

    /// Drops material that no domain uses.
    pub(crate) fn sweep_all(&self) {
        self.materials.lock().sweep_all();
    }

    /// Material in use.
    pub(crate) fn material(&self, digest: &Digest) -> Option<SharedMaterial> {
        self.materials.lock().get(digest)
    }

    /// Whether an issuer is stored.
    pub(crate) fn has_issuer(&self, digest: &Digest) -> bool {
        self.chains.lock().issuers.contains_key(digest)
    }

    /// Stores an issuer.
    pub(crate) fn keep_issuer(&self, digest: Digest, der: Arc<[u8]>) {
        self.chains.lock().issuers.entry(digest).or_insert(der);
    }

    /// The chain of these issuers; `None` if one of them is not stored.
    pub(crate) fn chain(&self, issuers: &[Digest]) -> Option<Arc<Chain>> {
        let id = Digest::of_chain(issuers.iter().map(|issuer| &issuer.0[..]));
        let mut chains = self.chains.lock();
        if let Some(chain) = chains.chains.get(&id) {
            return Some(Arc::clone(chain));
        }
        let ders = issuers
            .iter()
            .map(|issuer| chains.issuers.get(issuer).cloned());
        let chain = Arc::new(Chain::new(ders.collect::<Option<_>>()?));
        chains.chains.insert(id, Arc::clone(&chain));
        Some(chain)
    }

    /// The interned origins of a domain record.
    pub(crate) fn origins(&self, domain: &Domain) -> Arc<Origins> {
        let private = self.private_origins.permits(domain.origin_permission);
        let origins = Origins::of(&domain.account, &domain.origins, private);
        self.origins.lock().intern(origins)
    }

    fn retire(&self, before: Option<ServedDomain>) {
        if let Some(Https::On(certificates)) = before.map(|entry| entry.https) {
            let mut materials = self.materials.lock();
            for material in certificates.materials() {
                materials.retire(material.digest());
            }
        }
    }
}

#[cfg(test)]
mod tests;
