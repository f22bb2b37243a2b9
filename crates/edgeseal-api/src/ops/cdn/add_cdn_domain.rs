//! `AddCdnDomain` adds a domain, `BatchAddCdnDomain` up to 50, all or none. In the DCDN they are
//! `AddDcdnDomain` and `BatchAddDcdnDomain`.
//!
//! Divergence: the cloud reviews a domain for minutes; here it is online immediately.

use std::marker::PhantomData;

use edgeseal_core::{
    AccountId, DomainName, DomainPattern,
    delivery::DeliveryConfig,
    domain::{Coverage, Domain, DomainMode, DomainState, Environment, Origin, ServiceType},
    quota::{OverQuota, QuotaKind},
};
use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Draft},
};

use super::{
    domain_list_error::DomainListError,
    domain_lookup::DomainError,
    domain_names::{DomainNames, Each, One},
    sources::{self, InvalidSources},
    tags::{self, InvalidResourceGroup, InvalidTags},
    wire_names::WireName as _,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::quota,
    request::ParamMap,
    sanitize::sanitize,
};

/// `AddCdnDomain`.
pub type AddCdnDomain = AddDomain<Cdn, One>;

/// `BatchAddCdnDomain`.
pub type BatchAddCdnDomain = AddDomain<Cdn, Each>;

/// `AddDcdnDomain`.
pub type AddDcdnDomain = AddDomain<Dcdn, One>;

/// `BatchAddDcdnDomain`.
pub type BatchAddDcdnDomain = AddDomain<Dcdn, Each>;

/// Adds domains.
pub struct AddDomain<P, N>(PhantomData<(P, N)>);

/// How a product's actions specify the content of a new domain.
pub trait AddVariant: 'static {
    /// Reads the type of content that the domain delivers.
    ///
    /// # Errors
    /// [`Error`] of a parameter that only this product has.
    fn service(params: &ParamMap, batch: bool) -> Result<ServiceType, Error>;
}

/// Domains of the CDN have a `CdnType`.
pub struct Cdn;

/// Domains of the DCDN deliver whole sites. Parameters of edge routines are refused where a domain
/// is added alone, because the domain would not do what its owner expects.
pub struct Dcdn;

/// The domains to add.
pub struct Params {
    names: Vec<DomainPattern>,
    service: ServiceType,
    coverage: Coverage,
    origins: Vec<Origin>,
    resource_group: String,
    tags: Vec<(String, String)>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] DomainError),
    /// The list of names is invalid.
    #[error(transparent)]
    Names(#[from] DomainListError),
    /// A batch contains a wildcard.
    #[error("{name} is a wildcard; add it alone, with AddCdnDomain or AddDcdnDomain")]
    Wildcard {
        /// The name.
        name: DomainPattern,
    },
    /// A wildcard below a public suffix, or below a suffix that a provider assigns to its
    /// customers.
    #[error(
        "{} would cover names that anyone can register: {base} is in the list of public suffixes (publicsuffix.org)", name.to_san()
    )]
    PublicSuffix {
        /// The wildcard.
        name: DomainPattern,
        /// The suffix that it is below.
        base: DomainName,
    },
    /// Invalid tags.
    #[error(transparent)]
    Tags(#[from] InvalidTags),
    /// An invalid resource group.
    #[error(transparent)]
    Group(#[from] InvalidResourceGroup),
    /// The account has not proven ownership.
    #[error(
        "prove first that you own {root}: DescribeVerifyContent shows what to publish, VerifyDomainOwner checks it"
    )]
    NotOwned {
        /// The root domain.
        root: DomainName,
    },
    /// No CdnType.
    #[error(
        "set CdnType to what the domain delivers: {}",
        ServiceType::all_wire_names()
    )]
    NoService,
    /// No such CdnType.
    #[error("CdnType is {given:?}; use one of {}", ServiceType::all_wire_names())]
    Service {
        /// The value given.
        given: String,
    },
    /// The domain would run edge routines.
    #[error("FunctionType is {given:?}; the edge runs no routines: leave it out")]
    FunctionType {
        /// The value given.
        given: String,
    },
    /// The domain is for one kind of traffic.
    #[error("Scene is {given:?}; the edge makes no difference between scenes: leave it out")]
    Scene {
        /// The value given.
        given: String,
    },
    /// Not a list of origins.
    #[error(transparent)]
    Sources(#[from] InvalidSources),
    /// No such Scope.
    #[error("Scope is {given:?}; use one of {}", Coverage::all_wire_names())]
    Coverage {
        /// The value given.
        given: String,
    },
    /// The domain exists already.
    #[error("{name} exists on this Edgeseal already, in your account or in another")]
    Exists {
        /// The domain.
        name: DomainPattern,
    },
    /// A wildcard and the names it covers must belong to one account.
    #[error(
        "{wildcard} belongs to another account; a wildcard and its names must be of one account"
    )]
    WildcardOfOtherAccount {
        /// The wildcard.
        wildcard: DomainPattern,
    },
    /// A wildcard and the names it covers must belong to one account.
    #[error("{name} belongs to another account; a wildcard and its names must be of one account")]
    NameOfOtherAccount {
        /// The name.
        name: String,
    },
    /// A wildcard and its `all.` name have the same CNAME.
    #[error("{other} exists, and its CNAME would be the same")]
    WildcardAndAll {
        /// The other domain.
        other: DomainPattern,
    },
    /// The account has reached the limit.
    #[error("{}", quota::over_quota_detail(.0))]
    Quota(#[from] OverQuota),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<P: AddVariant, N: DomainNames> Operation for AddDomain<P, N> {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(input: Input<'_>) -> Result<Params, Error> {
        let names = N::parse(input)?;
        if N::BATCH {
            check_exact(&names)?;
        }
        let service = P::service(input.params, N::BATCH)?;
        Params::parse(service, input.params, names)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        check_ownership(context, call, &params.names).await?;
        let (audit, params) = (&call.audit, &params);
        let added = context.catalog.transact(audit, |mut draft| async move {
            add_in(&mut draft, context, call, params).await?;
            Ok((draft, ()))
        });
        let committed = added.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::served(committed.revision, Environment::Production))
    }
}

