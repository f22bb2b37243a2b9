//! `AttachPolicyToUser`, `AttachPolicyToRole`: attach a policy to a user or role.

use std::marker::PhantomData;

use edgeseal_core::identity::PolicyRef;

use super::{
    error::{self, Error},
    identity::RamIdentity,
    parameters,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `AttachPolicyToUser` or `AttachPolicyToRole`.
pub struct AttachPolicy<N>(PhantomData<N>);

impl<N: RamIdentity> Operation for AttachPolicy<N> {
    type Params = (N, PolicyRef);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(N, PolicyRef), Error> {
        Ok((N::from_params(params)?, parameters::policy_ref(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, policy): (N, PolicyRef),
    ) -> Result<Success<EmptyReply>, Error> {
        error::check_resource_group(call)?;
        let (catalog, account) = (&context.catalog, call.account());
        let changed = catalog
            .attach_policy(&call.audit, account, &name, &policy)
            .await;
        let revision = changed.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
