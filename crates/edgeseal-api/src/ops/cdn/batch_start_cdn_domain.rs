//! `BatchStartCdnDomain` and `BatchStopCdnDomain`: start or stop up to 50 domains, all or none.

use edgeseal_core::{
    DomainPattern,
    domain::{DomainState, Environment},
};

use super::{domain_list_error::DomainListError, domain_lookup};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `BatchStartCdnDomain`.
pub struct BatchStartCdnDomain;

/// `BatchStopCdnDomain`.
pub struct BatchStopCdnDomain;

impl Operation for BatchStartCdnDomain {
    type Params = Vec<DomainPattern>;
    type Reply = EmptyReply;
    type Error = DomainListError;

    fn parse(Input { domains, .. }: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError> {
        Ok(domains.names()?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<DomainPattern>,
    ) -> Result<Success<EmptyReply>, DomainListError> {
        set(context, call, &names, DomainState::Online).await
    }
}

impl Operation for BatchStopCdnDomain {
    type Params = Vec<DomainPattern>;
    type Reply = EmptyReply;
    type Error = DomainListError;

    fn parse(Input { domains, .. }: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError> {
        Ok(domains.names()?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<DomainPattern>,
    ) -> Result<Success<EmptyReply>, DomainListError> {
        set(context, call, &names, DomainState::Offline).await
    }
}

async fn set(
    context: &Context,
    call: &Authorized,
    names: &[DomainPattern],
    state: DomainState,
) -> Result<Success<EmptyReply>, DomainListError> {
    let (owner, environment) = (Some(call.account()), Environment::Production);
    let changed = domain_lookup::update_each(
        context,
        &call.audit,
        owner,
        names,
        environment,
        |domain, now| {
            domain.state = state;
            domain.modified = now;
            Ok::<_, DomainListError>(())
        },
    );
    Ok(Success::served(changed.await?, environment))
}
