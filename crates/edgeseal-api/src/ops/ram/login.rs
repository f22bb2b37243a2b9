//! Console logins, MFA devices and groups of a user, which do not exist here. Clients remove them
//! before they delete a user, and continue once they get an error that says there are none.

use edgeseal_core::identity::UserName;
use serde::Serialize;

use super::{error::Error, identity, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `ListGroupsForUser`.
pub struct ListGroupsForUser;

/// `DeleteLoginProfile`.
pub struct DeleteLoginProfile;

/// `UnbindMFADevice`.
pub struct UnbindMfaDevice;

/// No groups.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    groups: Groups,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Groups {
    group: [(); 0],
}

impl Operation for ListGroupsForUser {
    type Params = UserName;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<Reply>, Error> {
        identity::find(&context.catalog, call.account(), &name).await?;
        let groups = Groups { group: [] };
        Ok(Success::read(Reply { groups }))
    }
}

impl Operation for DeleteLoginProfile {
    type Params = UserName;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<EmptyReply>, Error> {
        identity::find(&context.catalog, call.account(), &name).await?;
        Err(Error::NoLoginProfile)
    }
}

impl Operation for UnbindMfaDevice {
    type Params = UserName;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<UserName, Error> {
        Ok(parameters::user(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: UserName,
    ) -> Result<Success<EmptyReply>, Error> {
        identity::find(&context.catalog, call.account(), &name).await?;
        Err(Error::NoMfaDevice)
    }
}
