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
        let dropped = named_domain::change_staged(
            context,
            call,
            &name,
            Environment::Staging,
            |domain, now| Ok(domain.roll_back_staging(now)?),
        )
        .await?;
        Ok(Done::served(dropped, Environment::Staging))
    }
}
