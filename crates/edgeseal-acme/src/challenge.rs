//! Challenges (RFC 8555 §8): how it is proved that we control a name.

use std::sync::Arc;

use async_trait::async_trait;
use edgeseal_core::domain::Environment;
pub use edgeseal_store::record::{Challenge, ChallengeMethod};

use crate::error::OrderError;

/// Answers challenges of one kind.
///
/// What is provisioned is recorded in the store before [`provision`](Self::provision) is called,
/// and removed from that record only after [`clean_up`](Self::clean_up) succeeded: so it is cleaned
/// up also after a crash at any moment. Both must therefore accept to be called twice, and
/// `clean_up` for what was never provisioned.
#[async_trait]
pub trait ChallengeSolver: Send + Sync + 'static {
    /// The kind of challenge that it answers.
    fn method(&self) -> ChallengeMethod;

    /// Whether it can answer this challenge of its kind.
    fn can_answer(&self, challenge: &Challenge) -> bool {
        !challenge.wildcard
    }

    /// Publishes the answers, and waits until an authority can see them.
    ///
    /// # Errors
    /// [`OrderError`]; the order fails then, and [`clean_up`](Self::clean_up) is called.
    async fn provision(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError>;

    /// Removes the answers.
    ///
    /// # Errors
    /// [`OrderError`]; it is called again later.
    async fn clean_up(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError>;
}

/// Picks the challenge of an authorization that is answered: by the first method of `preferred`
/// that is offered and that a solver can answer. An empty list stands for the order of the solvers.
pub(crate) fn choose<'a>(
    solvers: &[Arc<dyn ChallengeSolver>],
    preferred: &[ChallengeMethod],
    offered: &'a [Challenge],
) -> Option<&'a Challenge> {
    let can_answer = |challenge: &&Challenge| {
        let mut solvers = solvers.iter();
        solvers.any(|it| it.method() == challenge.method && it.can_answer(challenge))
    };
    let all: Vec<ChallengeMethod> = solvers.iter().map(|solver| solver.method()).collect();
    let preferred = if preferred.is_empty() {
        &all
    } else {
        preferred
    };
    preferred.iter().find_map(|method| {
        let mut offered = offered.iter().filter(|it| it.method == *method);
        offered.find(can_answer)
    })
}
