//! Challenges that the edges answer: http-01 and tls-alpn-01. They reach the edges as every other
//! change does, through the store.

use std::time::Duration;

use async_trait::async_trait;
use edgeseal_core::{DomainName, Timestamp, challenge::KeyAuthorization, domain::Environment};
use edgeseal_store::{Catalog, record::ChallengeRecord};

use crate::{
    challenge::{Challenge, ChallengeMethod, ChallengeSolver},
    error::OrderError,
};

/// How long edges answer a challenge that nobody withdraws: longer than an authority takes to
/// validate, and than a restart.
const ANSWERED_MS: i64 = 60 * 60 * 1000;
/// How often it is looked whether the edges have confirmed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the edges are waited for, in milliseconds, before the authority is told all the same:
/// an edge without the challenge asks the store.
const CONFIRM_WITHIN_MS: i64 = 12_000;

/// Answers one of the two kinds.
pub struct EdgeSolver {
    method: ChallengeMethod,
    catalog: Catalog,
    clock: fn() -> Timestamp,
}

impl EdgeSolver {
    /// The solver for http-01 (RFC 8555 §8.3).
    #[must_use]
    pub const fn http_01(catalog: Catalog, clock: fn() -> Timestamp) -> Self {
        Self {
            method: ChallengeMethod::Http01,
            catalog,
            clock,
        }
    }

    /// The solver for tls-alpn-01 (RFC 8737).
    #[must_use]
    pub const fn tls_alpn_01(catalog: Catalog, clock: fn() -> Timestamp) -> Self {
        Self {
            method: ChallengeMethod::TlsAlpn01,
            catalog,
            clock,
        }
    }

    fn record(&self, challenge: &Challenge) -> Result<ChallengeRecord, OrderError> {
        let expires = (self.clock)().plus_ms(ANSWERED_MS);
        let host = DomainName::parse(&challenge.name);
        let host = host.map_err(|error| OrderError::Unable(error.to_string()))?;
        let authorization = KeyAuthorization::parse(&challenge.key_authorization);
        let authorization = authorization.map_err(|error| OrderError::Unable(error.to_string()))?;
        Ok(match self.method {
            ChallengeMethod::TlsAlpn01 => {
                ChallengeRecord::tls_alpn_01(host, &authorization, expires)
            }
            _ => ChallengeRecord::http_01(host, authorization, expires),
        })
    }
}

#[async_trait]
impl ChallengeSolver for EdgeSolver {
    fn method(&self) -> ChallengeMethod {
        self.method
    }

    async fn provision(
        &self,
        environment: Environment,
        challenges: &[Challenge],
    ) -> Result<(), OrderError> {
        let records = challenges.iter().map(|challenge| self.record(challenge));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        let revision = self.catalog.publish_challenges(&records).await?;
        let published = (revision, (self.clock)());
        loop {
            let now = (self.clock)();
            let confirmation = self
                .catalog
                .challenge_confirmation(environment, published, now)
                .await?;
            if confirmation.is_complete() {
                return Ok(());
            }
            if now.since_ms(published.1) >= CONFIRM_WITHIN_MS {
                tracing::warn!(
                    missing = ?confirmation.missing,
                    confirmed = confirmation.confirmed,
                    "not all edges have confirmed a challenge; the authority is told all the same"
                );
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn clean_up(&self, _: Environment, challenges: &[Challenge]) -> Result<(), OrderError> {
        // What is no challenge was never published.
        let records = challenges.iter().filter_map(|it| self.record(it).ok());
        let records: Vec<_> = records.collect();
        Ok(self.catalog.withdraw_challenges(&records).await?)
    }
}
