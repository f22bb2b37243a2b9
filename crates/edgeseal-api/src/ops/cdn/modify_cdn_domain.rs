//! `ModifyCdnDomain`: other origins, another grouping label.

use edgeseal_core::{
    Pattern,
    domain::{Environment, Origin, State},
};

use super::{
    named_domain::{self, NoDomain},
    sources::{self, InvalidSources},
    tags::{self, BadGroup},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble},
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
        let (owner, environment) = (Some(call.account()), Environment::Production);
        let modified = named_domain::change(
            context,
            &call.deed,
            owner,
            &wanted.name,
            environment,
            |domain, now| {
                if matches!(domain.state, State::Offline | State::Stopping) {
                    return Err(Error::Stopped);
                }
                if let Some(origins) = &wanted.origins {
                    domain.origins.clone_from(origins);
                }
                if let Some(resource_group) = &wanted.resource_group {
                    domain.resource_group.clone_from(resource_group);
                }
                domain.modified = now;
                Ok(())
            },
        );
        Ok(Done::served(modified.await?, environment))
    }
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
