//! Keys of the store: the only place that formats them.
//!
//! Prefixes that grow without bound are sharded by the first byte of a hash (`domain/3f/…`), so
//! that ranges stay bounded on engines that count the rest of a range for every page. Segments
//! never contain `/`: domain names, account numbers and digests cannot, and free text is hashed.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{
    AccountId, DomainName, DomainPattern, Timestamp,
    certificate::{CertificateId, Digest},
    domain::Environment,
    identity::{IdentityKind, IdentityName, PolicyName, PolicyRef, UserName},
    quota::QuotaKind,
    ticket::TicketPeriod,
};

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
/// The history of all domains.
pub const HISTORY: &str = "history/";
/// All audit records.
pub const AUDIT: &str = "audit/";
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
/// The superseded uploads of all domains.
pub const SUPERSEDED: &str = "superseded/";
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
/// The contents of all certificates.
pub const CERTIFICATE_CONTENTS: &str = "certcontent/";
/// The uses of all certificates.
pub const CERTIFICATE_USES: &str = "certuse/";
/// The uses of all material.
pub const MATERIAL_USES: &str = "materialuse/";
/// The uses of all intermediates.
pub const ISSUER_USES: &str = "issueruse/";
/// The links of all audit chains.
pub const AUDIT_LINKS: &str = "auditlink/";
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

    /// A certificate by ID.
    #[must_use]
    pub fn certificate(id: CertificateId) -> Self {
        let id = id.to_string();
        Self(format!("{CERTIFICATES}{}/{id}", shard(id.as_bytes())).into())
    }

    /// A certificate's summary in its account; see [`crate::record::CertificateSummary`].
    #[must_use]
    pub fn account_certificate(account: &AccountId, region: &str, id: CertificateId) -> Self {
        Self(format!("{}{id:019}", regional_certificates(account, region)).into())
    }

    /// The certificate with this name in an account. Names are free text and therefore hashed.
    #[must_use]
    pub fn certificate_name(account: &AccountId, name: &str) -> Self {
        Self(format!("{CERTIFICATE_NAMES}{account}/{}", hash(&[name.as_bytes()])).into())
    }

    /// A certificate with this content in an account.
    #[must_use]
    pub fn certificate_content(account: &AccountId, digest: &Digest) -> Self {
        Self(format!("{CERTIFICATE_CONTENTS}{account}/{digest}").into())
    }

    /// The chain of a certificate as it was uploaded.
    #[must_use]
    pub fn original_chain(id: CertificateId) -> Self {
        Self(format!("{ORIGINAL_CHAINS}{id}").into())
    }

    /// The private key of a certificate as it was uploaded, sealed.
    #[must_use]
    pub fn original_key(id: CertificateId) -> Self {
        Self(format!("{ORIGINAL_KEYS}{id}").into())
    }

    /// Marks that a domain has this certificate bound.
    #[must_use]
    pub fn certificate_use(id: CertificateId, name: &DomainPattern) -> Self {
        Self(format!("{}{name}", certificate_uses(id)).into())
    }

    /// Rewritten whenever a domain binds this certificate, so that a removal, which reads it,
    /// conflicts with a concurrent binding.
    #[must_use]
    pub fn certificate_use_guard(id: CertificateId) -> Self {
        Self(format!("certused/{id}").into())
    }

    /// Marks that a certificate was uploaded with a call for this domain of its account, and that
    /// no domain has it bound any more.
    #[must_use]
    pub fn superseded(account: &AccountId, name: &DomainPattern, id: CertificateId) -> Self {
        Self(format!("{}{id:019}", superseded(account, name)).into())
    }

    /// Marks that a certificate has this material.
    #[must_use]
    pub fn material_use(digest: &Digest, id: CertificateId) -> Self {
        Self(format!("{}{id}", material_uses(digest)).into())
    }

    /// Rewritten whenever a certificate with this material is added; as [`Key::certificate_use_guard`].
    #[must_use]
    pub fn material_use_guard(digest: &Digest) -> Self {
        Self(format!("materialused/{digest}").into())
    }

    /// A signing request of an account, by the SHA-256 of its public key.
    #[must_use]
    pub fn signing_request(account: &AccountId, public_key: &Digest) -> Self {
        Self(format!("{}{public_key}", signing_requests(account)).into())
    }

    /// Marks that an account has proved that it owns a root domain.
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

    /// Leaf and sealed key.
    #[must_use]
    pub fn material(digest: &Digest) -> Self {
        let digest = digest.to_string();
        Self(format!("{MATERIALS}{}/{digest}", &digest[..2]).into())
    }

    /// An intermediate, shared by all certificates below it.
    #[must_use]
    pub fn issuer(digest: &Digest) -> Self {
        Self(format!("issuer/{digest}").into())
    }

    /// Marks that material has this intermediate in its chain.
    #[must_use]
    pub fn issuer_use(issuer: &Digest, material: &Digest) -> Self {
        Self(format!("{}{material}", issuer_uses(issuer)).into())
    }

    /// Rewritten whenever material with this intermediate is added; as [`Key::certificate_use_guard`].
    #[must_use]
    pub fn issuer_use_guard(issuer: &Digest) -> Self {
        Self(format!("issuerused/{issuer}").into())
    }

    /// Marks that all uses of this intermediate are recorded, which earlier releases did not do.
    #[must_use]
    pub fn issuer_uses_complete(issuer: &Digest) -> Self {
        Self(format!("issuercounted/{issuer}").into())
    }

    /// An account.
    #[must_use]
    pub fn account(id: &AccountId) -> Self {
        Self(format!("{ACCOUNTS}{id}").into())
    }

    /// The account with this name.
    #[must_use]
    pub fn account_name(name: &str) -> Self {
        Self(format!("{ACCOUNT_NAMES}{}", hash(&[name.as_bytes()])).into())
    }

    /// The quota counter of an account for one kind.
    #[must_use]
    pub fn count(account: &AccountId, kind: QuotaKind) -> Self {
        Self(format!("{COUNTS}{account}/{}", count_name(kind)).into())
    }

    /// The account and kind of a quota counter; `None` for any other key.
    #[must_use]
    pub fn as_count(&self) -> Option<(AccountId, QuotaKind)> {
        let (account, word) = self.0.strip_prefix(COUNTS)?.split_once('/')?;
        let kind = QuotaKind::ALL
            .into_iter()
            .find(|kind| count_name(*kind) == word);
        Some((AccountId::parse(account).ok()?, kind?))
    }

    /// An access key.
    #[must_use]
    pub fn access_key(id: &str) -> Self {
        Self(format!("{ACCESS_KEYS}{}", hash(&[id.as_bytes()])).into())
    }

    /// Marks that an account has this access key.
    #[must_use]
    pub fn account_access_key(account: &AccountId, id: &str) -> Self {
        Self(format!("{}{}", account_access_keys(account), hash(&[id.as_bytes()])).into())
    }

    /// Marks that a user of an account has this access key.
    #[must_use]
    pub fn user_access_key(account: &AccountId, user: &UserName, id: &str) -> Self {
        let hash = hash(&[id.as_bytes()]);
        Self(format!("{}{hash}", user_access_keys(account, user)).into())
    }

    /// A user or role of an account.
    #[must_use]
    pub fn identity<N: IdentityName>(account: &AccountId, name: &N) -> Self {
        Self(format!("{}{name}", identities(account, N::KIND)).into())
    }

    /// A custom policy of an account.
    #[must_use]
    pub fn policy(account: &AccountId, name: &PolicyName) -> Self {
        Self(format!("{}{name}", policies(account)).into())
    }

    /// Marks that a policy is attached to a user or role.
    #[must_use]
    pub fn identity_with_policy<N: IdentityName>(
        account: &AccountId,
        policy: &PolicyRef,
        name: &N,
    ) -> Self {
        let prefix = identities_with_policy(account, policy, N::KIND);
        Self(format!("{prefix}{name}").into())
    }

    /// Written by every change of the permissions of an account's users and roles, so that caches
    /// notice the change.
    #[must_use]
    pub fn permissions_revision(account: &AccountId) -> Self {
        Self(format!("rights/{account}").into())
    }

    /// The AAD for sealed explanations of refusals; nothing is stored under it.
    #[must_use]
    pub fn diagnosis() -> Self {
        Self("diagnosis".into())
    }

    /// The hour in which an access key was last used.
    #[must_use]
    pub fn access_key_last_used(id: &str) -> Self {
        Self(format!("keyuse/{}", hash(&[id.as_bytes()])).into())
    }

    /// Marks that an access key used a nonce.
    #[must_use]
    pub fn nonce(access_key: &str, nonce: &str) -> Self {
        let hash = hash(&[access_key.as_bytes(), nonce.as_bytes()]);
        Self(format!("nonce/{}/{hash}", &hash[..2]).into())
    }

    /// One change of a domain, in order of time.
    #[must_use]
    pub fn history(name: &DomainPattern, at: Timestamp, request: &str) -> Self {
        Self(format!("{}{:015}-{request}", domain_history(name), at.unix_ms()).into())
    }

    /// One audit record of an account, in order of time.
    #[must_use]
    pub fn audit(account: &AccountId, at: Timestamp, request: &str) -> Self {
        Self(format!("{}{:015}-{request}", account_audit(account), at.unix_ms()).into())
    }

    /// The account and the suffix of an audit record's key; chains name records by the suffix.
    /// `None` for any other key.
    #[must_use]
    pub fn audit_suffix(&self) -> Option<(&str, &str)> {
        self.0.strip_prefix(AUDIT)?.split_once('/')
    }

    /// The audit record with this suffix.
    #[must_use]
    pub fn audit_of(account: &AccountId, suffix: &str) -> Self {
        Self(format!("{}{suffix}", account_audit(account)).into())
    }

    /// Sorts before all audit records of an account from this time on, and after all older ones.
    #[must_use]
    pub fn audit_from(account: &AccountId, at: Timestamp) -> Self {
        Self(format!("{}{:015}", account_audit(account), at.unix_ms()).into())
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

/// Prefix of [`Key::account_certificate`].
#[must_use]
pub fn account_certificates(account: &AccountId) -> String {
    format!("{CERTIFICATE_SUMMARIES}{account}/")
}

/// Prefix of [`Key::account_certificate`] for one region.
#[must_use]
pub fn regional_certificates(account: &AccountId, region: &str) -> String {
    format!("{}{region}/", account_certificates(account))
}

/// Prefix of [`Key::certificate_use`].
#[must_use]
pub fn certificate_uses(id: CertificateId) -> String {
    format!("{CERTIFICATE_USES}{id}/")
}

/// Prefix of [`Key::superseded`].
#[must_use]
pub fn superseded(account: &AccountId, name: &DomainPattern) -> String {
    format!("{SUPERSEDED}{account}/{name}/")
}

/// Prefix of [`Key::material_use`].
#[must_use]
pub fn material_uses(digest: &Digest) -> String {
    format!("{MATERIAL_USES}{digest}/")
}

/// Prefix of [`Key::issuer_use`].
#[must_use]
pub fn issuer_uses(issuer: &Digest) -> String {
    format!("{ISSUER_USES}{issuer}/")
}

/// Prefix of [`Key::signing_request`].
#[must_use]
pub fn signing_requests(account: &AccountId) -> String {
    format!("{SIGNING_REQUESTS}{account}/")
}

/// Prefix of what [`Key::count`] counts.
#[must_use]
pub fn counted_prefix(account: &AccountId, kind: QuotaKind) -> String {
    match kind {
        QuotaKind::Domains => account_domains(account),
        QuotaKind::Certificates => account_certificates(account),
        QuotaKind::CsrKeys => signing_requests(account),
    }
}

const fn count_name(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::Domains => "domains",
        QuotaKind::Certificates => "certificates",
        QuotaKind::CsrKeys => "csrkeys",
    }
}

