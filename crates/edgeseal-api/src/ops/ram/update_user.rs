//! `UpdateUser`: changes the name or other properties of a user; absent parameters change nothing.

use edgeseal_core::identity::{UserName, UserProfile};

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

/// `UpdateUser`.
pub struct UpdateUser;

/// The user and the changes.
pub struct Params {
    name: UserName,
    new_name: Option<UserName>,
    display_name: Option<String>,
    mobile: Option<String>,
    email: Option<String>,
    comments: Option<String>,
}

impl Operation for UpdateUser {
    type Params = Params;
    type Reply = user::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let codes = (Code::NewDisplayNameChars, Code::NewDisplayNameLength);
        Ok(Params {
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
        params: Params,
    ) -> Result<Success<user::Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let change = |profile: &mut UserProfile| params.apply(profile);
        let changed = match &params.new_name {
            Some(new) if *new != params.name => {
                let renamed = catalog.rename_user(&call.audit, account, &params.name, new, change);
                renamed.await
            }
            _ => {
                let updated = catalog.update_identity(&call.audit, account, &params.name, change);
                updated.await
            }
        };
        let committed = changed.map_err(from_change_error::<_, Error>)?;
        let reply = user::Reply::of(committed.value);
        Ok(Success::changed_with(reply, committed.revision, None))
    }
}

impl Params {
    /// Sets the given properties; an empty value clears one.
    fn apply(&self, profile: &mut UserProfile) {
        let set = |old: &mut String, new: &Option<String>| {
            if let Some(new) = new {
                old.clone_from(new);
            }
        };
        set(&mut profile.display_name, &self.display_name);
        set(&mut profile.mobile, &self.mobile);
        set(&mut profile.email, &self.email);
        set(&mut profile.comments, &self.comments);
    }
}
