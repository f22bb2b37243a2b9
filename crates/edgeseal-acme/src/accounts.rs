//! The accounts at the issuers: created once, kept sealed in the store.

use edgeseal_core::{Secret, Timestamp};
use edgeseal_store::{Catalog, Fault, record::IssuerAccountRecord};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, Key, NewAccount};
use serde_json::Value;

use crate::{
    authority::{Authority, CALL_WITHIN, NONCE_ATTEMPTS, is_bad_nonce, with_good_nonce},
    error::OrderError,
    issuer::Issuer,
};

/// How long a directory is used before it is read again: 12 hours.
const DIRECTORY_MAX_AGE_MS: i64 = 12 * 60 * 60 * 1000;
/// How soon a directory is read again that could not be: meanwhile the one read before is used.
const REREAD_MS: i64 = 10 * 60 * 1000;
/// How long a failure holds for those that wait: they do not each wait for another one.
const FAILURE_MS: i64 = 10_000;

/// Opens the accounts, and creates those that are missing.
pub(crate) struct Accounts {
    catalog: Catalog,
    clock: fn() -> Timestamp,
}

/// What is known of the account at an issuer.
#[derive(Default)]
pub(crate) struct Session {
    authority: Option<Authority>,
    /// Why it could not be opened: reason, whether we are limited, until when.
    failure: Option<(String, bool, Option<Timestamp>)>,
    /// Until when that holds.
    until: Timestamp,
}

impl Accounts {
    pub(crate) const fn new(catalog: Catalog, clock: fn() -> Timestamp) -> Self {
        Self { catalog, clock }
    }

    /// The account at an issuer.
    pub(crate) async fn at(&self, issuer: &Issuer) -> Result<Authority, OrderError> {
        let mut session = issuer.session.lock().await;
        let now = (self.clock)();
        if now < session.until {
            return session.known();
        }
        let opened = self.open_or_create(issuer, now).await;
        let now = (self.clock)();
        match opened {
            Ok(authority) => {
                *session = Session {
                    authority: Some(authority),
                    failure: None,
                    until: now.plus_ms(DIRECTORY_MAX_AGE_MS),
                };
            }
            Err(OrderError::Paused { .. }) if session.authority.is_some() => {
                session.until = now.plus_ms(REREAD_MS);
            }
            Err(OrderError::Paused {
                reason,
                limited,
                retry_at,
                ..
            }) => {
                session.failure = Some((reason, limited, retry_at));
                session.until = now.plus_ms(FAILURE_MS);
            }
            Err(error) => return Err(error),
        }
        session.known()
    }

