//! The first start creates the key-encryption key, the root account and the credentials file. Every
//! later start checks that the key-encryption keys open the store. In a database that several
//! processes share, the operator gives the key, and the first process creates the account.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use edgeseal_core::{
    AccountId, Secret, Timestamp,
    account::{AccessKey, Account},
};
use edgeseal_store::{
    Catalog, Fault, Keyring, SharedStore,
    catalog::{AuditContext, ChangeError, NewAccessKey, ROOT_ACCOUNT_NAME, random_account_id},
    reseal::{self, SealingEpoch},
    seal::KeyId,
    sqlite::SqliteSnapshot,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    config::Config,
    kek::{self, KekError, KekSource},
    node::StartError,
    private_files::{self, PrivateFileError, replace_private_file},
};

/// The content of a credentials file: an access key of an account.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Credentials {
    /// The account's id.
    pub(crate) account_id: String,
    /// The access key's id.
    pub(crate) access_key_id: String,
    /// The access key's secret.
    pub(crate) access_key_secret: Zeroizing<String>,
}

/// Why the data directory cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    /// An operation on a file or directory failed.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The store exists, its keys do not. Nothing was changed.
    #[error(
        "{cause}, but the store holds sealed keys; put the key-encryption keys back{} (nothing was changed)",
        needs.prefixed("; it needs ")
    )]
    KekMissing {
        /// What is wrong with the key source.
        #[source]
        cause: KekError,
        /// The keys that the store needs.
        needs: MissingKeys,
    },
    /// The keys cannot be read.
    #[error("{cause}{}", needs.prefixed("; the store needs "))]
    Kek {
        /// What is wrong with the key source.
        #[source]
        cause: KekError,
        /// The keys that the store needs.
        needs: MissingKeys,
    },
    /// The credentials file is malformed.
    #[error("{} is not a credentials file", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
    },
    /// The keys do not open the store. Nothing was changed.
    #[error(
        "the key-encryption keys from {sources} do not open the store: it needs {needs}; put that key back, below the \
         one that seals, or give it up for lost with lost_keys = \"accept\" (nothing was changed)"
    )]
    MissingKeys {
        /// The key sources.
        sources: String,
        /// The keys that are needed.
        needs: MissingKeys,
    },
    /// The key that seals is not among the keys. Nothing was changed.
    #[error(
        "the database is sealed with key-encryption key {key}, which is not among those from {sources}: give this \
         server the keys of the others"
    )]
    SealingKeyMissing {
        /// The key sources.
        sources: String,
        /// The key that seals.
        key: KeyId,
    },
    /// An access key of the root account cannot be decrypted.
    #[error("the key-encryption keys from {sources} do not open the store: {cause}")]
    WrongKek {
        /// The key sources.
        sources: String,
        /// The cause, which names the key that is needed.
        #[source]
        cause: Fault,
    },
    /// The store is empty, but the data directory has served domains. Nothing was changed.
    #[error(
        "the store is empty, but {} has served domains before: restore the store, or start in another \
         directory",
        path.display()
    )]
    StoreEmptied {
        /// The data directory.
        path: PathBuf,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Fault),
    /// The root account could not be created.
    #[error("the root account could not be created: {0}")]
    CreateRoot(String),
}

/// Reads the key-encryption keys. On the first start it creates one, if the source is a file; a
/// directory that `has_served` needs its existing keys.
pub(crate) async fn load_keyring(
    config: &Config,
    has_served: bool,
) -> Result<(Keyring, Vec<KekSource>), StartError> {
    let sources = config.kek_sources();
    let is_first_start = !has_served
        && !config.is_store_shared()
        && !config.store_url().file().is_some_and(Path::exists)
        && !config.data.join("credentials.json").exists();
    if let Some(KekSource::File(path)) = sources.first()
        && is_first_start
        && !path.exists()
    {
        replace_private_file(path, Keyring::generate().as_bytes())?;
    }
    match kek::read_all(&sources).await {
        Ok(keyring) => Ok((keyring, sources)),
        Err(cause) => {
            let needs = MissingKeys::find(config, &[]).await;
            Err(match cause {
                // A new key could not open what the old one sealed.
                KekError::Missing { .. } if !is_first_start => {
                    BootstrapError::KekMissing { cause, needs }
                }
                _ => BootstrapError::Kek { cause, needs },
            }
            .into())
        }
    }
}

