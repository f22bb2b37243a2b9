//! dns-01 as orders use it.

use async_trait::async_trait;
use edgeseal_core::domain::Environment;

use super::{DnsChallengeError, DnsSolver, TxtChallenge};
use crate::{
    challenge::{Challenge, ChallengeMethod, ChallengeSolver},
    error::OrderError,
};

#[async_trait]
impl ChallengeSolver for DnsSolver {
    fn method(&self) -> ChallengeMethod {
        ChallengeMethod::Dns01
    }

    fn can_answer(&self, _: &Challenge) -> bool {
        true
    }

    async fn provision(&self, _: Environment, challenges: &[Challenge]) -> Result<(), OrderError> {
        Ok(self.publish(&records(challenges)).await?)
    }

    async fn clean_up(&self, _: Environment, challenges: &[Challenge]) -> Result<(), OrderError> {
        Ok(self.withdraw(&records(challenges)).await?)
    }
}

impl From<DnsChallengeError> for OrderError {
    fn from(error: DnsChallengeError) -> Self {
        match error {
            DnsChallengeError::Store(fault) => Self::Store(fault),
            // The owner of the domain reads the reason. Commands and what they write may contain the
            // operator's secrets.
            DnsChallengeError::NotRun { .. }
            | DnsChallengeError::Failed { .. }
            | DnsChallengeError::TimedOut { .. } => {
                let error = error.to_string();
                tracing::warn!(error, "the command of acme_dns failed");
                let reason =
                    "the operator's command that publishes DNS records failed; the log says why";
                Self::Unable(reason.to_owned())
            }
            other => Self::Unable(other.to_string()),
        }
    }
}

fn records(challenges: &[Challenge]) -> Vec<TxtChallenge<'_>> {
    let challenges = challenges.iter();
    challenges
        .map(|challenge| TxtChallenge {
            name: &challenge.name,
            token: &challenge.token,
            key_authorization: &challenge.key_authorization,
            value: &challenge.dns_value,
        })
        .collect()
}
