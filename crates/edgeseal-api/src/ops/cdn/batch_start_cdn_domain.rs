//! `BatchStartCdnDomain` and `BatchStopCdnDomain`: start or stop up to 50 domains, all or none.

use edgeseal_core::{
    DomainPattern,
    domain::{DomainState, Environment},
};

use super::{
    domain_list_error::{DOMAIN_LIST_ERROR_CODES, DomainListError},
    domain_lookup,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, EmptyReply, Success},
    request::ParamMap,
};

/// `BatchStartCdnDomain`.
pub struct BatchStartCdnDomain;

/// `BatchStopCdnDomain`.
pub struct BatchStopCdnDomain;

impl BatchOperation for BatchStartCdnDomain {
    type Params = Vec<DomainPattern>;
    type Reply = EmptyReply;
    type Error = DomainListError;

    const CODES: &'static [Code] = &DOMAIN_LIST_ERROR_CODES;

    fn parse(domains: &DomainList, _: &ParamMap) -> Result<Vec<DomainPattern>, DomainListError> {
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

impl BatchOperation for BatchStopCdnDomain {
    type Params = Vec<DomainPattern>;
    type Reply = EmptyReply;
    type Error = DomainListError;

    const CODES: &'static [Code] = &DOMAIN_LIST_ERROR_CODES;

    fn parse(domains: &DomainList, _: &ParamMap) -> Result<Vec<DomainPattern>, DomainListError> {
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
