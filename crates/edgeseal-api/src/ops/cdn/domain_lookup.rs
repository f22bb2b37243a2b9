//! Reads the parameter `DomainName` and finds its domain, as most operations do first.

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    domain::{CertificateLocked, Domain, Environment, NothingStaged},
    name::InvalidDomainName,
};
use edgeseal_store::{
    Catalog, Fault, Revision,
    catalog::{AuditContext, ChangeError, Draft},
};

use crate::{
    context::Context,
    error::{StoreError, api_error, from_change_error},
    request::ParamMap,
};

/// Why a domain is not found.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// The parameter is absent or empty.
    #[error("name the domain in DomainName")]
    Missing,
    /// The name is invalid.
    #[error("{0}; a wildcard domain is written .example.com or *.example.com")]
    Malformed(#[from] InvalidDomainName),
    /// The account has no such domain.
    #[error("your account has no domain {}", display_name(.0))]
    NotFound(DomainPattern),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the parameter.
///
/// # Errors
/// [`DomainError::Missing`] and [`DomainError::Malformed`].
pub(crate) fn parse_name(params: &ParamMap) -> Result<DomainPattern, DomainError> {
    let text = params
        .get_non_empty("DomainName")
        .ok_or(DomainError::Missing)?;
    Ok(DomainPattern::parse(text)?)
}

/// Reads the account's domain of this name. A domain of another account is not found, exactly like
/// one that does not exist.
///
/// # Errors
/// [`DomainError::NotFound`], or the store failed.
pub(crate) async fn find(
    catalog: &Catalog,
    account: &AccountId,
    name: &DomainPattern,
) -> Result<Domain, DomainError> {
    require_owner(catalog.domain(name).await, account, name)
}

/// Like [`find`], inside a transaction.
///
/// # Errors
/// As for [`find`].
pub(crate) async fn find_in(
    draft: &mut Draft,
    account: &AccountId,
    name: &DomainPattern,
) -> Result<Domain, DomainError> {
    require_owner(draft.domain(name).await, account, name)
}

/// Applies a pure decision to a domain, and adds a history entry for `environment`. `owner` is the
/// account that the domain must belong to, or `None` for the operator, who may change any domain.
///
/// # Errors
/// There is no such domain, the decision refuses the change, or the store failed.
pub(crate) async fn update<E>(
    context: &Context,
    audit: &AuditContext,
    owner: Option<&AccountId>,
    name: &DomainPattern,
    environment: Environment,
    decide: impl Fn(&mut Domain, Timestamp) -> Result<(), E> + Send + Sync,
) -> Result<Revision, E>
where
    E: From<DomainError> + From<StoreError> + Send,
{
    let names = std::slice::from_ref(name);
    update_each(context, audit, owner, names, environment, decide).await
}

/// Like [`update`], for several domains: all or none.
///
/// # Errors
/// As for [`update`], for the first domain that has one.
pub(crate) async fn update_each<E>(
    context: &Context,
    audit: &AuditContext,
    owner: Option<&AccountId>,
    names: &[DomainPattern],
    environment: Environment,
    decide: impl Fn(&mut Domain, Timestamp) -> Result<(), E> + Send + Sync,
) -> Result<Revision, E>
where
    E: From<DomainError> + From<StoreError> + Send,
{
    let decide = &decide;
    let changed = context.catalog.transact(audit, |mut draft| async move {
        for name in names {
            let found = find_of_in(&mut draft, owner, name).await;
            let before = found.map_err(|error| ChangeError::Refused(error.into()))?;
            let mut after = before.clone();
            decide(&mut after, audit.now).map_err(ChangeError::Refused)?;
            draft
                .change_domain_with_history(audit, environment, &before, &after)
                .await?;
        }
        Ok((draft, ()))
    });
    changed
        .await
        .map(|committed| committed.revision)
        .map_err(from_change_error)
}

/// Like [`find_in`]. `owner` is the account that the domain must belong to, or `None` for the
/// operator, who may name any domain.
///
/// # Errors
/// As for [`find_in`].
pub(crate) async fn find_of_in(
    draft: &mut Draft,
    owner: Option<&AccountId>,
    name: &DomainPattern,
) -> Result<Domain, DomainError> {
    match owner {
        Some(account) => find_in(draft, account, name).await,
        None => find_any_in(draft, name).await,
    }
}

/// Like [`find_in`], of any account.
///
/// # Errors
/// As for [`find_in`].
pub(crate) async fn find_any_in(
    draft: &mut Draft,
    name: &DomainPattern,
) -> Result<Domain, DomainError> {
    let found = draft.domain(name).await.map_err(StoreError::from)?;
    found.ok_or_else(|| DomainError::NotFound(name.clone()))
}

fn require_owner(
    found: Result<Option<Domain>, Fault>,
    account: &AccountId,
    name: &DomainPattern,
) -> Result<Domain, DomainError> {
    let found = found.map_err(StoreError::from)?;
    found
        .filter(|domain| domain.account == *account)
        .ok_or_else(|| DomainError::NotFound(name.clone()))
}

fn display_name(name: &DomainPattern) -> String {
    if name.is_wildcard() {
        format!("{} (that is {name})", name.to_san())
    } else {
        name.to_string()
    }
}

api_error!(DomainError {
    Missing => MissingDomainName,
    Malformed => DomainNameMalformed,
    NotFound => DomainNotFound,
    Store(StoreError),
});

/// Errors of publishing or dropping a staged configuration.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// Nothing is staged.
    #[error(transparent)]
    NothingStaged(#[from] NothingStaged),
    /// The production certificate is locked by mode or state.
    #[error(transparent)]
    Locked(#[from] CertificateLocked),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

api_error!(StagingError {
    Domain(DomainError),
    NothingStaged => StagingConfigNotFound,
    Locked(CertificateLocked),
    Store(StoreError),
});

// The codes are those of `SetCdnDomainSSLCertificate`.
api_error!(CertificateLocked {
    Protected => DomainInProtectedMode,
    Safe => DomainInSafeMode,
    Stopped => DomainOffline,
    NotOnline => DomainNotOnline,
});
