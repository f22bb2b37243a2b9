//! `AddDcdnDomain` and `BatchAddDcdnDomain`: as `AddCdnDomain`, for whatever a site delivers. What
//! belongs to the routines of the DCDN is refused: a domain would not do what its owner expects.

use edgeseal_core::domain::Service;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Failure, Nothing, Operation, shown},
    ops::cdn::{
        add_cdn_domain::{self, Wanted},
        named_domain,
        named_domains::NoDomains,
    },
    request::Params,
};

/// The operation.
pub struct AddDcdnDomain;

/// The operation for many domains.
pub struct BatchAddDcdnDomain;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As for a domain of the CDN.
    #[error(transparent)]
    Domain(#[from] add_cdn_domain::Error),
    /// A kind of domain that runs something.
    #[error("FunctionType is {given:?}; the edge runs no routines: leave it out")]
    FunctionType {
        /// What was given.
        given: String,
    },
    /// A kind of traffic.
    #[error("Scene is {given:?}; the edge makes no difference between scenes: leave it out")]
    Scene {
        /// What was given.
        given: String,
    },
}

impl Operation for AddDcdnDomain {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::InvalidFunctionType,
        Code::InvalidScene,
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
        Code::DomainOverLimit,
        Code::WildcardAndAll,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let name = named_domain::name(params).map_err(add_cdn_domain::Error::from)?;
        if let Some(given) = params.given("FunctionType").map(shown) {
            return Err(Error::FunctionType { given });
        }
        if let Some(given) = params.given("Scene").map(shown) {
            return Err(Error::Scene { given });
        }
        Ok(Wanted::parse_for(Service::Web, params, vec![name])?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Error> {
        Ok(add_cdn_domain::add(context, call, &wanted).await?)
    }
}

impl BatchOperation for BatchAddDcdnDomain {
    type Params = Wanted;
    type Reply = Nothing;
    type Error = add_cdn_domain::Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameOverLimit,
        Code::DomainNameMalformed,
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
        Code::DomainOverLimit,
        Code::WildcardAndAll,
    ];

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Self::Error> {
        let names = domains.names().map_err(NoDomains::from)?;
        add_cdn_domain::check_exact(&names)?;
        Wanted::parse_for(Service::Web, params, names)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Nothing>, Self::Error> {
        add_cdn_domain::add(context, call, &wanted).await
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::FunctionType { .. } => Code::InvalidFunctionType,
            Self::Scene { .. } => Code::InvalidScene,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            other => Some(other.to_string()),
        }
    }
}
