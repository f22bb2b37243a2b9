//! `StopCdnDomain`: a domain is no longer served; what it has, its certificate included, stays.

use edgeseal_core::{
    Pattern,
    domain::{Environment, State},
};

use super::named_domain::{self, NO_DOMAIN, NoDomain};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation},
    request::Params,
};

/// The operation.
pub struct StopCdnDomain;

impl Operation for StopCdnDomain {
    type Params = Pattern;
    type Reply = Nothing;
    type Error = NoDomain;

    const CODES: &'static [Code] = &NO_DOMAIN;

    fn parse(params: &Params) -> Result<Pattern, NoDomain> {
        named_domain::name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: Pattern,
    ) -> Result<Done<Nothing>, NoDomain> {
        let stopped = named_domain::set_state(context, call, &name, State::Offline).await?;
        Ok(Done::served(stopped, Environment::Production))
    }
}
