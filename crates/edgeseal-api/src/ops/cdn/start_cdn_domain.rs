//! `StartCdnDomain`: a stopped domain is served again, with all that it had.

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
pub struct StartCdnDomain;

impl Operation for StartCdnDomain {
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
        let start = named_domain::set_state(context, call, &name, State::Online).await?;
        Ok(Done::served(start, Environment::Production))
    }
}
