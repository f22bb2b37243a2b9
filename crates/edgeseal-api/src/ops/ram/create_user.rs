//! `CreateUser`: a new user, without keys and policies.

use edgeseal_core::identity::{User, UserName};
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
    operation::{Operation, Success, from_change_error},
    request::ParamMap,
};

/// `CreateUser`.
pub struct CreateUser;

/// The user to be.
pub struct Params {
    name: UserName,
    display_name: String,
    mobile: String,
    email: String,
    comments: String,
}

impl Operation for CreateUser {
    type Params = Params;
    type Reply = user::Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingUserName,
        Code::UserNameChars,
        Code::UserNameLength,
        Code::DisplayNameChars,
        Code::DisplayNameLength,
        Code::MobilePhoneFormat,
        Code::EmailFormat,
        Code::CommentsLength,
        Code::UserAlreadyExists,
        Code::TooManyUsers,
    ];

    fn parse(params: &ParamMap) -> Result<Params, Error> {
        let name = parameters::user(params)?;
        let codes = (Code::DisplayNameChars, Code::DisplayNameLength);
        let display_name = parameters::display_name(params, "DisplayName", codes)?;
        let mobile = parameters::phone(params, "MobilePhone", Code::MobilePhoneFormat)?;
        let email = parameters::email(params, "Email", Code::EmailFormat)?;
        let comments = parameters::text(params, "Comments", COMMENTS_MAX, Code::CommentsLength)?;
        Ok(Params {
            name,
            display_name: display_name.unwrap_or_default(),
            mobile: mobile.unwrap_or_default(),
            email: email.unwrap_or_default(),
            comments: comments.unwrap_or_default(),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<user::Reply>, Error> {
        let user = User {
            id: random_identity_id(),
            name: params.name,
            display_name: params.display_name,
            comments: params.comments,
            email: params.email,
            mobile: params.mobile,
            created: call.now(),
            updated: call.now(),
            policies: Vec::new(),
        };
        let catalog = &context.catalog;
        let created = catalog
            .create_user(&call.audit, call.account(), &user)
            .await;
        let revision = created.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed_with(
            user::Reply::created(user),
            revision,
            None,
        ))
    }
}
