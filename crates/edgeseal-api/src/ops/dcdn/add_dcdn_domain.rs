//! `AddDcdnDomain` and `BatchAddDcdnDomain`: as `AddCdnDomain`, for whatever a site delivers. What
//! belongs to the routines of the DCDN is refused: a domain would not do what its owner expects.

use edgeseal_core::domain::ServiceType;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    error::ApiError,
    operation::{BatchOperation, EmptyReply, Operation, Success},
    ops::cdn::{
        add_cdn_domain::{self, Params},
        domain_list_error::DomainListError,
        domain_lookup,
    },
    request::ParamMap,
    sanitize::sanitize,
};

/// `AddDcdnDomain`.
pub struct AddDcdnDomain;

/// The batch operation.
pub struct BatchAddDcdnDomain;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As for a domain of the CDN.
    #[error(transparent)]
    Domain(#[from] add_cdn_domain::Error),
    /// A kind of domain that runs something.
    #[error("FunctionType is {given:?}; the edge runs no routines: leave it out")]
    FunctionType {
        /// The value given.
        given: String,
    },
    /// A kind of traffic.
    #[error("Scene is {given:?}; the edge makes no difference between scenes: leave it out")]
    Scene {
        /// The value given.
        given: String,
    },
}

impl Operation for AddDcdnDomain {
    type Params = Params;
    type Reply = EmptyReply;
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

    fn parse(params: &ParamMap) -> Result<Params, Error> {
        let name = domain_lookup::parse_name(params).map_err(add_cdn_domain::Error::from)?;
        if let Some(given) = params.get_non_empty("FunctionType").map(sanitize) {
            return Err(Error::FunctionType { given });
        }
        if let Some(given) = params.get_non_empty("Scene").map(sanitize) {
            return Err(Error::Scene { given });
        }
        Ok(Params::parse_for(ServiceType::Web, params, vec![name])?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        Ok(add_cdn_domain::add(context, call, &params).await?)
    }
}

impl BatchOperation for BatchAddDcdnDomain {
    type Params = Params;
    type Reply = EmptyReply;
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

    fn parse(domains: &DomainList, params: &ParamMap) -> Result<Params, Self::Error> {
        let names = domains.names().map_err(DomainListError::from)?;
        add_cdn_domain::check_exact(&names)?;
        Params::parse_for(ServiceType::Web, params, names)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Self::Error> {
        add_cdn_domain::add(context, call, &params).await
    }
}

impl ApiError for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(error) => error.code(),
            Self::FunctionType { .. } => Code::InvalidFunctionType,
            Self::Scene { .. } => Code::InvalidScene,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(error) => error.detail(),
            other => Some(other.to_string()),
        }
    }
}
