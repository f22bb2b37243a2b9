//! The plan: which certificate goes to which domain, decided by content and dates alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use edgeseal_core::{DomainPattern, Timestamp};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::scan::ScanResult;
use crate::certificate_files::{Issuers, UnreadableFile, spki_of_certificate, spki_of_key};

/// The result of planning.
pub(super) struct Plan {
    /// Certificates to send, ordered by file.
    pub(super) certificates: Vec<PlannedCertificate>,
    /// Certificates that are not sent, with the reason.
    pub(super) skipped: Vec<SkippedCertificate>,
    /// Keys without a certificate, such as ACME account keys.
    pub(super) unused_keys: usize,
    /// Files that should contain something and cannot be read.
    pub(super) unreadable: Vec<UnreadableFile>,
}

/// A certificate to send.
pub(super) struct PlannedCertificate {
    /// The file of the leaf.
    pub(super) file: PathBuf,
    /// Leaf and intermediates.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub(super) key: PrivateKeyDer<'static>,
    /// The domains to bind it to.
    pub(super) domains: Vec<DomainPattern>,
    /// End of its validity.
    pub(super) not_after: Timestamp,
}

/// A certificate that is not sent.
pub(super) struct SkippedCertificate {
    /// Its file.
    pub(super) file: PathBuf,
    /// Its names.
    pub(super) names: Vec<String>,
    /// Why it is not sent.
    pub(super) reason: SkipReason,
}

/// Why a certificate is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SkipReason {
    /// It has expired.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It is not valid yet.
    #[error("it is not valid before {0}")]
    NotYetValid(Timestamp),
    /// No private key matches.
    #[error("there is no private key for it")]
    NoKey,
    /// None of its names is a domain name.
    #[error("it names no domain")]
    NoDomain,
    /// For each of its names another certificate was issued later.
    #[error("{} was issued later for the same names", .0.display())]
    Superseded(PathBuf),
}

impl SkippedCertificate {
    /// Whether a name gets no certificate: not if a later one is sent.
    pub(super) const fn leaves_gap(&self) -> bool {
        !matches!(self.reason, SkipReason::Superseded(_))
    }
}

/// A distinct leaf, with the longest of its chains.
struct Leaf {
    file: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    /// Domain names; the other names follow.
    domains: BTreeSet<DomainPattern>,
    other_names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    spki: Vec<u8>,
}

/// Makes the plan for everything that was found.
pub(super) fn plan(found: ScanResult, now: Timestamp) -> Plan {
    let mut keys: HashMap<Vec<u8>, PrivateKeyDer<'static>> = HashMap::new();
    let mut issuers = Issuers::default();
    for file in &found.files {
        for key in &file.keys {
            if let Some(public) = spki_of_key(key) {
                keys.entry(public).or_insert_with(|| key.clone_key());
            }
        }
        file.certificates.iter().for_each(|it| issuers.add(it));
    }
    let leaves = collect_leaves(&found, &issuers, &keys);
    let used: BTreeSet<&Vec<u8>> = leaves.iter().map(|leaf| &leaf.spki).collect();
    let lone_keys = keys.keys().filter(|public| !used.contains(public)).count();
    let (usable, mut skipped) = usable(leaves, &keys, now);
    let mut certificates = Vec::new();
    let winners = newest_by_name(&usable);
    for (number, leaf) in usable.iter().enumerate() {
        let won = |name: &&DomainPattern| winners.get(name) == Some(&number);
        let domains: Vec<DomainPattern> = leaf.domains.iter().filter(won).cloned().collect();
        let Some(key) = keys.get(&leaf.spki).filter(|_| !domains.is_empty()) else {
            let winner = leaf.domains.first().and_then(|name| winners.get(name));
            let winner = winner.map(|number| usable[*number].file.clone());
            skipped.push(leaf.skipped(SkipReason::Superseded(winner.unwrap_or_default())));
            continue;
        };
        certificates.push(PlannedCertificate {
            file: leaf.file.clone(),
            chain: leaf.chain.clone(),
            key: key.clone_key(),
            domains,
            not_after: leaf.not_after,
        });
    }
    skipped.retain(|it| !is_covered(it, &winners));
    certificates.sort_by(|a, b| a.file.cmp(&b.file));
    skipped.sort_by(|a, b| a.file.cmp(&b.file));
    Plan {
        certificates,
        skipped,
        unused_keys: lone_keys,
        unreadable: found.unreadable,
    }
}