impl AddVariant for Cdn {
    fn service(params: &ParamMap, _: bool) -> Result<ServiceType, Error> {
        let given = params.get_non_empty("CdnType").ok_or(Error::NoService)?;
        ServiceType::from_wire_name(given).ok_or_else(|| Error::Service {
            given: sanitize(given),
        })
    }
}

impl AddVariant for Dcdn {
    fn service(params: &ParamMap, batch: bool) -> Result<ServiceType, Error> {
        let given = |param| params.get_non_empty(param).filter(|_| !batch).map(sanitize);
        if let Some(given) = given("FunctionType") {
            return Err(Error::FunctionType { given });
        }
        if let Some(given) = given("Scene") {
            return Err(Error::Scene { given });
        }
        Ok(ServiceType::Web)
    }
}

/// Wildcards must be added one by one.
///
/// # Errors
/// [`Error::Wildcard`].
fn check_exact(names: &[DomainPattern]) -> Result<(), Error> {
    match names.iter().find(|name| name.is_wildcard()) {
        Some(name) => Err(Error::Wildcard { name: name.clone() }),
        None => Ok(()),
    }
}

/// Adds the domains inside a transaction; see [`check_ownership`].
///
/// # Errors
/// [`Error`] of the first domain that has one.
pub(super) async fn add_in(
    draft: &mut Draft,
    context: &Context,
    call: &Authorized,
    params: &Params,
) -> Result<(), ChangeError<Error>> {
    if params.names.is_empty() {
        return Ok(());
    }
    let (account, origins) = (call.account(), &params.origins);
    let permission = sources::check_permitted(draft, context, account, origins).await?;
    let found = draft.account(account).await?;
    let is_root = found.as_ref().is_some_and(|account| account.root);
    let quota = quota::for_loaded_account(context, found.as_ref(), QuotaKind::Domains);
    for name in &params.names {
        if !is_root {
            check_suffix(name).map_err(ChangeError::Refused)?;
        }
        check_wildcard_conflicts(draft, account, name).await?;
        let mut domain = params.domain(name, draft.new_domain_id().await?, call);
        domain.origin_permission = permission;
        draft.add_domain(&domain, quota).await?;
        draft.add_history(&domain, None, Default::default(), &call.audit)?;
    }
    Ok(())
}

/// Ownership of a root domain, once proven, covers all names below it.
///
/// # Errors
/// [`Error::NotOwned`], or the store failed.
pub(super) async fn check_ownership(
    context: &Context,
    call: &Authorized,
    names: &[DomainPattern],
) -> Result<(), Error> {
    if !context.settings.require_ownership {
        return Ok(());
    }
    for name in names {
        let root = name.registrable_domain();
        let since = context.catalog.ownership_since(call.account(), &root).await;
        if since.map_err(StoreError::from)?.is_none() {
            return Err(Error::NotOwned { root });
        }
    }
    Ok(())
}

