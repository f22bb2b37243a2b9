//! `ModifyCdnDomain`, in the DCDN `UpdateDcdnDomain`: other origins, another grouping label; and
//! `BatchUpdateCdnDomain`, the same for up to 50 domains or for none.

use edgeseal_core::{
    Pattern,
    domain::{Environment, Origin, State},
};
use edgeseal_store::catalog::{ChangeError, Draft};

use super::{
    named_domain::{self, NoDomain},
    named_domains::NoDomains,
    sources::{self, InvalidSources},
    tags::{self, BadGroup},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Failure, Nothing, Operation, Trouble, refused_or},
    request::Params,
};

/// The operation.
pub struct ModifyCdnDomain;

/// The operation for many domains.
pub struct BatchUpdateCdnDomain;

/// What to change; what is `None` stays.
pub struct Wanted {
    names: Vec<Pattern>,
    origins: Option<Vec<Origin>>,
    resource_group: Option<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The list of domains is none.
    #[error(transparent)]
    Domains(#[from] NoDomains),
    /// Not a list of origins.
    #[error(transparent)]
    Sources(#[from] InvalidSources),
    /// A grouping label that a domain cannot have.
    #[error(transparent)]
    Group(#[from] BadGroup),
    /// It is stopped.
    #[error("{name} is stopped; start it first")]
    Stopped {
        /// The domain.
        name: Pattern,
    },
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for ModifyCdnDomain {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::MissingSources,
        Code::InvalidSources,
        Code::InvalidSourceType,
        Code::TooManySources,
        Code::InvalidResourceGroup,
        Code::DomainOffline,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(params, vec![named_domain::name(params)?])
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        modify(context, call, &wanted).await
    }
}

impl BatchOperation for BatchUpdateCdnDomain {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameOverLimit,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::MissingSources,
        Code::InvalidSources,
        Code::InvalidSourceType,
        Code::TooManySources,
        Code::InvalidResourceGroup,
        Code::DomainOffline,
    ];

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(params, domains.names().map_err(NoDomains::from)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        modify(context, call, &wanted).await
    }
}

impl Wanted {
    fn parse(params: &Params, names: Vec<Pattern>) -> Result<Self, Error> {
        let origins = params.given("Sources").map(sources::parse).transpose()?;
        Ok(Self {
            names,
            origins,
            resource_group: tags::group(params)?,
        })
    }
}

async fn modify(
    context: &Context,
    call: &Authorized,
    wanted: &Wanted,
) -> Result<Done<Nothing>, Error> {
    let modified = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            for name in &wanted.names {
                modify_one(&mut draft, context, call, wanted, name).await?;
            }
            Ok((draft, ()))
        });
    let committed = modified.await.map_err(refused_or::<_, Error>)?;
    Ok(Done::served(committed.revision, Environment::Production))
}

async fn modify_one(
    draft: &mut Draft,
    context: &Context,
    call: &Authorized,
    wanted: &Wanted,
    name: &Pattern,
) -> Result<(), ChangeError<Error>> {
    let found = named_domain::find_in(draft, call.account(), name).await;
    let before = found.map_err(|why| ChangeError::Refused(why.into()))?;
    if matches!(before.state, State::Offline | State::Stopping) {
        let name = name.clone();
        return Err(ChangeError::Refused(Error::Stopped { name }));
    }
    let mut after = before.clone();
    if let Some(origins) = &wanted.origins {
        let permitted = sources::permit(draft, context, call.account(), origins);
        after.origin_permission = permitted.await?;
        after.origins.clone_from(origins);
    }
    if let Some(resource_group) = &wanted.resource_group {
        after.resource_group.clone_from(resource_group);
    }
    after.modified = call.now();
    let environment = Environment::Production;
    named_domain::write_change(draft, &call.deed, environment, &before, &after).await?;
    Ok(())
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::Domains(why) => why.code(),
            Self::Sources(why) => why.code(),
            Self::Group(_) => Code::InvalidResourceGroup,
            Self::Stopped { .. } => Code::DomainOffline,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Domains(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
