//! `PublishStagingConfigToProduction`: what was tried on the staging edges goes to all.

use edgeseal_core::{Pattern, domain::Environment};
use edgeseal_store::catalog::{ChangeError, Committed, Draft};

use super::{
    named_domain::{self, Staged},
    set_certificate::{bound, gone},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
    warning::Warning,
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
        let name = &name;
        let published = context
            .catalog
            .transact(&call.deed, |draft| publish(draft, call, name));
        let Committed { value, revision } = published.await.map_err(refused_or::<_, Staged>)?;
        Ok(Done::served(revision, Environment::Production).warned(value))
    }
}

async fn publish(
    mut draft: Draft,
    call: &Authorized,
    name: &Pattern,
) -> Result<(Draft, Vec<Warning>), ChangeError<Staged>> {
    let found = named_domain::find_in(&mut draft, call.account(), name).await;
    let before = found.map_err(|why| ChangeError::Refused(why.into()))?;
    if before.staging.is_some() {
        let held = before.may_change_certificate();
        held.map_err(|held| ChangeError::Refused(held.into()))?;
    }
    let mut after = before.clone();
    let published = after.publish_staging(call.now());
    published.map_err(|nothing| ChangeError::Refused(nothing.into()))?;
    let (change, environment) = ((&before, &after), Environment::Production);
    let mut warnings = bound(&mut draft, change, environment, call.now()).await?;
    warnings.extend(gone(&mut draft, change, environment).await?);
    for warning in &warnings {
        draft.note(warning.detail.clone());
    }
    named_domain::write_change(&mut draft, &call.deed, environment, &before, &after).await?;
    Ok((draft, warnings))
}
