//! `PublishStagingConfigToProduction`: what was tried on the staging edges goes to all.

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
pub struct PublishStagingConfigToProduction;

impl Operation for PublishStagingConfigToProduction {
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
        let published = named_domain::change_staged(context, call, &name, |domain, now| {
            domain.publish_staging(now)
        })
        .await?;
        Ok(Done::served(published, Environment::Production))
    }
}
