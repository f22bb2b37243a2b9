//! `StopCdnDomain`: stops serving a domain; its configuration and certificate stay.

use edgeseal_core::{
    DomainPattern,
    domain::{DomainState, Environment},
};

use super::domain_lookup::{self, DOMAIN_ERROR_CODES, DomainError};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{EmptyReply, Operation, Success},
    request::ParamMap,
};

/// `StopCdnDomain`.
pub struct StopCdnDomain;

impl Operation for StopCdnDomain {
    type Params = DomainPattern;
    type Reply = EmptyReply;
    type Error = DomainError;

    const CODES: &'static [Code] = &DOMAIN_ERROR_CODES;

    fn parse(params: &ParamMap) -> Result<DomainPattern, DomainError> {
        domain_lookup::parse_name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<EmptyReply>, DomainError> {
        let stopped = domain_lookup::set_state(context, call, &name, DomainState::Offline).await?;
        Ok(Success::served(stopped, Environment::Production))
    }
}
