//! What is done for one domain at a time: begin an order, go on with one, look whether to renew,
//! clean up.

mod waits;

use std::{sync::Arc, time::Duration};

use edgeseal_core::{
    DomainPattern, Timestamp,
    acme::{OrderKind, PauseReason, RenewalInfo, RenewalWindow, Seed, renewal::PollOutcome},
    domain::Environment,
    managed_certificate::{ManagedCertificate, Order, OrderFailure, OrderStatus},
};
use edgeseal_store::Fault;

use self::waits::{ORDER_LIFE_MS, is_kept_after, is_limit_of_name, order_life_ms, retry_state};
use crate::{
    authority::RenewalInfo as Suggested,
    bind::{CertificateSettings, audit_context, bind},
    error::{OrderError, REASON_MAX, bounded},
    order::{OrderDriver, Target},
    task::telemetry::order_ended,
};

/// How soon an order is looked at again that the authority has not decided.
const UNDECIDED_MS: i64 = 15_000;
/// How soon something is tried again that failed on this side.
const RETRY_MS: i64 = 30_000;
/// What is to be done for a domain.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Begin an order at an issuer.
    Begin {
        target: Target,
        issuer: usize,
        kind: OrderKind,
    },
    /// Go on with what the store says.
    Resume,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What is to be known about the issuer.
    pub(crate) issuer: Option<(String, IssuerEvent)>,
    /// Nothing is to be done for the domain before.
    pub(crate) not_before: Option<Timestamp>,
    /// Whether challenges are left to be cleaned up.
    pub(crate) unclean: bool,
}

/// How an issuer behaved.
#[derive(Clone, Debug)]
pub(crate) enum IssuerEvent {
    /// It took an order.
    Answered,
    /// It is down, or limits us.
    Failed {
        why: PauseReason,
        reason: String,
        retry_at: Option<Timestamp>,
    },
    /// It could not validate the domain.
    AuthorizationFailed,
}

impl OrderDriver {
    /// Does it.
    pub(crate) async fn work(
        self: Arc<Self>,
        domain: Arc<DomainPattern>,
        work: Work,
        settings: CertificateSettings,
    ) -> Outcome {
        let done = match work {
            Work::Begin {
                target,
                issuer,
                kind,
            } => {
                let begun = self.start(&target, issuer, kind).await;
                self.conclude(&target, begun, settings).await
            }
            Work::Resume => self.resume(&domain, settings).await,
        };
        done.unwrap_or_else(|fault| {
            let error: &dyn std::error::Error = &fault;
            tracing::warn!(domain = %domain, error, "an order waits for the store");
            Outcome {
                not_before: Some(self.now().plus_ms(RETRY_MS)),
                ..Outcome::default()
            }
        })
    }

    async fn start(
        &self,
        target: &Target,
        issuer: usize,
        kind: OrderKind,
    ) -> Result<ManagedCertificate, OrderError> {
        let issuer = self.issuers.get(issuer).ok_or(OrderError::Stopped)?;
        self.begin(target, issuer, kind).await
    }

