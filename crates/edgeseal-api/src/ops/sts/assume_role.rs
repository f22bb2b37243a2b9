//! `AssumeRole`: a session of a role, for a user or for a session of another role.
//!
//! Two sides must agree: a policy of the caller allows `sts:AssumeRole` on the role (checked before
//! the operation runs), and the role's trust policy names the caller. The role may belong to
//! another account. Then a missing role gets the same error as one that does not trust the caller,
//! so that role names of other accounts stay private.

use edgeseal_core::policy::Principal;
use serde::Serialize;

use super::session::{
    AssumeDenied, InvalidSession, SessionParams, SessionReply, find_trusting_role,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    sanitize::sanitize,
};

/// `AssumeRole`.
pub struct AssumeRole;

/// The parameters.
pub struct Params {
    session: SessionParams,
    external_id: Option<String>,
    source_identity: Option<String>,
}

/// The session: the only response with its secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    opened: SessionReply,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_identity: Option<String>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session parameters are invalid.
    #[error(transparent)]
    Session(#[from] InvalidSession),
    /// The external id is invalid.
    #[error("ExternalId {given:?} must have 2 to 1224 letters, digits and _ + = , . @ : / -")]
    ExternalId {
        /// The value given.
        given: String,
    },
    /// The source identity is invalid.
    #[error("SourceIdentity {given:?} must have 2 to 64 letters, digits and _ + = , . @ -")]
    SourceIdentity {
        /// The value given.
        given: String,
    },
    /// An account itself cannot assume a role.
    #[error(
        "the key of an account itself cannot assume a role; use the key of a user of the account"
    )]
    AccountCaller,
    /// The caller's own account has no such role.
    #[error("your account has no role {name}")]
    NoRole {
        /// The role.
        name: String,
    },
    /// A role of the caller's own account does not trust the caller.
    #[error("the trust policy of role {name} does not allow {who} to assume it with this request")]
    Untrusted {
        /// The role.
        name: String,
        /// The caller.
        who: String,
    },
    /// A role of another account is missing or does not trust the caller.
    #[error("there is no such role, or its trust policy does not allow you to assume it")]
    NotFoundOrDenied,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for AssumeRole {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let session = SessionParams::parse(params)?;
        let external_id = params.get_non_empty("ExternalId");
        if let Some(id) = external_id.filter(|id| !is_made_of(id, 2..=1224, b"_+=,.@:/-")) {
            return Err(Error::ExternalId {
                given: sanitize(id),
            });
        }
        let source_identity = params.get_non_empty("SourceIdentity");
        if let Some(name) = source_identity.filter(|name| !is_made_of(name, 2..=64, b"_+=,.@-")) {
            return Err(Error::SourceIdentity {
                given: sanitize(name),
            });
        }
        Ok(Params {
            session,
            external_id: external_id.map(str::to_owned),
            source_identity: source_identity.map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let principal = call.principal();
        let chained = match principal {
            Principal::Account(_) => return Err(Error::AccountCaller),
            Principal::User { .. } => false,
            Principal::Role { .. } => true,
        };
        let mut circumstances = call.policy_context();
        if let Some(id) = params.external_id {
            circumstances = circumstances.with_key("sts:ExternalId", id);
        }
        let arn = &params.session.role;
        let role = match find_trusting_role(
            context,
            arn,
            (&principal.arn(), principal.id()),
            &circumstances,
        )
        .await?
        {
            Ok(role) => role,
            Err(_) if arn.account != *principal.account_id() => {
                return Err(Error::NotFoundOrDenied);
            }
            Err(AssumeDenied::NoRole) => {
                let name = arn.name.to_string();
                return Err(Error::NoRole { name });
            }
            Err(AssumeDenied::Untrusted) => {
                return Err(Error::Untrusted {
                    name: arn.name.to_string(),
                    who: principal.arn().to_string(),
                });
            }
        };
        let duration_s = params.session.duration(&role, chained)?;
        let source = params.source_identity.as_ref();
        let notes: Vec<String> = source
            .map(|name| format!("on behalf of {name}, as the caller says"))
            .into_iter()
            .collect();
        let opened = params
            .session
            .issue(context, &call.audit, &role, duration_s, &notes)
            .await?;
        Ok(opened.map(|opened| Reply {
            opened,
            source_identity: params.source_identity,
        }))
    }
}

fn is_made_of(text: &str, length: std::ops::RangeInclusive<usize>, others: &[u8]) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || others.contains(&b);
    length.contains(&text.len()) && text.bytes().all(good)
}

api_error!(Error {
    Session(InvalidSession),
    ExternalId => InvalidExternalId,
    SourceIdentity => InvalidSourceIdentity,
    AccountCaller => AccountCannotAssumeRole,
    NoRole => AssumedRoleNotFound,
    Untrusted | NotFoundOrDenied => AssumeRoleDenied,
    Store(StoreError),
});
