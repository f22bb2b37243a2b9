//! Decisions, where they may take their time.
//!
//! Most take microseconds, and are made where visitors are served as well. A decision that turns out
//! to be long begins anew on a thread of its own, one at a time, and one account's after those of
//! others: whatever policies an account writes, visitors do not wait for them.

use edgeseal_core::policy::{
    self, Decision, Policies, Principal, Request, Resource, STEPS_MAX, Sphere, decide_within,
};
use edgeseal_store::Fault;
use tokio::task::spawn_blocking;

use crate::{context::Context, operation::Trouble, rights::Power};

/// Steps of a decision that nobody waits behind: some tens of microseconds.
const QUICK_STEPS: u32 = 20_000;

/// What is to be decided.
pub(crate) struct Question {
    pub(crate) sphere: Sphere,
    pub(crate) action: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) circumstances: policy::Context,
}

/// Decides whether `principal`, who has `power` unless it is an account itself, may do that.
pub(crate) async fn judge(
    context: &Context,
    principal: &Principal,
    power: Option<&Power>,
    question: Question,
) -> Result<(Decision, Question), Trouble> {
    let quick = question.decide(principal, power, QUICK_STEPS);
    if !quick.took_too_many_steps() {
        return Ok((quick, question));
    }
    let turn = context.long_decisions.take(principal.account()).await;
    let (principal, power) = (principal.clone(), power.cloned());
    let long = spawn_blocking(move || {
        let _turn = turn;
        let decision = question.decide(&principal, power.as_ref(), STEPS_MAX);
        if decision.took_too_many_steps() {
            tracing::warn!(
                principal = %principal.arn(),
                action = question.action,
                "the policies of a caller take too long to compare; the call is refused"
            );
        }
        (decision, question)
    });
    let long = long.await.map_err(Fault::of("decide"))?;
    Ok(long)
}

impl Question {
    fn decide(&self, principal: &Principal, power: Option<&Power>, steps: u32) -> Decision {
        let request = Request {
            action: &self.action,
            resources: &self.resources,
            context: &self.circumstances,
        };
        let decide = |policies: &Policies<'_>| {
            decide_within(principal, self.sphere, policies, &request, steps)
        };
        power.map_or_else(|| decide(&Policies::NONE), |power| power.judge(decide))
    }
}
