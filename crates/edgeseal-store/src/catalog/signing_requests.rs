//! Private keys of certificate signing requests.

use edgeseal_core::{
    AccountId, DomainName, Secret, Timestamp,
    certificate::Digest,
    quota::{Quota, QuotaKind},
};

use super::{AddError, Catalog, Draft};
use crate::{
    Fault, Key,
    record::{SigningRequestRecord, TimestampRecord},
};

/// How long a signing request is kept.
pub(crate) const SIGNING_REQUEST_TTL_MS: i64 = 400 * 24 * 60 * 60 * 1000;

impl Catalog {
    /// The private key (PKCS#8 DER) that was generated for a signing request of this account with
    /// this public key, if any.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the key does not open.
    pub async fn signing_request_key(
        &self,
        account: &AccountId,
        public_key: &Digest,
    ) -> Result<Option<Secret>, Fault> {
        let key = Key::signing_request(account, public_key);
        let Some(row) = self.read::<SigningRequestRecord>(&key).await? else {
            return Ok(None);
        };
        let opened = self.keyring.open_text(&row.sealed_key, &key);
        opened
            .map(Some)
            .map_err(Fault::of("unseal the key of a signing request"))
    }

    /// Since when an account is known to own a root domain; `None` if it is not.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn ownership_since(
        &self,
        account: &AccountId,
        root: &DomainName,
    ) -> Result<Option<Timestamp>, Fault> {
        let since: Option<TimestampRecord> = self.read(&Key::ownership(account, root)).await?;
        Ok(since.map(|since| since.at))
    }
}

impl Draft {
    /// Stores the private key (PKCS#8 DER) of a signing request, sealed, for 400 days: longer than
    /// a public certificate is valid, so that one request also serves renewals. Fails if the
    /// account has reached the quota. The key must be new.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add_signing_request(
        &mut self,
        account: &AccountId,
        (public_key, private_key): (&Digest, &Secret),
        common_name: &str,
        quota: Quota,
    ) -> Result<(), AddError> {
        self.increment_count(account, QuotaKind::CsrKeys, quota)
            .await?;
        let key = Key::signing_request(account, public_key);
        let row = SigningRequestRecord {
            sealed_key: self.catalog.keyring.seal_text(private_key, &key),
            common_name: common_name.to_owned(),
            created: self.now,
        };
        Ok(self.put_until(key, &row, self.now.plus_ms(SIGNING_REQUEST_TTL_MS))?)
    }

    /// Records that an account has proven that it owns a root domain.
    ///
    /// # Errors
    /// Never in practice; see [`crate::record::encode`].
    pub fn add_ownership(&mut self, account: &AccountId, root: &DomainName) -> Result<(), Fault> {
        let since = TimestampRecord { at: self.now };
        self.put(Key::ownership(account, root), &since)
    }
}
