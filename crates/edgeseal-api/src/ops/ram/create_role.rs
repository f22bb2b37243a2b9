//! `CreateRole`: creates a role with its trust policy.

use edgeseal_core::{
    identity::{Role, RoleName, RoleProfile, SESSION_DEFAULT_S},
    policy::TrustDocument,
};
use edgeseal_store::catalog::random_identity_id;

use super::{
    error::Error,
    parameters::{self, DESCRIPTION_MAX},
    role, trusted_identities,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    error::{StoreError, from_change_error},
    operation::{Input, Operation, Success},
};

/// `CreateRole`.
pub struct CreateRole;

/// The new role.
pub struct Params {
    name: RoleName,
    trust: String,
    description: String,
    max_session_s: u32,
}

impl Operation for CreateRole {
    type Params = Params;
    type Reply = role::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        const TRUST: &str = "AssumeRolePolicyDocument";
        let name = parameters::role(params)?;
        parameters::reject_tags(params)?;
        let trust = parameters::required(params, TRUST, Code::MissingAssumeRolePolicyDocument)?;
        let too_long = Code::AssumeRolePolicyDocumentLength;
        let code = Code::DescriptionLength;
        let description = parameters::text(params, "Description", DESCRIPTION_MAX, code)?;
        let code = Code::MaxSessionDurationValue;
        let session = parameters::session_length(params, "MaxSessionDuration", code)?;
        Ok(Params {
            name,
            trust: parameters::document(trust, TRUST, too_long, TrustDocument::parse)?,
            description: description.unwrap_or_default(),
            max_session_s: session.unwrap_or(SESSION_DEFAULT_S),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<role::Reply>, Error> {
        let trusted = trusted_identities::resolve(&context.catalog, &params.trust).await;
        let profile = RoleProfile {
            description: params.description,
            trust_policy: params.trust,
            trusted_identities: trusted.map_err(StoreError::from)?,
            max_session_s: params.max_session_s,
        };
        let role = Role::new(random_identity_id(), params.name, profile, call.now());
        let (catalog, account) = (&context.catalog, call.account());
        let created = catalog.create_identity(&call.audit, account, &role).await;
        let revision = created.map_err(from_change_error::<_, Error>)?.revision;
        Ok(Success::changed_with(
            role::Reply::created(account, role),
            revision,
            None,
        ))
    }
}
