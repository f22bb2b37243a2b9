//! `CreateRole`: a role, and who may assume it.

use edgeseal_core::{
    identity::{Role, RoleName, SESSION_DEFAULT_S},
    policy::TrustDocument,
};
use edgeseal_store::catalog::random_identity_id;

use super::{
    error::Error,
    parameters::{self, DESCRIPTION_MAX},
    role, trusted,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble, refused_or},
    request::Params,
};

/// The operation.
pub struct CreateRole;

/// The role to be.
pub struct Wanted {
    name: RoleName,
    trust: String,
    description: String,
    max_session_s: u32,
}

impl Operation for CreateRole {
    type Params = Wanted;
    type Reply = role::Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingRoleName,
        Code::RoleNameChars,
        Code::RoleNameLength,
        Code::MissingAssumeRolePolicyDocument,
        Code::AssumeRolePolicyDocumentLength,
        Code::MalformedPolicyDocument,
        Code::DescriptionLength,
        Code::MaxSessionDurationValue,
        Code::TagValue,
        Code::RoleAlreadyExists,
        Code::TooManyRoles,
    ];

    fn parse(params: &Params) -> Result<Wanted, Error> {
        const TRUST: &str = "AssumeRolePolicyDocument";
        let name = parameters::role(params)?;
        parameters::no_tags(params)?;
        let trust = parameters::required(params, TRUST, Code::MissingAssumeRolePolicyDocument)?;
        let too_long = Code::AssumeRolePolicyDocumentLength;
        let code = Code::DescriptionLength;
        let description = parameters::text(params, "Description", DESCRIPTION_MAX, code)?;
        let code = Code::MaxSessionDurationValue;
        let session = parameters::session_length(params, "MaxSessionDuration", code)?;
        Ok(Wanted {
            name,
            trust: parameters::document(trust, TRUST, too_long, TrustDocument::parse)?,
            description: description.unwrap_or_default(),
            max_session_s: session.unwrap_or(SESSION_DEFAULT_S),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<role::Reply>, Error> {
        let trusted = trusted::identities(&context.catalog, &wanted.trust).await;
        let role = Role {
            id: random_identity_id(),
            name: wanted.name,
            description: wanted.description,
            trust: wanted.trust,
            trusted: trusted.map_err(Trouble::from)?,
            max_session_s: wanted.max_session_s,
            created: call.now(),
            updated: call.now(),
            policies: Vec::new(),
        };
        let (catalog, account) = (&context.catalog, call.account());
        let created = catalog.create_role(&call.deed, account, &role).await;
        let revision = created.map_err(refused_or::<_, Error>)?.revision;
        Ok(Done::with(role::Reply::made(account, role), revision, None))
    }
}
