//! Users in responses.

use edgeseal_core::{
    AccountId,
    identity::{User, UserName, UserProfile},
};
use serde::Serialize;

use super::{
    identity::RamIdentity,
    parameters::{self, COMMENTS_MAX, InvalidParameter},
};
use crate::{code::Code, request::ParamMap};

/// The response of an operation on a user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    user: UserView,
}

/// Users of a page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserList {
    users: Users,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Users {
    user: Vec<UserView>,
}

/// A user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UserView {
    user_id: String,
    user_name: String,
    display_name: String,
    mobile_phone: String,
    email: String,
    comments: String,
    create_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_login_date: Option<&'static str>,
}

impl RamIdentity for UserName {
    type Reply = Reply;
    type List = UserList;

    fn from_params(params: &ParamMap) -> Result<Self, InvalidParameter> {
        parameters::user(params)
    }

    fn new_profile(params: &ParamMap) -> Result<UserProfile, InvalidParameter> {
        let codes = (Code::DisplayNameChars, Code::DisplayNameLength);
        let display_name = parameters::display_name(params, "DisplayName", codes)?;
        let mobile = parameters::phone(params, "MobilePhone", Code::MobilePhoneFormat)?;
        let email = parameters::email(params, "Email", Code::EmailFormat)?;
        let comments = parameters::text(params, "Comments", COMMENTS_MAX, Code::CommentsLength)?;
        Ok(UserProfile {
            display_name: display_name.unwrap_or_default(),
            comments: comments.unwrap_or_default(),
            email: email.unwrap_or_default(),
            mobile: mobile.unwrap_or_default(),
        })
    }

    /// With an empty date of the last console login: there is no console.
    fn reply(_: &AccountId, user: User) -> Reply {
        let user = UserView {
            last_login_date: Some(""),
            ..UserView::of(user)
        };
        Reply { user }
    }

    fn created(_: &AccountId, user: User) -> Reply {
        let user = UserView {
            update_date: None,
            ..UserView::of(user)
        };
        Reply { user }
    }

    fn list(_: &AccountId, users: Vec<User>) -> UserList {
        let user = users.into_iter().map(UserView::of).collect();
        UserList {
            users: Users { user },
        }
    }
}

impl Reply {
    pub(super) fn of(user: User) -> Self {
        Self {
            user: UserView::of(user),
        }
    }
}

impl UserView {
    fn of(user: User) -> Self {
        Self {
            user_id: user.id,
            user_name: user.name.to_string(),
            display_name: user.profile.display_name,
            mobile_phone: user.profile.mobile,
            email: user.profile.email,
            comments: user.profile.comments,
            create_date: user.created.to_string(),
            update_date: Some(user.updated.to_string()),
            last_login_date: None,
        }
    }
}
