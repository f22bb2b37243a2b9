//! `UpdateRole`: changes the trust policy or other properties of a role; absent parameters change
//! nothing.

use edgeseal_core::{
    identity::{RoleName, RoleProfile, TrustedIdentity},
    policy::TrustDocument,
};

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

/// `UpdateRole`.
pub struct UpdateRole;

/// The role and the changes.
pub struct Params {
    name: RoleName,
    trust: Option<String>,
    description: Option<String>,
    max_session_s: Option<u32>,
}

impl Operation for UpdateRole {
    type Params = Params;
    type Reply = role::Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        const TRUST: &str = "NewAssumeRolePolicyDocument";
        let name = parameters::role(params)?;
        let too_long = Code::NewAssumeRolePolicyDocumentLength;
        let parse = TrustDocument::parse;
        let trust = params.get_non_empty(TRUST);
        let trust = trust.map(|text| parameters::document(text, TRUST, too_long, parse));
        let code = Code::NewDescriptionLength;
        let description = parameters::text(params, "NewDescription", DESCRIPTION_MAX, code)?;
        let code = Code::NewMaxSessionDurationValue;
        Ok(Params {
            name,
            trust: trust.transpose()?,
            description,
            max_session_s: parameters::session_length(params, "NewMaxSessionDuration", code)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<role::Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let trusted = match &params.trust {
            Some(trust) => trusted_identities::resolve(catalog, trust).await,
            None => Ok(Vec::new()),
        };
        let trusted = trusted.map_err(StoreError::from)?;
        let change = |profile: &mut RoleProfile| params.apply(profile, &trusted);
        let updated = catalog
            .update_identity(&call.audit, account, &params.name, change)
            .await;
        let committed = updated.map_err(from_change_error::<_, Error>)?;
        let reply = role::Reply::of(account, committed.value);
        Ok(Success::changed_with(reply, committed.revision, None))
    }
}

impl Params {
    fn apply(&self, profile: &mut RoleProfile, trusted: &[TrustedIdentity]) {
        if let Some(trust) = &self.trust {
            profile.trust_policy.clone_from(trust);
            profile.trusted_identities = trusted.to_vec();
        }
        if let Some(description) = &self.description {
            profile.description.clone_from(description);
        }
        if let Some(seconds) = self.max_session_s {
            profile.max_session_s = seconds;
        }
    }
}
