//! One account at an authority, and its orders there: everything that speaks `instant-acme`.
//!
//! The library repeats a request whose nonce the authority rejects, but not often enough for one
//! that rejects half of them. Each call here is repeated until that is all but impossible. That is
//! safe: the authority has done nothing when it rejects a nonce (RFC 8555 §6.5). A call ends after
//! two minutes in any case.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edgeseal_core::{DomainPattern, Timestamp, revocation::RevocationReason};
use instant_acme::{
    Account, AuthorizationStatus, Authorizations, CertificateIdentifier, ChallengeType, Error,
    Identifier, NewOrder, OrderStatus, Problem, RetryPolicy, RevocationRequest,
};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::{
    challenge::{Challenge, ChallengeMethod},
    error::{BAD_NONCE, OrderError, UNSUPPORTED, describe},
    http_client::URL_MAX,
};

/// Most repetitions of a call. Each is 3 requests in the library: at 50 % rejected nonces a call
/// fails once in 2^36 times.
pub(crate) const NONCE_ATTEMPTS: u32 = 12;
/// How long a call may take with its repetitions. An authority that responds drop by drop would
/// otherwise hold up other orders for hours.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(120);
/// Most authorizations of an order. It has one identifier, which takes one (RFC 8555 §7.1.3).
const AUTHORIZATIONS_MAX: usize = 2;
/// First pause between two looks at an order, unless the authority says how long.
const POLL_DELAY: Duration = Duration::from_millis(250);
/// How the pause grows.
const POLL_BACKOFF: f32 = 1.5;

/// Repeats a call whose nonce was rejected, but not for longer than [`CALL_WITHIN`].
macro_rules! with_good_nonce {
    ($call:expr) => {{
        let deadline = tokio::time::Instant::now() + CALL_WITHIN;
        let mut attempts = 1;
        loop {
            match tokio::time::timeout_at(deadline, $call).await {
                Err(_) => {
                    break Err(OrderError::unavailable(
                        "it takes more than 120 s to answer",
                    ));
                }
                Ok(Err(error)) if attempts < NONCE_ATTEMPTS && is_bad_nonce(&error) => {
                    attempts += 1;
                }
                Ok(done) => break done.map_err(OrderError::from),
            }
        }
    }};
}
pub(crate) use with_good_nonce;

/// Whether an order was refused because of the certificate that it replaces: another order has
/// replaced that one, or the authority knows nothing of it (RFC 9773 §5).
fn is_about_replaces(error: &OrderError) -> bool {
    const KINDS: [&str; 4] = ["alreadyReplaced", "malformed", "unauthorized", UNSUPPORTED];
    KINDS.iter().any(|kind| error.is_kind(kind))
}

pub(crate) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(Problem { r#type: Some(kind), .. }) if kind == BAD_NONCE)
}

/// An account at an authority. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Authority {
    account: Account,
    caa_identities: Arc<[String]>,
}

/// An order at the authority, as it was seen last.
pub(crate) struct RemoteOrder {
    order: instant_acme::Order,
    /// Of the account's key.
    thumbprint: String,
}

/// When an authority suggests to renew a certificate (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RenewalInfo {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// When to ask again.
    pub(crate) ask_again_at: Timestamp,
}

/// The identifier of a certificate in renewal information (RFC 9773 §4.1); `None` if it has no
/// authority key identifier.
pub(crate) fn renewal_id(leaf: &[u8]) -> Option<String> {
    let der = CertificateDer::from(leaf);
    let id = CertificateIdentifier::try_from(&der).ok()?;
    Some(id.to_string())
}

fn parse_renewal_id(text: &str) -> Option<CertificateIdentifier<'_>> {
    let (authority_key, serial) = text.split_once('.')?;
    Some(CertificateIdentifier {
        authority_key_identifier: authority_key.into(),
        serial: serial.into(),
    })
}

impl Authority {
    pub(crate) fn new(account: Account, directory: &Value) -> Self {
        let listed = directory["meta"]["caaIdentities"].as_array();
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        Self {
            account,
            caa_identities: listed.map(str::to_owned).collect(),
        }
    }

    /// Places an order for a domain (RFC 8555 §7.4). `replaces` is the [`renewal_id`] of the
    /// certificate that it renews; it is left out if the authority does not know such orders.
    pub(crate) async fn new_order(
        &self,
        domain: &DomainPattern,
        profile: Option<&str>,
        replaces: Option<&str>,
    ) -> Result<RemoteOrder, OrderError> {
        let identifiers = [Identifier::Dns(domain.to_san())];
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(profile) = profile {
            if !self
                .account
                .profiles()
                .any(|offered| offered.name == profile)
            {
                return Err(OrderError::Unable(format!(
                    "the issuer offers no profile {profile:?}"
                )));
            }
            wanted = wanted.profile(profile);
        }
        let Some(replaces) = replaces.and_then(parse_renewal_id) else {
            let placed = with_good_nonce!(self.account.new_order(&wanted));
            return self.remote(placed?);
        };
        let renewal = wanted.replaces(replaces);
        match with_good_nonce!(self.account.new_order(&renewal)) {
            Ok(order) => self.remote(order),
            Err(error) if is_about_replaces(&error) => {
                Box::pin(self.new_order(domain, profile, None)).await
            }
            Err(error) => Err(error),
        }
    }

