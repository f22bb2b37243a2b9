//! Domains: their records, indexes and history.

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainName, DomainPattern,
    certificate::CertificateId,
    domain::{Binding, Domain, Environment},
    quota::{Quota, QuotaKind},
};

use super::{AddError, AuditContext, Catalog, Draft};
use crate::{
    Fault, HISTORY_MAX, Key, Log, LogRange, LogWrite, Pages, Revision, key,
    record::{
        self, BindingChange, BindingSummary, DomainSummary, HistoryRecord, ServedLeaves,
        TimestampRecord,
    },
};

/// How long a sibling guard is kept after a name was added, in milliseconds: transactions take
/// seconds.
const SIBLING_GUARD_TTL_MS: i64 = 60 * 60 * 1000;
/// How long a deleted domain is listed, in milliseconds: 90 days.
pub(crate) const DELETED_DOMAIN_TTL_MS: i64 = 90 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// A domain of any account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain(&self, name: &DomainPattern) -> Result<Option<Domain>, Fault> {
        self.read(&Key::domain(name)).await
    }

    /// An ID for a new setting of a domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn new_setting_id(&self) -> Result<i64, Fault> {
        self.ids.setting().await
    }

    /// The history of a name, the newest change first, each with its revision: of this domain and of
    /// those that had the name before. Changes that cannot be decoded are left out.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn history(
        &self,
        name: &DomainPattern,
    ) -> Result<Vec<(Revision, HistoryRecord)>, Fault> {
        let scope = name.to_string();
        let page = self
            .store
            .read_log(newest_changes(&scope), HISTORY_MAX)
            .await?;
        let rows = page.rows.iter();
        let changes = rows.filter_map(|row| Some((row.revision, record::decode(&row.value).ok()?)));
        Ok(changes.collect())
    }

    /// The history of a domain, newest first, after the entry with the name `after`. Names are
    /// opaque. Entries of a domain that had the name before are left out. At most [`HISTORY_MAX`]
    /// entries are kept.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain_history(
        &self,
        domain: &Domain,
        after: Option<&str>,
        limit: usize,
    ) -> Result<HistoryPage, Fault> {
        let scope = domain.name.to_string();
        let range = LogRange {
            before: after,
            ..newest_changes(&scope)
        };
        let page = self.store.read_log(range, limit).await?;
        let read = page.rows.len();
        let mut entries = Vec::with_capacity(read);
        for row in page.rows {
            let change: HistoryRecord = record::decode(&row.value)?;
            if change.at < domain.created {
                break;
            }
            entries.push((row.name, change));
        }
        let has_more = page.has_more && entries.len() == read;
        Ok(HistoryPage { entries, has_more })
    }
}

/// All changes of a domain that are kept, the newest first.
pub(super) const fn newest_changes(domain: &str) -> LogRange<'_> {
    LogRange {
        log: Log::History,
        scope: domain,
        after: "",
        before: None,
        newest_first: true,
    }
}

/// A page of a domain's history.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The entries with their names.
    pub entries: Vec<(String, HistoryRecord)>,
    /// Whether there are older ones.
    pub has_more: bool,
}

