//! `ModifyCdnDomain`: other origins, another grouping label.

use edgeseal_core::{
    Pattern,
    domain::{Environment, Origin, State},
};
use edgeseal_store::catalog::{ChangeError, Draft};

use super::{
    named_domain::{self, NoDomain},
    sources::{self, InvalidSources},
    tags::{self, BadGroup},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, refused_or},
    request::Params,
};

/// The operation.
pub struct ModifyCdnDomain;

/// What to change; what is `None` stays.
pub struct Wanted {
    name: Pattern,
    origins: Option<Vec<Origin>>,
    resource_group: Option<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// Not a list of origins.
    #[error(transparent)]
    Sources(#[from] InvalidSources),
    /// A grouping label that a domain cannot have.
    #[error(transparent)]
    Group(#[from] BadGroup),
    /// It is stopped.
    #[error("the domain is stopped; start it first")]
    Stopped,
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
        let name = named_domain::name(params)?;
        let origins = params.given("Sources").map(sources::parse).transpose()?;
        let resource_group = tags::group(params)?;
        Ok(Wanted {
            name,
            origins,
            resource_group,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        let wanted = &wanted;
        let modified = context
            .catalog
            .transact(&call.deed, |draft| modify(draft, context, call, wanted));
        let committed = modified.await.map_err(refused_or::<_, Error>)?;
        Ok(Done::served(committed.revision, Environment::Production))
    }
}

async fn modify(
    mut draft: Draft,
    context: &Context,
    call: &Authorized,
    wanted: &Wanted,
) -> Result<(Draft, ()), ChangeError<Error>> {
    let found = named_domain::find_in(&mut draft, call.account(), &wanted.name).await;
    let before = found.map_err(|why| ChangeError::Refused(why.into()))?;
    if matches!(before.state, State::Offline | State::Stopping) {
        return Err(ChangeError::Refused(Error::Stopped));
    }
    let mut after = before.clone();
    if let Some(origins) = &wanted.origins {
        let permitted = sources::permit(&mut draft, context, call.account(), origins);
        after.origin_permission = permitted.await?;
        after.origins.clone_from(origins);
    }
    if let Some(resource_group) = &wanted.resource_group {
        after.resource_group.clone_from(resource_group);
    }
    after.modified = call.now();
    let environment = Environment::Production;
    named_domain::write_change(&mut draft, &call.deed, environment, &before, &after).await?;
    Ok((draft, ()))
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::Sources(why) => why.code(),
            Self::Group(_) => Code::InvalidResourceGroup,
            Self::Stopped => Code::DomainOffline,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
