use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use edgeseal_core::{
    AccountId, Secret, Timestamp,
    account::{ACCESS_KEYS_MAX, AccessKey, Account},
};

use super::{Catalog, ChangeError, Committed, Deed};
use crate::{
    Fault, Key, key,
    record::{self, AccessKeyRecord},
};

/// The name of the account that operates this Edgeseal.
pub const ROOT_ACCOUNT_NAME: &str = "root";

/// A new access key, with the only sight of its secret.
#[derive(Clone, Debug)]
pub struct NewAccessKey {
    /// The key.
    pub key: AccessKey,
    /// Its secret: letters and digits.
    pub secret: Secret,
}

/// A number for a new account.
#[must_use]
pub fn random_account_id() -> AccountId {
    let mut octets = [0; 8];
    fill_random(&mut octets);
    AccountId::from_random(u64::from_be_bytes(octets))
}

impl NewAccessKey {
    /// A key of 24 and a secret of 30 letters and digits, as long as the cloud's. The secret holds
    /// 178 random bits.
    #[must_use]
    pub fn generate(account: AccountId, now: Timestamp) -> Self {
        let id = format!("EDGE{}", random_text::<20>());
        let key = AccessKey {
            id,
            account,
            active: true,
            created: now,
        };
        Self {
            key,
            secret: Secret::from(random_text::<30>()),
        }
    }
}

/// Letters and digits, each as likely as the others.
pub(crate) fn random_text<const LENGTH: usize>() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(LENGTH);
    while text.len() < LENGTH {
        let mut octet = [0];
        fill_random(&mut octet);
        // 62 × 4 = 248: what is above would make the first letters likelier.
        if octet[0] < 248 {
            text.push(char::from(ALPHABET[usize::from(octet[0] % 62)]));
        }
    }
    text
}

fn fill_random(octets: &mut [u8]) {
    aws_lc_rs::rand::fill(octets)
        .expect("the operating system's random source never fails once it is seeded");
}

/// Why an account or a key of it is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefused {
    /// The name belongs to another account.
    #[error("there is an account named {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is no such account.
    #[error("there is no account {account}")]
    NoAccount {
        /// Its number.
        account: AccountId,
    },
    /// The account has as many keys as it may.
    #[error("account {account} has {ACCESS_KEYS_MAX} access keys already; delete one first")]
    TooManyKeys {
        /// Its number.
        account: AccountId,
    },
    /// There is no such key in the account.
    #[error("account {account} has no access key {key}")]
    NoKey {
        /// The account.
        account: AccountId,
        /// The key.
        key: String,
    },
    /// The last active key of the root account is needed to operate Edgeseal.
    #[error("{key} is the last active key of the root account; make another one first")]
    LastRootKey {
        /// The key.
        key: String,
    },
}

