//! `AddDcdnDomain` and `BatchAddDcdnDomain`: as `AddCdnDomain`, for whatever a site delivers. What
//! belongs to the routines of the DCDN is refused: a domain would not do what its owner expects.

use edgeseal_core::domain::ServiceType;

use crate::{
    authorize::Authorized,
    context::Context,
    error::api_error,
    operation::{EmptyReply, Input, Operation, Success},
    ops::cdn::{
        add_cdn_domain::{self, Params},
        domain_list_error::DomainListError,
        domain_lookup,
    },
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

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
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

impl Operation for BatchAddDcdnDomain {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = add_cdn_domain::Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<Params, Self::Error> {
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

api_error!(Error {
    Domain(add_cdn_domain::Error),
    FunctionType => InvalidFunctionType,
    Scene => InvalidScene,
});
