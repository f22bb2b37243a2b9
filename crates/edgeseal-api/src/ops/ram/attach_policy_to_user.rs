//! `AttachPolicyToUser`: a user has a policy from now on.

use edgeseal_core::identity::{PolicyRef, UserName};

use super::{
    error::{self, Error},
    parameters,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct AttachPolicyToUser;

impl Operation for AttachPolicyToUser {
    type Params = (UserName, PolicyRef);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingUserName,
        Code::UserNameChars,
        Code::UserNameLength,
        Code::MissingPolicyType,
        Code::PolicyTypeValue,
        Code::MissingPolicyName,
        Code::PolicyNameChars,
        Code::PolicyNameLength,
        Code::ResourceGroupNotFound,
        Code::UserNotFound,
        Code::PolicyNotFound,
        Code::UserPolicyAlreadyExists,
        Code::TooManyUserPolicies,
    ];

    fn parse(params: &Params) -> Result<(UserName, PolicyRef), Error> {
        Ok((parameters::user(params)?, parameters::policy_ref(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, policy): (UserName, PolicyRef),
    ) -> Result<Done<Nothing>, Error> {
        error::whole_account(call)?;
        let (catalog, account) = (&context.catalog, call.account());
        let attached = catalog
            .attach_to_user(&call.deed, account, &name, &policy)
            .await;
        let revision = attached.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::changed(revision))
    }
}