type Changed<T> = Result<Committed<T>, ChangeError<AccountRefused>>;

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
        let page = self.store.list(key::ACCOUNTS, None, usize::MAX).await?;
        page.entries
            .iter()
            .map(|entry| record::decode(&entry.value))
            .collect()
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
        let sealed = STANDARD
            .decode(&row.sealed_secret)
            .map_err(Fault::of("decode a sealed secret"))?;
        let secret = self
            .keyring
            .open(&sealed, &holder)
            .map_err(Fault::of("open an access key's secret"))?;
        Ok(Some((row.key, secret)))
    }

    /// The access keys of an account, oldest first.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn access_keys_of(&self, account: &AccountId) -> Result<Vec<AccessKey>, Fault> {
        let page = self
            .store
            .list(&key::account_access_keys(account), None, usize::MAX)
            .await?;
        let mut keys = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
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
    /// [`AccountRefused::NameTaken`], or why the store did not do it.
    pub async fn create_account(
        &self,
        deed: &Deed,
        account: &Account,
        key: &NewAccessKey,
    ) -> Changed<()> {
        self.transact(deed, |mut draft| async move {
            let by_name = Key::account_name(&account.name);
            if draft.has(&by_name).await? || draft.has(&Key::account(&account.id)).await? {
                return Err(ChangeError::Refused(AccountRefused::NameTaken {
                    name: account.name.clone(),
                }));
            }
            draft.put(Key::account(&account.id), account)?;
            draft.put_bytes(
                by_name,
                Bytes::copy_from_slice(account.id.as_str().as_bytes()),
            );
            draft.put_access_key(key)?;
            Ok((draft, ()))
        })
        .await
    }

    /// Makes another access key of an account.
    ///
    /// # Errors
    /// [`AccountRefused`], or why the store did not do it.
    pub async fn create_access_key(&self, deed: &Deed, key: &NewAccessKey) -> Changed<()> {
        let account = &key.key.account;
        self.transact(deed, |mut draft| async move {
            if !draft.has(&Key::account(account)).await? {
                return Err(ChangeError::Refused(AccountRefused::NoAccount {
                    account: account.clone(),
                }));
            }
            if self.access_keys_of(account).await?.len() >= ACCESS_KEYS_MAX {
                return Err(ChangeError::Refused(AccountRefused::TooManyKeys {
                    account: account.clone(),
                }));
            }
            draft.put_access_key(key)?;
            Ok((draft, ()))
        })
        .await
    }

    /// Switches an access key on or off.
    ///
    /// # Errors
    /// [`AccountRefused`], or why the store did not do it.
    pub async fn set_access_key_active(
        &self,
        deed: &Deed,
        account: &AccountId,
        id: &str,
        active: bool,
    ) -> Changed<()> {
        self.change_access_key(deed, account, id, active, |draft, holder, mut row| {
            row.key.active = active;
            draft.put(holder, &row)
        })
        .await
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// [`AccountRefused`], or why the store did not do it.
    pub async fn delete_access_key(
        &self,
        deed: &Deed,
        account: &AccountId,
        id: &str,
    ) -> Changed<()> {
        self.change_access_key(deed, account, id, false, |draft, holder, row| {
            draft.delete(Key::account_access_key(&row.key.account, &row.key.id));
            draft.delete(holder);
            Ok(())
        })
        .await
    }

    async fn change_access_key(
        &self,
        deed: &Deed,
        account: &AccountId,
        id: &str,
        stays_active: bool,
        change: impl Fn(&mut super::Draft, Key, AccessKeyRecord) -> Result<(), Fault> + Send + Sync,
    ) -> Changed<()> {
        let change = &change;
        self.transact(deed, |mut draft| async move {
            let holder = Key::access_key(id);
            let row: Option<AccessKeyRecord> = draft.get(&holder).await?;
            let Some(row) = row.filter(|row| row.key.account == *account) else {
                let no_key = AccountRefused::NoKey {
                    account: account.clone(),
                    key: id.to_owned(),
                };
                return Err(ChangeError::Refused(no_key));
            };
            draft.touch_account(account).await?;
            if !stays_active && row.key.active && self.is_last_root_key(&row.key).await? {
                return Err(ChangeError::Refused(AccountRefused::LastRootKey {
                    key: id.to_owned(),
                }));
            }
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
            && !self
                .access_keys_of(&key.account)
                .await?
                .iter()
                .any(|other| other.active && other.id != key.id))
    }
}

impl super::Draft {
    /// Reads and rewrites an account, so that two changes of its keys never pass each other: limits
    /// over all its keys hold. Returns whether there is such an account.
    async fn touch_account(&mut self, id: &AccountId) -> Result<bool, Fault> {
        let key = Key::account(id);
        let Some(account) = self.get::<Account>(&key).await? else {
            return Ok(false);
        };
        self.put(key, &account)?;
        Ok(true)
    }

    fn put_access_key(&mut self, new: &NewAccessKey) -> Result<(), Fault> {
        let holder = Key::access_key(&new.key.id);
        let sealed = self.catalog.keyring.seal(&new.secret, &holder);
        let row = AccessKeyRecord {
            key: new.key.clone(),
            sealed_secret: STANDARD.encode(sealed),
        };
        let index = Key::account_access_key(&new.key.account, &new.key.id);
        self.put_bytes(index, Bytes::copy_from_slice(new.key.id.as_bytes()));
        self.put(holder, &row)
    }
}
