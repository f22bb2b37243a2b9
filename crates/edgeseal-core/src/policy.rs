//! Authorization: the one decision point.
//!
//! An account's own key may do everything in its account; users of the account, and sessions of its
//! roles, may do what policies allow. Only the root account, and identities that it permits,
//! operate Edgeseal itself. [`decide`] makes this decision.
//!
//! Policies are RAM policy documents. Read [`document`] for their grammar, [`evaluate()`] for the
//! order of evaluation, `condition.rs` for the operators.
//!
//! Where the cloud's pages leave something open, the interpretation that grants less is used.

mod budget;
mod condition;
pub mod document;
mod evaluate;
mod glob;
mod invalid;
mod json;
mod minimal;
mod prepared;
mod principal;
mod request;
pub mod system;

pub use budget::STEPS_MAX;
pub use document::{Document, TrustDocument};
pub use evaluate::{
    AssumingPrincipal, AttachedPolicy, Decision, Layer, Policies, Reason, Verdict, evaluate,
    evaluate_each_within, evaluate_with_steps, may_assume,
};
pub use invalid::InvalidPolicy;
pub use minimal::renewal_policy;
pub use principal::{IdentityArn, Principal, PrincipalArn};
pub use request::{Request, RequestContext, Resource};

/// Who owns what a request acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A resource of the caller's own account.
    OwnAccount,
    /// Edgeseal itself: accounts, keys of other accounts, domain modes.
    Operator,
    /// The access keys of the root account. Such a key may do everything and lasts until it is
    /// deleted, so no permission that can be delegated, and no session, reaches them.
    RootKeys,
    /// The caller itself: asking for its own identity needs no permission.
    Caller,
}

/// Decides whether `principal` may do what `request` asks for in `scope`. `policies` are those of
/// the principal; an account itself has none and needs none.
#[must_use]
pub fn decide(
    principal: &Principal,
    sphere: Scope,
    policies: &Policies<'_>,
    request: &Request<'_>,
) -> Decision {
    decide_with_steps(principal, sphere, policies, request, STEPS_MAX)
}

/// As [`decide`], with another step limit than [`STEPS_MAX`].
#[must_use]
pub fn decide_with_steps(
    principal: &Principal,
    sphere: Scope,
    policies: &Policies<'_>,
    request: &Request<'_>,
    steps: u32,
) -> Decision {
    match unasked(principal, sphere) {
        Some(verdict) => Decision {
            verdict,
            reason: None,
        },
        None => evaluate_with_steps(policies, request, steps),
    }
}

/// As [`decide_with_steps`], for each of the request's resources separately, in their order. All
/// these decisions share the steps.
#[must_use]
pub fn decide_each_within(
    principal: &Principal,
    sphere: Scope,
    policies: &Policies<'_>,
    request: &Request<'_>,
    steps: u32,
) -> Vec<Decision> {
    match unasked(principal, sphere) {
        Some(verdict) => vec![
            Decision {
                verdict,
                reason: None
            };
            request.resources.len()
        ],
        None => evaluate_each_within(policies, request, steps),
    }
}

/// The verdict if it does not depend on policies; `None` if it does.
fn unasked(principal: &Principal, sphere: Scope) -> Option<Verdict> {
    let owner = principal.owner();
    match (sphere, principal) {
        (Scope::Operator | Scope::RootKeys, _) if !owner.root => Some(Verdict::ImplicitDeny),
        (Scope::RootKeys, Principal::User { .. } | Principal::Role { .. }) => {
            Some(Verdict::ImplicitDeny)
        }
        (Scope::Caller, _) | (_, Principal::Account(_)) => Some(Verdict::Allowed),
        (_, Principal::User { .. } | Principal::Role { .. }) => None,
    }
}

#[cfg(test)]
mod tests;
