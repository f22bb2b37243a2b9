//! `StartCdnDomain` serves a stopped domain again, with its configuration; `StopCdnDomain` stops
//! serving a domain, whose configuration and certificate stay. `BatchStartCdnDomain` and
//! `BatchStopCdnDomain` do so for up to 50 domains, all or none.

use std::marker::PhantomData;

use edgeseal_core::{
    DomainPattern,
    domain::{DomainState, Environment},
};

use super::{
    domain_list_error::DomainListError,
    domain_lookup,
    domain_names::{DomainNames, Each, One},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `StartCdnDomain`.
pub type StartCdnDomain = SetDomainState<true, One>;

/// `StopCdnDomain`.
pub type StopCdnDomain = SetDomainState<false, One>;

/// `BatchStartCdnDomain`.
pub type BatchStartCdnDomain = SetDomainState<true, Each>;

/// `BatchStopCdnDomain`.
pub type BatchStopCdnDomain = SetDomainState<false, Each>;

/// Starts or stops domains.
pub struct SetDomainState<const ONLINE: bool, N>(PhantomData<N>);

impl<const ONLINE: bool, N: DomainNames> Operation for SetDomainState<ONLINE, N> {
    type Params = Vec<DomainPattern>;
    type Reply = EmptyReply;
    type Error = DomainListError;

    fn parse(input: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError> {
        N::parse(input)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<DomainPattern>,
    ) -> Result<Success<EmptyReply>, DomainListError> {
        let (owner, environment) = (Some(call.account()), Environment::Production);
        let changed = domain_lookup::update_each(
            context,
            &call.audit,
            owner,
            &names,
            environment,
            |domain, now| {
                domain.state = if ONLINE {
                    DomainState::Online
                } else {
                    DomainState::Offline
                };
                domain.modified = now;
                Ok::<_, DomainListError>(())
            },
        );
        Ok(Success::served(changed.await?, environment))
    }
}
