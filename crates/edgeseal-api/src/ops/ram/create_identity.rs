//! `CreateUser`, `CreateRole`: create a user without access keys, or a role with its trust policy.
//! Neither has policies at first.

use std::marker::PhantomData;

use edgeseal_core::identity::Identity;
use edgeseal_store::catalog::random_identity_id;

use super::{error::Error, identity::RamIdentity, trusted_identities};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, from_change_error},
    operation::{Input, Operation, Success},
};

/// `CreateUser` or `CreateRole`.
pub struct CreateIdentity<N>(PhantomData<N>);

impl<N: RamIdentity> Operation for CreateIdentity<N> {
    type Params = (N, N::Profile);
    type Reply = N::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(N, N::Profile), Error> {
        Ok((N::from_params(params)?, N::new_profile(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, mut profile): (N, N::Profile),
    ) -> Result<Success<N::Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        if let Some(trust_policy) = N::trust_policy(&profile) {
            let trusted = trusted_identities::resolve(catalog, trust_policy).await;
            N::set_trusted_identities(&mut profile, trusted.map_err(StoreError::from)?);
        }
        let identity = Identity::new(random_identity_id(), name, profile, call.now());
        let created = catalog
            .create_identity(&call.audit, account, &identity)
            .await;
        let revision = created.map_err(from_change_error::<_, Error>)?.revision;
        let reply = N::created(account, identity);
        Ok(Success::changed_with(reply, revision, None))
    }
}
