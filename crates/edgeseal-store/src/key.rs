//! Keys of the store: the only place that formats them.
//!
//! Prefixes that grow without bound are sharded by the first byte of a hash (`domain/3f/…`), so
//! that ranges stay bounded on engines that count the rest of a range for every page. Segments
//! never contain `/`: domain names, account numbers and digests cannot, and free text is hashed.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{
    AccountId, DomainName, DomainPattern, domain::Environment, ticket::TicketPeriod,
};

mod accounts;
mod acme;
mod alarms;
mod certificates;
mod issuers;
mod outside;

pub use accounts::{
    account_access_keys, counted_prefix, identities, policies, user_access_keys, with_policy,
};
pub use alarms::account_alarm_silences;
pub use certificates::{
    account_certificates, certificate_uses, contents, regional_certificates, signing_requests,
};
pub use issuers::{issuer_usage, revocations_of};
pub use outside::domains_part;

/// A key of the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

/// All domains.
pub const DOMAINS: &str = "domain/";
/// Common prefix of all keys that an account's listings read: the values are small, and engines may
/// store them where counting and scanning is fast.
pub const LISTING_PREFIX: &str = "account";
/// All accounts.
pub const ACCOUNTS: &str = "account/";
/// All access keys.
pub const ACCESS_KEYS: &str = "accesskey/";
/// All certificates.
pub const CERTIFICATES: &str = "cert/";
/// The chains of certificates as they were uploaded.
pub const ORIGINAL_CHAINS: &str = "chaintext/";
/// The private keys of certificates as they were uploaded.
pub const ORIGINAL_KEYS: &str = "keytext/";
/// All material.
pub const MATERIALS: &str = "material/";
/// All signing requests.
pub const SIGNING_REQUESTS: &str = "csr/";
/// The state of all managed certificates.
pub const MANAGED_CERTIFICATES: &str = "managed/";
/// The challenges of all domains that are not cleaned up.
pub const PROVISIONED_CHALLENGES: &str = "provisioned/";
/// The accounts at all issuers.
pub const ISSUER_ACCOUNTS: &str = "issueraccount/";
/// Whether the issuers take orders.
pub const ISSUER_HEALTH: &str = "issuerhealth/";
/// What was used up of the limits of all issuers.
pub const ISSUER_USAGE: &str = "issuerusage/";
/// The replacement of many certificates.
pub const REISSUE: &str = "reissue/";
/// The revocations of all certificates.
pub const REVOCATIONS: &str = "revocation/";
/// The private keys of all orders in progress.
pub const ORDER_KEYS: &str = "orderkey/";
/// The secret of the audit chains; a single key.
pub const AUDIT_CHAIN_SECRET: &str = "meta/audit-secret";
/// The heads of all audit chains.
pub const AUDIT_HEADS: &str = "audithead/";
/// All edges that have reported.
pub const EDGES: &str = "edge/";
/// All counters from which IDs are taken.
pub const COUNTERS: &str = "counter/";
/// The quota counters of all accounts.
pub const COUNTS: &str = "count/";
/// The domain summaries of all accounts.
pub const DOMAIN_SUMMARIES: &str = "accountdomain/";
/// The certificate summaries of all accounts.
pub const CERTIFICATE_SUMMARIES: &str = "accountcert/";
/// Prefix of [`Key::deleted_domain`] of all accounts.
pub const DELETED_DOMAINS: &str = "deleteddomain/";
/// The uploads for all domains.
pub const UPLOADS: &str = "uploads/";
/// The names of all accounts.
pub const ACCOUNT_NAMES: &str = "accountname/";
/// The access keys of all accounts.
pub const ACCOUNT_ACCESS_KEYS: &str = "accountkey/";
/// The access keys of all users.
pub const USER_ACCESS_KEYS: &str = "userkey/";
/// The names below all parents.
pub const SUBDOMAINS: &str = "below/";
/// The names of all certificates.
pub const CERTIFICATE_NAMES: &str = "certname/";
/// Which certificates have which content.
pub const CONTENTS: &str = "content/";
/// The uses of all certificates by domains that they were not uploaded for.
pub const CERTIFICATE_USES: &str = "certuse/";
/// All intermediates.
pub const ISSUERS: &str = "issuer/";
/// How many times each intermediate is used.
pub const ISSUER_COUNTS: &str = "issuercount/";
/// The links of all audit chains.
pub const AUDIT_LINKS: &str = "auditlink/";
/// All challenges of ACME orders.
pub const CHALLENGES: &str = "challenge/";
/// The TXT records of all dns-01 challenges that were published and not removed.
pub const DNS_CHALLENGES: &str = "dnschallenge/";
/// All alarms.
pub const ALARMS: &str = "alarm/";
/// The domains whose alarms are silenced.
pub const ALARM_SILENCES: &str = "alarmsilence/";
/// What visitors of each domain find.
pub const OBSERVATIONS: &str = "observed/";
/// All session-ticket keys.
pub const TICKET_KEYS: &str = "ticketkey/";

impl Key {
    /// A key as read back from an engine.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The key as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A domain by name.
    #[must_use]
    pub fn domain(name: &DomainPattern) -> Self {
        let name = name.to_string();
        Self(format!("{DOMAINS}{}/{name}", shard(name.as_bytes())).into())
    }

    /// A domain's summary in its account; see [`crate::record::DomainSummary`].
    #[must_use]
    pub fn account_domain(account: &AccountId, name: &DomainPattern) -> Self {
        Self(format!("{}{name}", account_domains(account)).into())
    }

    /// Marks that this name exists below its parent: a wildcard finds the names that it would
    /// cover.
    #[must_use]
    pub fn subdomain(parent: &str, name: &DomainName) -> Self {
        Self(format!("{}{name}", subdomains(parent)).into())
    }

