//! `RollbackStagingConfig`: what was tried on the staging edges is dropped.

use edgeseal_core::{Pattern, domain::Environment};

use super::named_domain::{self, STAGED, Staged};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation},
    request::Params,
};

/// The operation.
pub struct RollbackStagingConfig;

impl Operation for RollbackStagingConfig {
    type Params = Pattern;
    type Reply = Nothing;
    type Error = Staged;

    const CODES: &'static [Code] = &STAGED;

    fn parse(params: &Params) -> Result<Pattern, Staged> {
        Ok(named_domain::name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: Pattern,
    ) -> Result<Done<Nothing>, Staged> {
        let (owner, environment) = (Some(call.account()), Environment::Staging);
        let dropped = named_domain::change(
            context,
            &call.deed,
            owner,
            &name,
            environment,
            |domain, now| domain.roll_back_staging(now).map_err(Staged::from),
        );
        Ok(Done::served(dropped.await?, environment))
    }
}