/// Prefix of [`Key::deployment`].
#[must_use]
pub fn deployments(account: &AccountId) -> String {
    format!("deployment/{account}/")
}

/// Prefix of [`Key::deleted_domain`].
#[must_use]
pub fn deleted_domains(account: &AccountId) -> String {
    format!("deleteddomain/{account}/")
}

/// Prefix of [`Key::account_access_key`].
#[must_use]
pub fn account_access_keys(account: &AccountId) -> String {
    format!("{ACCOUNT_ACCESS_KEYS}{account}/")
}

/// Prefix of [`Key::user_access_key`].
#[must_use]
pub fn user_access_keys(account: &AccountId, user: &UserName) -> String {
    format!("{USER_ACCESS_KEYS}{account}/{user}/")
}

/// Prefix of [`Key::identity`] for one kind.
#[must_use]
pub fn identities(account: &AccountId, kind: IdentityKind) -> String {
    format!("{kind}/{account}/")
}

/// Prefix of [`Key::policy`].
#[must_use]
pub fn policies(account: &AccountId) -> String {
    format!("policy/{account}/")
}

/// Prefix of [`Key::identity_with_policy`] for one kind.
#[must_use]
pub fn identities_with_policy(
    account: &AccountId,
    policy: &PolicyRef,
    kind: IdentityKind,
) -> String {
    format!("{}{kind}/", with_policy(account, policy))
}

/// Prefix of [`Key::identity_with_policy`].
#[must_use]
pub fn with_policy(account: &AccountId, policy: &PolicyRef) -> String {
    format!(
        "withpolicy/{account}/{}/{}/",
        policy.kind.as_str(),
        policy.name
    )
}

/// Prefix of [`Key::history`].
#[must_use]
pub fn domain_history(name: &DomainPattern) -> String {
    let name = name.to_string();
    format!("{HISTORY}{}/{name}/", shard(name.as_bytes()))
}

/// Prefix of [`Key::audit`].
#[must_use]
pub fn account_audit(account: &AccountId) -> String {
    format!("{AUDIT}{account}/")
}

/// Prefix of [`Key::audit_link`].
#[must_use]
pub fn account_audit_links(account: &AccountId) -> String {
    format!("{AUDIT_LINKS}{account}/")
}

/// Prefix of [`Key::ticket_key`].
#[must_use]
pub fn ticket_keys(environment: Environment) -> String {
    let environment = match environment {
        Environment::Production => "production",
        Environment::Staging => "staging",
    };
    format!("{TICKET_KEYS}{environment}/")
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