    async fn resume(
        &self,
        domain: &DomainPattern,
        settings: CertificateSettings,
    ) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::default();
        for environment in [Environment::Production, Environment::Staging] {
            let managed = self
                .catalog
                .managed_certificate(domain, environment)
                .await?;
            let (resumed, idle) = match managed {
                Some(managed) if !managed.orders.is_empty() && !managed.has_placed_order() => {
                    // Begun anew, so that it counts against the limits.
                    let clear = |managed: &mut ManagedCertificate| managed.orders.clear();
                    let target = Target::of(&managed);
                    ignore_stopped(self.update(&target, &[], clear).await)?;
                    (Outcome::default(), true)
                }
                Some(managed) if !managed.orders.is_empty() => {
                    let target = Target::of(&managed);
                    (self.conclude(&target, Ok(managed), settings).await?, false)
                }
                Some(managed) => (self.poll(managed).await?, true),
                None => (Outcome::default(), true),
            };
            outcome.issuer = outcome.issuer.or(resumed.issuer);
            outcome.not_before = outcome.not_before.max(resumed.not_before);
            outcome.unclean |= resumed.unclean;
            if idle {
                outcome.unclean |= !self.clean_up(domain, environment).await?;
            }
        }
        Ok(outcome)
    }

    /// Takes the orders of a domain to their end, or notes why not.
    async fn conclude(
        &self,
        target: &Target,
        begun: Result<ManagedCertificate, OrderError>,
        settings: CertificateSettings,
    ) -> Result<Outcome, Fault> {
        let (issuer, ended) = match begun {
            Ok(managed) => {
                let issuer = managed.orders.first().map(|order| order.issuer.clone());
                (issuer, self.finish(&managed, settings).await)
            }
            Err(error) => (None, Err(error)),
        };
        order_ended(issuer.as_deref(), &ended);
        let error = match ended {
            Ok(()) => {
                let unclean = !self.clean_up(&target.domain, target.environment).await?;
                return Ok(Outcome {
                    issuer: issuer.map(|issuer| (issuer, IssuerEvent::Answered)),
                    unclean,
                    not_before: None,
                });
            }
            Err(error) => error,
        };
        self.failed(target, issuer, error).await
    }

    async fn finish(
        &self,
        managed: &ManagedCertificate,
        settings: CertificateSettings,
    ) -> Result<(), OrderError> {
        let issued = self.complete(managed).await?;
        let managed = self.managed(&Target::of(managed)).await?;
        let by = (&self.catalog, self.term()?);
        let revision = bind(by, &managed, issued, settings, self.now()).await?;
        tracing::info!(
            domain = %managed.domain,
            environment = managed.environment.as_str(),
            store.revision = revision.0,
            "a certificate was issued and bound"
        );
        Ok(())
    }

    async fn failed(
        &self,
        target: &Target,
        issuer: Option<String>,
        error: OrderError,
    ) -> Result<Outcome, Fault> {
        let paused = matches!(&error, OrderError::Paused { reason, limited, .. }
            if !(*limited && is_limit_of_name(reason, &target.domain)));
        let may_be_decided = matches!(error, OrderError::Undecided { .. })
            && self.may_still_be_decided(target).await?;
        match error {
            OrderError::Store(fault) => Err(fault),
            OrderError::Interrupted => Ok(Outcome::default()),
            OrderError::Undecided { retry_after } if may_be_decided => {
                self.look_again(target, retry_after).await
            }
            OrderError::Stopped => {
                let unclean = !self.clean_up(&target.domain, target.environment).await?;
                Ok(Outcome {
                    unclean,
                    ..Outcome::default()
                })
            }
            OrderError::Paused {
                reason,
                limited,
                retry_at,
                ..
            } if paused => {
                self.note_pause(target, issuer.as_deref(), &reason).await?;
                let why = if limited {
                    PauseReason::RateLimited
                } else {
                    PauseReason::Unreachable
                };
                let event = IssuerEvent::Failed {
                    why,
                    reason,
                    retry_at,
                };
                Ok(Outcome {
                    issuer: issuer.map(|issuer| (issuer, event)),
                    ..Outcome::default()
                })
            }
            error => self.note_failure(target, issuer, error).await,
        }
    }

    /// Looks at an order again soon, or as late as its authority wants.
    async fn look_again(
        &self,
        target: &Target,
        retry_after: Option<Duration>,
    ) -> Result<Outcome, Fault> {
        let now = self.now();
        let wait = retry_after.and_then(|it| i64::try_from(it.as_millis()).ok());
        let Some(wait) = wait.filter(|wait| *wait > UNDECIDED_MS) else {
            return Ok(Outcome {
                not_before: Some(now.plus_ms(UNDECIDED_MS)),
                ..Outcome::default()
            });
        };
        // Stored, so that the domain's other environment does not wait as well.
        let change = |managed: &mut ManagedCertificate| {
            managed.backoff.next_attempt = now.plus_ms(wait);
        };
        ignore_stopped(self.update(target, &[], change).await)?;
        Ok(Outcome::default())
    }

    async fn may_still_be_decided(&self, target: &Target) -> Result<bool, Fault> {
        let (name, environment) = (&target.domain, target.environment);
        let managed = self.catalog.managed_certificate(name, environment).await?;
        let now = self.now();
        let has_others = self.issuers.len() > 1;
        Ok(managed.is_some_and(|managed| {
            let longest = order_life_ms(&managed, has_others, now);
            let mut orders = managed.orders.iter();
            orders.all(|order| now.since_ms(order.created) < longest)
        }))
    }

    /// Notes that the issuer takes no orders now. An order that it has not begun to sign goes to
    /// another issuer, if there is one, when that happens again.
    async fn note_pause(
        &self,
        target: &Target,
        issuer: Option<&str>,
        reason: &str,
    ) -> Result<(), Fault> {
        let failure = OrderFailure {
            at: self.now(),
            issuer: issuer.unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        };
        tracing::warn!(domain = %target.domain, issuer, reason, "an order waits for its issuer");
        let has_others = self.issuers.len() > 1;
        let change = |managed: &mut ManagedCertificate| {
            // One failure may be a hiccup, and a new order elsewhere costs more than a second look.
            let mut orders = managed.orders.iter();
            let has_failed = managed
                .failure
                .as_ref()
                .is_some_and(|before| orders.all(|order| before.at >= order.created));
            managed.note_failed_order(failure.clone());
            let is_over = |order: &Order| failure.at.since_ms(order.created) >= ORDER_LIFE_MS;
            let may_go = |order: &Order| {
                let goes_elsewhere = has_others && has_failed && !order.finalizing;
                order.url.is_none() || goes_elsewhere || is_over(order)
            };
            if managed.orders.iter().all(may_go) {
                managed.orders.clear();
            }
        };
        ignore_stopped(self.update(target, &[], change).await)
    }

    /// Notes a failure: the order is given up, and another one follows later.
    async fn note_failure(
        &self,
        target: &Target,
        issuer: Option<String>,
        error: OrderError,
    ) -> Result<Outcome, Fault> {
        let now = self.now();
        let reason = bounded(&error.to_string(), REASON_MAX);
        let is_locked = matches!(error, OrderError::Locked(_));
        if error.is_kind("accountDoesNotExist")
            && let Some(issuer) = issuer.as_deref().and_then(|name| self.issuer(name))
        {
            self.accounts.check_exists(issuer).await?;
        }
        tracing::warn!(domain = %target.domain, issuer, reason, "an order failed");
        let failure = OrderFailure {
            at: now,
            issuer: issuer.clone().unwrap_or_default(),
            reason: reason.clone(),
        };
        let change = |managed: &mut ManagedCertificate| {
            if !is_kept_after(&error, &managed.orders) {
                managed.orders.clear();
            }
            managed.note_failed_order(failure.clone());
            if managed.issued.is_none() {
                managed.status = OrderStatus::Failed;
            }
            managed.backoff = retry_state(&error, managed, now);
        };
        match self.update(target, &[], change).await {
            Ok(managed) if managed.backoff.failures == 1 && !is_locked => {
                let of = (&managed.account, &managed.domain);
                let audit = audit_context(of, "OrderCertificate", now);
                self.catalog
                    .record_refusal(&audit, "OrderFailed", &[reason])
                    .await?;
            }
            done => ignore_stopped(done)?,
        }
        let unclean = !self.clean_up(&target.domain, target.environment).await?;
        let refused = matches!(error, OrderError::Refused { .. });
        let event = issuer.filter(|_| refused);
        Ok(Outcome {
            issuer: event.map(|issuer| (issuer, IssuerEvent::AuthorizationFailed)),
            not_before: None,
            unclean,
        })
    }

    /// Asks the issuer when to renew, if it is time to ask.
    async fn poll(&self, managed: ManagedCertificate) -> Result<Outcome, Fault> {
        let now = self.now();
        let Some(issued) = managed.issued.as_ref().filter(|it| it.poll.next <= now) else {
            return Ok(Outcome::default());
        };
        let issuer = self.issuer_at(&issued.issuer, &issued.directory);
        let suggested = match (&issued.renewal_id, issuer) {
            (Some(id), Some(issuer)) => match self.accounts.at(issuer).await {
                Ok(authority) => authority.renewal_info(id, now).await,
                Err(error) => Err(error),
            },
            _ => Ok(None),
        };
        let (outcome, window) = match suggested {
            Ok(Some(suggested)) => answered(suggested, now),
            Err(OrderError::Paused { .. }) => (PollOutcome::TemporaryError, None),
            Ok(None) | Err(_) => (PollOutcome::LastingError, None),
        };
        let seed = Seed::of(&managed.domain.to_string());
        let certificate = issued.certificate;
        let change = |managed: &mut ManagedCertificate| {
            let Some(issued) = managed.issued.as_mut() else {
                return;
            };
            if issued.certificate != certificate {
                return;
            }
            issued.poll = issued.poll.after(outcome, seed, now);
            if let Some(window) = window {
                let (known, validity) = (issued.renewal_info, issued.validity());
                let info = RenewalInfo::after_response(known, window, validity, now);
                issued.renewal_info = Some(info);
            }
            issued.renew_at = issued.renewal(&managed.domain).at;
        };
        let target = Target::of(&managed);
        ignore_stopped(self.update(&target, &[], change).await)?;
        Ok(Outcome::default())
    }
}

fn answered(suggested: Suggested, now: Timestamp) -> (PollOutcome, Option<RenewalWindow>) {
    let window = RenewalWindow::new(suggested.start, suggested.end);
    let outcome = match window {
        Some(_) => PollOutcome::Answered {
            retry_after_ms: Some(suggested.ask_again_at.since_ms(now)),
        },
        None => PollOutcome::LastingError,
    };
    (outcome, window)
}

/// What is not managed any more needs no note.
fn ignore_stopped<T>(updated: Result<T, OrderError>) -> Result<(), Fault> {
    match updated {
        Err(OrderError::Store(fault)) => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }
}
