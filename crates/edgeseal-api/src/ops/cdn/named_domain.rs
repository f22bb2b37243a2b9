//! The parameter `DomainName` and the domain behind it: what most operations begin with.

use edgeseal_core::{
    AccountId, Pattern, Timestamp,
    domain::{Domain, Environment, Held, NothingStaged, State},
    name::InvalidName,
};
use edgeseal_store::{
    Catalog, Fault, Revision,
    catalog::{ChangeError, Deed, Draft},
};

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Failure, Trouble, refused_or},
    request::Params,
};

/// Why there is no such domain.
#[derive(Debug, thiserror::Error)]
pub enum NoDomain {
    /// The parameter is absent or empty.
    #[error("name the domain in DomainName")]
    Unnamed,
    /// It is no name of a domain.
    #[error("{0}; a wildcard domain is spelt .example.com or *.example.com")]
    Malformed(#[from] InvalidName),
    /// The account has no such domain.
    #[error("your account has no domain {}", shown(.0))]
    NotFound(Pattern),
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Codes of [`NoDomain`].
pub(crate) const NO_DOMAIN: [Code; 3] = [
    Code::MissingDomainName,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
];

/// Reads the parameter.
///
/// # Errors
/// [`NoDomain::Unnamed`] and [`NoDomain::Malformed`].
pub(crate) fn name(params: &Params) -> Result<Pattern, NoDomain> {
    let text = params.given("DomainName").ok_or(NoDomain::Unnamed)?;
    Ok(Pattern::parse(text)?)
}

/// Reads the account's domain of this name. A domain of another account is not found, exactly like
/// one that does not exist.
///
/// # Errors
/// [`NoDomain::NotFound`], or the store failed.
pub(crate) async fn find(
    catalog: &Catalog,
    account: &AccountId,
    name: &Pattern,
) -> Result<Domain, NoDomain> {
    own(catalog.domain(name).await, account, name)
}

/// As [`find`], inside a change.
///
/// # Errors
/// As [`find`].
pub(crate) async fn find_in(
    draft: &mut Draft,
    account: &AccountId,
    name: &Pattern,
) -> Result<Domain, NoDomain> {
    own(draft.domain(name).await, account, name)
}

/// Changes a domain by a pure decision, with its entry in the history for `environment`. `owner` is
/// the account whose domain it must be, or `None` for an operator, who may name any.
///
/// # Errors
/// There is no such domain, or the decision refuses, or the store did not do it.
pub(crate) async fn change<E>(
    context: &Context,
    deed: &Deed,
    owner: Option<&AccountId>,
    name: &Pattern,
    environment: Environment,
    decide: impl Fn(&mut Domain, Timestamp) -> Result<(), E> + Send + Sync,
) -> Result<Revision, E>
where
    E: From<NoDomain> + From<Trouble> + Send,
{
    let names = std::slice::from_ref(name);
    change_each(context, deed, owner, names, environment, decide).await
}

/// As [`change`] for several domains: all of them or none.
///
/// # Errors
/// As [`change`], for the first domain that has one.
pub(crate) async fn change_each<E>(
    context: &Context,
    deed: &Deed,
    owner: Option<&AccountId>,
    names: &[Pattern],
    environment: Environment,
    decide: impl Fn(&mut Domain, Timestamp) -> Result<(), E> + Send + Sync,
) -> Result<Revision, E>
where
    E: From<NoDomain> + From<Trouble> + Send,
{
    let decide = &decide;
    let changed = context.catalog.transact(deed, |mut draft| async move {
        for name in names {
            let found = match owner {
                Some(account) => find_in(&mut draft, account, name).await,
                None => any_in(&mut draft, name).await,
            };
            let before = found.map_err(|why| ChangeError::Refused(why.into()))?;
            let mut after = before.clone();
            decide(&mut after, deed.now).map_err(ChangeError::Refused)?;
            write_change(&mut draft, deed, environment, &before, &after).await?;
        }
        Ok((draft, ()))
    });
    changed
        .await
        .map(|committed| committed.revision)
        .map_err(refused_or)
}

/// Writes a changed domain and its entry in the history.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn write_change(
    draft: &mut Draft,
    deed: &Deed,
    environment: Environment,
    before: &Domain,
    after: &Domain,
) -> Result<(), Fault> {
    let leaves = (
        draft.leaves(before, environment).await?,
        draft.leaves(after, environment).await?,
    );
    draft.add_history(after, Some(environment), leaves, deed)?;
    draft.change_domain(before, after).await
}

/// Starts or stops a domain.
///
/// # Errors
/// There is no such domain, or the store did not do it.
pub(crate) async fn set_state(
    context: &Context,
    call: &Authorized,
    name: &Pattern,
    state: State,
) -> Result<Revision, NoDomain> {
    change(
        context,
        &call.deed,
        Some(call.account()),
        name,
        Environment::Production,
        |domain, now| {
            domain.state = state;
            domain.modified = now;
            Ok(())
        },
    )
    .await
}

async fn any_in(draft: &mut Draft, name: &Pattern) -> Result<Domain, NoDomain> {
    let found = draft.domain(name).await.map_err(Trouble::from)?;
    found.ok_or_else(|| NoDomain::NotFound(name.clone()))
}

fn own(
    found: Result<Option<Domain>, Fault>,
    account: &AccountId,
    name: &Pattern,
) -> Result<Domain, NoDomain> {
    let found = found.map_err(Trouble::from)?;
    found
        .filter(|domain| domain.account == *account)
        .ok_or_else(|| NoDomain::NotFound(name.clone()))
}

fn shown(name: &Pattern) -> String {
    if name.is_wildcard() {
        format!("{} (that is {name})", name.display_star())
    } else {
        name.to_string()
    }
}

impl Failure for NoDomain {
    fn code(&self) -> Code {
        match self {
            Self::Unnamed => Code::MissingDomainName,
            Self::Malformed(_) => Code::DomainNameMalformed,
            Self::NotFound(_) => Code::DomainNotFound,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}

/// Why nothing staged is published or dropped.
#[derive(Debug, thiserror::Error)]
pub enum Staged {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// Nothing is staged.
    #[error(transparent)]
    Nothing(#[from] NothingStaged),
    /// The certificate of production is held by mode or state.
    #[error(transparent)]
    Held(#[from] Held),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Codes of [`Staged`].
pub(crate) const STAGED: [Code; 4] = [
    Code::MissingDomainName,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
    Code::NothingStaged,
];

impl Failure for Staged {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::Nothing(_) => Code::NothingStaged,
            Self::Held(held) => held_code(*held),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Nothing(why) => Some(why.to_string()),
            Self::Held(why) => Some(why.to_string()),
            Self::Trouble(trouble) => trouble.detail(),
        }
    }
}

/// The code of a hold, in the words of `SetCdnDomainSSLCertificate`.
pub(crate) const fn held_code(held: Held) -> Code {
    match held {
        Held::Protected => Code::DomainInProtectedMode,
        Held::Safe => Code::DomainInSafeMode,
        Held::Stopped => Code::DomainOffline,
        Held::NotOnline { .. } => Code::DomainNotOnline,
    }
}
