//! The operator's changes of accounts, and the origin permissions in the records of domains: see
//! [`edgeseal_core::private_origins`].

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    account::Account,
    domain::Domain,
    private_origins::OriginPermission,
    quota::{Quota, QuotaKind},
};

use super::{AccountError, AuditContext, Catalog, ChangeError, Committed, Draft};
use crate::{
    Fault, Key, Pages, Revision, Write, key, random,
    record::{self, TimestampRecord},
    write_all,
};

/// Domains changed per commit.
const PAGE: usize = 200;

/// The operator's changes of an account.
#[derive(Clone, Debug, Default)]
pub struct AccountUpdate {
    /// Whether its origins may have non-public addresses; `None` leaves that unchanged.
    pub private_origins: Option<PrivateOriginsOverride>,
    /// Quotas to change; `None` restores the installation's.
    pub quotas: Vec<(QuotaKind, Option<Quota>)>,
}

/// Whether an account's origins may have non-public addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateOriginsOverride {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
    /// As the installation's setting says.
    Inherit,
}

impl Catalog {
    /// Changes what the operator permits an account. When this returns, all its domains carry the
    /// new origin permission; if it fails halfway, some do, and a repeated call completes it.
    /// Returns the last commit.
    ///
    /// # Errors
    /// [`AccountError::NoAccount`], or the failure of the store.
    pub async fn update_account(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        update: &AccountUpdate,
    ) -> Result<Revision, ChangeError<AccountError>> {
        let set = self.transact(audit, |mut draft| async move {
            let key = Key::account(account);
            let Some(mut found) = draft.get::<Account>(&key).await? else {
                return Err(ChangeError::Refused(AccountError::NoAccount {
                    account: account.clone(),
                }));
            };
            update.apply(&mut found, &mut draft);
            draft.put(key, &found)?;
            Ok((draft, ()))
        });
        let Committed { revision, .. } = set.await?;
        if update.private_origins.is_none() {
            return Ok(revision);
        }
        let stamped = self.sync_origin_permissions(audit, account).await?;
        Ok(stamped.unwrap_or(revision))
    }

    /// Writes origin permissions into all domain records, once per store: those of earlier releases
    /// have none.
    ///
    /// # Errors
    /// The failure of the store.
    pub async fn migrate_origin_permissions(
        &self,
        now: Timestamp,
    ) -> Result<(), ChangeError<AccountError>> {
        let done = Key::origin_permissions_migrated();
        if self.store.get(&done).await?.is_some() {
            return Ok(());
        }
        for account in self.accounts().await? {
            let audit = AuditContext {
                account: account.id.clone(),
                principal: String::new(),
                access_key: "-".to_owned(),
                source: "-".to_owned(),
                action: "StampOriginPermissions".to_owned(),
                resource: String::new(),
                request_id: random::text::<30>(),
                nonce: None,
                now,
            };
            self.sync_origin_permissions(&audit, &account.id).await?;
        }
        let value = record::encode(&TimestampRecord { at: now })?;
        write_all(&*self.store, vec![Write::put(done, value)]).await?;
        Ok(())
    }

    /// Writes the origin permission into all domains of an account. Returns the last commit, if
    /// any.
    async fn sync_origin_permissions(
        &self,
        audit: &AuditContext,
        account: &AccountId,
    ) -> Result<Option<Revision>, ChangeError<AccountError>> {
        let prefix = key::account_domains(account);
        let mut last = None;
        let mut pages = Pages::new(&*self.store, &prefix, PAGE);
        for page in 1_u64.. {
            let Some(entries) = pages.next().await? else {
                break;
            };
            let names = entries.iter().filter_map(|entry| {
                let name = entry.key.as_str().strip_prefix(&prefix)?;
                DomainPattern::parse(name).ok()
            });
            let stale = self.stale(account, names.collect()).await?;
            if !stale.is_empty() {
                // Each commit has its own audit record.
                let audit = AuditContext {
                    request_id: format!("{}-{page}", audit.request_id),
                    nonce: None,
                    ..audit.clone()
                };
                let stale = &stale;
                let stamped = self.transact(&audit, |draft| {
                    set_origin_permission(draft, account, stale, audit.now)
                });
                last = Some(stamped.await?.revision);
            }
        }
        Ok(last)
    }

    /// Those of these domains that carry another permission than their account's.
    async fn stale(
        &self,
        account: &AccountId,
        names: Vec<DomainPattern>,
    ) -> Result<Vec<DomainPattern>, Fault> {
        let Some(permission) = self.account(account).await?.as_ref().map(permission_of) else {
            return Ok(Vec::new());
        };
        let keys: Vec<Key> = names.iter().map(Key::domain).collect();
        let found = self.store.get_many(&keys).await?;
        let mut stale = Vec::new();
        for (name, entry) in names.into_iter().zip(found) {
            let Some(entry) = entry else { continue };
            let domain: Domain = record::decode(&entry.value)?;
            if domain.account == *account && domain.origin_permission != permission {
                stale.push(name);
            }
        }
        Ok(stale)
    }
}

impl AccountUpdate {
    fn apply(&self, account: &mut Account, draft: &mut Draft) {
        if let Some(private_origins) = self.private_origins {
            let (chosen, note) = match private_origins {
                PrivateOriginsOverride::Allowed => (Some(true), "allowed"),
                PrivateOriginsOverride::Refused => (Some(false), "refused"),
                PrivateOriginsOverride::Inherit => (None, "as the installation has them"),
            };
            account.private_origins = chosen;
            draft.note(format!("private origins are {note}"));
        }
        for (kind, quota) in &self.quotas {
            account.quotas.set(*kind, *quota);
            draft.note(match quota {
                Some(quota) => format!("quota of {kind}: {quota}"),
                None => format!("quota of {kind}: as the installation has it"),
            });
        }
    }
}

impl Draft {
    /// Reads an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn account(&mut self, id: &AccountId) -> Result<Option<Account>, Fault> {
        self.get(&Key::account(id)).await
    }

    /// The origin permission for the domains of an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn origin_permission(
        &mut self,
        account: &AccountId,
    ) -> Result<OriginPermission, Fault> {
        let found = self.account(account).await?;
        Ok(found
            .as_ref()
            .map_or(OriginPermission::Tenant, permission_of))
    }
}

const fn permission_of(account: &Account) -> OriginPermission {
    OriginPermission::from_account(account.root, account.private_origins)
}

async fn set_origin_permission(
    mut draft: Draft,
    account: &AccountId,
    names: &[DomainPattern],
    now: Timestamp,
) -> Result<(Draft, ()), ChangeError<AccountError>> {
    let permission = draft.origin_permission(account).await?;
    for name in names {
        let Some(before) = draft.domain(name).await? else {
            continue;
        };
        if before.account != *account || before.origin_permission == permission {
            continue;
        }
        let mut after = before.clone();
        after.origin_permission = permission;
        after.modified = now;
        draft.change_domain(&before, &after).await?;
    }
    Ok((draft, ()))
}
