//! What is served for one domain, small enough for a million of them in memory.
//!
//! A domain costs its name, one small [`ServedDomain`], and its share of what many domains have in
//! common: [`Material`] (one per certificate; few domains have two), the chain above the leaf (one
//! per issuer) and the origins. Leaf and sealed key stay DER; the parsed key lives in a bounded
//! cache, see `tls`.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use edgeseal_core::{
    AccountId,
    certificate::Digest,
    delivery::{DeliveryConfig, Hsts},
    domain,
};
use edgeseal_store::{Revision, seal::KeyId};
use parking_lot::RwLock;

mod certificates;

pub use certificates::{CertificateSet, Certificates, KeyKind, SharedMaterial};

/// What is served for one domain. `M` is the handle of its certificates and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedDomain<M = Certificates> {
    /// Its id, never reused, not even for a domain of the same name.
    pub domain_id: i64,
    /// Whether the domain is served at all.
    pub online: bool,
    /// What a handshake gets.
    pub https: Https<M>,
    /// Where requests go.
    pub origins: Arc<Origins>,
    /// Its delivery settings.
    pub delivery: DeliveryConfig,
    /// The commit that wrote the record.
    pub revision: Revision,
}

/// What a handshake gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Https<M> {
    /// No certificate: none is bound, or HTTPS was switched off.
    Off,
    /// One of these certificates.
    On(M),
}

/// Leaf, chain and sealed key of one certificate.
pub struct Material {
    digest: Digest,
    chain: Arc<Chain>,
    leaf: Box<[u8]>,
    /// Replaced when the key-encryption key changes; locked only while it is copied.
    sealed_key: RwLock<Box<[u8]>>,
}

/// DER of the intermediates in serving order, shared by all certificates below them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chain(Box<[Arc<[u8]>]>);

/// The origins of a domain, in order of use.
#[derive(Debug, Default)]
pub struct Origins {
    list: Box<[Origin]>,
    /// The id of the account that owns them.
    account_id: u64,
    /// Whether they may have addresses that are not public.
    allows_private: bool,
    rotation: AtomicU32,
}

/// One origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `host:port`, IPv6 addresses in brackets.
    pub authority: Box<str>,
    /// Lower is tried first.
    pub priority: u8,
    /// Weight among origins of one priority; if all are zero, each counts as one.
    pub weight: u8,
    /// TCP port, as in `authority`.
    pub port: u16,
}

/// Interns the lists of origins in use. Domains of an account with equal lists also share their
/// rotation, so that weights hold over all their requests together.
#[derive(Debug, Default)]
pub struct OriginInterner {
    known: HashSet<Arc<Origins>>,
    /// At this many, unused lists are dropped. It doubles with what remains, so the amortized cost
    /// per list is O(1).
    sweep_threshold: usize,
}

/// Interns the certificates in use, by digest.
#[derive(Debug, Default)]
pub struct MaterialInterner {
    known: HashSet<ByDigest>,
    retired: Vec<Digest>,
    /// With fewer retired ones than this a sweep is not worth its cost: material that many domains
    /// share stays retired for long and would be checked on every change.
    sweep_threshold: usize,
}

impl<M> ServedDomain<M> {
    /// The HSTS header that is sent over HTTPS. `None` while HTTPS is off: otherwise a browser on
    /// an older connection would insist on HTTPS that is no longer there.
    #[must_use]
    pub const fn hsts(&self) -> Option<Hsts> {
        if self.https.is_on() {
            self.delivery.hsts
        } else {
            None
        }
    }
}

impl<M> Https<M> {
    /// Whether there is a certificate.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }
}

impl Material {
    /// Leaf, chain and sealed key with this digest. The caller has checked that the digest matches.
    #[must_use]
    pub fn new(digest: Digest, leaf: &[u8], chain: Arc<Chain>, sealed_key: &[u8]) -> Self {
        Self {
            digest,
            chain,
            leaf: leaf.into(),
            sealed_key: RwLock::new(sealed_key.into()),
        }
    }

    /// The digest: its address in the store.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// DER of the leaf.
    #[must_use]
    pub const fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// The private key, sealed for [`edgeseal_store::Key::material`].
    #[must_use]
    pub fn sealed_key(&self) -> Box<[u8]> {
        self.sealed_key.read().clone()
    }

    /// The id of the key-encryption key that the private key is sealed under; `None` if there is no
    /// key.
    #[must_use]
    pub fn sealed_under(&self) -> Option<KeyId> {
        KeyId::of_sealed(&self.sealed_key.read())
    }

    /// Replaces the sealed private key for everyone who shares this material.
    pub fn reseal(&self, sealed_key: Vec<u8>) {
        *self.sealed_key.write() = sealed_key.into();
    }

    /// DER of the intermediates in serving order.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.chain.0.iter()
    }
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.chain == other.chain
            && self.leaf == other.leaf
            && self.sealed_key() == other.sealed_key()
    }
}

impl Eq for Material {}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Material").field(&self.digest).finish()
    }
}

impl Chain {
    /// The intermediates in serving order.
    #[must_use]
    pub fn new(ders: Vec<Arc<[u8]>>) -> Self {
        Self(ders.into_boxed_slice())
    }
}

impl Origins {
    /// The origins of a domain record of this account; `allows_private`: whether they may have
    /// addresses that are not public.
    #[must_use]
    pub fn of(account: &AccountId, origins: &[domain::Origin], may_be_private: bool) -> Self {
        let mut list: Vec<Origin> = origins.iter().map(Origin::of).collect();
        list.sort_by_key(|origin| origin.priority); // stable: the owner's order within a priority
        Self {
            list: list.into_boxed_slice(),
            // An account id has 16 digits.
            account_id: account.as_str().parse().unwrap_or_default(),
            allows_private: may_be_private,
            rotation: AtomicU32::new(0),
        }
    }

