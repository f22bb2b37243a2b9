//! `StartCdnDomain`: serves a stopped domain again, with its configuration.

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

/// `StartCdnDomain`.
pub struct StartCdnDomain;

impl Operation for StartCdnDomain {
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
        let start = domain_lookup::set_state(context, call, &name, DomainState::Online).await?;
        Ok(Success::served(start, Environment::Production))
    }
}
