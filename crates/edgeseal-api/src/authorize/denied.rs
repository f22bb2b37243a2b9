//! Denied calls, with everything that the account's owner needs to fix them.

use edgeseal_core::policy::{self, Decision, Layer, Principal, Reason, Resource, Scope, Verdict};

use super::evaluate::PolicyQuery;
use crate::{
    authenticate::Caller,
    code::Code,
    context::Context,
    diagnostic_message::DiagnosticMessage,
    error::{AccessDenied, ApiError, StoreError},
    rate_limit::record_denial,
};

/// Errors of authorization.
#[derive(Debug, thiserror::Error)]
pub enum Unauthorized {
    /// The caller lacks the permission.
    #[error(transparent)]
    Denied(Box<Denied>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The caller lacks a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    resource: String,
    reason: String,
    access_denied: AccessDenied,
}

/// Counts the denial, and returns the error for a `decision` that does not allow the call.
pub(super) fn denied(
    context: &Context,
    caller: &Caller,
    query: &PolicyQuery,
    decision: &Decision,
) -> Unauthorized {
    record_denial(context, caller);
    Unauthorized::Denied(Box::new(Denied::new(
        context,
        &caller.principal,
        query,
        decision,
    )))
}

/// The reason of a decision as a sentence.
pub(crate) fn denial_reason(principal: &Principal, scope: Scope, decision: &Decision) -> String {
    let of = match principal {
        Principal::Account(account) => format!("account {}", account.name),
        Principal::User { name, .. } => format!("user {name}"),
        Principal::Role { role, .. } => format!("role {role}"),
    };
    match &decision.reason {
        None if scope == Scope::RootKeys => {
            "only a key of the root account itself may make, change or delete its keys; no right to \
             do so can be given to a user or a session"
                .to_owned()
        }
        None => "only the root account, or an identity it permits, may do this".to_owned(),
        Some(Reason::NoAllow { layer, .. }) => match layer {
            Layer::Session => "the policy of the session does not allow it".to_owned(),
            Layer::Identity => format!("no policy of {of} allows it"),
            Layer::Trust => "the trust policy of the role does not name the caller".to_owned(),
        },
        Some(Reason::TooManySteps { .. }) => format!(
            "evaluating the policies of {of} takes more than {} steps: write fewer \
             resources and wildcards, or name fewer domains in a call",
            policy::STEPS_MAX
        ),
        Some(Reason::Statement {
            layer,
            policy,
            statement,
            ..
        }) => {
            let number = statement + 1;
            let verb = if decision.is_allowed() {
                "allows"
            } else {
                "denies"
            };
            match (layer, policy) {
                (Layer::Identity, Some(name)) => {
                    format!("statement {number} of policy {name}, which {of} has, {verb} it")
                }
                (Layer::Session, _) => {
                    format!("statement {number} of the policy of the session {verb} it")
                }
                _ => format!("statement {number} of the trust policy of the role {verb} it"),
            }
        }
    }
}

/// The cloud's name of a kind of policy.
pub(crate) const fn policy_type(layer: Layer) -> &'static str {
    match layer {
        Layer::Session => "SessionPolicy",
        Layer::Identity => "AccountLevelIdentityBasedPolicy",
        Layer::Trust => "AssumeRolePolicy",
    }
}

impl ApiError for Denied {
    fn code(&self) -> Code {
        Code::NoPermission
    }

    fn codes() -> Vec<Code> {
        vec![Code::NoPermission]
    }

    fn message(&self) -> String {
        let message = self.code().spec().message;
        message
            .replace("{resource}", &self.resource)
            .replace("{action}", &self.access_denied.auth_action)
    }

    fn access_denied(&self) -> Option<AccessDenied> {
        Some(self.access_denied.clone())
    }
}

impl ApiError for Unauthorized {
    fn code(&self) -> Code {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn codes() -> Vec<Code> {
        [Denied::codes(), StoreError::codes()].concat()
    }

    fn inner(&self) -> Option<&dyn ApiError> {
        match self {
            Self::Denied(denied) => Some(denied.as_ref()),
            Self::Store(error) => Some(error),
        }
    }
}

impl Denied {
    fn new(
        context: &Context,
        principal: &Principal,
        query: &PolicyQuery,
        decision: &Decision,
    ) -> Self {
        let about = match &decision.reason {
            Some(
                Reason::Statement { resource, .. }
                | Reason::NoAllow { resource, .. }
                | Reason::TooManySteps { resource },
            ) => *resource,
            None => 0,
        };
        let resource = query.resources.get(about).map_or("*", Resource::arn);
        let (kind, display_name) = match principal {
            Principal::Account(account) => ("Account", account.name.clone()),
            Principal::User { id, .. } => ("SubUser", id.clone()),
            Principal::Role { role, session, .. } => {
                ("AssumedRoleUser", format!("{role}:{session}"))
            }
        };
        let (layer, policy) = match &decision.reason {
            Some(Reason::Statement { layer, policy, .. }) => (*layer, policy.clone()),
            Some(Reason::NoAllow { layer, .. }) => (*layer, None),
            Some(Reason::TooManySteps { .. }) | None => (Layer::Identity, None),
        };
        let access_denied = AccessDenied {
            auth_action: query.action.clone(),
            auth_principal_type: kind.to_owned(),
            auth_principal_owner_id: principal.account_id().to_string(),
            auth_principal_display_name: display_name,
            policy_type: policy_type(layer).to_owned(),
            no_permission_type: match decision.verdict {
                Verdict::ExplicitDeny => "ExplicitDeny",
                Verdict::ImplicitDeny | Verdict::Allowed => "ImplicitDeny",
            }
            .to_owned(),
            encoded_diagnostic_message: String::new(),
        };
        let diagnosis = DiagnosticMessage {
            access_denied: access_denied.clone(),
            resource: resource.to_owned(),
            policy,
            reason: denial_reason(principal, query.scope, decision),
        };
        Self {
            resource: resource.to_owned(),
            access_denied: AccessDenied {
                encoded_diagnostic_message: diagnosis.encode(context.catalog.keyring()),
                ..access_denied
            },
            reason: diagnosis.reason,
        }
    }
}