impl Draft {
    /// Reads a domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain(&mut self, name: &DomainPattern) -> Result<Option<Domain>, Fault> {
        self.get(&Key::domain(name)).await
    }

    /// Adds a domain with its indexes. Fails if its account has reached the quota.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add_domain(&mut self, domain: &Domain, quota: Quota) -> Result<(), AddError> {
        self.increment_count(&domain.account, QuotaKind::Domains, quota)
            .await?;
        if let Some((parent, key)) = subdomain_key(&domain.name) {
            self.put_bytes(
                key,
                Bytes::copy_from_slice(domain.account.as_str().as_bytes()),
            );
            self.touch_sibling_guard(parent).await?;
        }
        self.delete(Key::deleted_domain(&domain.account, &domain.name));
        Ok(self.put_domain(None, domain).await?)
    }

    /// Writes a changed domain with its indexes. A certificate that its owner removed is deleted
    /// with its last binding.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn change_domain(&mut self, before: &Domain, after: &Domain) -> Result<(), Fault> {
        self.put_domain(Some(before), after).await
    }

    /// As [`change_domain`](Self::change_domain), with a history entry about `environment`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn change_domain_with_history(
        &mut self,
        audit: &AuditContext,
        environment: Environment,
        before: &Domain,
        after: &Domain,
    ) -> Result<(), Fault> {
        let leaves = (
            self.leaves(before, environment).await?,
            self.leaves(after, environment).await?,
        );
        self.add_history(after, Some(environment), leaves, audit)?;
        self.change_domain(before, after).await
    }

    async fn put_domain(&mut self, before: Option<&Domain>, after: &Domain) -> Result<(), Fault> {
        // First: certificates that are released below may be deleted.
        self.note_bindings(before, Some(after)).await?;
        if let Some(before) = before {
            self.reconcile_managed(before, Some(after)).await?;
        }
        let had = before.map(bound_certificates).unwrap_or_default();
        let has = bound_certificates(after);
        for id in has.iter().filter(|id| !had.contains(id)) {
            self.use_certificate(*id, &after.name).await?;
        }
        for id in had.iter().filter(|id| !has.contains(id)) {
            self.release_certificate(*id, &after.name).await?;
        }
        let served = self.served(after, Environment::Production).await?;
        let staged = self.served(after, Environment::Staging).await?;
        let summary = record::encode_summary(&DomainSummary::of(after, served, staged))?;
        self.put_bytes(Key::account_domain(&after.account, &after.name), summary);
        self.put(Key::domain(&after.name), after)
    }

    /// Adds to the audit record which leaves a domain serves before and after, if they change.
    async fn note_bindings(
        &mut self,
        before: Option<&Domain>,
        after: Option<&Domain>,
    ) -> Result<(), Fault> {
        let Some(name) = before.or(after).map(|domain| &domain.name) else {
            return Ok(());
        };
        for environment in [Environment::Production, Environment::Staging] {
            let had = before.and_then(|domain| served_binding(domain, environment));
            let has = after.and_then(|domain| served_binding(domain, environment));
            if had.map(ids) == has.map(ids) {
                continue;
            }
            let (before, after) = (self.leaves_of(had).await?, self.leaves_of(has).await?);
            self.note_binding(BindingChange {
                domain: name.clone(),
                environment,
                before: before.primary,
                after: after.primary,
                before_companion: before.companion,
                after_companion: after.companion,
            });
        }
        Ok(())
    }

    /// The leaves that edges of `environment` serve for a domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn leaves(
        &mut self,
        domain: &Domain,
        environment: Environment,
    ) -> Result<ServedLeaves, Fault> {
        let bound = domain.binding(environment);
        self.leaves_of(bound.filter(|binding| binding.enabled))
            .await
    }

    async fn leaves_of(&mut self, served: Option<&Binding>) -> Result<ServedLeaves, Fault> {
        let (first, companion) = served.map(ids).unzip();
        Ok(ServedLeaves {
            primary: self.fingerprint(first).await?,
            companion: self.fingerprint(companion.flatten()).await?,
        })
    }

    async fn fingerprint(&mut self, id: Option<CertificateId>) -> Result<Option<String>, Fault> {
        let Some(id) = id else { return Ok(None) };
        let certificate = self.certificate(id).await?;
        Ok(certificate.map(|certificate| certificate.info.sha256))
    }

    async fn served(
        &mut self,
        domain: &Domain,
        environment: Environment,
    ) -> Result<Option<BindingSummary>, Fault> {
        let Some(binding) = served_binding(domain, environment) else {
            return Ok(None);
        };
        let mut served = Vec::new();
        for (id, _) in binding.certificates() {
            let certificate = self.certificate(id).await?;
            served.extend(certificate.map(|certificate| certificate.info));
        }
        Ok(Some(BindingSummary::of(binding, &served)))
    }

    /// A name one label below `base` that belongs to another account than `account`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn foreign_subdomain(
        &mut self,
        base: &DomainName,
        account: &AccountId,
    ) -> Result<Option<String>, Fault> {
        // Read first: a name that is added after the listing changes the guard, and the commit
        // conflicts.
        self.touch_sibling_guard(base.as_str()).await?;
        let prefix = key::subdomains(base.as_str());
        let mut pages = Pages::new(&*self.catalog.store, &prefix, 1000);
        while let Some(entries) = pages.next().await? {
            let mut entries = entries.iter();
            if let Some(other) = entries.find(|it| it.value != account.as_str().as_bytes()) {
                return Ok(other.key.as_str().strip_prefix(&prefix).map(str::to_owned));
            }
        }
        Ok(None)
    }

    async fn touch_sibling_guard(&mut self, parent: &str) -> Result<(), Fault> {
        let key = Key::sibling_guard(parent);
        self.has(&key).await?;
        let until = self.now.plus_ms(SIBLING_GUARD_TTL_MS);
        self.put_bytes_until(key, Bytes::new(), until);
        Ok(())
    }

    /// Deletes a domain. Its history stays, and for 90 days it is listed as deleted.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn delete_domain(&mut self, domain: &Domain) -> Result<(), Fault> {
        self.decrement_count(&domain.account, QuotaKind::Domains)
            .await?;
        self.note_bindings(Some(domain), None).await?;
        self.reconcile_managed(domain, None).await?;
        self.unsilence_alarms(domain, true).await?;
        for id in bound_certificates(domain) {
            self.release_certificate(id, &domain.name).await?;
        }
        self.delete(Key::account_domain(&domain.account, &domain.name));
        if let Some((_, key)) = subdomain_key(&domain.name) {
            self.delete(key);
        }
        let since = TimestampRecord { at: self.now };
        let deleted = Key::deleted_domain(&domain.account, &domain.name);
        self.put_until(deleted, &since, self.now.plus_ms(DELETED_DOMAIN_TTL_MS))?;
        self.delete(Key::observation(&domain.name));
        self.delete(Key::domain(&domain.name));
        Ok(())
    }

    /// Adds the history entry of a change of a domain. `before` and `after` are the leaves served
    /// in `environment` before and after it.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn add_history(
        &mut self,
        domain: &Domain,
        environment: Option<Environment>,
        (before, after): (ServedLeaves, ServedLeaves),
        audit: &AuditContext,
    ) -> Result<(), Fault> {
        let bound = environment.and_then(|environment| domain.binding(environment));
        let (certificate, companion) = bound.map(ids).unzip();
        let entry = HistoryRecord {
            at: self.now,
            access_key: audit.access_key.clone(),
            action: audit.action.clone(),
            environment,
            before: before.primary,
            after: after.primary,
            before_companion: before.companion,
            after_companion: after.companion,
            certificate,
            companion: companion.flatten(),
            failed: None,
            request_id: audit.request_id.clone(),
        };
        let value = record::encode(&entry)?;
        let request = &audit.request_id;
        let write = LogWrite::history(&domain.name, self.now, request, value);
        // One call may change a domain in both environments: the last entry stays.
        self.history.retain(|it| it.place() != write.place());
        self.history.push(write);
        Ok(())
    }
}