/// Checks, without changing the store, that nothing in it is sealed under a missing key.
pub(crate) async fn check_keys_present(
    config: &Config,
    keyring: &Keyring,
    sources: &[KekSource],
) -> Result<(), StartError> {
    if config.accepts_lost_keys() {
        return Ok(());
    }
    let needs = MissingKeys::find(config, &keyring.ids()).await;
    if needs.0.is_empty() {
        return Ok(());
    }
    let sources = source_names(sources);
    Err(BootstrapError::MissingKeys { sources, needs }.into())
}

/// Lets the key seal that the store names, whatever the order of the keys at this process is. In a
/// new store that is the first key of the first process.
pub(crate) async fn adopt_sealing_key(
    store: &SharedStore,
    keyring: &Keyring,
    sources: &[KekSource],
) -> Result<(), BootstrapError> {
    let epoch = SealingEpoch::read_or_begin(&**store, keyring.active()).await?;
    match keyring.activate(epoch.under) {
        // Nothing was sealed here yet.
        Ok(retired) => drop(retired),
        Err(missing) => {
            return Err(BootstrapError::SealingKeyMissing {
                sources: source_names(sources),
                key: missing.missing,
            });
        }
    }
    Ok(())
}

/// Counts of sealed records, by missing key and kind.
#[derive(Debug, Default)]
pub(crate) struct MissingKeys(BTreeMap<KeyId, BTreeMap<&'static str, u64>>);

impl MissingKeys {
    /// Counts the records, unless the store states that all are sealed under one key that is
    /// present. A store that cannot be read yields nothing: opening it reports the error.
    async fn find(config: &Config, present: &[KeyId]) -> Self {
        let url = config.store_url();
        let Some(Ok(snapshot)) = url.file().map(SqliteSnapshot::open) else {
            return Self::default();
        };
        match reseal::finished_under(&snapshot).await {
            Ok(Some(under)) if present.contains(&under) => return Self::default(),
            Ok(_) | Err(_) => {}
        }
        let census = reseal::count_sealed(&snapshot).await.unwrap_or_default();
        let mut records = census.records;
        records.retain(|id, _| !present.contains(id));
        Self(records)
    }

    /// `prefix` and the counts; empty if no key is missing.
    fn prefixed(&self, prefix: &str) -> String {
        if self.0.is_empty() {
            String::new()
        } else {
            format!("{prefix}{self}")
        }
    }
}

impl fmt::Display for MissingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().map(|(id, kinds)| {
            let kinds = kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
            let kinds: Vec<String> = kinds.collect();
            format!("key-encryption key {id} (for {})", kinds.join(", "))
        });
        f.write_str(&keys.collect::<Vec<_>>().join(" and "))
    }
}

fn source_names(sources: &[KekSource]) -> String {
    let names: Vec<String> = sources.iter().map(KekSource::name).collect();
    names.join(" and ")
}

