//! `RollbackStagingConfig`: drops the staged configuration.

use edgeseal_core::{DomainPattern, domain::Environment};

use super::domain_lookup::{self, StagingError};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `RollbackStagingConfig`.
pub struct RollbackStagingConfig;

impl Operation for RollbackStagingConfig {
    type Params = DomainPattern;
    type Reply = EmptyReply;
    type Error = StagingError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, StagingError> {
        Ok(domain_lookup::parse_name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<EmptyReply>, StagingError> {
        let (owner, environment) = (Some(call.account()), Environment::Staging);
        let dropped = domain_lookup::update(
            context,
            &call.audit,
            owner,
            &name,
            environment,
            |domain, now| domain.roll_back_staging(now).map_err(StagingError::from),
        );
        Ok(Success::served(dropped.await?, environment))
    }
}
