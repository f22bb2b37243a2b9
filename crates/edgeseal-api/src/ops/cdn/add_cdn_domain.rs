//! `AddCdnDomain`: a domain is served from now on; `BatchAddCdnDomain`: up to 50 are, or none.
//!
//! Divergence: the cloud reviews a domain for minutes; here it is online at once.

use edgeseal_core::{
    AccountId, DomainName, Pattern,
    delivery::Delivery,
    domain::{Coverage, Domain, Environment, Mode, Origin, Service, State},
    quota::{Kind, OverQuota},
};
use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Draft},
};

use super::{
    named_domain::{self, NoDomain},
    named_domains::NoDomains,
    sources::{self, InvalidSources},
    tags::{self, BadGroup, BadTags},
    words::Word as _,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Failure, Nothing, Operation, Trouble, refused_or, shown},
    ops::quota,
    ownership,
    request::Params,
};

/// The operation.
pub struct AddCdnDomain;

/// The operation for many domains.
pub struct BatchAddCdnDomain;

/// The domains to be.
pub struct Wanted {
    names: Vec<Pattern>,
    service: Service,
    coverage: Coverage,
    origins: Vec<Origin>,
    resource_group: String,
    tags: Vec<(String, String)>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NoDomain),
    /// The list of names is none.
    #[error(transparent)]
    Names(#[from] NoDomains),
    /// Wildcards are added one by one.
    #[error("{name} is a wildcard; add it alone, with AddCdnDomain or AddDcdnDomain")]
    Wildcard {
        /// The name.
        name: Pattern,
    },
    /// Names that everybody's are below, or those of all customers of somebody.
    #[error(
        "{} stands for names of whoever registers them: {base} is in the list of public suffixes (publicsuffix.org)", name.display_star()
    )]
    PublicSuffix {
        /// The wildcard.
        name: Pattern,
        /// What it is below.
        base: DomainName,
    },
    /// Labels that a domain cannot have.
    #[error(transparent)]
    Tags(#[from] BadTags),
    /// A grouping label that a domain cannot have.
    #[error(transparent)]
    Group(#[from] BadGroup),
    /// The account has not proven to own it.
    #[error(
        "prove first that {root} is yours: DescribeVerifyContent tells what to publish, VerifyDomainOwner checks it"
    )]
    NotOwned {
        /// The root domain.
        root: DomainName,
    },
    /// No CdnType.
    #[error("say in CdnType what the domain delivers: {}", Service::all_words())]
    NoService,
    /// No such CdnType.
    #[error("CdnType is {given:?}; use one of {}", Service::all_words())]
    Service {
        /// What was given.
        given: String,
    },
    /// Not a list of origins.
    #[error(transparent)]
    Sources(#[from] InvalidSources),
    /// No such Scope.
    #[error("Scope is {given:?}; use one of {}", Coverage::all_words())]
    Coverage {
        /// What was given.
        given: String,
    },
    /// It is there already.
    #[error("{name} is on this Edgeseal already, in your account or in another")]
    Exists {
        /// The domain.
        name: Pattern,
    },
    /// A wildcard and its names must be of one account.
    #[error(
        "{wildcard} belongs to another account; a wildcard and its names must be of one account"
    )]
    WildcardElsewhere {
        /// The wildcard.
        wildcard: Pattern,
    },
    /// A wildcard and its names must be of one account.
    #[error("{name} belongs to another account; a wildcard and its names must be of one account")]
    NameElsewhere {
        /// The name.
        name: String,
    },
    /// A wildcard and its `all.` name share their CNAME.
    #[error("{other} exists, and its CNAME would be the same")]
    WildcardAndAll {
        /// The other domain.
        other: Pattern,
    },
    /// The account has as many as it may.
    #[error("{}", quota::told(.0))]
    Quota(#[from] OverQuota),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for AddCdnDomain {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::MissingCdnType,
        Code::InvalidCdnType,
        Code::MissingSources,
        Code::InvalidSources,
        Code::InvalidSourceType,
        Code::TooManySources,
        Code::InvalidScope,
        Code::InvalidTag,
        Code::TooManyTags,
        Code::InvalidResourceGroup,
        Code::DomainOwnerVerifyFail,
        Code::DomainAlreadyExists,
        Code::WildcardAndAll,
        Code::DomainOverLimit,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(params, vec![named_domain::name(params)?])
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        add(context, call, &wanted).await
    }
}