/// Whether another certificate is sent for every name of an expired or keyless one: an archive of
/// renewed certificates is not worth reporting.
fn is_covered(skipped: &SkippedCertificate, winners: &BTreeMap<&DomainPattern, usize>) -> bool {
    let is_sent =
        |name: &String| DomainPattern::parse(name).is_ok_and(|name| winners.contains_key(&name));
    !skipped.names.is_empty() && skipped.leaves_gap() && skipped.names.iter().all(is_sent)
}

/// The distinct leaves: certificates that issued none of the others, or whose key was found.
fn collect_leaves(
    found: &ScanResult,
    issuers: &Issuers,
    keys: &HashMap<Vec<u8>, PrivateKeyDer<'static>>,
) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut by_der: HashMap<CertificateDer<'static>, usize> = HashMap::new();
    for file in &found.files {
        for der in &file.certificates {
            let Some(spki) = spki_of_certificate(der) else {
                continue;
            };
            let Some(mut leaf) = Leaf::read(der, file.path.clone(), spki) else {
                continue;
            };
            if leaf.is_issuer(der) && !keys.contains_key(&leaf.spki) {
                continue;
            }
            leaf.chain = issuers.chain(der, &file.certificates);
            match by_der.get(der) {
                // Prefer `fullchain.pem` to `cert.pem`.
                Some(known) if file.certificates.len() > 1 => leaves[*known] = leaf,
                Some(_) => {}
                None => {
                    by_der.insert(der.clone(), leaves.len());
                    leaves.push(leaf);
                }
            }
        }
    }
    leaves
}

/// Splits the leaves into those that can be served now and the others, with reasons.
fn usable(
    leaves: Vec<Leaf>,
    keys: &HashMap<Vec<u8>, PrivateKeyDer<'static>>,
    now: Timestamp,
) -> (Vec<Leaf>, Vec<SkippedCertificate>) {
    let (mut usable, mut skipped) = (Vec::new(), Vec::new());
    for leaf in leaves {
        let why = match () {
            () if now > leaf.not_after => SkipReason::Expired(leaf.not_after),
            () if now < leaf.not_before => SkipReason::NotYetValid(leaf.not_before),
            () if leaf.domains.is_empty() => SkipReason::NoDomain,
            () if !keys.contains_key(&leaf.spki) => SkipReason::NoKey,
            () => {
                usable.push(leaf);
                continue;
            }
        };
        skipped.push(leaf.skipped(why));
    }
    (usable, skipped)
}

/// For each name the certificate that was issued last; then the one that expires last; then the one
/// with the greater DER, so that the plan is deterministic.
fn newest_by_name(usable: &[Leaf]) -> BTreeMap<&DomainPattern, usize> {
    let mut winners: BTreeMap<&DomainPattern, usize> = BTreeMap::new();
    let rank = |number: usize| {
        let leaf = &usable[number];
        (leaf.not_before, leaf.not_after, leaf.chain[0].as_ref())
    };
    for (number, leaf) in usable.iter().enumerate() {
        for name in &leaf.domains {
            let winner = winners.entry(name).or_insert(number);
            if rank(number) > rank(*winner) {
                *winner = number;
            }
        }
    }
    winners
}

impl Leaf {
    fn read(der: &CertificateDer<'static>, file: PathBuf, spki: Vec<u8>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(der).ok()?;
        let validity = parsed.validity();
        let mut leaf = Self {
            file,
            chain: Vec::new(),
            domains: BTreeSet::new(),
            other_names: Vec::new(),
            not_before: Timestamp::from_unix_seconds(validity.not_before.timestamp()),
            not_after: Timestamp::from_unix_seconds(validity.not_after.timestamp()),
            spki,
        };
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| extension.value.general_names.as_slice());
        for name in names.unwrap_or_default() {
            match name {
                GeneralName::DNSName(name) => match DomainPattern::parse(name) {
                    Ok(domain) => drop(leaf.domains.insert(domain)),
                    Err(_) => leaf.other_names.push((*name).to_owned()),
                },
                GeneralName::IPAddress(_) => leaf.other_names.push("an IP address".to_owned()),
                _ => {}
            }
        }
        Some(leaf)
    }

    fn is_issuer(&self, der: &CertificateDer<'_>) -> bool {
        let parsed = parse_x509_certificate(der);
        self.domains.is_empty() && parsed.is_ok_and(|(_, parsed)| parsed.is_ca())
    }

    fn skipped(&self, why: SkipReason) -> SkippedCertificate {
        let names = self.domains.iter().map(DomainPattern::to_san);
        SkippedCertificate {
            file: self.file.clone(),
            names: names.chain(self.other_names.iter().cloned()).collect(),
            reason: why,
        }
    }
}