    /// Forgets the account if the issuer does not know its key: the next order creates another. It
    /// said so of a request, which may have been for an older account.
    pub(crate) async fn check_exists(&self, issuer: &Issuer) -> Result<(), Fault> {
        let mut session = issuer.session.lock().await;
        let name = issuer.account_name();
        let Some((_, credentials)) = self.catalog.issuer_account(&name).await? else {
            return Ok(());
        };
        let credentials = decode(&credentials)?;
        match find(issuer, &credentials).await {
            Err(error) if error.is_kind("accountDoesNotExist") => {
                let account = session.authority.as_ref().map(Authority::account_url);
                tracing::error!(
                    issuer = issuer.name(),
                    account,
                    "the issuer does not know the account any more; another one is created"
                );
                *session = Session::default();
                self.catalog.delete_issuer_account(&name).await
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn open_or_create(
        &self,
        issuer: &Issuer,
        now: Timestamp,
    ) -> Result<Authority, OrderError> {
        let directory = read_directory(issuer).await?;
        let name = issuer.account_name();
        let config = &issuer.config;
        if let Some((record, credentials)) = self.catalog.issuer_account(&name).await? {
            let account = open(issuer, &credentials).await?;
            self.update_contact(issuer, (&record, &credentials), &account, now)
                .await?;
            return Ok(Authority::new(account, &directory));
        }
        check_directory(issuer, &directory)?;
        let (account, credentials) = create(issuer).await?;
        let of = (config.directory.as_str(), config.contact.as_slice());
        let kept = self
            .catalog
            .put_issuer_account(&name, None, of, &credentials, now)
            .await?;
        if kept {
            tracing::info!(
                issuer = issuer.name(),
                account = account.id(),
                "account created"
            );
            return Ok(Authority::new(account, &directory));
        }
        // Another process was faster: its account is used.
        let stored = self.catalog.issuer_account(&name).await?;
        let missing = || Fault::new("read the account at an issuer");
        let (_, credentials) = stored.ok_or_else(missing)?;
        Ok(Authority::new(
            open(issuer, &credentials).await?,
            &directory,
        ))
    }

    /// Tells the issuer where it writes to, if that was changed in the configuration. The account is
    /// as good as before if it refuses.
    async fn update_contact(
        &self,
        issuer: &Issuer,
        (record, credentials): (&IssuerAccountRecord, &Secret),
        account: &Account,
        now: Timestamp,
    ) -> Result<(), OrderError> {
        let contact = &issuer.config.contact;
        if record.contact == *contact {
            return Ok(());
        }
        let addresses: Vec<&str> = contact.iter().map(String::as_str).collect();
        match with_good_nonce!(account.update_contacts(&addresses)) {
            Err(OrderError::Refused { reason, .. }) => {
                let issuer = issuer.name();
                tracing::error!(issuer, reason, "the issuer refuses the contact");
                return Ok(());
            }
            updated => updated?,
        }
        let of = (record.directory.as_str(), contact.as_slice());
        let name = issuer.account_name();
        self.catalog
            .put_issuer_account(&name, Some(record), of, credentials, now)
            .await?;
        Ok(())
    }
}

impl Session {
    fn known(&self) -> Result<Authority, OrderError> {
        match (&self.authority, &self.failure) {
            (Some(authority), _) => Ok(authority.clone()),
            (None, Some((reason, limited, retry_at))) => Err(OrderError::Paused {
                reason: reason.clone(),
                limited: *limited,
                retry_at: *retry_at,
                status: None,
            }),
            (None, None) => Err(Fault::new("open the account at an issuer").into()),
        }
    }
}

async fn read_directory(issuer: &Issuer) -> Result<Value, OrderError> {
    let directory = issuer.http.get(&issuer.config.directory).await?;
    let directory: Option<Value> = serde_json::from_slice(&directory).ok();
    let directory = directory.filter(Value::is_object);
    directory.ok_or_else(|| OrderError::unavailable("its directory is not a JSON object"))
}

async fn create(issuer: &Issuer) -> Result<(Account, Secret), OrderError> {
    let config = &issuer.config;
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = config.external_account.as_ref();
    let external =
        external.map(|it| ExternalAccountKey::new(it.key_id.clone(), it.hmac_key.expose()));
    let created = with_good_nonce!({
        let builder = Account::builder_with_http(Box::new(issuer.http.clone()));
        builder.create(&wanted, config.directory.clone(), external.as_ref())
    });
    let (account, credentials) = created?;
    let json = serde_json::to_vec(&credentials);
    let json = json.map_err(Fault::of("encode the account at an issuer"))?;
    Ok((account, Secret::new(json)))
}

async fn open(issuer: &Issuer, credentials: &Secret) -> Result<Account, OrderError> {
    let credentials = decode(credentials)?;
    let builder = Account::builder_with_http(Box::new(issuer.http.clone()));
    Ok(builder.from_credentials(credentials).await?)
}

/// Looks an account up by its key (RFC 8555 §7.3.1).
async fn find(issuer: &Issuer, credentials: &AccountCredentials) -> Result<(), OrderError> {
    let found = with_good_nonce!(async {
        let der = credentials.private_key().clone_key();
        let key = Key::from_pkcs8_der(der.clone_key())?;
        let builder = Account::builder_with_http(Box::new(issuer.http.clone()));
        let directory = issuer.config.directory.clone();
        builder.from_key((key, der.into()), directory).await
    });
    found.map(drop)
}

fn decode(credentials: &Secret) -> Result<AccountCredentials, Fault> {
    serde_json::from_slice(credentials.expose())
        .map_err(Fault::of("decode the account at an issuer"))
}

/// Whether an account can be created: the operator agrees to the terms, and has what the authority
/// wants.
fn check_directory(issuer: &Issuer, directory: &Value) -> Result<(), OrderError> {
    let meta = &directory["meta"];
    let name = issuer.name();
    if !issuer.config.accept_terms {
        let terms = meta["termsOfService"].as_str().map(crate::error::printable);
        let terms = terms.map_or_else(String::new, |url| format!(" ({url})"));
        return Err(OrderError::Unable(format!(
            "the terms of service of issuer {name}{terms} are not accepted: set accept_terms = true"
        )));
    }
    if meta["externalAccountRequired"] == true && issuer.config.external_account.is_none() {
        return Err(OrderError::Unable(format!(
            "issuer {name} wants an account that was created elsewhere: set external_account"
        )));
    }
    Ok(())
}
