//! `AttachPolicyToUser`, `DetachPolicyFromUser` and the same of roles: attach a policy to a user or
//! role, or detach it.

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
pub type AttachPolicy<N> = ChangeAttachment<N, true>;

/// `DetachPolicyFromUser` or `DetachPolicyFromRole`.
pub type DetachPolicy<N> = ChangeAttachment<N, false>;

/// Attaches a policy to a user or role, or detaches it.
pub struct ChangeAttachment<N, const ATTACH: bool>(PhantomData<N>);

impl<N: RamIdentity, const ATTACH: bool> Operation for ChangeAttachment<N, ATTACH> {
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
        let (catalog, audit, account) = (&context.catalog, &call.audit, call.account());
        let changed = if ATTACH {
            catalog.attach_policy(audit, account, &name, &policy).await
        } else {
            catalog.detach_policy(audit, account, &name, &policy).await
        };
        let revision = changed.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed(revision))
    }
}
