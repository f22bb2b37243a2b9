//! `RollbackStagingConfig`: drops the staged configuration.

use edgeseal_core::{DomainPattern, domain::Environment};

use super::domain_lookup::{self, STAGING_ERROR_CODES, StagingError};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{EmptyReply, Operation, Success},
    request::ParamMap,
};

/// `RollbackStagingConfig`.
pub struct RollbackStagingConfig;

impl Operation for RollbackStagingConfig {
    type Params = DomainPattern;
    type Reply = EmptyReply;
    type Error = StagingError;

    const CODES: &'static [Code] = &STAGING_ERROR_CODES;

    fn parse(params: &ParamMap) -> Result<DomainPattern, StagingError> {
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
