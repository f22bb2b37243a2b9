//! Keys of accounts, of their users, roles and policies, and of access keys.

use edgeseal_core::{
    AccountId,
    identity::{IdentityKind, IdentityName, PolicyName, PolicyRef, UserName},
    quota::QuotaKind,
};

use super::{
    ACCESS_KEYS, ACCOUNT_ACCESS_KEYS, ACCOUNT_NAMES, ACCOUNTS, COUNTS, Key, USER_ACCESS_KEYS,
    account_certificates, account_domains, hash, signing_requests,
};

impl Key {
    /// An account.
    #[must_use]
    pub fn account(id: &AccountId) -> Self {
        Self(format!("{ACCOUNTS}{id}").into())
    }

    /// The account with this name.
    #[must_use]
    pub fn account_name(name: &str) -> Self {
        Self(format!("{ACCOUNT_NAMES}{}", hash(&[name.as_bytes()])).into())
    }

    /// The quota counter of an account for one kind.
    #[must_use]
    pub fn count(account: &AccountId, kind: QuotaKind) -> Self {
        Self(format!("{COUNTS}{account}/{}", count_name(kind)).into())
    }

    /// The account and kind of a quota counter; `None` for any other key.
    #[must_use]
    pub fn as_count(&self) -> Option<(AccountId, QuotaKind)> {
        let (account, word) = self.0.strip_prefix(COUNTS)?.split_once('/')?;
        let kind = QuotaKind::ALL
            .into_iter()
            .find(|kind| count_name(*kind) == word);
        Some((AccountId::parse(account).ok()?, kind?))
    }

    /// An access key.
    #[must_use]
    pub fn access_key(id: &str) -> Self {
        Self(format!("{ACCESS_KEYS}{}", hash(&[id.as_bytes()])).into())
    }

    /// Marks that an account has this access key.
    #[must_use]
    pub fn account_access_key(account: &AccountId, id: &str) -> Self {
        Self(format!("{}{}", account_access_keys(account), hash(&[id.as_bytes()])).into())
    }

    /// Marks that a user of an account has this access key.
    #[must_use]
    pub fn user_access_key(account: &AccountId, user: &UserName, id: &str) -> Self {
        let hash = hash(&[id.as_bytes()]);
        Self(format!("{}{hash}", user_access_keys(account, user)).into())
    }

    /// A user or role of an account.
    #[must_use]
    pub fn identity<N: IdentityName>(account: &AccountId, name: &N) -> Self {
        Self(format!("{}{name}", identities(account, N::KIND)).into())
    }

    /// A custom policy of an account.
    #[must_use]
    pub fn policy(account: &AccountId, name: &PolicyName) -> Self {
        Self(format!("{}{name}", policies(account)).into())
    }

    /// Marks that a policy is attached to a user or role.
    #[must_use]
    pub fn identity_with_policy<N: IdentityName>(
        account: &AccountId,
        policy: &PolicyRef,
        name: &N,
    ) -> Self {
        let kind = N::KIND;
        Self(format!("{}{kind}/{name}", with_policy(account, policy)).into())
    }

    /// Written by every change of the permissions of an account's users and roles, so that caches
    /// notice the change.
    #[must_use]
    pub fn permissions_revision(account: &AccountId) -> Self {
        Self(format!("rights/{account}").into())
    }

    /// The hour in which an access key was last used.
    #[must_use]
    pub fn access_key_last_used(id: &str) -> Self {
        Self(format!("keyuse/{}", hash(&[id.as_bytes()])).into())
    }

    /// Marks that an access key used a nonce.
    #[must_use]
    pub fn nonce(access_key: &str, nonce: &str) -> Self {
        let hash = hash(&[access_key.as_bytes(), nonce.as_bytes()]);
        Self(format!("nonce/{}/{hash}", &hash[..2]).into())
    }
}

/// Prefix of what [`Key::count`] counts.
#[must_use]
pub fn counted_prefix(account: &AccountId, kind: QuotaKind) -> String {
    match kind {
        QuotaKind::Domains => account_domains(account),
        QuotaKind::Certificates => account_certificates(account),
        QuotaKind::CsrKeys => signing_requests(account),
    }
}

const fn count_name(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::Domains => "domains",
        QuotaKind::Certificates => "certificates",
        QuotaKind::CsrKeys => "csrkeys",
    }
}

/// Prefix of [`Key::account_access_key`].
#[must_use]
pub fn account_access_keys(account: &AccountId) -> String {
    format!("{ACCOUNT_ACCESS_KEYS}{account}/")
}

/// Prefix of [`Key::user_access_key`].
#[must_use]
pub fn user_access_keys(account: &AccountId, user: &UserName) -> String {
    format!("{USER_ACCESS_KEYS}{account}/{user}/")
}

/// Prefix of [`Key::identity`] for one kind.
#[must_use]
pub fn identities(account: &AccountId, kind: IdentityKind) -> String {
    format!("{kind}/{account}/")
}

/// Prefix of [`Key::policy`].
#[must_use]
pub fn policies(account: &AccountId) -> String {
    format!("policy/{account}/")
}

/// Prefix of [`Key::identity_with_policy`].
#[must_use]
pub fn with_policy(account: &AccountId, policy: &PolicyRef) -> String {
    format!(
        "withpolicy/{account}/{}/{}/",
        policy.kind.as_str(),
        policy.name
    )
}