impl BatchOperation for BatchAddCdnDomain {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameOverLimit,
        Code::DomainNameMalformed,
        Code::MissingCdnType,
        Code::InvalidCdnType,
        Code::MissingSources,
        Code::InvalidSources,
        Code::InvalidSourceType,
        Code::TooManySources,
        Code::InvalidScope,
        Code::InvalidTag,
        Code::TooManyTags,
        Code::InvalidResourceGroup,
        Code::DomainOwnerVerifyFail,
        Code::DomainAlreadyExists,
        Code::WildcardAndAll,
        Code::DomainOverLimit,
    ];

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Error> {
        let names = domains.names().map_err(NoDomains::from)?;
        check_exact(&names)?;
        Wanted::parse(params, names)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        add(context, call, &wanted).await
    }
}

/// Wildcards are added one by one.
///
/// # Errors
/// [`Error::Wildcard`].
pub(in crate::ops) fn check_exact(names: &[Pattern]) -> Result<(), Error> {
    match names.iter().find(|name| name.is_wildcard()) {
        Some(name) => Err(Error::Wildcard { name: name.clone() }),
        None => Ok(()),
    }
}

/// Adds the domains: all of them or none.
///
/// # Errors
/// [`Error`], for the first domain that has one.
pub(in crate::ops) async fn add(
    context: &Context,
    call: &Authorized,
    wanted: &Wanted,
) -> Result<Done<Nothing>, Error> {
    check_ownership(context, call, &wanted.names).await?;
    let deed = &call.deed;
    let added = context.catalog.transact(deed, |mut draft| async move {
        add_in(&mut draft, context, call, wanted).await?;
        Ok((draft, ()))
    });
    let committed = added.await.map_err(refused_or::<Error, Error>)?;
    Ok(Done::served(committed.revision, Environment::Production))
}

/// Adds the domains inside a change; see [`check_ownership`].
///
/// # Errors
/// [`Error`], for the first domain that has one.
pub(super) async fn add_in(
    draft: &mut Draft,
    context: &Context,
    call: &Authorized,
    wanted: &Wanted,
) -> Result<(), ChangeError<Error>> {
    if wanted.names.is_empty() {
        return Ok(());
    }
    let (account, origins) = (call.account(), &wanted.origins);
    let permission = sources::permit(draft, context, account, origins).await?;
    let found = draft.account(account).await?;
    let is_root = found.as_ref().is_some_and(|account| account.root);
    let quota = quota::of_account(context, found.as_ref(), Kind::Domains);
    for name in &wanted.names {
        if !is_root {
            check_suffix(name).map_err(ChangeError::Refused)?;
        }
        check_neighbours(draft, account, name).await?;
        let mut domain = wanted.domain(name, draft.new_domain_id().await?, call);
        domain.origin_permission = permission;
        draft.add_domain(&domain, quota).await?;
        draft.add_history(&domain, None, Default::default(), &call.deed)?;
    }
    Ok(())
}

/// Once a root domain is proven, it is so for all names below it.
///
/// # Errors
/// [`Error::NotOwned`], or the store failed.
pub(super) async fn check_ownership(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
) -> Result<(), Error> {
    if !context.settings.demand_ownership {
        return Ok(());
    }
    for name in names {
        let root = ownership::root_of(name);
        let since = context.catalog.owner_since(call.account(), &root).await;
        if since.map_err(Trouble::from)?.is_none() {
            return Err(Error::NotOwned { root });
        }
    }
    Ok(())
}

