//! `StopCdnDomain`: stops serving a domain; its configuration and certificate stay.

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

/// `StopCdnDomain`.
pub struct StopCdnDomain;

impl Operation for StopCdnDomain {
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
        let stopped = domain_lookup::set_state(context, call, &name, DomainState::Offline).await?;
        Ok(Success::served(stopped, Environment::Production))
    }
}