    /// The id of the account that owns them.
    #[must_use]
    pub const fn account(&self) -> u64 {
        self.account_id
    }

    /// Whether they may have addresses that are not public.
    #[must_use]
    pub const fn allows_private(&self) -> bool {
        self.allows_private
    }

    /// Whether there are several.
    #[must_use]
    pub const fn has_multiple(&self) -> bool {
        self.list.len() > 1
    }

    /// The origins in the order in which the next request tries them: by priority; within one
    /// priority a weighted rotation picks the first, the others follow in the owner's order.
    /// Origins for which `well` is false come last and take no part in the rotation.
    pub fn ordered(&self, well: impl Fn(&Origin) -> bool) -> Vec<&Origin> {
        let [first, _, ..] = self.list.as_ref() else {
            return self.list.iter().collect();
        };
        let turn = self.rotation.fetch_add(1, Ordering::Relaxed);
        let (mut order, ill): (Vec<&Origin>, Vec<&Origin>) =
            self.list.iter().partition(|origin| well(origin));
        let mut from = 0;
        let mut priority = order.first().map_or(first.priority, |one| one.priority);
        while let Some(peers) = order.get_mut(from..).filter(|rest| !rest.is_empty()) {
            let count = peers.iter().take_while(|one| one.priority == priority);
            let count = count.count();
            // The selected one goes before its peers; these keep their order.
            let first = pick_weighted(&peers[..count], turn);
            peers[..=first].rotate_right(1);
            from += count;
            priority = order.get(from).map_or(priority, |one| one.priority);
        }
        order.extend(ill);
        order
    }
}

/// Which of some origins of one priority is selected at position `turn` of the rotation.
fn pick_weighted(peers: &[&Origin], turn: u32) -> usize {
    let weights = peers.iter().map(|origin| u32::from(origin.weight));
    let total: u32 = weights.clone().sum();
    if total == 0 {
        return turn as usize % peers.len().max(1);
    }
    let mut place = turn % total;
    for (index, weight) in weights.enumerate() {
        match place.checked_sub(weight) {
            Some(left) => place = left,
            None => return index,
        }
    }
    0
}

// The position of the rotation counts for neither equality nor hash.
impl PartialEq for Origins {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
            && self.account_id == other.account_id
            && self.allows_private == other.allows_private
    }
}

impl Eq for Origins {}

impl Hash for Origins {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.list.hash(state);
        self.account_id.hash(state);
        self.allows_private.hash(state);
    }
}

impl Origin {
    fn of(origin: &domain::Origin) -> Self {
        let address = origin.address.as_str();
        let bracketed = address.parse::<std::net::Ipv6Addr>().is_ok();
        let authority = if bracketed {
            format!("[{address}]:{}", origin.port)
        } else {
            format!("{address}:{}", origin.port)
        };
        Self {
            authority: authority.into_boxed_str(),
            priority: origin.priority,
            weight: origin.weight,
            port: origin.port,
        }
    }
}

impl OriginInterner {
    /// Returns the equal list that is stored, or stores `origins`.
    pub fn intern(&mut self, origins: Origins) -> Arc<Origins> {
        const SMALL: usize = 64;
        if let Some(known) = self.known.get(&origins) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_threshold {
            self.known.retain(|one| Arc::strong_count(one) > 1);
            self.sweep_threshold = (2 * self.known.len()).max(SMALL);
        }
        let kept = Arc::new(origins);
        self.known.insert(Arc::clone(&kept));
        kept
    }
}

impl MaterialInterner {
    /// The material with this digest, if it is in use.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<SharedMaterial> {
        self.known.get(digest).map(|known| known.0.clone())
    }

    /// Returns the equal material that is stored, or stores `material`. One with the same digest
    /// but another sealed key, as after a change of the key-encryption key, replaces the stored
    /// one.
    pub fn intern(&mut self, material: SharedMaterial) -> SharedMaterial {
        match self.get(material.digest()) {
            Some(known) if known == material => known,
            _ => {
                self.known.replace(ByDigest(material.clone()));
                material
            }
        }
    }

    /// Marks material that a domain no longer uses.
    pub fn retire(&mut self, digest: &Digest) {
        self.retired.push(*digest);
    }

    /// Drops retired material that is unused. A handshake may still hold some: it is checked again
    /// at the next call.
    pub fn sweep(&mut self) {
        if self.retired.len() < self.sweep_threshold {
            return;
        }
        let known = &mut self.known;
        self.retired.sort_unstable();
        self.retired.dedup();
        self.retired.retain(|digest| {
            let used = known
                .get(digest)
                .map_or(0, |one| SharedMaterial::strong_count(&one.0));
            if used == 1 {
                known.remove(digest);
            }
            used > 1
        });
        self.sweep_threshold = self.retired.len() + self.retired.len() / 2;
    }

    /// Reserves capacity for `more` values.
    pub fn reserve(&mut self, more: usize) {
        self.known.reserve(more);
    }

    /// Drops all unused material, also if it was never marked as retired.
    pub fn sweep_all(&mut self) {
        self.known
            .retain(|one| SharedMaterial::strong_count(&one.0) > 1);
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[derive(Debug)]
struct ByDigest(SharedMaterial);

impl std::borrow::Borrow<Digest> for ByDigest {
    fn borrow(&self) -> &Digest {
        &self.0.digest
    }
}

impl Hash for ByDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl PartialEq for ByDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for ByDigest {}

#[cfg(test)]
mod tests;