    /// The names of the authority in CAA records, as its directory says (RFC 8555 §7.1.1).
    pub(crate) fn caa_identities(&self) -> &[String] {
        &self.caa_identities
    }

    /// The URL of the account.
    pub(crate) fn account_url(&self) -> &str {
        self.account.id()
    }

    /// Looks an order up by its URL.
    pub(crate) async fn order(&self, url: &str) -> Result<RemoteOrder, OrderError> {
        let found = with_good_nonce!(self.account.order(url.to_owned()));
        self.remote(found.map_err(OrderError::of_placed_order)?)
    }

    fn remote(&self, order: instant_acme::Order) -> Result<RemoteOrder, OrderError> {
        if order.url().len() > URL_MAX {
            return Err(OrderError::refused("the URL of the order is too long"));
        }
        Ok(RemoteOrder {
            order,
            thumbprint: self.account.key_thumbprint().to_owned(),
        })
    }

    /// Revokes a certificate that this account ordered (RFC 8555 §7.6). One that is revoked
    /// already, perhaps before a crash, is no error.
    pub(crate) async fn revoke(
        &self,
        leaf: &[u8],
        reason: RevocationReason,
    ) -> Result<(), OrderError> {
        use instant_acme::RevocationReason as Reason;
        let request = RevocationRequest {
            certificate: &CertificateDer::from(leaf),
            reason: Some(match reason {
                RevocationReason::Unspecified => Reason::Unspecified,
                RevocationReason::KeyCompromise => Reason::KeyCompromise,
                RevocationReason::Superseded => Reason::Superseded,
                RevocationReason::CessationOfOperation => Reason::CessationOfOperation,
            }),
        };
        match with_good_nonce!(self.account.revoke(&request)) {
            Err(error) if error.is_kind("alreadyRevoked") => Ok(()),
            done => done,
        }
    }

