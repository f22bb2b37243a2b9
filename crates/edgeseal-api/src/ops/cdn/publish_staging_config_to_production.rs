//! `PublishStagingConfigToProduction`: applies the staged configuration to all edges.

use edgeseal_core::{DomainPattern, domain::Environment};
use edgeseal_store::catalog::{ChangeError, Committed, Draft};

use super::{
    domain_lookup::{self, StagingError},
    set_certificate::{new_binding_warnings, replaced_binding_warnings},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
    warning::Warning,
};

/// `PublishStagingConfigToProduction`.
pub struct PublishStagingConfigToProduction;

impl Operation for PublishStagingConfigToProduction {
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
        let name = &name;
        let published = context
            .catalog
            .transact(&call.audit, |draft| publish(draft, call, name));
        let Committed { value, revision } = published
            .await
            .map_err(from_change_error::<_, StagingError>)?;
        Ok(Success::served(revision, Environment::Production).with_warnings(value))
    }
}

async fn publish(
    mut draft: Draft,
    call: &Authorized,
    name: &DomainPattern,
) -> Result<(Draft, Vec<Warning>), ChangeError<StagingError>> {
    let found = domain_lookup::find_in(&mut draft, call.account(), name).await;
    let before = found.map_err(|error| ChangeError::Refused(error.into()))?;
    if before.staging.is_some() {
        let held = before.check_certificate_change();
        held.map_err(|held| ChangeError::Refused(held.into()))?;
    }
    let mut after = before.clone();
    let published = after.publish_staging(call.now());
    published.map_err(|nothing| ChangeError::Refused(nothing.into()))?;
    let (change, environment) = ((&before, &after), Environment::Production);
    let mut warnings = new_binding_warnings(&mut draft, change, environment, call.now()).await?;
    warnings.extend(replaced_binding_warnings(&mut draft, change, environment).await?);
    for warning in &warnings {
        draft.note(warning.detail.clone());
    }
    draft
        .change_domain_with_history(&call.audit, environment, &before, &after)
        .await?;
    Ok((draft, warnings))
}
