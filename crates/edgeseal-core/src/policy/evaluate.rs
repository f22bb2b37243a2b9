//! Evaluation of a request against policies.

use super::{
    budget::{STEPS_MAX, StepBudget},
    document::{Document, Effect, TrustDocument},
    glob::{Case, Haystack},
    prepared::{PreparedContext, PreparedRequest},
    principal::{PrincipalArn, TrustedPrincipal},
    request::{Request, RequestContext, Resource},
};

/// All policies that apply to a request of a user or session.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a> {
    /// The policies of the identity: those of the user and its groups, or those of the role.
    pub identity: &'a [AttachedPolicy<'a>],
    /// The session policy: the `Policy` with which the role was assumed.
    pub session: Option<&'a Document>,
}

impl Policies<'_> {
    /// No policies at all.
    pub const NONE: Self = Policies {
        identity: &[],
        session: None,
    };
}

/// A policy attached to an identity.
#[derive(Clone, Copy, Debug)]
pub struct AttachedPolicy<'a> {
    /// Its name.
    pub name: &'a str,
    /// The policy document.
    pub document: &'a Document,
}

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason; `None` if no policy was evaluated.
    pub reason: Option<Reason>,
}

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is allowed.
    Allowed,
    /// A statement denies the request.
    ExplicitDeny,
    /// No statement allows the request.
    ImplicitDeny,
}

/// Why a decision has its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A statement decided: the first that denies or, if none does, the first of the identity's
    /// policies that allows.
    Statement {
        /// The layer of the policy.
        layer: Layer,
        /// The name of the policy, if policies of the layer have names.
        policy: Option<String>,
        /// The index of the statement, from 0.
        statement: usize,
        /// The index of the request's resource, from 0.
        resource: usize,
    },
    /// No statement of this layer allows the request.
    NoAllow {
        /// The layer; the outermost if several do not allow it.
        layer: Layer,
        /// The index of the request's resource, from 0.
        resource: usize,
    },
    /// Evaluating the policies takes more steps than a decision may. Nothing is allowed then.
    TooManySteps {
        /// The index of the request's resource, from 0.
        resource: usize,
    },
}

/// Layers of policies, from the outermost to the innermost. Each layer that is present must allow
/// the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The session policy.
    Session,
    /// The policies of the identity.
    Identity,
    /// The trust policy of a role.
    Trust,
}

/// Longest resource name that is compared, in bytes: an account, a service and a domain name of 253
/// characters need fewer than 400. Nothing has a longer name, so a request for one is denied.
const ARN_BYTES_MAX: usize = 512;

/// The action that assumes a role, in lower case.
const ASSUME_ROLE: &str = "sts:assumerole";

/// Decides on a request of a user or session.
///
/// The order is that of the cloud's page "How RAM evaluates policies": a `Deny` that applies, in
/// any layer and to any of the resources, decides; otherwise each layer must have an `Allow` for
/// each of the resources. It takes at most [`STEPS_MAX`] steps.
#[must_use]
pub fn evaluate(policies: &Policies<'_>, request: &Request<'_>) -> Decision {
    evaluate_with_steps(policies, request, STEPS_MAX)
}

/// As [`evaluate`], with another step limit. More steps never change a decision for which fewer
/// sufficed.
#[must_use]
pub fn evaluate_with_steps(policies: &Policies<'_>, request: &Request<'_>, steps: u32) -> Decision {
    evaluate_with_budget(policies, request, &StepBudget::new(steps))
}

/// As [`evaluate_with_steps`], with a budget that can be used further.
pub(super) fn evaluate_with_budget(
    policies: &Policies<'_>,
    request: &Request<'_>,
    steps: &StepBudget,
) -> Decision {
    let (mut decided, mut refused, mut allowed) = (None, None, None);
    visit(policies, request, steps, |decision| {
        let first = match decision.verdict {
            Verdict::ImplicitDeny if !decision.exceeded_steps() => &mut refused,
            Verdict::ImplicitDeny | Verdict::ExplicitDeny => &mut decided,
            Verdict::Allowed => &mut allowed,
        };
        first.get_or_insert(decision);
        decided.is_none()
    });
    let nothing_asked = || Decision::no_allow(Layer::Identity, 0);
    decided
        .or(refused)
        .or(allowed)
        .unwrap_or_else(nothing_asked)
}

/// Decides on each of the resources separately, in their order. All decisions share `steps`; from
/// the first resource for which they do not suffice, nothing is allowed.
#[must_use]
pub fn evaluate_each_within(
    policies: &Policies<'_>,
    request: &Request<'_>,
    steps: u32,
) -> Vec<Decision> {
    let mut decisions = Vec::with_capacity(request.resources.len());
    visit(policies, request, &StepBudget::new(steps), |decision| {
        decisions.push(decision);
        true
    });
    decisions
}

/// Decides on one resource after the other, until `go_on` returns false.
fn visit(
    policies: &Policies<'_>,
    request: &Request<'_>,
    steps: &StepBudget,
    mut go_on: impl FnMut(Decision) -> bool,
) {
    let action = Haystack::new(request.action.to_ascii_lowercase(), Case::Insensitive);
    let circumstances = PreparedContext::of(request.context);
    for (index, resource) in request.resources.iter().enumerate() {
        let decide = || {
            let asked = PreparedRequest::new(&action, resource, &circumstances, steps);
            evaluate_one(policies, &asked, index, resource)
        };
        let decided = (!steps.is_exhausted()).then(decide);
        let decided = decided.filter(|_| !steps.is_exhausted());
        if !go_on(decided.unwrap_or_else(|| Decision::too_many_steps(index))) {
            return;
        }
    }
}

