//! Users in responses.

use edgeseal_core::{
    AccountId,
    identity::{User, UserName},
};
use serde::Serialize;

use super::{
    identity::RamIdentity,
    parameters::{self, InvalidParameter},
};
use crate::request::ParamMap;

/// The response of an operation on a user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    user: UserView,
}

/// A user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserView {
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

    fn from_params(params: &ParamMap) -> Result<Self, InvalidParameter> {
        parameters::user(params)
    }

    /// With an empty date of the last console login: there is no console.
    fn reply(_: &AccountId, user: User) -> Reply {
        let user = UserView {
            last_login_date: Some(""),
            ..UserView::of(user)
        };
        Reply { user }
    }
}

impl Reply {
    pub(super) fn of(user: User) -> Self {
        Self {
            user: UserView::of(user),
        }
    }

    /// A new user: this response does not contain the date of the last change.
    pub(super) fn created(user: User) -> Self {
        let user = UserView {
            update_date: None,
            ..UserView::of(user)
        };
        Self { user }
    }
}

impl UserView {
    pub(super) fn of(user: User) -> Self {
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
