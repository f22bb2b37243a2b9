//! Step 9: may the caller do this. Nothing runs without an [`Authorized`], and only this file makes
//! one.

mod denied;
mod further;
mod judge;
mod resources;

pub use denied::{Denied, Unauthorized};
pub(crate) use denied::{policy_type, reason};
pub(crate) use judge::{Question, judge};
pub(crate) use resources::domain as domain_resource;

use std::time::Duration;

use edgeseal_core::{
    AccountId, Pattern, Timestamp,
    policy::{self, Principal, Sphere},
};
use edgeseal_store::catalog::Deed;

use crate::{
    actions::{Action, Target},
    admit::Admitted,
    authenticate::Caller,
    context::Context,
    domain_list::{self, DomainList},
    operation::kept,
    request::{self, Params},
    rights::Power,
};

/// A call that may run.
pub struct Authorized {
    caller: Caller,
    domains: DomainList,
    /// The action that is called.
    pub action: &'static Action,
    /// On whose behalf changes are made.
    pub deed: Deed,
}

/// Decides whether an admitted call may run.
///
/// # Errors
/// [`Denied`] with everything that the owner needs to mend it.
pub async fn authorize(context: &Context, admitted: Admitted) -> Result<Authorized, Unauthorized> {
    let Admitted(caller) = admitted;
    let action = caller.action;
    let domains = DomainList::read(action, &caller.request.params);
    let resources = resources::of(context, &caller, &domains).await?;
    let sphere = sphere(action, &caller.principal, resources::named_account(&caller));
    let question = Question {
        sphere,
        action: action.permission.to_owned(),
        resources,
        circumstances: circumstances(&caller),
    };
    let (decision, question) =
        judge(context, &caller.principal, caller.power.as_ref(), question).await?;
    if decision.is_allowed() {
        return Ok(Authorized {
            deed: deed(&caller),
            action,
            caller,
            domains,
        });
    }
    Err(denied::denied(context, &caller, &question, &decision))
}

/// Whose things a call of `action` acts upon that names `account`. Only the root account has keys
/// that an operator may name and that are his own.
pub(crate) fn sphere(action: &Action, principal: &Principal, account: &str) -> Sphere {
    match action.target {
        Target::Account if account == principal.account().as_str() => Sphere::RootKeys,
        _ => action.sphere,
    }
}

/// What conditions see of a call.
fn circumstances(caller: &Caller) -> policy::Context {
    policy::Context {
        source_ip: Some(caller.request.source),
        secure_transport: Some(caller.request.secure),
        ..policy::Context::new(caller.now)
    }
}

/// On whose behalf a refusal before authorization is recorded.
#[must_use]
pub fn deed(caller: &Caller) -> Deed {
    Deed {
        principal: caller.principal.arn().to_string(),
        nonce: caller.nonce.clone(),
        ..deed_of(
            &caller.request,
            caller.action,
            caller.principal.account(),
            &caller.access_key,
            caller.now,
        )
    }
}

/// What is recorded of a request that names an access key, whether or not it is signed with it.
pub(crate) fn deed_of(
    request: &request::Request,
    action: &'static Action,
    account: &AccountId,
    access_key: &str,
    now: Timestamp,
) -> Deed {
    let named = domain_list::as_given(action, &request.params);
    Deed {
        account: account.clone(),
        // Nobody is proven yet.
        principal: String::new(),
        access_key: access_key.to_owned(),
        source: request.source.to_string(),
        action: action.name.to_owned(),
        // Fifty names of domains, and some of their length.
        resource: kept(&named, 2000),
        request: request.id.clone(),
        nonce: None,
        now,
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

    /// What policies let the caller do; `None` for an account itself.
    #[must_use]
    pub const fn power(&self) -> Option<&Power> {
        self.caller.power.as_ref()
    }

    /// What conditions see of the call.
    #[must_use]
    pub fn circumstances(&self) -> policy::Context {
        circumstances(&self.caller)
    }

    /// Id of the access key that signed the call.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.caller.access_key
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.caller.request.params
    }

    /// The domains that the call names; a name that is none is left out.
    #[must_use]
    pub fn domains(&self) -> Vec<Pattern> {
        self.domains.well_formed()
    }

    /// The domains that the caller was judged by.
    pub(crate) const fn domain_list(&self) -> &DomainList {
        &self.domains
    }

    /// How long the caller wishes to wait for edges: `Prefer: wait=N` (RFC 7240 §4.3).
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.caller.request.wait()
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