/// A principal that asks to assume a role.
#[derive(Clone, Copy, Debug)]
pub struct AssumingPrincipal<'a> {
    /// Its name.
    pub arn: &'a PrincipalArn,
    /// Whether the user or role was recreated under its name after the trust policy was written. An
    /// `Allow` for that name then does not apply to it; a `Deny` does.
    pub is_recreated: bool,
}

/// Decides whether the trust policy of a role lets `assumer` assume it.
///
/// This is one half: a user or role also needs [`evaluate`] to allow `sts:AssumeRole` on the role's
/// ARN. The key of an account itself assumes no role.
#[must_use]
pub fn may_assume(
    trust: &TrustDocument,
    assumer: AssumingPrincipal<'_>,
    context: &RequestContext,
) -> Decision {
    let role = Resource::new("");
    let action = Haystack::new(ASSUME_ROLE, Case::Insensitive);
    let circumstances = PreparedContext::of(context);
    let steps = StepBudget::new(STEPS_MAX);
    let asked = PreparedRequest::new(&action, &role, &circumstances, &steps);
    let statements = trust.statements.iter().map(|statement| {
        let applies = || {
            let is_meant = |trusted: &TrustedPrincipal| {
                let by_name = assumer.is_recreated && trusted.identity().is_some();
                trusted.matches(assumer.arn) && !(by_name && statement.effect == Effect::Allow)
            };
            statement.principals.iter().any(is_meant) && statement.applies(&asked)
        };
        (statement.effect, applies)
    });
    let found = StatementMatch::first_match(statements, false);
    if steps.is_exhausted() {
        return Decision::too_many_steps(0);
    }
    found.decide(Layer::Trust, None, 0)
}

/// Decides on the resource with this index.
fn evaluate_one(
    policies: &Policies<'_>,
    asked: &PreparedRequest<'_>,
    index: usize,
    resource: &Resource,
) -> Decision {
    if resource.arn().len() > ARN_BYTES_MAX {
        return Decision::no_allow(Layer::Identity, index);
    }
    let find = |document: &Document, denials_only: bool| {
        let statements = document.statements.iter().map(|statement| {
            let applies = || {
                let is_deny = statement.effect == Effect::Deny;
                statement.applies(asked) || (is_deny && statement.denies_related(asked))
            };
            (statement.effect, applies)
        });
        StatementMatch::first_match(statements, denials_only)
    };
    let session = policies.session.map(|document| find(document, false));
    if let Some(denied @ StatementMatch::Deny(_)) = session {
        return denied.decide(Layer::Session, None, index);
    }
    let mut allowed = None;
    for attached in policies.identity {
        match find(attached.document, allowed.is_some()) {
            denied @ StatementMatch::Deny(_) => {
                return denied.decide(Layer::Identity, Some(attached.name), index);
            }
            found @ StatementMatch::Allow(_) => allowed = allowed.or(Some((found, attached.name))),
            StatementMatch::NoMatch => {}
        }
    }
    match (session, allowed) {
        (Some(StatementMatch::NoMatch), _) => Decision::no_allow(Layer::Session, index),
        (_, None) => Decision::no_allow(Layer::Identity, index),
        (_, Some((found, name))) => found.decide(Layer::Identity, Some(name), index),
    }
}

/// The result of one document, with the deciding statement.
#[derive(Clone, Copy)]
enum StatementMatch {
    Deny(usize),
    Allow(usize),
    NoMatch,
}

impl StatementMatch {
    /// Finds the first `Deny` that applies, or else the first `Allow`. `Allow` statements are
    /// evaluated only while they can change the result.
    fn first_match<F: Fn() -> bool>(
        statements: impl Iterator<Item = (Effect, F)>,
        denials_only: bool,
    ) -> Self {
        let mut found = Self::NoMatch;
        for (at, (effect, applies)) in statements.enumerate() {
            match (effect, found) {
                (Effect::Deny, _) if applies() => return Self::Deny(at),
                (Effect::Allow, Self::NoMatch) if !denials_only && applies() => {
                    found = Self::Allow(at);
                }
                _ => {}
            }
        }
        found
    }

    fn decide(self, layer: Layer, policy: Option<&str>, resource: usize) -> Decision {
        let (verdict, statement) = match self {
            Self::Deny(at) => (Verdict::ExplicitDeny, at),
            Self::Allow(at) => (Verdict::Allowed, at),
            Self::NoMatch => return Decision::no_allow(layer, resource),
        };
        Decision {
            verdict,
            reason: Some(Reason::Statement {
                layer,
                policy: policy.map(str::to_owned),
                statement,
                resource,
            }),
        }
    }
}

impl Decision {
    const fn no_allow(layer: Layer, resource: usize) -> Self {
        Self {
            verdict: Verdict::ImplicitDeny,
            reason: Some(Reason::NoAllow { layer, resource }),
        }
    }

    const fn too_many_steps(resource: usize) -> Self {
        Self {
            verdict: Verdict::ImplicitDeny,
            reason: Some(Reason::TooManySteps { resource }),
        }
    }

    /// Whether the request is denied only because the steps did not suffice.
    #[must_use]
    pub const fn exceeded_steps(&self) -> bool {
        matches!(self.reason, Some(Reason::TooManySteps { .. }))
    }

    /// Whether the request is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed)
    }
}
