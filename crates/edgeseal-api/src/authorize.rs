//! Step 5 of a call: whether the caller may make it. Nothing runs without an [`Authorized`], which
//! only this module constructs.

mod denied;
mod evaluate;
mod further;
mod resources;

pub use denied::{Denied, Unauthorized};
pub(crate) use denied::{denial_reason, policy_type};
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
    authenticate::Caller,
    context::Context,
    domain_list::{self, DomainList},
    policy_cache::EffectivePolicies,
    rate_limit::WithinRate,
    request::{self, ParamMap},
    sanitize::sanitize_to,
};

/// An authorized call.
pub struct Authorized {
    caller: Caller,
    domains: DomainList,
    /// The called action.
    pub action: &'static Action,
    /// The audit context of changes.
    pub audit: AuditContext,
}

/// Decides whether a call within its rate may run.
///
/// # Errors
/// [`Unauthorized`]: the caller is denied, with everything that the account's owner needs to fix
/// it, or the store failed.
pub async fn authorize(
    context: &Context,
    WithinRate(caller): WithinRate,
) -> Result<Authorized, Unauthorized> {
    let action = caller.action;
    let domains = DomainList::from_request(action, &caller.request.params);
    let resources = resources::resolve(context, &caller, &domains).await?;
    let scope = scope(action, &caller.principal, resources::named_account(&caller));
    let query = PolicyQuery {
        scope,
        action: action.permission.to_owned(),
        resources,
        context: policy_context(&caller),
    };
    let (decision, query) =
        evaluate(context, &caller.principal, caller.policies.as_ref(), query).await?;
    if decision.is_allowed() {
        return Ok(Authorized {
            audit: audit_context(&caller),
            action,
            caller,
            domains,
        });
    }
    Err(denied::denied(context, &caller, &query, &decision))
}

/// The scope of a call of `action` that names `account`. It is [`Scope::RootKeys`] only if the call
/// concerns keys of the root account.
pub(crate) fn scope(action: &Action, principal: &Principal, account: &str) -> Scope {
    match action.resource {
        ResourceKind::Account if account == principal.account_id().as_str() => Scope::RootKeys,
        _ => action.scope,
    }
}

/// The request context for policy conditions.
fn policy_context(caller: &Caller) -> policy::RequestContext {
    policy::RequestContext {
        source_ip: Some(caller.request.source),
        secure_transport: Some(caller.request.secure),
        ..policy::RequestContext::new(caller.now)
    }
}

/// The audit context of a call whose caller is authenticated.
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

/// The audit context of a request that names an access key, whether or not the signature is valid.
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
        // No principal is authenticated yet.
        principal: String::new(),
        access_key: access_key.to_owned(),
        source: request.source.to_string(),
        action: action.name.to_owned(),
        // Enough for fifty domain names of usual length.
        resource: sanitize_to(&named, 2000),
        request_id: request.id.clone(),
        nonce: None,
        now,
    }
}

impl Authorized {
    /// The account that the call acts on.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        self.caller.principal.account_id()
    }

    /// The caller.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// The policies of the caller; `None` for an account itself.
    #[must_use]
    pub const fn policies(&self) -> Option<&EffectivePolicies> {
        self.caller.policies.as_ref()
    }

    /// The request context for policy conditions.
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

    /// The domains that the call names, without invalid names.
    #[must_use]
    pub fn domain_names(&self) -> Vec<DomainPattern> {
        self.domains.valid_names()
    }

    /// The domains for which the caller was authorized.
    pub(crate) const fn domain_list(&self) -> &DomainList {
        &self.domains
    }

    /// How long the caller wants to wait for edges: `Prefer: wait=N` (RFC 7240 §4.3).
    #[must_use]
    pub fn prefer_wait(&self) -> Option<Duration> {
        self.caller.request.prefer_wait()
    }

    /// The `Host` header as sent, with its port if it has one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.caller.request.header("host")
    }

    /// When the request arrived.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.caller.now
    }
}

#[cfg(test)]
mod tests;