    /// When to renew a certificate; `None` if the authority does not say.
    pub(crate) async fn renewal_info(
        &self,
        renewal_id: &str,
        now: Timestamp,
    ) -> Result<Option<RenewalInfo>, OrderError> {
        let Some(id) = parse_renewal_id(renewal_id) else {
            return Ok(None);
        };
        match self.account.renewal_info(&id).await {
            Ok((info, delay)) => {
                let window = info.suggested_window;
                let at = |time: time::OffsetDateTime| {
                    Timestamp::from_unix_seconds(time.unix_timestamp())
                };
                let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                Ok(Some(RenewalInfo {
                    start: at(window.start),
                    end: at(window.end),
                    ask_again_at: now.plus_ms(delay_ms),
                }))
            }
            Err(Error::Unsupported(_) | Error::Str(_) | Error::Json(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl RemoteOrder {
    pub(crate) fn url(&self) -> &str {
        self.order.url()
    }

    pub(crate) fn status(&mut self) -> OrderStatus {
        self.order.state().status
    }

    /// The challenges of all authorizations that are still to be proved, each authorization's in
    /// the order of the authority.
    ///
    /// # Errors
    /// [`OrderError::Refused`] if one of them has failed already.
    pub(crate) async fn pending(&mut self) -> Result<Vec<Vec<Challenge>>, OrderError> {
        with_good_nonce!(self.try_pending())
    }

    /// As [`pending`](Self::pending), asked anew.
    pub(crate) async fn refreshed_pending(&mut self) -> Result<Vec<Vec<Challenge>>, OrderError> {
        with_good_nonce!(self.order.refresh())?;
        self.pending().await
    }

    fn authorizations(&mut self) -> Result<Authorizations<'_>, Error> {
        let count = self.order.state().authorizations.len();
        if count > AUTHORIZATIONS_MAX {
            return Err(Error::Api(Problem {
                r#type: None,
                detail: Some(format!(
                    "the order wants {count} authorizations for one name"
                )),
                status: None,
                subproblems: Vec::new(),
            }));
        }
        Ok(self.order.authorizations())
    }

    async fn try_pending(&mut self) -> Result<Vec<Vec<Challenge>>, Error> {
        let mut pending = Vec::new();
        let thumbprint = self.thumbprint.clone();
        let mut authorizations = self.authorizations()?;
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Identifier::Dns(name) = authorization.identifier().identifier.clone() else {
                continue;
            };
            let offered = authorization.challenges.iter().filter_map(|offered| {
                let method = method_of(&offered.r#type)?;
                let key_authorization = format!("{}.{thumbprint}", offered.token);
                let digest = digest(&SHA256, key_authorization.as_bytes());
                Some(Challenge {
                    method,
                    name: name.clone(),
                    wildcard: authorization.wildcard,
                    token: offered.token.clone(),
                    dns_value: URL_SAFE_NO_PAD.encode(digest),
                    key_authorization,
                })
            });
            let challenges: Vec<Challenge> = offered.collect();
            pending.push(challenges);
        }
        Ok(pending)
    }

    /// Tells the authority that a challenge can be validated.
    pub(crate) async fn set_ready(&mut self, challenge: &Challenge) -> Result<(), OrderError> {
        with_good_nonce!(self.try_set_ready(challenge))
    }

    async fn try_set_ready(&mut self, wanted: &Challenge) -> Result<(), Error> {
        let mut authorizations = self.authorizations()?;
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let mut offered = authorization.challenges.iter();
            if offered.any(|it| is_same(it, wanted))
                && let Some(mut challenge) = authorization.challenge(acme_type(wanted.method))
            {
                return challenge.set_ready().await;
            }
        }
        Err(Error::Str("the challenge of the order"))
    }

    /// Waits until all authorizations are decided, at most for `patience`.
    ///
    /// # Errors
    /// [`OrderError::Refused`] with the authority's reason if one has failed;
    /// [`OrderError::Undecided`] if it has not decided in time.
    pub(crate) async fn wait_until_ready(&mut self, patience: Duration) -> Result<(), OrderError> {
        let policy = retry_policy(patience);
        let decided = with_good_nonce!(self.order.poll_ready(&policy));
        match decided {
            Ok(OrderStatus::Invalid) | Err(OrderError::Refused { .. }) => Err(self.failure().await),
            decided => decided.map(drop),
        }
    }

    /// Asks for the certificate (RFC 8555 §7.4), unless a process that crashed has done so.
    pub(crate) async fn finalize(&mut self, csr: &[u8]) -> Result<(), OrderError> {
        match with_good_nonce!(self.order.finalize_csr(csr)) {
            Err(error) if error.is_kind("orderNotReady") => {
                with_good_nonce!(self.order.refresh()).map(drop)
            }
            done => done,
        }
    }

    /// Waits for the certificate, at most for `patience`; the chain in PEM.
    ///
    /// # Errors
    /// As [`wait_until_ready`](Self::wait_until_ready).
    pub(crate) async fn certificate(&mut self, patience: Duration) -> Result<String, OrderError> {
        let policy = retry_policy(patience);
        match self.status() {
            OrderStatus::Valid => {
                let chain = with_good_nonce!(self.order.certificate())?;
                chain.ok_or_else(|| Error::Str("the certificate").into())
            }
            _ => with_good_nonce!(self.order.poll_certificate(&policy)),
        }
    }

    /// Why an order became invalid: what the authority says of the challenge that failed, or else
    /// of the order.
    pub(crate) async fn failure(&mut self) -> OrderError {
        match with_good_nonce!(self.try_failure()) {
            Ok(problem) => problem.unwrap_or_else(|| OrderError::Refused {
                kind: String::new(),
                reason: "the authority gives no reason".to_owned(),
            }),
            Err(error) => error,
        }
    }

    async fn try_failure(&mut self) -> Result<Option<OrderError>, Error> {
        self.order.refresh().await?;
        let mut authorizations = self.authorizations()?;
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            let mut problems = authorization.challenges.iter();
            if let Some((kind, problem)) =
                problems.find_map(|it| Some((&it.r#type, it.error.as_ref()?)))
            {
                let method = method_of(kind).map_or("a challenge", ChallengeMethod::as_str);
                let name = authorization.identifier().to_string();
                return Ok(Some(OrderError::Refused {
                    kind: problem.r#type.clone().unwrap_or_default(),
                    reason: format!("{method} for {name} failed: {}", describe(problem)),
                }));
            }
        }
        let error = self.order.state().error.clone();
        Ok(error.map(|problem| Error::Api(problem).into()))
    }
}

fn is_same(offered: &instant_acme::Challenge, wanted: &Challenge) -> bool {
    method_of(&offered.r#type) == Some(wanted.method) && offered.token == wanted.token
}

fn method_of(kind: &ChallengeType) -> Option<ChallengeMethod> {
    let mut methods = ChallengeMethod::ALL.into_iter();
    methods.find(|method| acme_type(*method) == *kind)
}

const fn acme_type(method: ChallengeMethod) -> ChallengeType {
    match method {
        ChallengeMethod::Http01 => ChallengeType::Http01,
        ChallengeMethod::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeMethod::Dns01 => ChallengeType::Dns01,
    }
}

const fn retry_policy(patience: Duration) -> RetryPolicy {
    RetryPolicy::new()
        .initial_delay(POLL_DELAY)
        .backoff(POLL_BACKOFF)
        .timeout(patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_although_the_authority_does_not() {
        let before = tokio::time::Instant::now();
        let rejected = || async {
            tokio::time::sleep(Duration::from_secs(29)).await;
            Err::<(), _>(Error::Api(Problem {
                r#type: Some(BAD_NONCE.to_owned()),
                detail: None,
                status: None,
                subproblems: Vec::new(),
            }))
        };
        let ended: Result<(), OrderError> = with_good_nonce!(rejected());
        assert!(matches!(
            ended,
            Err(OrderError::Paused { limited: false, .. })
        ));
        assert_eq!(before.elapsed(), CALL_WITHIN);
    }
}