impl Wanted {
    /// Domains for web content with these origins.
    pub(super) fn web(names: Vec<Pattern>, origins: Vec<Origin>) -> Self {
        Self {
            names,
            service: Service::Web,
            coverage: Coverage::default(),
            origins,
            resource_group: String::new(),
            tags: Vec::new(),
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> &[Pattern] {
        &self.names
    }

    fn parse(params: &Params, names: Vec<Pattern>) -> Result<Self, Error> {
        let service = params.given("CdnType").ok_or(Error::NoService)?;
        let service = Service::of_word(service).ok_or_else(|| Error::Service {
            given: shown(service),
        })?;
        Self::parse_for(service, params, names)
    }

    /// Reads all but what the domains deliver.
    ///
    /// # Errors
    /// [`Error`] of the parameters.
    pub(in crate::ops) fn parse_for(
        service: Service,
        params: &Params,
        names: Vec<Pattern>,
    ) -> Result<Self, Error> {
        let origins = sources::parse(params.given("Sources").ok_or(InvalidSources::Missing)?)?;
        let coverage = match params.given("Scope") {
            Some(word) => {
                Coverage::of_word(word).ok_or_else(|| Error::Coverage { given: shown(word) })?
            }
            None => Coverage::default(),
        };
        let resource_group = tags::group(params)?.unwrap_or_default();
        Ok(Self {
            names,
            service,
            coverage,
            origins,
            resource_group,
            tags: tags::wanted(params, "Tag")?,
        })
    }

    fn domain(&self, name: &Pattern, id: i64, call: &Authorized) -> Domain {
        Domain {
            id,
            name: name.clone(),
            account: call.account().clone(),
            state: State::Online,
            mode: Mode::Normal,
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
            delivery: Delivery::default(),
            staged_delivery: None,
        }
    }
}

/// A wildcard and its names must be of one account, so one below a public suffix would keep all
/// others from theirs. The operator may have registered the suffix.
fn check_suffix(name: &Pattern) -> Result<(), Error> {
    let Pattern::Wildcard(base) = name else {
        return Ok(());
    };
    let suffix = psl::suffix(base.as_str().as_bytes());
    // Names of one label that nobody lists are of private networks.
    if suffix.is_some_and(|it| it.is_known() && it.as_bytes() == base.as_str().as_bytes()) {
        let (name, base) = (name.clone(), base.clone());
        return Err(Error::PublicSuffix { name, base });
    }
    Ok(())
}

/// Looks at the domains that a new one may clash with. What is absent must stay so until the commit.
async fn check_neighbours(
    draft: &mut Draft,
    account: &AccountId,
    name: &Pattern,
) -> Result<(), ChangeError<Error>> {
    if draft.domain(name).await?.is_some() {
        return Err(ChangeError::Refused(Error::Exists { name: name.clone() }));
    }
    match name {
        Pattern::Exact(host) => {
            let Some(parent) = host.parent() else {
                return Ok(());
            };
            let wildcard = Pattern::Wildcard(
                DomainName::parse(parent).map_err(Fault::of("parse a parent's name"))?,
            );
            let Some(found) = draft.domain(&wildcard).await? else {
                return Ok(());
            };
            if found.account != *account {
                return Err(ChangeError::Refused(Error::WildcardElsewhere { wildcard }));
            }
            if host.as_str().starts_with("all.") {
                return Err(ChangeError::Refused(Error::WildcardAndAll {
                    other: wildcard,
                }));
            }
        }
        Pattern::Wildcard(base) => {
            if let Some(name) = draft.name_of_others_below(base, account).await? {
                return Err(ChangeError::Refused(Error::NameElsewhere { name }));
            }
            // Too long a name for its `all.` neighbour has none.
            let Ok(all) = DomainName::parse(&format!("all.{base}")).map(Pattern::Exact) else {
                return Ok(());
            };
            if draft.domain(&all).await?.is_some() {
                return Err(ChangeError::Refused(Error::WildcardAndAll { other: all }));
            }
        }
    }
    Ok(())
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Name(why) => why.code(),
            Self::Names(why) => why.code(),
            Self::Wildcard { .. } | Self::PublicSuffix { .. } => Code::DomainNameMalformed,
            Self::Tags(why) => why.code(),
            Self::Group(_) => Code::InvalidResourceGroup,
            Self::NotOwned { .. } => Code::DomainOwnerVerifyFail,
            Self::NoService => Code::MissingCdnType,
            Self::Service { .. } => Code::InvalidCdnType,
            Self::Sources(why) => why.code(),
            Self::Coverage { .. } => Code::InvalidScope,
            Self::Exists { .. } | Self::WildcardElsewhere { .. } | Self::NameElsewhere { .. } => {
                Code::DomainAlreadyExists
            }
            Self::WildcardAndAll { .. } => Code::WildcardAndAll,
            Self::Quota(over) => quota::code(over.kind),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Names(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}

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
            // Exact names keep nobody from theirs.
            ("co.uk", true),
            // Of private networks, and of tests.
            (".corp.internal", true),
            (".private.example", true),
        ];
        for (name, allowed) in table {
            let parsed = Pattern::parse(name).unwrap();
            assert_eq!(check_suffix(&parsed).is_ok(), allowed, "{name}");
        }
    }
}
