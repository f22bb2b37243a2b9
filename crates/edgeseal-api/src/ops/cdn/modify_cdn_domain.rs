//! `ModifyCdnDomain`, in the DCDN `UpdateDcdnDomain`: changes origins and resource group;
//! `BatchUpdateCdnDomain` does so for up to 50 domains, all or none.

use std::marker::PhantomData;

use edgeseal_core::{
    DomainPattern,
    domain::{DomainState, Environment, Origin},
};
use edgeseal_store::catalog::{ChangeError, Draft};

use super::{
    domain_list_error::DomainListError,
    domain_lookup::{self, DomainError},
    domain_names::{DomainNames, Each, One},
    sources::{self, InvalidSources},
    tags::{self, InvalidResourceGroup},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    request::ParamMap,
};

/// `ModifyCdnDomain`.
pub type ModifyCdnDomain = ModifyDomain<One>;

/// `BatchUpdateCdnDomain`.
pub type BatchUpdateCdnDomain = ModifyDomain<Each>;

/// Changes domains.
pub struct ModifyDomain<N>(PhantomData<N>);

/// The changes; `None` leaves a value unchanged.
pub struct Params {
    names: Vec<DomainPattern>,
    origins: Option<Vec<Origin>>,
    resource_group: Option<String>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The domain list is invalid.
    #[error(transparent)]
    Domains(#[from] DomainListError),
    /// Not a list of origins.
    #[error(transparent)]
    Sources(#[from] InvalidSources),
    /// An invalid resource group.
    #[error(transparent)]
    Group(#[from] InvalidResourceGroup),
    /// The domain is stopped.
    #[error("{name} is stopped; start it first")]
    Stopped {
        /// The domain.
        name: DomainPattern,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<N: DomainNames> Operation for ModifyDomain<N> {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(input: Input<'_>) -> Result<Params, Error> {
        Params::parse(input.params, N::parse(input)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        modify(context, call, &params).await
    }
}

impl Params {
    fn parse(params: &ParamMap, names: Vec<DomainPattern>) -> Result<Self, Error> {
        let origins = params
            .get_non_empty("Sources")
            .map(sources::parse)
            .transpose()?;
        Ok(Self {
            names,
            origins,
            resource_group: tags::group(params)?,
        })
    }
}

async fn modify(
    context: &Context,
    call: &Authorized,
    params: &Params,
) -> Result<Success<EmptyReply>, Error> {
    let modified = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            for name in &params.names {
                modify_one(&mut draft, context, call, params, name).await?;
            }
            Ok((draft, ()))
        });
    let committed = modified.await.map_err(from_change_error::<_, Error>)?;
    Ok(Success::served(committed.revision, Environment::Production))
}

async fn modify_one(
    draft: &mut Draft,
    context: &Context,
    call: &Authorized,
    params: &Params,
    name: &DomainPattern,
) -> Result<(), ChangeError<Error>> {
    let found = domain_lookup::find_in(draft, call.account(), name).await;
    let before = found.map_err(|error| ChangeError::Refused(error.into()))?;
    if matches!(before.state, DomainState::Offline | DomainState::Stopping) {
        let name = name.clone();
        return Err(ChangeError::Refused(Error::Stopped { name }));
    }
    let mut after = before.clone();
    if let Some(origins) = &params.origins {
        let permitted = sources::check_permitted(draft, context, call.account(), origins);
        after.origin_permission = permitted.await?;
        after.origins.clone_from(origins);
    }
    if let Some(resource_group) = &params.resource_group {
        after.resource_group.clone_from(resource_group);
    }
    after.modified = call.now();
    let environment = Environment::Production;
    draft
        .change_domain_with_history(&call.audit, environment, &before, &after)
        .await?;
    Ok(())
}

api_error!(Error {
    Domain(DomainError),
    Domains(DomainListError),
    Sources(InvalidSources),
    Group => InvalidResourceGroup,
    Stopped => DomainOffline,
    Store(StoreError),
});
