//! Accounts and access keys.

use bytes::Bytes;
use edgeseal_core::{
    AccountId, Secret, Timestamp,
    account::{ACCESS_KEYS_MAX, AccessKey, Account},
    identity::{USER_ACCESS_KEYS_MAX, User, UserName},
};

use super::{AuditContext, Catalog, ChangeError, Committed};
use crate::{Fault, Key, key, random, record::AccessKeyRecord};

/// The name of the account that operates this Edgeseal.
pub const ROOT_ACCOUNT_NAME: &str = "root";

/// A new access key with its secret, which is never shown again.
#[derive(Clone, Debug)]
pub struct NewAccessKey {
    /// The key.
    pub key: AccessKey,
    /// Its secret: letters and digits.
    pub secret: Secret,
}

/// The required owner of an access key that is changed.
#[derive(Clone, Copy, Debug)]
pub enum KeyOwner<'a> {
    /// The account or any of its users.
    Any,
    /// The account itself.
    Account,
    /// This user.
    User(&'a UserName),
}

impl KeyOwner<'_> {
    fn has(self, key: &AccessKey) -> bool {
        match self {
            Self::Any => true,
            Self::Account => key.user.is_none(),
            Self::User(name) => key.user.as_ref() == Some(name),
        }
    }
}

/// A random number for a new account.
#[must_use]
pub fn random_account_id() -> AccountId {
    AccountId::from_random(u64::from_be_bytes(random::bytes()))
}

impl NewAccessKey {
    /// A key of 24 and a secret of 30 letters and digits, as long as the cloud's. The secret holds
    /// 178 random bits.
    #[must_use]
    pub fn generate(account: AccountId, user: Option<UserName>, now: Timestamp) -> Self {
        let id = format!("EDGE{}", random::text::<20>());
        let key = AccessKey {
            id,
            account,
            user,
            active: true,
            created: now,
        };
        Self {
            key,
            secret: Secret::from(random::text::<30>()),
        }
    }
}

/// Why an account or an access key of it is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name belongs to another account.
    #[error("there is an account named {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is no such account.
    #[error("there is no account {account}")]
    NoAccount {
        /// The account number.
        account: AccountId,
    },
    /// There is no such user in the account.
    #[error("account {account} has no user {user}")]
    NoUser {
        /// The account.
        account: AccountId,
        /// The user.
        user: UserName,
    },
    /// The account, or its user, has the maximum number of keys.
    #[error("{} has {max} access keys already; delete one first", owner_description(.account, .user.as_ref()))]
    TooManyKeys {
        /// The account.
        account: AccountId,
        /// Its user, if the keys are a user's.
        user: Option<UserName>,
        /// How many are allowed.
        max: usize,
    },
    /// There is no such key in the account.
    #[error("account {account} has no access key {key}")]
    NoKey {
        /// The account.
        account: AccountId,
        /// The key.
        key: String,
    },
    /// The root account keeps its last active key, to operate Edgeseal.
    #[error("{key} is the last active key of the root account; make another one first")]
    LastRootKey {
        /// The key.
        key: String,
    },
}

fn owner_description(account: &AccountId, user: Option<&UserName>) -> String {
    match user {
        Some(user) => format!("user {user} of account {account}"),
        None => format!("account {account}"),
    }
}

type Changed<T> = Result<Committed<T>, ChangeError<AccountError>>;

