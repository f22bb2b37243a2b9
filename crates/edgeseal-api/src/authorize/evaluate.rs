//! Policy evaluation; slow evaluations run outside the threads that serve traffic.
//!
//! Most evaluations take microseconds and run on the threads that serve traffic. One that exceeds
//! [`INLINE_STEPS_MAX`] is restarted on a separate thread, one at a time, with accounts taking
//! turns: whatever policies an account has, no call that evaluates quickly waits for them.

use edgeseal_core::policy::{
    self, Decision, Policies, Principal, Request, Resource, STEPS_MAX, Scope, decide_each_within,
    decide_with_steps,
};
use edgeseal_store::Fault;
use tokio::task::spawn_blocking;

use crate::{context::Context, error::StoreError, policy_cache::EffectivePolicies};

/// Steps of an evaluation on a serving thread: some tens of microseconds.
const INLINE_STEPS_MAX: u32 = 20_000;

/// A question to the policies of a principal.
pub(crate) struct PolicyQuery {
    pub(crate) scope: Scope,
    pub(crate) action: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) context: policy::RequestContext,
}

/// Decides whether `principal` may do what `query` asks. `policies` is `None` for an account
/// itself.
pub(crate) async fn evaluate(
    context: &Context,
    principal: &Principal,
    policies: Option<&EffectivePolicies>,
    query: PolicyQuery,
) -> Result<(Decision, PolicyQuery), StoreError> {
    response(context, principal, policies, query, decide_with_steps).await
}

/// Like [`evaluate`], but decides each resource of the query by itself, in order. The steps of all
/// together are limited.
pub(crate) async fn judge_each(
    context: &Context,
    principal: &Principal,
    policies: Option<&EffectivePolicies>,
    query: PolicyQuery,
) -> Result<(Vec<Decision>, PolicyQuery), StoreError> {
    response(context, principal, policies, query, decide_each_within).await
}

/// Decides a query within a number of steps.
type Decide<T> = fn(&Principal, Scope, &Policies<'_>, &Request<'_>, u32) -> T;

/// The result of a query.
trait Answer: Send + 'static {
    /// Whether the evaluation exceeded the limit of steps.
    fn took_too_many_steps(&self) -> bool;
}

async fn response<T: Answer>(
    context: &Context,
    principal: &Principal,
    policies: Option<&EffectivePolicies>,
    query: PolicyQuery,
    decide: Decide<T>,
) -> Result<(T, PolicyQuery), StoreError> {
    let quick = query.decide(principal, policies, decide, INLINE_STEPS_MAX);
    if !quick.took_too_many_steps() {
        return Ok((quick, query));
    }
    let turn = context.slow_decisions.acquire(principal.account_id()).await;
    let (principal, policies) = (principal.clone(), policies.cloned());
    let long = spawn_blocking(move || {
        let _turn = turn;
        let response = query.decide(&principal, policies.as_ref(), decide, STEPS_MAX);
        if response.took_too_many_steps() {
            tracing::warn!(
                principal = %principal.arn(),
                action = query.action,
                "policy evaluation exceeded the step limit; the call is refused"
            );
        }
        (response, query)
    });
    let long = long.await.map_err(Fault::of("decide"))?;
    Ok(long)
}

impl PolicyQuery {
    fn decide<T>(
        &self,
        principal: &Principal,
        policies: Option<&EffectivePolicies>,
        decide: Decide<T>,
        steps: u32,
    ) -> T {
        let request = Request {
            action: &self.action,
            resources: &self.resources,
            context: &self.context,
        };
        let decide =
            |policies: &Policies<'_>| decide(principal, self.scope, policies, &request, steps);
        policies.map_or_else(
            || decide(&Policies::NONE),
            |policies| policies.evaluate(decide),
        )
    }
}

impl Answer for Decision {
    fn took_too_many_steps(&self) -> bool {
        self.exceeded_steps()
    }
}

impl Answer for Vec<Decision> {
    fn took_too_many_steps(&self) -> bool {
        self.iter().any(Decision::exceeded_steps)
    }
}
