//! The model: the expected state, as simple as possible.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};

use crate::harness::{TestCertificate, now};

pub(super) const HOME: &str = "cn-hangzhou";
pub(super) const OTHER_REGION: &str = "ap-southeast-1";

/// Domains by the API's spelling of their names, certificates by ID.
#[derive(Default)]
pub(super) struct Model {
    pub(super) domains: BTreeMap<String, Domain>,
    pub(super) certificates: BTreeMap<i64, CertificateModel>,
    /// The number of changes made.
    pub(super) steps: usize,
}

#[derive(Default)]
pub(super) struct Domain {
    pub(super) production: Option<Binding>,
    pub(super) staging: Option<Binding>,
}

#[derive(Clone, Copy)]
pub(super) struct Binding {
    pub(super) certificate: i64,
    /// The second certificate, with the other key type.
    pub(super) companion: Option<i64>,
    pub(super) on: bool,
}

impl Binding {
    pub(super) fn certificates(self) -> impl Iterator<Item = i64> {
        [Some(self.certificate), self.companion]
            .into_iter()
            .flatten()
    }
}

/// A certificate of the account.
pub(super) struct CertificateModel {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) region: &'static str,
    /// `upload` or `cas`.
    pub(super) kind: &'static str,
    pub(super) pem: TestCertificate,
    /// The first name is also the common name.
    pub(super) names: Vec<String>,
    /// In seconds since the Unix epoch.
    pub(super) not_after: i64,
    /// Whether its owner deleted it while it was bound.
    pub(super) hidden: bool,
    /// The domain that it was uploaded for.
    pub(super) uploaded_for: Option<String>,
    /// For a certificate uploaded for a domain: the step since which no domain has it bound.
    pub(super) superseded: Option<usize>,
}

/// How many uploads of a domain are kept after their last binding ended.
const SUPERSEDED_MAX: usize = 4;

impl Model {
    /// The first of the certificates served for a domain.
    pub(super) fn served(&self, domain: &str) -> Option<&CertificateModel> {
        self.all_served(domain).first().copied()
    }

    /// The certificates served for a domain, in order.
    pub(super) fn all_served(&self, domain: &str) -> Vec<&CertificateModel> {
        let served = self.domains[domain].production.filter(|bound| bound.on);
        self.of(served)
    }

    /// The certificates that a domain has bound in production, on or off, in order.
    pub(super) fn all_bound(&self, domain: &str) -> Vec<&CertificateModel> {
        self.of(self.domains[domain].production)
    }

    fn of(&self, binding: Option<Binding>) -> Vec<&CertificateModel> {
        let ids = binding.into_iter().flat_map(Binding::certificates);
        ids.map(|id| &self.certificates[&id]).collect()
    }

    pub(super) fn bind(&mut self, domain: &str, certificate: i64, staging: bool) {
        let binding = Binding {
            certificate,
            companion: None,
            on: true,
        };
        self.put(domain, binding, staging);
        self.sweep();
    }

    /// The binding that a second certificate would join; `None` if HTTPS is off there.
    pub(super) fn joinable(&self, domain: &str, staging: bool) -> Option<Binding> {
        let found = &self.domains[domain];
        let staged = found.staging.filter(|_| staging);
        staged.or(found.production).filter(|bound| bound.on)
    }

    pub(super) fn join(&mut self, domain: &str, companion: i64, staging: bool) {
        let joined = Binding {
            companion: Some(companion),
            ..self.joinable(domain, staging).unwrap()
        };
        self.put(domain, joined, staging);
        self.sweep();
    }

    pub(super) fn switch_off(&mut self, domain: &str, staging: bool) {
        let found = &self.domains[domain];
        let staged = found.staging.filter(|_| staging);
        if let Some(binding) = staged.or(found.production) {
            let off = Binding {
                on: false,
                ..binding
            };
            self.put(domain, off, staging);
        }
        self.sweep();
    }

    /// Rolls back or publishes what is staged; returns whether anything was.
    pub(super) fn end_staging(&mut self, domain: &str, publish: bool) -> bool {
        let found = self.domains.get_mut(domain).unwrap();
        let staged = found.staging.take();
        if publish && staged.is_some() {
            found.production = staged;
        }
        self.sweep();
        staged.is_some()
    }

    pub(super) fn delete_domain(&mut self, domain: &str) {
        self.domains.remove(domain);
        self.sweep();
    }

    /// Whether any domain has it bound, on or off.
    pub(super) fn is_bound(&self, certificate: i64) -> bool {
        let mut bindings = self
            .domains
            .values()
            .flat_map(|domain| [domain.production, domain.staging]);
        bindings.any(|bound| {
            bound.is_some_and(|bound| bound.certificates().any(|id| id == certificate))
        })
    }

    /// Certificates that their owner can see, ordered by ID.
    pub(super) fn visible(&self) -> impl Iterator<Item = &CertificateModel> {
        self.certificates.values().filter(|known| !known.hidden)
    }

