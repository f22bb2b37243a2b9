//! What the operator changes of accounts, and what domains' records say of that: see
//! [`edgeseal_core::private_origins`].

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    account::Account,
    domain::Domain,
    private_origins::OriginPermission,
    quota::{Quota, QuotaKind},
};

use super::{AccountError, AuditContext, Catalog, ChangeError, Committed, Draft, random_text};
use crate::{
    CommitError, Fault, Key, Revision, Txn, Write, key,
    record::{self, TimestampRecord},
};

/// Domains that are changed together.
const PAGE: usize = 200;
/// That all records say it.
const MIGRATED: &str = "origin-permissions";

/// What the operator changes of an account.
#[derive(Clone, Debug, Default)]
pub struct AccountUpdate {
    /// Whether its origins may have addresses that are not public; `None` leaves that as it is.
    pub private_origins: Option<PrivateOriginsOverride>,
    /// Quotas that change; `None` is as the installation has it.
    pub quotas: Vec<(QuotaKind, Option<Quota>)>,
}

/// Whether an account's origins may have addresses that are not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateOriginsOverride {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
    /// As the installation has it.
    Inherit,
}

impl Catalog {
    /// Changes what the operator allows an account. All its domains say whether their origins may have
    /// addresses that are not public when this returns; if it fails halfway, some do, and doing it
    /// again finishes it. The last commit.
    ///
    /// # Errors
    /// [`AccountError::NoAccount`], or why the store did not do it.
    pub async fn update_account(
        &self,
        deed: &AuditContext,
        account: &AccountId,
        update: &AccountUpdate,
    ) -> Result<Revision, ChangeError<AccountError>> {
        let set = self.transact(deed, |mut draft| async move {
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
        let stamped = self.sync_origin_permissions(deed, account).await?;
        Ok(stamped.unwrap_or(revision))
    }

    /// Has all domains say what their accounts may, once in the life of a store: those of an earlier
    /// release do not.
    ///
    /// # Errors
    /// Why the store did not do it.
    pub async fn migrate_origin_permissions(
        &self,
        now: Timestamp,
    ) -> Result<(), ChangeError<AccountError>> {
        let done = Key::meta(MIGRATED);
        if self.store.get(&done).await?.is_some() {
            return Ok(());
        }
        for account in self.accounts().await? {
            let deed = AuditContext {
                account: account.id.clone(),
                principal: String::new(),
                access_key: "-".to_owned(),
                source: "-".to_owned(),
                action: "StampOriginPermissions".to_owned(),
                resource: String::new(),
                request_id: random_text::<30>(),
                nonce: None,
                now,
            };
            self.sync_origin_permissions(&deed, &account.id).await?;
        }
        let txn = Txn {
            expect: Vec::new(),
            write: vec![Write::Put {
                key: done,
                value: record::encode(&TimestampRecord { at: now })?,
                expires: None,
            }],
        };
        match self.store.commit(txn).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Fault(fault)) => Err(fault.into()),
        }
    }

    /// Has all domains of an account say what it may. The last commit, if there was one.
    async fn sync_origin_permissions(
        &self,
        deed: &AuditContext,
        account: &AccountId,
    ) -> Result<Option<Revision>, ChangeError<AccountError>> {
        let prefix = key::account_domains(account);
        let (mut after, mut last) = (None, None);
        for page in 1_u64.. {
            let listed = self.store.list(&prefix, after.as_ref(), PAGE).await?;
            let names = listed.entries.iter().filter_map(|entry| {
                let name = entry.key.as_str().strip_prefix(&prefix)?;
                DomainPattern::parse(name).ok()
            });
            let stale = self.stale(account, names.collect()).await?;
            if !stale.is_empty() {
                // Each commit has a record in the audit of its own.
                let deed = AuditContext {
                    request_id: format!("{}-{page}", deed.request_id),
                    nonce: None,
                    ..deed.clone()
                };
                let stale = &stale;
                let stamped = self.transact(&deed, |draft| {
                    set_origin_permission(draft, account, stale, deed.now)
                });
                last = Some(stamped.await?.revision);
            }
            after = listed
                .entries
                .into_iter()
                .next_back()
                .map(|entry| entry.key);
            if !listed.has_more {
                break;
            }
        }
        Ok(last)
    }

    /// Those of these domains that do not say what their account may.
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

    /// What domains of an account say of it.
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