    /// Rewritten whenever a name or the wildcard of a family (`a.x`, `b.x`, `*.x`) is added, so
    /// that concurrent additions conflict. It expires long after any transaction has ended.
    #[must_use]
    pub fn sibling_guard(parent: &str) -> Self {
        Self(format!("family/{}/{parent}", shard(parent.as_bytes())).into())
    }

    /// Marks that an account has proven that it owns a root domain.
    #[must_use]
    pub fn ownership(account: &AccountId, root: &DomainName) -> Self {
        Self(format!("owner/{account}/{root}").into())
    }

    /// A domain that an account deleted.
    #[must_use]
    pub fn deleted_domain(account: &AccountId, name: &DomainPattern) -> Self {
        Self(format!("{}{name}", deleted_domains(account)).into())
    }

    /// A deployment of an account.
    #[must_use]
    pub fn deployment(account: &AccountId, id: i64) -> Self {
        Self(format!("{}{id:019}", deployments(account)).into())
    }

    /// The AAD for sealed explanations of refusals; nothing is stored under it.
    #[must_use]
    pub fn diagnosis() -> Self {
        Self("diagnosis".into())
    }

    /// The secret of this store's audit chains, sealed.
    #[must_use]
    pub fn audit_chain_secret() -> Self {
        Self(AUDIT_CHAIN_SECRET.into())
    }

    /// One link of an account's audit chain, by number.
    #[must_use]
    pub fn audit_link(account: &AccountId, n: u64) -> Self {
        Self(format!("{}{n:012}", account_audit_links(account)).into())
    }

    /// The head of an account's audit chain.
    #[must_use]
    pub fn audit_head(account: &AccountId) -> Self {
        Self(format!("{AUDIT_HEADS}{account}").into())
    }

    /// The anchor of an account's audit chain.
    #[must_use]
    pub fn audit_anchor(account: &AccountId) -> Self {
        Self(format!("auditanchor/{account}").into())
    }

    /// The report of an edge.
    #[must_use]
    pub fn edge(group: &str, id: &str) -> Self {
        Self(format!("{EDGES}{group}/{id}").into())
    }

    /// The session-ticket key of a period, shared by the edges of an environment.
    #[must_use]
    pub fn ticket_key(environment: Environment, period: TicketPeriod) -> Self {
        let number = period.number();
        Self(format!("{}{number:012}", ticket_keys(environment)).into())
    }

    /// A counter from which blocks of IDs are taken.
    #[must_use]
    pub fn counter(name: &'static str) -> Self {
        Self(format!("{COUNTERS}{name}").into())
    }

    /// The AAD for sealed security tokens, which are not stored.
    #[must_use]
    pub fn security_token() -> Self {
        Self("securitytoken".into())
    }

    /// The version of the data; see [`crate::DATA_VERSION`].
    #[must_use]
    pub fn data_version() -> Self {
        Self("meta/data-version".into())
    }

    /// What retention knows of the clock.
    #[must_use]
    pub fn audit_clock() -> Self {
        Self("meta/audit-clock".into())
    }

    /// The revision up to which all audit records are linked.
    #[must_use]
    pub fn audit_checkpoint() -> Self {
        Self("meta/audit-place".into())
    }

    /// Marks that all domain records carry an origin permission.
    #[must_use]
    pub fn origin_permissions_migrated() -> Self {
        Self("meta/origin-permissions".into())
    }

    /// Which process has a lease: see [`crate::lease`].
    #[must_use]
    pub fn lease(name: &str) -> Self {
        Self(format!("meta/lease/{name}").into())
    }

    /// Since when that process has it: see [`crate::lease::Term`].
    #[must_use]
    pub fn lease_term(name: &str) -> Self {
        Self(format!("meta/lease/{name}/term").into())
    }

    /// The key-encryption key under which everything is sealed, or is to be.
    #[must_use]
    pub fn reseal_marker() -> Self {
        Self("meta/resealed".into())
    }
}

/// Sorts after all keys with this prefix: no key contains the last of all code points.
#[must_use]
pub fn prefix_end(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

/// Prefix of [`Key::account_domain`].
#[must_use]
pub fn account_domains(account: &AccountId) -> String {
    format!("{DOMAIN_SUMMARIES}{account}/")
}

/// Prefix of [`Key::subdomain`].
#[must_use]
pub fn subdomains(parent: &str) -> String {
    format!("{SUBDOMAINS}{}/{parent}/", shard(parent.as_bytes()))
}

/// Prefix of [`Key::deployment`].
#[must_use]
pub fn deployments(account: &AccountId) -> String {
    format!("deployment/{account}/")
}

/// Prefix of [`Key::deleted_domain`].
#[must_use]
pub fn deleted_domains(account: &AccountId) -> String {
    format!("{DELETED_DOMAINS}{account}/")
}

/// Prefix of [`Key::audit_link`].
#[must_use]
pub fn account_audit_links(account: &AccountId) -> String {
    format!("{AUDIT_LINKS}{account}/")
}

/// Prefix of [`Key::ticket_key`].
#[must_use]
pub fn ticket_keys(environment: Environment) -> String {
    format!("{TICKET_KEYS}{}/", environment.as_str())
}

fn shard(bytes: &[u8]) -> String {
    hex::encode(&digest(&SHA256, bytes).as_ref()[..1])
}

/// 128 bits of SHA-256 over length-prefixed parts: unambiguous, and collisions take about 2^64
/// tries.
fn hash(parts: &[&[u8]]) -> String {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    hex::encode(&digest(&SHA256, &joined).as_ref()[..16])
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
