//! `CreateUser`: creates a user without access keys and policies.

use edgeseal_core::identity::{User, UserName, UserProfile};
use edgeseal_store::catalog::random_identity_id;

use super::{
    error::Error,
    parameters::{self, COMMENTS_MAX},
    user,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::from_change_error,
    operation::{Input, Operation, Success},
};

/// `CreateUser`.
pub struct CreateUser;

impl Operation for CreateUser {
    type Params = (UserName, UserProfile);
    type Reply = user::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(UserName, UserProfile), Error> {
        let name = parameters::user(params)?;
        let codes = (Code::DisplayNameChars, Code::DisplayNameLength);
        let display_name = parameters::display_name(params, "DisplayName", codes)?;
        let mobile = parameters::phone(params, "MobilePhone", Code::MobilePhoneFormat)?;
        let email = parameters::email(params, "Email", Code::EmailFormat)?;
        let comments = parameters::text(params, "Comments", COMMENTS_MAX, Code::CommentsLength)?;
        let profile = UserProfile {
            display_name: display_name.unwrap_or_default(),
            comments: comments.unwrap_or_default(),
            email: email.unwrap_or_default(),
            mobile: mobile.unwrap_or_default(),
        };
        Ok((name, profile))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, profile): (UserName, UserProfile),
    ) -> Result<Success<user::Reply>, Error> {
        let user = User::new(random_identity_id(), name, profile, call.now());
        let catalog = &context.catalog;
        let created = catalog
            .create_identity(&call.audit, call.account(), &user)
            .await;
        let revision = created.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed_with(
            user::Reply::created(user),
            revision,
            None,
        ))
    }
}