/// Creates the root account if there is none, and checks that the keyring opens the store.
pub(crate) async fn ensure_root_account(
    catalog: &Catalog,
    config: &Config,
    is_new: bool,
    now: Timestamp,
) -> Result<(), BootstrapError> {
    let accounts = catalog.accounts().await?;
    if let Some(root) = accounts.iter().find(|account| account.root) {
        return check_root_keys_open(catalog, &root.id, config).await;
    }
    if !is_new {
        return Err(BootstrapError::StoreEmptied {
            path: config.data.clone(),
        });
    }
    // The file comes first: a secret that was stored but never written out would be lost.
    let path = config.data.join("credentials.json");
    let credentials = match read_credentials(&path)? {
        Some(written_before_a_crash) => written_before_a_crash,
        None => write_new_credentials(&path, now)?,
    };
    let id = AccountId::parse(&credentials.account_id)
        .map_err(|_| BootstrapError::Credentials { path })?;
    let account = Account {
        id: id.clone(),
        name: ROOT_ACCOUNT_NAME.to_owned(),
        root: true,
        created: now,
        private_origins: None,
        quotas: Default::default(),
    };
    let key = AccessKey {
        id: credentials.access_key_id.clone(),
        account: id.clone(),
        user: None,
        active: true,
        created: now,
    };
    let secret = Secret::new(credentials.access_key_secret.as_bytes().to_vec());
    let audit = AuditContext {
        principal: format!("acs:ram::{id}:root"),
        account: id,
        access_key: "-".to_owned(),
        source: "-".to_owned(),
        action: "FirstStart".to_owned(),
        resource: String::new(),
        request_id: uuid::Uuid::new_v4().to_string().to_uppercase(),
        nonce: None,
        now,
    };
    let key = NewAccessKey { key, secret };
    match catalog.create_account(&audit, &account, &key).await {
        Ok(_) => Ok(()),
        Err(ChangeError::Fault(fault)) => Err(fault.into()),
        Err(other) => {
            let accounts = catalog.accounts().await?;
            let Some(root) = accounts.iter().find(|account| account.root) else {
                return Err(BootstrapError::CreateRoot(other.to_string()));
            };
            if root.id != account.id {
                // Another process was first; what was written here opens nothing.
                private_files::remove(&config.data.join("credentials.json"))?;
            }
            check_root_keys_open(catalog, &root.id, config).await
        }
    }
}

/// What this data directory is called among those on one store: the owner of leases. It is the same
/// after a restart, which so need not wait for the end of its own lease, and another one on a machine
/// that is a copy of this one's first installation.
///
/// # Errors
/// [`PrivateFileError`].
pub(crate) fn node_id(data: &Path) -> Result<String, PrivateFileError> {
    let path = data.join("node-id");
    if let Some(known) = private_files::read_text(&path)?
        && !known.trim().is_empty()
    {
        return Ok(known.trim().to_owned());
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    replace_private_file(&path, format!("{id}\n").as_bytes())?;
    Ok(id)
}

/// Reads a credentials file; `None` if it does not exist.
pub(crate) fn read_credentials(path: &Path) -> Result<Option<Credentials>, BootstrapError> {
    let Some(json) = private_files::read(path)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&json);
    parsed.map(Some).map_err(|_| BootstrapError::Credentials {
        path: path.to_owned(),
    })
}

fn write_new_credentials(path: &Path, now: Timestamp) -> Result<Credentials, BootstrapError> {
    let account = random_account_id();
    let key = NewAccessKey::generate(account.clone(), None, now);
    let credentials = Credentials {
        account_id: account.to_string(),
        access_key_id: key.key.id,
        access_key_secret: Zeroizing::new(
            String::from_utf8_lossy(key.secret.expose()).into_owned(),
        ),
    };
    let json = serde_json::to_vec_pretty(&credentials)
        .map_err(Fault::of("encode credentials"))
        .map(Zeroizing::new)?;
    replace_private_file(path, &json)?;
    Ok(credentials)
}

async fn check_root_keys_open(
    catalog: &Catalog,
    root: &AccountId,
    config: &Config,
) -> Result<(), BootstrapError> {
    for key in catalog.access_keys_of(root, None).await? {
        let opened = catalog.access_key(&key.id).await;
        opened.map_err(|cause| BootstrapError::WrongKek {
            sources: source_names(&config.kek_sources()),
            cause,
        })?;
    }
    Ok(())
}
