//! `UpdateUser`: another name or other particulars of a user; what is not given stays.

use edgeseal_core::identity::{User, UserName};

use super::{
    error::Error,
    parameters::{self, COMMENTS_MAX},
    user,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct UpdateUser;

/// Which user, and what it is to be.
pub struct Wanted {
    name: UserName,
    new_name: Option<UserName>,
    display_name: Option<String>,
    mobile: Option<String>,
    email: Option<String>,
    comments: Option<String>,
}

impl Operation for UpdateUser {
    type Params = Wanted;
    type Reply = user::Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingUserName,
        Code::UserNameChars,
        Code::UserNameLength,
        Code::NewUserNameChars,
        Code::NewUserNameLength,
        Code::NewDisplayNameChars,
        Code::NewDisplayNameLength,
        Code::NewMobilePhoneFormat,
        Code::NewEmailFormat,
        Code::NewCommentsLength,
        Code::UserNotFound,
        Code::UserAlreadyExists,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        let codes = (Code::NewDisplayNameChars, Code::NewDisplayNameLength);
        Ok(Wanted {
            name: parameters::user(params)?,
            new_name: parameters::new_user(params)?,
            display_name: parameters::display_name(params, "NewDisplayName", codes)?,
            mobile: parameters::phone(params, "NewMobilePhone", Code::NewMobilePhoneFormat)?,
            email: parameters::email(params, "NewEmail", Code::NewEmailFormat)?,
            comments: parameters::text(
                params,
                "NewComments",
                COMMENTS_MAX,
                Code::NewCommentsLength,
            )?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<user::Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let change = |user: &mut User| wanted.apply(user);
        let changed = match &wanted.new_name {
            Some(new) if *new != wanted.name => {
                let renamed = catalog.rename_user(&call.deed, account, &wanted.name, new, change);
                renamed.await
            }
            _ => {
                let updated = catalog.update_user(&call.deed, account, &wanted.name, change);
                updated.await
            }
        };
        let committed = changed.map_err(refused_or::<_, Error>)?;
        let reply = user::Reply::of(committed.value);
        Ok(Done::with(reply, committed.revision, None))
    }
}

impl Wanted {
    /// Changes what is given; an empty text empties.
    fn apply(&self, user: &mut User) {
        let set = |old: &mut String, new: &Option<String>| {
            if let Some(new) = new {
                old.clone_from(new);
            }
        };
        set(&mut user.display_name, &self.display_name);
        set(&mut user.mobile, &self.mobile);
        set(&mut user.email, &self.email);
        set(&mut user.comments, &self.comments);
    }
}
