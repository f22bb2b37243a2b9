//! `BatchStartCdnDomain` and `BatchStopCdnDomain`: up to 50 domains are served or not, all of them
//! or none.

use edgeseal_core::{
    Pattern,
    domain::{Environment, State},
};

use super::{
    named_domain,
    named_domains::{NO_DOMAINS, NoDomains},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Nothing},
    request::Params,
};

/// The operation that starts.
pub struct BatchStartCdnDomain;

/// The operation that stops.
pub struct BatchStopCdnDomain;

impl BatchOperation for BatchStartCdnDomain {
    type Params = Vec<Pattern>;
    type Reply = Nothing;
    type Error = NoDomains;

    const CODES: &'static [Code] = &NO_DOMAINS;

    fn parse(domains: &DomainList, _: &Params) -> Result<Vec<Pattern>, NoDomains> {
        Ok(domains.names()?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<Pattern>,
    ) -> Result<Done<Nothing>, NoDomains> {
        set(context, call, &names, State::Online).await
    }
}

impl BatchOperation for BatchStopCdnDomain {
    type Params = Vec<Pattern>;
    type Reply = Nothing;
    type Error = NoDomains;

    const CODES: &'static [Code] = &NO_DOMAINS;

    fn parse(domains: &DomainList, _: &Params) -> Result<Vec<Pattern>, NoDomains> {
        Ok(domains.names()?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<Pattern>,
    ) -> Result<Done<Nothing>, NoDomains> {
        set(context, call, &names, State::Offline).await
    }
}

async fn set(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    state: State,
) -> Result<Done<Nothing>, NoDomains> {
    let (owner, environment) = (Some(call.account()), Environment::Production);
    let changed = named_domain::change_each(
        context,
        &call.deed,
        owner,
        names,
        environment,
        |domain, now| {
            domain.state = state;
            domain.modified = now;
            Ok::<_, NoDomains>(())
        },
    );
    Ok(Done::served(changed.await?, environment))
}