impl Params {
    /// Domains for web content with these origins.
    pub(super) fn web(names: Vec<DomainPattern>, origins: Vec<Origin>) -> Self {
        Self {
            names,
            service: ServiceType::Web,
            coverage: Coverage::default(),
            origins,
            resource_group: String::new(),
            tags: Vec::new(),
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> &[DomainPattern] {
        &self.names
    }

    /// Reads everything but the kind of content.
    fn parse(
        service: ServiceType,
        params: &ParamMap,
        names: Vec<DomainPattern>,
    ) -> Result<Self, Error> {
        let origins = sources::parse(
            params
                .get_non_empty("Sources")
                .ok_or(InvalidSources::Missing)?,
        )?;
        let coverage = match params.get_non_empty("Scope") {
            Some(word) => Coverage::from_wire_name(word).ok_or_else(|| Error::Coverage {
                given: sanitize(word),
            })?,
            None => Coverage::default(),
        };
        let resource_group = tags::group(params)?.unwrap_or_default();
        Ok(Self {
            names,
            service,
            coverage,
            origins,
            resource_group,
            tags: tags::parse_tags(params, "Tag")?,
        })
    }

    fn domain(&self, name: &DomainPattern, id: i64, call: &Authorized) -> Domain {
        Domain {
            id,
            name: name.clone(),
            account: call.account().clone(),
            state: DomainState::Online,
            mode: DomainMode::Normal,
            service: self.service,
            coverage: self.coverage,
            origins: self.origins.clone(),
            origin_permission: Default::default(),
            description: String::new(),
            resource_group: self.resource_group.clone(),
            tags: self.tags.clone(),
            created: call.now(),
            modified: call.now(),
            production: None,
            staging: None,
            settings: Vec::new(),
            staged_settings: Vec::new(),
            delivery: DeliveryConfig::default(),
            staged_delivery: None,
            managed: Vec::new(),
        }
    }
}

/// A wildcard and the names it covers must belong to one account, so a wildcard below a public
/// suffix would block all other accounts. The operator may have registered the suffix.
fn check_suffix(name: &DomainPattern) -> Result<(), Error> {
    let DomainPattern::Wildcard(base) = name else {
        return Ok(());
    };
    let suffix = psl::suffix(base.as_str().as_bytes());
    // Single-label names that are not in the list belong to private networks.
    if suffix.is_some_and(|it| it.is_known() && it.as_bytes() == base.as_str().as_bytes()) {
        let (name, base) = (name.clone(), base.clone());
        return Err(Error::PublicSuffix { name, base });
    }
    Ok(())
}

/// Checks the domains that a new one may conflict with. Absent ones must stay absent until the
/// commit.
async fn check_wildcard_conflicts(
    draft: &mut Draft,
    account: &AccountId,
    name: &DomainPattern,
) -> Result<(), ChangeError<Error>> {
    if draft.domain(name).await?.is_some() {
        return Err(ChangeError::Refused(Error::Exists { name: name.clone() }));
    }
    match name {
        DomainPattern::Exact(host) => {
            let Some(parent) = host.parent() else {
                return Ok(());
            };
            let wildcard = DomainPattern::Wildcard(
                DomainName::parse(parent).map_err(Fault::of("parse a parent's name"))?,
            );
            let Some(found) = draft.domain(&wildcard).await? else {
                return Ok(());
            };
            if found.account != *account {
                return Err(ChangeError::Refused(Error::WildcardOfOtherAccount {
                    wildcard,
                }));
            }
            if host.as_str().starts_with("all.") {
                return Err(ChangeError::Refused(Error::WildcardAndAll {
                    other: wildcard,
                }));
            }
        }
        DomainPattern::Wildcard(base) => {
            if let Some(name) = draft.foreign_subdomain(base, account).await? {
                return Err(ChangeError::Refused(Error::NameOfOtherAccount { name }));
            }
            // A name that is too long to be prefixed with `all.` has no such neighbour.
            let Ok(all) = DomainName::parse(&format!("all.{base}")).map(DomainPattern::Exact)
            else {
                return Ok(());
            };
            if draft.domain(&all).await?.is_some() {
                return Err(ChangeError::Refused(Error::WildcardAndAll { other: all }));
            }
        }
    }
    Ok(())
}

api_error!(Error {
    Name(DomainError),
    Names(DomainListError),
    Wildcard | PublicSuffix => DomainNameMalformed,
    Tags(InvalidTags),
    Group => InvalidResourceGroup,
    NotOwned => DomainOwnerVerifyFail,
    NoService => MissingCdnType,
    Service => InvalidCdnType,
    FunctionType => InvalidFunctionType,
    Scene => InvalidScene,
    Sources(InvalidSources),
    Coverage => InvalidScope,
    Exists | WildcardOfOtherAccount | NameOfOtherAccount => DomainAlreadyExists,
    WildcardAndAll => WildcardAndAll,
    Quota(OverQuota),
    Store(StoreError),
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_public_suffixes() {
        let table = [
            (".co.uk", false),
            (".github.io", false),
            ("*.com.cn", false),
            (".example.co.uk", true),
            (".pages.github.io", true),
            (".example.com", true),
            // Exact names do not block other accounts.
            ("co.uk", true),
            // As in private networks and tests.
            (".corp.internal", true),
            (".private.example", true),
        ];
        for (name, allowed) in table {
            let parsed = DomainPattern::parse(name).unwrap();
            assert_eq!(check_suffix(&parsed).is_ok(), allowed, "{name}");
        }
    }
}