/// The enabled binding for these edges. A domain with nothing staged has no binding for staging,
/// although staging edges then serve the production one.
pub(super) fn served_binding(domain: &Domain, environment: Environment) -> Option<&Binding> {
    let binding = match environment {
        Environment::Production => &domain.production,
        Environment::Staging => &domain.staging,
    };
    binding.as_ref().filter(|binding| binding.enabled)
}

/// The IDs of the primary certificate and the companion.
fn ids(binding: &Binding) -> (CertificateId, Option<CertificateId>) {
    let companion = binding.companion.as_ref();
    let companion = companion.map(|companion| companion.certificate);
    (binding.certificate, companion)
}

/// The certificates that a domain has bound, without duplicates; a disabled binding counts too.
pub(crate) fn bound_certificates(domain: &Domain) -> Vec<CertificateId> {
    let bindings = domain.production.iter().chain(&domain.staging);
    let mut ids: Vec<CertificateId> = bindings
        .flat_map(Binding::certificates)
        .map(|(id, _)| id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The parent of an exact name, with the key that marks the name below it; `None` for wildcards and
/// for names directly below a top-level domain.
pub(crate) fn subdomain_key(name: &DomainPattern) -> Option<(&str, Key)> {
    let DomainPattern::Exact(host) = name else {
        return None;
    };
    let parent = host.parent()?;
    Some((parent, Key::subdomain(parent, host)))
}