impl Catalog {
    /// An account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, Fault> {
        self.read(&Key::account(id)).await
    }

    /// All accounts in order of their numbers.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn accounts(&self) -> Result<Vec<Account>, Fault> {
        self.read_all(key::ACCOUNTS).await
    }

    /// An access key with its secret.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the secret does not open.
    pub async fn access_key(&self, id: &str) -> Result<Option<(AccessKey, Secret)>, Fault> {
        let holder = Key::access_key(id);
        let Some(row) = self.read::<AccessKeyRecord>(&holder).await? else {
            return Ok(None);
        };
        let secret = self.keyring.open_text(&row.sealed_secret, &holder);
        let secret = secret.map_err(Fault::of("unseal an access key's secret"))?;
        Ok(Some((row.key, secret)))
    }

    /// The access keys of an account itself or of one of its users, oldest first.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn access_keys_of(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
    ) -> Result<Vec<AccessKey>, Fault> {
        let prefix = match user {
            Some(user) => key::user_access_keys(account, user),
            None => key::account_access_keys(account),
        };
        let mut keys = Vec::new();
        for entry in self.entries(&prefix).await? {
            let id = String::from_utf8_lossy(&entry.value).into_owned();
            if let Some(row) = self.read::<AccessKeyRecord>(&Key::access_key(&id)).await? {
                keys.push(row.key);
            }
        }
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(keys)
    }

    /// Makes an account with its first access key.
    ///
    /// # Errors
    /// [`AccountError::NameTaken`], or the failure of the store.
    pub async fn create_account(
        &self,
        audit: &AuditContext,
        account: &Account,
        key: &NewAccessKey,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let by_name = Key::account_name(&account.name);
            if draft.has(&by_name).await? || draft.has(&Key::account(&account.id)).await? {
                return Err(ChangeError::Refused(AccountError::NameTaken {
                    name: account.name.clone(),
                }));
            }
            draft.put(Key::account(&account.id), account)?;
            draft.put_bytes(
                by_name,
                Bytes::copy_from_slice(account.id.as_str().as_bytes()),
            );
            draft.put_access_key(key)?;
            draft.note(format!("account {}, access key {}", account.id, key.key.id));
            draft.also_record_in(&account.id);
            Ok((draft, ()))
        })
        .await
    }

    /// Makes another access key of an account or of one of its users.
    ///
    /// # Errors
    /// [`AccountError`], or the failure of the store.
    pub async fn create_access_key(&self, audit: &AuditContext, key: &NewAccessKey) -> Changed<()> {
        let account = &key.key.account;
        let user = key.key.user.as_ref();
        self.transact(audit, |mut draft| async move {
            if !draft.touch_account(account).await? {
                return Err(ChangeError::Refused(AccountError::NoAccount {
                    account: account.clone(),
                }));
            }
            if let Some(user) = user
                && !draft.touch_user(account, user).await?
            {
                return Err(ChangeError::Refused(AccountError::NoUser {
                    account: account.clone(),
                    user: user.clone(),
                }));
            }
            let max = user.map_or(ACCESS_KEYS_MAX, |_| USER_ACCESS_KEYS_MAX);
            if self.access_keys_of(account, user).await?.len() >= max {
                return Err(ChangeError::Refused(AccountError::TooManyKeys {
                    account: account.clone(),
                    user: user.cloned(),
                    max,
                }));
            }
            draft.put_access_key(key)?;
            draft.note(format!("access key {}", key.key.id));
            draft.also_record_in(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Switches an access key on or off.
    ///
    /// # Errors
    /// [`AccountError`], or the failure of the store.
    pub async fn set_access_key_active(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        owner: KeyOwner<'_>,
        id: &str,
        active: bool,
    ) -> Changed<()> {
        self.change_access_key(
            audit,
            account,
            (owner, id),
            active,
            |draft, holder, mut row| {
                row.key.active = active;
                let state = if active { "active" } else { "inactive" };
                draft.note(format!("access key {}: {state}", row.key.id));
                draft.put(holder, &row)
            },
        )
        .await
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// [`AccountError`], or the failure of the store.
    pub async fn delete_access_key(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        owner: KeyOwner<'_>,
        id: &str,
    ) -> Changed<()> {
        self.change_access_key(audit, account, (owner, id), false, |draft, holder, row| {
            draft.delete(access_key_index(&row.key));
            draft.delete(holder);
            Ok(())
        })
        .await
    }

    async fn change_access_key(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        (owner, id): (KeyOwner<'_>, &str),
        stays_active: bool,
        change: impl Fn(&mut super::Draft, Key, AccessKeyRecord) -> Result<(), Fault> + Send + Sync,
    ) -> Changed<()> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let holder = Key::access_key(id);
            let row: Option<AccessKeyRecord> = draft.get(&holder).await?;
            let Some(row) = row.filter(|row| row.key.account == *account && owner.has(&row.key))
            else {
                let no_key = AccountError::NoKey {
                    account: account.clone(),
                    key: id.to_owned(),
                };
                return Err(ChangeError::Refused(no_key));
            };
            draft.touch_account(account).await?;
            if !stays_active && row.key.active && self.is_last_root_key(&row.key).await? {
                return Err(ChangeError::Refused(AccountError::LastRootKey {
                    key: id.to_owned(),
                }));
            }
            draft.also_record_in(account);
            change(&mut draft, holder, row)?;
            Ok((draft, ()))
        })
        .await
    }

    async fn is_last_root_key(&self, key: &AccessKey) -> Result<bool, Fault> {
        let is_root = self
            .account(&key.account)
            .await?
            .is_some_and(|account| account.root);
        Ok(is_root
            && key.user.is_none()
            && !self
                .access_keys_of(&key.account, None)
                .await?
                .iter()
                .any(|other| other.active && other.id != key.id))
    }
}

impl super::Draft {
    /// Reads and rewrites an account, so that concurrent changes of its keys conflict: limits over
    /// all its keys hold. Returns whether the account exists.
    pub(super) async fn touch_account(&mut self, id: &AccountId) -> Result<bool, Fault> {
        let key = Key::account(id);
        let Some(account) = self.get::<Account>(&key).await? else {
            return Ok(false);
        };
        self.put(key, &account)?;
        Ok(true)
    }

    fn put_access_key(&mut self, new: &NewAccessKey) -> Result<(), Fault> {
        let holder = Key::access_key(&new.key.id);
        let row = AccessKeyRecord {
            key: new.key.clone(),
            sealed_secret: self.catalog.keyring.seal_text(&new.secret, &holder),
        };
        self.put_bytes(
            access_key_index(&new.key),
            Bytes::copy_from_slice(new.key.id.as_bytes()),
        );
        self.put(holder, &row)
    }

    /// Moves an access key to a user's new name.
    pub(super) async fn move_access_key(
        &mut self,
        key: &AccessKey,
        user: &UserName,
    ) -> Result<(), Fault> {
        let holder = Key::access_key(&key.id);
        if let Some(mut row) = self.get::<AccessKeyRecord>(&holder).await? {
            self.delete(access_key_index(&row.key));
            row.key.user = Some(user.clone());
            let id = Bytes::copy_from_slice(row.key.id.as_bytes());
            self.put_bytes(access_key_index(&row.key), id);
            self.put(holder, &row)?;
        }
        Ok(())
    }

    /// As [`Draft::touch_account`](super::Draft::touch_account), for a user.
    async fn touch_user(&mut self, account: &AccountId, name: &UserName) -> Result<bool, Fault> {
        let key = Key::identity(account, name);
        let Some(user) = self.get::<User>(&key).await? else {
            return Ok(false);
        };
        self.put(key, &user)?;
        Ok(true)
    }
}

/// The index key by which its account, or its user, finds an access key.
pub(crate) fn access_key_index(key: &AccessKey) -> Key {
    match &key.user {
        Some(user) => Key::user_access_key(&key.account, user, &key.id),
        None => Key::account_access_key(&key.account, &key.id),
    }
}
