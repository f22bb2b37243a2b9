//! What a user has for people to sign in with, and the groups that it is in: nothing here. Clients
//! ask for it before they delete a user, and go on once they are told that there is none.

use edgeseal_core::identity::UserName;
use serde::Serialize;

use super::{error::Error, identity, parameters};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// The operation that lists the groups of a user.
pub struct ListGroupsForUser;

/// The operation that takes its password away.
pub struct DeleteLoginProfile;

/// The operation that takes its MFA device away.
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
