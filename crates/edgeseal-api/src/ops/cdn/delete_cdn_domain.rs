//! `DeleteCdnDomain`: a domain is gone, online or not. Its certificates and its history stay.

use edgeseal_core::{Pattern, domain::Environment};
use edgeseal_store::{catalog::ChangeError, record::Leaves};

use super::named_domain::{self, NO_DOMAIN, NoDomain};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct DeleteCdnDomain;

impl Operation for DeleteCdnDomain {
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
        let (name, deed) = (&name, &call.deed);
        let deleted = context.catalog.transact(deed, |mut draft| async move {
            let found = named_domain::find_in(&mut draft, call.account(), name).await;
            let domain = found.map_err(ChangeError::Refused)?;
            let leaves = draft.leaves(&domain, Environment::Production).await?;
            draft.add_history(&domain, None, (leaves, Leaves::default()), deed)?;
            draft.delete_domain(&domain).await?;
            Ok((draft, ()))
        });
        let committed = deleted.await.map_err(refused_or::<NoDomain, NoDomain>)?;
        Ok(Done::served(committed.revision, Environment::Production))
    }
}
