//! Step 9: may the caller do this. Nothing runs without an [`Authorized`], and only this file makes
//! one.

mod denied;
mod evaluate;
mod further;
mod resources;

pub use denied::{Denied, Unauthorized};
pub(crate) use denied::{policy_type, reason};
pub(crate) use evaluate::{PolicyQuery, evaluate};
pub(crate) use resources::domain_resource;

use std::time::Duration;

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    policy::{self, Principal, Scope},
};
use edgeseal_store::catalog::AuditContext;

use crate::{
    actions::{Action, ResourceKind},
    admit::Admitted,
    authenticate::Caller,
    context::Context,
    domain_list::{self, DomainList},
    operation::sanitize_to,
    policy_cache::EffectivePolicies,
    request::{self, ParamMap},
};

/// A call that may run.
pub struct Authorized {
    caller: Caller,
    domains: DomainList,
    /// The action that is called.
    pub action: &'static Action,
    /// On whose behalf changes are made.
    pub audit: AuditContext,
}

/// Decides whether an admitted call may run.
///
/// # Errors
/// [`Denied`] with everything that the owner needs to mend it.
pub async fn authorize(context: &Context, admitted: Admitted) -> Result<Authorized, Unauthorized> {
    let Admitted(caller) = admitted;
    let action = caller.action;
    let domains = DomainList::from_request(action, &caller.request.params);
    let resources = resources::resolve(context, &caller, &domains).await?;
    let sphere = scope(action, &caller.principal, resources::named_account(&caller));
    let question = PolicyQuery {
        scope: sphere,
        action: action.permission.to_owned(),
        resources,
        context: policy_context(&caller),
    };
    let (decision, question) = evaluate(
        context,
        &caller.principal,
        caller.policies.as_ref(),
        question,
    )
    .await?;
    if decision.is_allowed() {
        return Ok(Authorized {
            audit: audit_context(&caller),
            action,
            caller,
            domains,
        });
    }
    Err(denied::denied(context, &caller, &question, &decision))
}

/// Whose things a call of `action` acts upon that names `account`. Only the root account has keys
/// that an operator may name and that are his own.
pub(crate) fn scope(action: &Action, principal: &Principal, account: &str) -> Scope {
    match action.resource {
        ResourceKind::Account if account == principal.account_id().as_str() => Scope::RootKeys,
        _ => action.scope,
    }
}

/// What conditions see of a call.
fn policy_context(caller: &Caller) -> policy::RequestContext {
    policy::RequestContext {
        source_ip: Some(caller.request.source),
        secure_transport: Some(caller.request.secure),
        ..policy::RequestContext::new(caller.now)
    }
}

/// On whose behalf a refusal before authorization is recorded.
#[must_use]
pub fn audit_context(caller: &Caller) -> AuditContext {
    AuditContext {
        principal: caller.principal.arn().to_string(),
        nonce: caller.nonce.clone(),
        ..unverified_audit_context(
            &caller.request,
            caller.action,
            caller.principal.account_id(),
            &caller.access_key,
            caller.now,
        )
    }
}

/// What is recorded of a request that names an access key, whether or not it is signed with it.
pub(crate) fn unverified_audit_context(
    request: &request::Request,
    action: &'static Action,
    account: &AccountId,
    access_key: &str,
    now: Timestamp,
) -> AuditContext {
    let named = domain_list::audit_resource(action, &request.params);
    AuditContext {
        account: account.clone(),
        // Nobody is proven yet.
        principal: String::new(),
        access_key: access_key.to_owned(),
        source: request.source.to_string(),
        action: action.name.to_owned(),
        // Fifty names of domains, and some of their length.
        resource: sanitize_to(&named, 2000),
        request_id: request.id.clone(),
        nonce: None,
        now,
    }
}

impl Authorized {
    /// The account whose things are acted upon.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        self.caller.principal.account_id()
    }

    /// Who calls.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// What policies let the caller do; `None` for an account itself.
    #[must_use]
    pub const fn policies(&self) -> Option<&EffectivePolicies> {
        self.caller.policies.as_ref()
    }

    /// What conditions see of the call.
    #[must_use]
    pub fn policy_context(&self) -> policy::RequestContext {
        policy_context(&self.caller)
    }

    /// Id of the access key that signed the call.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.caller.access_key
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &ParamMap {
        &self.caller.request.params
    }

    /// The domains that the call names; a name that is none is left out.
    #[must_use]
    pub fn domain_names(&self) -> Vec<DomainPattern> {
        self.domains.valid_names()
    }

    /// The domains that the caller was judged by.
    pub(crate) const fn domain_list(&self) -> &DomainList {
        &self.domains
    }

    /// How long the caller wishes to wait for edges: `Prefer: wait=N` (RFC 7240 §4.3).
    #[must_use]
    pub fn prefer_wait(&self) -> Option<Duration> {
        self.caller.request.prefer_wait()
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

#[cfg(test)]
mod tests;
