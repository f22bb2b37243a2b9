//! `PublishStagingConfigToProduction`: what was tried on the staging edges goes to all.

use edgeseal_core::{
    Pattern, Timestamp,
    domain::{Domain, Environment},
};

use super::named_domain::{self, Staged};
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

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::NothingStaged,
        Code::DomainInProtectedMode,
        Code::DomainInSafeMode,
        Code::DomainOffline,
        Code::DomainNotOnline,
    ];

    fn parse(params: &Params) -> Result<Pattern, Staged> {
        Ok(named_domain::name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: Pattern,
    ) -> Result<Done<Nothing>, Staged> {
        let environment = Environment::Production;
        let publish = |domain: &mut Domain, now: Timestamp| {
            if domain.staging.is_some() {
                domain.may_change_certificate()?;
            }
            Ok(domain.publish_staging(now)?)
        };
        let published =
            named_domain::change_staged(context, call, &name, environment, publish).await?;
        Ok(Done::served(published, environment))
    }
}
