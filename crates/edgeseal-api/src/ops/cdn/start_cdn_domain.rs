//! `StartCdnDomain`: serves a stopped domain again, with its configuration.

use edgeseal_core::{
    DomainPattern,
    domain::{DomainState, Environment},
};

use super::domain_lookup::{self, DomainError};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `StartCdnDomain`.
pub struct StartCdnDomain;

impl Operation for StartCdnDomain {
    type Params = DomainPattern;
    type Reply = EmptyReply;
    type Error = DomainError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, DomainError> {
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
