//! The checks as they are made before an order is placed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edgeseal_core::{
    DomainName, DomainPattern,
    challenge::{KeyAuthorization, Token},
};
use edgeseal_store::Fault;

use super::{Preflight, PreflightRequest};
use crate::{
    authority::Authority,
    challenge::{Challenge, ChallengeMethod, ChallengeSolver, choose},
    error::OrderError,
    issuer::Issuer,
    order::{OrderDriver, Target},
};

impl OrderDriver {
    /// Checks what the authority would find, if that is configured.
    ///
    /// # Errors
    /// [`OrderError::NotReady`] with what is missing.
    pub(crate) async fn check_readiness(
        &self,
        target: &Target,
        issuer: &Issuer,
        authority: &Authority,
    ) -> Result<(), OrderError> {
        let Some(preflight) = &self.checks else {
            return Ok(());
        };
        let methods = self.methods(&target.domain, &issuer.config.challenges);
        let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
        let request = PreflightRequest {
            domain: &target.domain,
            identities: authority.caa_identities(),
            account: Some(authority.account_url()),
            methods: &names,
        };
        preflight.check_name(&request).await?;
        match (&target.domain, methods.first()) {
            (DomainPattern::Exact(host), Some(ChallengeMethod::Http01)) => {
                self.check_http_01(preflight, target, host).await
            }
            (DomainPattern::Exact(host), Some(ChallengeMethod::TlsAlpn01)) => {
                preflight.addresses(host).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The challenges that an order for a domain may use, the preferred one first.
    fn methods(
        &self,
        domain: &DomainPattern,
        preferred: &[ChallengeMethod],
    ) -> Vec<ChallengeMethod> {
        let challenge = |method| Challenge {
            method,
            name: domain.base().to_string(),
            wildcard: domain.is_wildcard(),
            token: String::new(),
            key_authorization: String::new(),
            dns_value: String::new(),
        };
        let mut possible: Vec<Challenge> = ChallengeMethod::ALL.map(challenge).to_vec();
        let mut methods = Vec::new();
        while let Some(chosen) = choose(&self.solvers, preferred, &possible) {
            let method = chosen.method;
            methods.push(method);
            possible.retain(|challenge| challenge.method != method);
        }
        methods
    }

    /// Publishes a token of our own, and reads it as the authority would.
    async fn check_http_01(
        &self,
        preflight: &Preflight,
        target: &Target,
        host: &DomainName,
    ) -> Result<(), OrderError> {
        let is_http = |solver: &&std::sync::Arc<dyn ChallengeSolver>| {
            solver.method() == ChallengeMethod::Http01
        };
        let Some(solver) = self.solvers.iter().find(is_http) else {
            return Ok(());
        };
        // Before anything is published: most often it is this.
        preflight.addresses(host).await?;
        let response = random_response()?;
        let probe = [Challenge {
            method: ChallengeMethod::Http01,
            name: host.to_string(),
            wildcard: false,
            token: response.token().to_string(),
            key_authorization: response.as_str().to_owned(),
            dns_value: String::new(),
        }];
        solver.provision(target.environment, &probe).await?;
        let checked = preflight.check_token(host, &response).await;
        solver.clean_up(target.environment, &probe).await?;
        Ok(checked?)
    }
}

/// A response to http-01 that no authority asks for.
fn random_response() -> Result<KeyAuthorization, OrderError> {
    let mut random = [0; 64];
    aws_lc_rs::rand::fill(&mut random).map_err(Fault::of("draw random numbers"))?;
    let (token, thumbprint) = random.split_at(32);
    let [token, thumbprint] = [token, thumbprint].map(|it| URL_SAFE_NO_PAD.encode(it));
    let token = Token::parse(&token).map_err(Fault::of("make a token"))?;
    let response = KeyAuthorization::parse(&format!("{token}.{thumbprint}"));
    Ok(response.map_err(Fault::of("make a token"))?)
}
