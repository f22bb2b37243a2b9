//! What domains' records say of their account: see [`edgeseal_core::private_origins`].

use edgeseal_core::{
    AccountId, Pattern, Timestamp, account::Account, domain::Domain,
    private_origins::OriginPermission,
};

use super::{AccountRefused, Catalog, ChangeError, Committed, Deed, Draft, random_text};
use crate::{
    CommitError, Fault, Key, Revision, Txn, Write, key,
    record::{self, Since},
};

/// Domains that are changed together.
const PAGE: usize = 200;
/// That all records say it.
const DONE: &str = "origin-permissions";

impl Catalog {
    /// Whether an account's origins may have addresses that are not public; `None`: as the
    /// installation has it. All its domains say so when this returns; if it fails halfway, some do,
    /// and doing it again finishes it. The last commit.
    ///
    /// # Errors
    /// [`AccountRefused::NoAccount`], or why the store did not do it.
    pub async fn set_private_origins(
        &self,
        deed: &Deed,
        account: &AccountId,
        private_origins: Option<bool>,
    ) -> Result<Revision, ChangeError<AccountRefused>> {
        let set = self.transact(deed, |mut draft| async move {
            let key = Key::account(account);
            let Some(mut found) = draft.get::<Account>(&key).await? else {
                return Err(ChangeError::Refused(AccountRefused::NoAccount {
                    account: account.clone(),
                }));
            };
            found.private_origins = private_origins;
            draft.note(match private_origins {
                Some(true) => "private origins are allowed".to_owned(),
                Some(false) => "private origins are refused".to_owned(),
                None => "private origins are as the installation has them".to_owned(),
            });
            draft.put(key, &found)?;
            Ok((draft, ()))
        });
        let Committed { revision, .. } = set.await?;
        let stamped = self.stamp_origin_permissions(deed, account).await?;
        Ok(stamped.unwrap_or(revision))
    }

    /// Has all domains say what their accounts may, once in the life of a store: those of an earlier
    /// release do not.
    ///
    /// # Errors
    /// Why the store did not do it.
    pub async fn stamp_all_origin_permissions(
        &self,
        now: Timestamp,
    ) -> Result<(), ChangeError<AccountRefused>> {
        let done = Key::meta(DONE);
        if self.store.get(&done).await?.is_some() {
            return Ok(());
        }
        for account in self.accounts().await? {
            let deed = Deed {
                account: account.id.clone(),
                principal: String::new(),
                access_key: "-".to_owned(),
                source: "-".to_owned(),
                action: "StampOriginPermissions".to_owned(),
                resource: String::new(),
                request: random_text::<30>(),
                nonce: None,
                now,
            };
            self.stamp_origin_permissions(&deed, &account.id).await?;
        }
        let txn = Txn {
            expect: Vec::new(),
            write: vec![Write::Put {
                key: done,
                value: record::encode(&Since { at: now })?,
                expires: None,
            }],
        };
        match self.store.commit(txn).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Fault(fault)) => Err(fault.into()),
        }
    }

    /// Has all domains of an account say what it may. The last commit, if there was one.
    async fn stamp_origin_permissions(
        &self,
        deed: &Deed,
        account: &AccountId,
    ) -> Result<Option<Revision>, ChangeError<AccountRefused>> {
        let prefix = key::account_domains(account);
        let (mut after, mut last) = (None, None);
        for page in 1_u64.. {
            let listed = self.store.list(&prefix, after.as_ref(), PAGE).await?;
            let names = listed.entries.iter().filter_map(|entry| {
                let name = entry.key.as_str().strip_prefix(&prefix)?;
                Pattern::parse(name).ok()
            });
            let stale = self.stale(account, names.collect()).await?;
            if !stale.is_empty() {
                // Each commit has a record in the audit of its own.
                let deed = Deed {
                    request: format!("{}-{page}", deed.request),
                    nonce: None,
                    ..deed.clone()
                };
                let stale = &stale;
                let stamped = self.transact(&deed, |draft| stamp(draft, account, stale, deed.now));
                last = Some(stamped.await?.revision);
            }
            after = listed
                .entries
                .into_iter()
                .next_back()
                .map(|entry| entry.key);
            if !listed.more {
                break;
            }
        }
        Ok(last)
    }

    /// Those of these domains that do not say what their account may.
    async fn stale(&self, account: &AccountId, names: Vec<Pattern>) -> Result<Vec<Pattern>, Fault> {
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
    OriginPermission::of(account.root, account.private_origins)
}

async fn stamp(
    mut draft: Draft,
    account: &AccountId,
    names: &[Pattern],
    now: Timestamp,
) -> Result<(Draft, ()), ChangeError<AccountRefused>> {
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
