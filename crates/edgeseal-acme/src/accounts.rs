//! The accounts at the issuers: created once, kept sealed in the store.

use std::collections::HashMap;

use bytes::Bytes;
use edgeseal_core::{Secret, Timestamp};
use edgeseal_store::{Catalog, Fault, record::IssuerAccountRecord};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    authority::{Authority, NONCE_ATTEMPTS, is_bad_nonce, with_good_nonce},
    error::OrderError,
    issuer::Issuer,
};

/// How long a directory is used before it is read again: 12 hours.
const DIRECTORY_MAX_AGE_MS: i64 = 12 * 60 * 60 * 1000;

/// Opens the accounts, and creates those that are missing.
pub(crate) struct Accounts {
    catalog: Catalog,
    clock: fn() -> Timestamp,
    /// Held while an account is opened or created, so that none is created twice.
    open: Mutex<HashMap<String, (Authority, Timestamp)>>,
}

impl Accounts {
    pub(crate) fn new(catalog: Catalog, clock: fn() -> Timestamp) -> Self {
        Self {
            catalog,
            clock,
            open: Mutex::default(),
        }
    }

    /// The account at an issuer.
    pub(crate) async fn at(&self, issuer: &Issuer) -> Result<Authority, OrderError> {
        let mut open = self.open.lock().await;
        let now = (self.clock)();
        if let Some((authority, since)) = open.get(issuer.name())
            && now.since_ms(*since) < DIRECTORY_MAX_AGE_MS
        {
            return Ok(authority.clone());
        }
        let account = self.open_or_create(issuer, now).await?;
        let authority = Authority::new(account);
        open.insert(issuer.name().to_owned(), (authority.clone(), now));
        Ok(authority)
    }

    /// Forgets an account that the issuer does not know any more; the next order creates another.
    pub(crate) async fn forget(&self, issuer: &Issuer) -> Result<(), Fault> {
        let mut open = self.open.lock().await;
        open.remove(issuer.name());
        self.catalog.delete_issuer_account(issuer.name()).await
    }

    async fn open_or_create(&self, issuer: &Issuer, now: Timestamp) -> Result<Account, OrderError> {
        let stored = self.catalog.issuer_account(issuer.name()).await?;
        let directory = &issuer.config.directory;
        if let Some((record, credentials)) = &stored
            && record.directory == *directory
        {
            let account = open(issuer, credentials).await?;
            self.update_contact(issuer, (record, credentials), &account, now)
                .await?;
            return Ok(account);
        }
        let (account, credentials) = self.create(issuer).await?;
        let before = stored.as_ref().map(|(record, _)| record);
        let of = (directory.as_str(), issuer.config.contact.as_slice());
        let kept = self
            .catalog
            .put_issuer_account(issuer.name(), before, of, &credentials, now)
            .await?;
        if kept {
            tracing::info!(
                issuer = issuer.name(),
                account = account.id(),
                "account created"
            );
            return Ok(account);
        }
        // Another process was faster: its account is used.
        let stored = self.catalog.issuer_account(issuer.name()).await?;
        let missing = || Fault::new("read the account at an issuer");
        let (_, credentials) = stored.ok_or_else(missing)?;
        open(issuer, &credentials).await
    }

    async fn create(&self, issuer: &Issuer) -> Result<(Account, Secret), OrderError> {
        let config = &issuer.config;
        let directory = issuer.http.get(&config.directory).await?;
        check_directory(issuer, &directory)?;
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

    /// Tells the issuer where it writes to, if that was changed in the configuration.
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
        with_good_nonce!(account.update_contacts(&addresses))?;
        let of = (record.directory.as_str(), contact.as_slice());
        let name = issuer.name();
        self.catalog
            .put_issuer_account(name, Some(record), of, credentials, now)
            .await?;
        Ok(())
    }
}

async fn open(issuer: &Issuer, credentials: &Secret) -> Result<Account, OrderError> {
    let credentials: AccountCredentials = serde_json::from_slice(credentials.expose())
        .map_err(Fault::of("decode the account at an issuer"))?;
    let builder = Account::builder_with_http(Box::new(issuer.http.clone()));
    Ok(builder.from_credentials(credentials).await?)
}

/// Whether an account can be created: the operator agrees to the terms, and has what the authority
/// wants.
fn check_directory(issuer: &Issuer, directory: &Bytes) -> Result<(), OrderError> {
    let directory: Value = serde_json::from_slice(directory).unwrap_or_default();
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
