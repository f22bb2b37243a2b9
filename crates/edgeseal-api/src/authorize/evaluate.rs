//! Decisions, where they may take their time.
//!
//! Most take microseconds, and are made where visitors are served as well. A decision that turns out
//! to be long begins anew on a thread of its own, one at a time, and one account's after those of
//! others: whatever policies an account writes, visitors do not wait for them.

use edgeseal_core::policy::{
    self, Decision, Policies, Principal, Request, Resource, STEPS_MAX, Scope, decide_each_within,
    decide_with_steps,
};
use edgeseal_store::Fault;
use tokio::task::spawn_blocking;

use crate::{context::Context, operation::StoreError, policy_cache::EffectivePolicies};

/// Steps of a decision that nobody waits behind: some tens of microseconds.
const INLINE_STEPS_MAX: u32 = 20_000;

/// What is to be decided.
pub(crate) struct PolicyQuery {
    pub(crate) scope: Scope,
    pub(crate) action: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) context: policy::RequestContext,
}

/// Decides whether `principal`, who has `power` unless it is an account itself, may do that.
pub(crate) async fn evaluate(
    context: &Context,
    principal: &Principal,
    power: Option<&EffectivePolicies>,
    question: PolicyQuery,
) -> Result<(Decision, PolicyQuery), StoreError> {
    answer(context, principal, power, question, decide_with_steps).await
}

/// As [`judge`], of each of the question's resources by itself, in their order: one question, which
/// costs as much as any other.
pub(crate) async fn judge_each(
    context: &Context,
    principal: &Principal,
    power: Option<&EffectivePolicies>,
    question: PolicyQuery,
) -> Result<(Vec<Decision>, PolicyQuery), StoreError> {
    answer(context, principal, power, question, decide_each_within).await
}

/// How a question is decided, within a number of steps.
type Decide<T> = fn(&Principal, Scope, &Policies<'_>, &Request<'_>, u32) -> T;

/// What a question comes to.
trait Answer: Send + 'static {
    /// Whether the steps did not suffice.
    fn took_too_many_steps(&self) -> bool;
}

async fn answer<T: Answer>(
    context: &Context,
    principal: &Principal,
    power: Option<&EffectivePolicies>,
    question: PolicyQuery,
    decide: Decide<T>,
) -> Result<(T, PolicyQuery), StoreError> {
    let quick = question.decide(principal, power, decide, INLINE_STEPS_MAX);
    if !quick.took_too_many_steps() {
        return Ok((quick, question));
    }
    let turn = context.slow_decisions.acquire(principal.account_id()).await;
    let (principal, power) = (principal.clone(), power.cloned());
    let long = spawn_blocking(move || {
        let _turn = turn;
        let answer = question.decide(&principal, power.as_ref(), decide, STEPS_MAX);
        if answer.took_too_many_steps() {
            tracing::warn!(
                principal = %principal.arn(),
                action = question.action,
                "the policies of a caller take too long to compare; the call is refused"
            );
        }
        (answer, question)
    });
    let long = long.await.map_err(Fault::of("decide"))?;
    Ok(long)
}

impl PolicyQuery {
    fn decide<T>(
        &self,
        principal: &Principal,
        power: Option<&EffectivePolicies>,
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
        power.map_or_else(|| decide(&Policies::NONE), |power| power.evaluate(decide))
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
