//! What the store says must be served, and whether clients accept it.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map::Entry};

use edgeseal_core::{
    DomainPattern, Timestamp,
    alarm::rung,
    certificate::{CertificateId, CertificateInfo, Digest},
    domain::{Domain, DomainState, Environment},
};
use edgeseal_store::{
    Fault, Key, Pages, Source,
    key::DOMAINS,
    record::{CertificateRecord, decode, decode_material},
};

use super::{Report, roots};
use crate::{certificate_files::is_issued_by, config::Config};

/// The expected certificates of the domains of an environment.
#[derive(Debug, Default)]
pub(super) struct ExpectedState {
    /// The domains, by name.
    pub(super) domains: BTreeMap<DomainPattern, ExpectedLeaves>,
    /// Facts about the leaves, by material.
    materials: HashMap<Digest, LeafFacts>,
    /// The demo's root as DER.
    demo_root: Option<Vec<u8>>,
}

/// What clients of a domain must be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExpectedLeaves {
    /// SHA-256 of the leaves that may be served: none, one, or one for each kind of key.
    pub(super) leaves: Vec<Digest>,
    /// Keys of their material.
    materials: Vec<Digest>,
}

#[derive(Debug)]
struct LeafFacts {
    leaf: Digest,
    facts: CertificateInfo,
    /// Expiry of the first intermediate that expires before the leaf.
    chain_not_after: Timestamp,
    /// The issuer that clients would have to trust as a root, because only the leaf is served.
    missing_issuer: Option<String>,
}

const RENEW: &str = "upload a renewed certificate for it";

/// Reads the bindings and leaves from the store.
pub(super) async fn read(store: &dyn Source, config: &Config) -> Result<ExpectedState, Fault> {
    const PAGE: usize = 500;
    let environment = config.environment();
    let mut bound = ExpectedState {
        demo_root: roots::demo_root(&config.data),
        ..ExpectedState::default()
    };
    let mut pages = Pages::new(store, DOMAINS, PAGE);
    while let Some(entries) = pages.next().await? {
        for entry in &entries {
            // Records that cannot be decoded were reported already.
            if let Ok(domain) = decode::<Domain>(&entry.value) {
                let shown = bound.expected_leaves(store, &domain, environment).await?;
                bound.domains.insert(domain.name, shown);
            }
        }
    }
    Ok(bound)
}

impl ExpectedState {
    async fn expected_leaves(
        &mut self,
        store: &dyn Source,
        domain: &Domain,
        environment: Environment,
    ) -> Result<ExpectedLeaves, Fault> {
        let mut shown = ExpectedLeaves::default();
        let binding = domain
            .binding(environment)
            .filter(|binding| binding.enabled);
        let Some(binding) = binding.filter(|_| domain.state == DomainState::Online) else {
            return Ok(shown);
        };
        for (id, digest) in binding.certificates() {
            let material = match self.materials.entry(digest) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    match LeafFacts::read(store, (id, &digest), self.demo_root.as_deref()).await? {
                        Some(material) => place.insert(material),
                        None => continue,
                    }
                }
            };
            shown.leaves.push(material.leaf);
            shown.materials.push(digest);
        }
        Ok(shown)
    }
}

impl LeafFacts {
    /// `None` if it is missing or cannot be decoded, which was reported already.
    async fn read(
        store: &dyn Source,
        (id, digest): (CertificateId, &Digest),
        demo_root: Option<&[u8]>,
    ) -> Result<Option<Self>, Fault> {
        let Some(entry) = store.get(&Key::material(digest)).await? else {
            return Ok(None);
        };
        let Ok(material) = decode_material(&entry.value) else {
            return Ok(None);
        };
        let Some(facts) = CertificateInfo::from_der(&material.leaf) else {
            return Ok(None);
        };
        let mut chain_ends = facts.not_after;
        for issuer in &material.issuers {
            let issuer = store.get(&Key::issuer(&Digest(*issuer))).await?;
            let ends = issuer.and_then(|entry| CertificateInfo::from_der(&entry.value));
            chain_ends = ends.map_or(chain_ends, |ends| chain_ends.min(ends.not_after));
        }
        let of_demo = demo_root.is_some_and(|root| is_issued_by(&material.leaf, root));
        let alone = material.issuers.is_empty()
            && !of_demo
            && !roots::needs_no_intermediate(&material.leaf);
        // A private root is known only if it was uploaded with the certificate.
        let record = store.get(&Key::certificate(id)).await?;
        let record = record.and_then(|entry| decode::<CertificateRecord>(&entry.value).ok());
        let alone = alone && record.is_none_or(|record| record.info.missing_issuer.is_some());
        Ok(Some(Self {
            leaf: Digest::of(&material.leaf),
            missing_issuer: alone.then(|| facts.issuer.clone()),
            chain_not_after: chain_ends,
            facts,
        }))
    }
}

/// Reports certificates that clients refuse, or will soon.
pub(super) fn examine(bound: &ExpectedState, now: Timestamp, report: &mut Report) {
    let mut incomplete: HashSet<&Digest> = HashSet::new();
    for (name, shown) in &bound.domains {
        for digest in &shown.materials {
            let Some(material) = bound.materials.get(digest) else {
                continue;
            };
            let (ends, remaining) = (
                material.chain_not_after,
                material.chain_not_after.since_ms(now),
            );
            let lifetime = material.facts.not_after.since_ms(material.facts.not_before);
            if remaining <= 0 {
                report.problem(format!("{name}: its certificate expired at {ends}"), RENEW);
            } else if material.facts.not_before > now {
                let begins = material.facts.not_before;
                report.problem(
                    format!("{name}: its certificate is not valid before {begins}"),
                    RENEW,
                );
            } else if rung(ends, lifetime, now).is_some() {
                report.warning(format!("{name}: its certificate expires at {ends}"), RENEW);
            }
            if !material.facts.covers(name) {
                let names: Vec<String> = material
                    .facts
                    .names
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                let what = format!(
                    "{name}: its certificate is for {}, and clients refuse it",
                    names.join(", ")
                );
                report.problem(what, "upload a certificate whose names cover it");
            }
            if let Some(issuer) = &material.missing_issuer
                && incomplete.insert(digest)
            {
                let what = format!(
                    "{name}: its certificate is served without the one of its issuer, {issuer}, and clients that do \
                     not know that one refuse it"
                );
                report.problem(
                    what,
                    "upload the certificate with its intermediates (fullchain.pem), and with its root if that is a \
                     private one",
                );
            }
        }
    }
    report.checked(format!(
        "the validity, names and chains of {} certificates that are served",
        bound.materials.len()
    ));
}
