//! Challenges of ACME orders that this edge answers, so that an authority may ask any edge of the
//! environment (RFC 8555 §8, RFC 8737).
//!
//! They are replicated from the store and kept in memory. One that is missing here although the
//! host belongs to a domain of this edge is read from the store, within the bounds of [`Lookups`]:
//! the edge may be behind, or may have just started. Only requests below
//! `/.well-known/acme-challenge/` and ClientHellos that offer nothing but `acme-tls/1` come here.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use edgeseal_core::{
    DomainName, Timestamp,
    certificate::Digest,
    challenge::{KeyAuthorization, Token},
};
use edgeseal_store::{
    Fault, Key, SharedSource,
    record::{self, ChallengeRecord, ChallengeResponse},
};
use parking_lot::RwLock;

use crate::{
    index::{Host, Index},
    served_domain::ServedDomain,
    telemetry::{self, ChallengeOutcome, ChallengeType},
};

mod lookups;

use lookups::{LookupError, Lookups};

/// Maximum number of challenges in memory: some 5 MB. Others are read from the store when an
/// authority asks.
const HELD_MAX: usize = 10_000;

/// The challenges of this edge.
pub(crate) struct Challenges {
    index: Arc<Index<ServedDomain>>,
    clock: fn() -> Timestamp,
    held: RwLock<HashMap<Key, ChallengeRecord>>,
    /// Where missing ones are read; `None` while replication is stopped.
    source: RwLock<Option<SharedSource>>,
    lookups: Lookups,
}

/// What a tls-alpn-01 certificate contains.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TlsChallenge {
    /// The name that is validated.
    pub(crate) host: DomainName,
    /// SHA-256 of the key authorization.
    pub(crate) digest: Digest,
}

impl Challenges {
    /// None yet; `index` says which hosts belong to this edge.
    pub(crate) fn new(index: Arc<Index<ServedDomain>>, clock: fn() -> Timestamp) -> Self {
        Self {
            index,
            clock,
            held: RwLock::default(),
            source: RwLock::default(),
            lookups: Lookups::default(),
        }
    }

    /// Reads missing challenges from this store from now on, or from none.
    pub(crate) fn set_source(&self, store: Option<SharedSource>) {
        *self.source.write() = store;
    }

    /// Answers this challenge from now on, until it expires.
    pub(crate) fn insert(&self, key: Key, value: &Bytes) {
        let challenge = match decode(&key, value) {
            Ok(challenge) => challenge,
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::error!(%key, error, "a challenge cannot be used");
                self.remove(&key);
                return;
            }
        };
        let mut held = self.held.write();
        if held.len() >= HELD_MAX && !held.contains_key(&key) {
            tracing::debug!(%key, "too many challenges: this one is read when it is asked for");
        } else {
            held.insert(key, challenge);
        }
        telemetry::challenges(held.len());
    }

    /// A challenge was withdrawn.
    pub(crate) fn remove(&self, key: &Key) {
        let mut held = self.held.write();
        held.remove(key);
        telemetry::challenges(held.len());
    }

    /// All challenges but these are gone.
    pub(crate) fn retain_listed(&self, listed: &HashSet<Key>) {
        self.retain(|key, _| listed.contains(key));
    }

    /// Drops what is not answered any more: the store does not report that it expired.
    pub(crate) fn remove_expired(&self) {
        let now = (self.clock)();
        self.retain(|_, challenge| challenge.is_pending(now));
    }

    fn retain(&self, keep: impl Fn(&Key, &ChallengeRecord) -> bool) {
        let mut held = self.held.write();
        held.retain(|key, challenge| keep(key, challenge));
        telemetry::challenges(held.len());
    }

    /// The content of the page for `token` at `host`, for a client at `source`.
    pub(crate) async fn http_01(
        &self,
        host: &Host<'_>,
        token: &Token,
        source: IpAddr,
    ) -> Option<KeyAuthorization> {
        let key = Key::http_challenge(token);
        let found = self.find(&key, host, ChallengeType::Http01, source).await?;
        match found.response {
            ChallengeResponse::Http01 { key_authorization } => Some(key_authorization),
            ChallengeResponse::TlsAlpn01 { .. } => None,
        }
    }

    /// What the certificate for a validation of `host` contains, for a client at `source`.
    pub(crate) async fn tls_alpn_01(&self, host: &str, source: IpAddr) -> Option<TlsChallenge> {
        let host = Host::parse(host)?;
        let name = DomainName::parse(host.as_str()).ok()?;
        let key = Key::tls_challenge(&name);
        let found = self
            .find(&key, &host, ChallengeType::TlsAlpn01, source)
            .await?;
        match found.response {
            ChallengeResponse::TlsAlpn01 { digest } => Some(TlsChallenge { host: name, digest }),
            ChallengeResponse::Http01 { .. } => None,
        }
    }

    /// The challenge to answer under `key`; `None` if there is none for this host.
    async fn find(
        &self,
        key: &Key,
        host: &Host<'_>,
        kind: ChallengeType,
        source: IpAddr,
    ) -> Option<ChallengeRecord> {
        let now = (self.clock)();
        let of_host = |challenge: &ChallengeRecord| {
            challenge.host.as_str() == host.as_str() && challenge.is_pending(now)
        };
        let held = self.held.read().get(key).cloned();
        if let Some(held) = held.filter(of_host) {
            telemetry::challenge_answer(kind, ChallengeOutcome::Held);
            return Some(held);
        }
        let (domain, _) = self.index.find(host)?;
        let store = self.source.read().clone();
        let lookup = self.lookups.run(source, domain.domain_id, async {
            let store = store.ok_or(Fault::new("read a challenge: replication is stopped"))?;
            let entry = store.get(key).await?;
            let found = entry.map(|entry| decode(key, &entry.value)).transpose()?;
            Ok(found.filter(of_host))
        });
        let (outcome, found) = match lookup.await {
            Ok(Some(found)) => (ChallengeOutcome::LookedUp, Some(found)),
            Ok(None) => (ChallengeOutcome::Unknown, None),
            Err(LookupError::TooMany) => (ChallengeOutcome::TooMany, None),
            Err(LookupError::Store(fault)) => {
                let error: &dyn std::error::Error = &fault;
                tracing::debug!(%key, error, "a challenge cannot be read from the store");
                (ChallengeOutcome::StoreFailed, None)
            }
        };
        telemetry::challenge_answer(kind, outcome);
        found
    }
}

/// A challenge as stored under `key`.
fn decode(key: &Key, value: &Bytes) -> Result<ChallengeRecord, Fault> {
    let challenge: ChallengeRecord = record::decode(value)?;
    let is_own = challenge.key() == *key;
    is_own
        .then_some(challenge)
        .ok_or(Fault::new("decode a challenge: it belongs elsewhere"))
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenges")
            .field("held", &self.held.read().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
