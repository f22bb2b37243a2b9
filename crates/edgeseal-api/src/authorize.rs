//! Step 9: may the caller do this. Nothing runs without an [`Authorized`], and only this file makes
//! one.

use edgeseal_core::{
    AccountId, Pattern, Timestamp,
    policy::{Principal, Verdict, may},
};
use edgeseal_store::catalog::Deed;

use crate::{
    actions::{Action, Target},
    admit::Admitted,
    authenticate::Caller,
    code::Code,
    operation::{AccessDenied, Failure},
    request::Params,
};

/// A call that may run.
pub struct Authorized {
    caller: Caller,
    /// The action that is called.
    pub action: &'static Action,
    /// On whose behalf changes are made.
    pub deed: Deed,
}

/// The principal may not do this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only the root account of this Edgeseal may do this")]
pub struct Denied {
    /// What was denied.
    action: &'static str,
    /// On what.
    resource: String,
    /// To whom.
    principal: Box<Principal>,
}

/// Decides whether an admitted call may run.
///
/// # Errors
/// [`Denied`] with everything that the owner needs to mend it.
pub fn authorize(admitted: Admitted) -> Result<Authorized, Denied> {
    let Admitted(caller) = admitted;
    let action = caller.action;
    let resource = resource(
        action.target,
        caller.principal.account(),
        &caller.request.params,
    );
    match may(&caller.principal, action.sphere) {
        Verdict::Allowed => Ok(Authorized {
            deed: deed(&caller),
            action,
            caller,
        }),
        Verdict::ExplicitDeny | Verdict::ImplicitDeny => Err(Denied {
            action: action.permission,
            resource,
            principal: Box::new(caller.principal),
        }),
    }
}

/// On whose behalf a refusal before authorization is recorded.
#[must_use]
pub fn deed(caller: &Caller) -> Deed {
    // Only the parameter that the action reads: another would let a caller write what he likes.
    let named_by = caller.action.named_by;
    let named = caller.request.params.get(named_by).unwrap_or_default();
    Deed {
        account: caller.principal.account().clone(),
        principal: caller.principal.arn().to_string(),
        access_key: caller.access_key.id.clone(),
        source: caller.request.source.to_string(),
        action: caller.action.name.to_owned(),
        // Fifty names of domains, and some of their length.
        resource: named.chars().take(2000).collect(),
        request: caller.request.id.clone(),
        nonce: caller.nonce.clone(),
        now: caller.now,
    }
}

impl Authorized {
    /// The account whose things are acted upon.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        self.caller.principal.account()
    }

    /// Who calls.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.caller.request.params
    }

    /// The host that was called, as the caller spelt it, with its port if it had one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.caller.request.header("host")
    }

    /// When the call came.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.caller.now
    }
}

/// The resource name of the permission page: `acs:cdn:*:{account}:domain/{domain}`. A name that is
/// none stands as it was given: a later step refuses it.
fn resource(target: Target, account: &AccountId, params: &Params) -> String {
    match target {
        Target::Domain => {
            let given = params.get("DomainName").unwrap_or_default();
            let name =
                Pattern::parse(given).map_or_else(|_| given.to_owned(), |name| name.to_string());
            format!("acs:cdn:*:{account}:domain/{name}")
        }
        Target::Domains => format!("acs:cdn:*:{account}:domain/*"),
        Target::Service => format!("acs:cdn:*:{account}:*"),
        Target::Centre | Target::Everything => "*".to_owned(),
        Target::Edgeseal => format!("acs:edgeseal:*:{account}:*"),
    }
}

impl Failure for Denied {
    fn code(&self) -> Code {
        Code::NoPermission
    }

    fn message(&self) -> String {
        self.code()
            .row()
            .message
            .replace("{resource}", &self.resource)
            .replace("{action}", self.action)
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn access_denied(&self) -> Option<AccessDenied> {
        let (kind, display_name) = match &*self.principal {
            Principal::Account(account) => ("Account", account.name.clone()),
            Principal::User { id, .. } => ("SubUser", id.clone()),
            Principal::Role { role, session, .. } => {
                ("AssumedRoleUser", format!("{role}:{session}"))
            }
        };
        Some(AccessDenied {
            auth_action: self.action.to_owned(),
            auth_principal_type: kind.to_owned(),
            auth_principal_owner_id: self.principal.account().to_string(),
            auth_principal_display_name: display_name,
            policy_type: "AccountLevelIdentityBasedPolicy".to_owned(),
            no_permission_type: "ImplicitDeny".to_owned(),
        })
    }
}