    fn put(&mut self, domain: &str, binding: Binding, staging: bool) {
        let found = self.domains.get_mut(domain).unwrap();
        if staging {
            found.staging = Some(binding);
        } else {
            found.production = Some(binding);
            found.staging = None;
        }
    }

    /// A certificate deleted while bound is removed with its last binding.
    fn sweep(&mut self) {
        let hidden = self.certificates.values().filter(|known| known.hidden);
        let gone: Vec<i64> = hidden
            .map(|known| known.id)
            .filter(|id| !self.is_bound(*id))
            .collect();
        for id in gone {
            self.certificates.remove(&id);
        }
        self.supersede();
    }

    /// Removes a domain's unbound uploads except the last ones.
    fn supersede(&mut self) {
        let ids: Vec<i64> = self.certificates.keys().copied().collect();
        let mut of_domains: BTreeMap<String, Vec<(usize, i64)>> = BTreeMap::new();
        for id in ids {
            let (is_bound, steps) = (self.is_bound(id), self.steps);
            let known = self.certificates.get_mut(&id).unwrap();
            let Some(domain) = known.uploaded_for.clone() else {
                continue;
            };
            known.superseded = (!is_bound).then(|| known.superseded.unwrap_or(steps));
            let superseded = of_domains.entry(domain).or_default();
            superseded.extend(known.superseded.map(|since| (since, id)));
        }
        for superseded in of_domains.values_mut() {
            superseded.sort_unstable();
            let many = superseded.len().saturating_sub(SUPERSEDED_MAX);
            for (_, id) in superseded.drain(..many) {
                self.certificates.remove(&id);
            }
        }
    }
}

/// The status of a certificate on a domain, the worst first.
const STATUSES: [&str; 4] = ["mismatch", "expired", "expire_soon", "ok"];

impl CertificateModel {
    pub(super) fn common_name(&self) -> &str {
        &self.names[0]
    }

    pub(super) fn covers(&self, domain: &str) -> bool {
        let star = match domain.strip_prefix('.') {
            Some(base) => format!("*.{base}"),
            None => format!("*.{}", domain.split_once('.').unwrap().1),
        };
        self.names
            .iter()
            .any(|name| *name == star || name == domain)
    }

    /// Whether it names the domain itself.
    pub(super) fn names_exactly(&self, domain: &str) -> bool {
        let spelt = match domain.strip_prefix('.') {
            Some(base) => format!("*.{base}"),
            None => domain.to_owned(),
        };
        self.names.contains(&spelt)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.not_after * 1000 < now().unix_ms()
    }

    pub(super) fn ends_soon(&self) -> bool {
        !self.has_ended() && self.not_after * 1000 - now().unix_ms() < 30 * 24 * 3600 * 1000
    }

    /// The status that CAS reports.
    pub(super) fn status(&self) -> &'static str {
        match (self.has_ended(), self.ends_soon()) {
            (true, _) => "EXPIRED",
            (_, true) => "WILLEXPIRED",
            _ => "ISSUED",
        }
    }

    /// Whether it has an RSA key: it contains the OID of such keys (RFC 8017 appendix A.1).
    pub(super) fn is_rsa(&self) -> bool {
        const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        self.pem.leaf.windows(RSA.len()).any(|bytes| bytes == RSA)
    }

    /// The status that the CDN reports for it on a domain.
    pub(super) fn status_on(&self, domain: &str) -> &'static str {
        match self.status() {
            _ if !self.covers(domain) => "mismatch",
            "EXPIRED" => "expired",
            "WILLEXPIRED" => "expire_soon",
            _ => "ok",
        }
    }

    pub(super) fn sha1(&self) -> String {
        hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.pem.leaf))
    }

    pub(super) fn sha256(&self) -> String {
        hex::encode(digest(&SHA256, &self.pem.leaf))
    }

    pub(super) fn sans(&self) -> String {
        self.names.join(",")
    }

    /// The members compared of the row in `DescribeCdnHttpsDomainList` for a domain that serves
    /// these.
    pub(super) fn https_row(served: &[&Self], domain: &str) -> Option<Value> {
        let first = served.first()?;
        Some(json!({
            "DomainName": domain,
            "CertName": first.name,
            "CertType": first.kind,
            "CertCommonName": first.common_name(),
            "CertStatus": Self::worst_status(served, domain),
        }))
    }

    /// The worst status that the CDN reports for any of these on a domain.
    pub(super) fn worst_status(served: &[&Self], domain: &str) -> &'static str {
        let words = served.iter().map(|known| known.status_on(domain));
        let rank = |word: &&str| STATUSES.iter().position(|standing| standing == word);
        words.min_by_key(rank).unwrap()
    }
}

/// A host name that a client of the domain requests.
pub(super) fn client_host(domain: &str) -> String {
    match domain.strip_prefix('.') {
        Some(base) => format!("probe.{base}"),
        None => domain.to_owned(),
    }
}
