//! Fetches OCSP responses, independently of handshakes, for certificates whose domains have
//! stapling enabled and for must-staple certificates (RFC 7633).
//!
//! A response is stapled only after verification ([`edgeseal_core::certificate::ocsp`]); *revoked*
//! is never stapled, and raises an alarm. Without a response the handshake goes on without: the
//! client asks the authority itself. Responses live in memory only: after a start they are fetched
//! again, spread over time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand;
use bytes::Bytes;
use edgeseal_core::{
    Timestamp,
    certificate::{
        Digest,
        ocsp::{self, GoodStatus, OcspError, OcspQuery},
    },
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    served_domain::Material,
    serving_state::ServingState,
    telemetry,
    tls::{KeyCache, Staple, demands_staple},
};

mod fetch;
mod schedule;

use fetch::FetchError;

/// Concurrent requests, to all responders together.
const AT_A_TIME: usize = 32;
/// Maximum size of all responses together, in bytes: a usual one has 500 to 2000.
const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// Maximum time between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Fetches responses until it is stopped.
pub(crate) struct Stapler {
    serving: Arc<ServingState>,
    keys: Arc<KeyCache>,
    clock: fn() -> Timestamp,
    private_addresses: bool,
    jobs: HashMap<Digest, Job>,
    /// May contain outdated entries: the job decides.
    due: BinaryHeap<Reverse<(Timestamp, Digest)>>,
    in_flight: JoinSet<(Digest, Outcome)>,
    revoked: HashSet<Digest>,
    /// The number of stapled responses, and their bytes.
    held: usize,
    held_bytes: usize,
}

/// A certificate that needs a response.
#[derive(Debug, Default)]
struct Job {
    /// Time of the next request; `None`: a request is in flight, or there is no responder.
    due: Option<Timestamp>,
    failures: u32,
    /// The stapled response: its end of validity, and its bytes.
    staple: Option<(Timestamp, usize)>,
}

/// The outcome of a request.
#[derive(Debug)]
enum Outcome {
    /// The leaf names no responder, or its issuer is not known.
    NoResponder,
    /// No response.
    FetchFailed(FetchError),
    /// A response that is not stapled.
    NotGood(OcspError),
    /// A response that is stapled.
    Good {
        good: GoodStatus,
        response: Bytes,
        demanded: bool,
    },
}

impl Stapler {
    /// `private_addresses`: whether responders may have any address and port.
    pub(crate) fn new(
        serving: Arc<ServingState>,
        keys: Arc<KeyCache>,
        clock: fn() -> Timestamp,
        private_addresses: bool,
    ) -> Self {
        Self {
            serving,
            keys,
            clock,
            private_addresses,
            jobs: HashMap::new(),
            due: BinaryHeap::new(),
            in_flight: JoinSet::new(),
            revoked: HashSet::new(),
            held: 0,
            held_bytes: 0,
        }
    }

    /// Fetches until `stop` is ready. May be called again, and then continues.
    pub(crate) async fn run(&mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.fetch_all() => {}
            () = stop => {}
        }
    }

    async fn fetch_all(&mut self) {
        let keys = Arc::clone(&self.keys);
        loop {
            self.begin_due();
            telemetry::ocsp_staples(self.held, self.revoked.len());
            let pause = self.pause();
            tokio::select! {
                () = keys.staples().changed() => self.take_changed(),
                Some(ended) = self.in_flight.join_next() => match ended {
                    Ok((digest, outcome)) => self.handle_outcome(digest, outcome),
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a task that fetches an OCSP response failed"
                    ),
                },
                () = sleep(pause) => {}
            }
        }
    }

    /// Adds jobs for newly wanted responses, and removes those not wanted any more.
    fn take_changed(&mut self) {
        let changed = self.keys.staples().take_changed();
        let now = (self.clock)();
        let together = changed.len();
        for digest in changed {
            if !self.keys.staples().is_wanted(&digest) {
                self.forget(&digest);
            } else if let Entry::Vacant(place) = self.jobs.entry(digest) {
                place.insert(Job::default());
                self.plan(digest, schedule::first_at(together, jitter(), now));
            }
        }
    }

    /// Starts the requests that are due, up to the limit.
    fn begin_due(&mut self) {
        let now = (self.clock)();
        while self.in_flight.len() < AT_A_TIME {
            let Some(&Reverse((due, digest))) = self.due.peek() else {
                return;
            };
            if due > now {
                return;
            }
            self.due.pop();
            let Some(job) = self.jobs.get_mut(&digest) else {
                continue;
            };
            if job.due != Some(due) {
                continue;
            }
            job.due = None;
            if job.staple.is_some_and(|(ends, _)| ends <= now) {
                self.unstaple(&digest);
            }
            match self.serving.material(&digest) {
                Some(material) => {
                    let (clock, private) = (self.clock, self.private_addresses);
                    self.in_flight
                        .spawn(async move { (digest, ask(&material, private, clock).await) });
                }
                None => self.forget(&digest),
            }
        }
    }

    /// Time until a request is due.
    fn pause(&self) -> Duration {
        if self.in_flight.len() >= AT_A_TIME {
            return LOOK_EVERY;
        }
        let next = self.due.peek().map(|Reverse((due, _))| *due);
        let until = next.map(|due| due.since_ms((self.clock)()).max(1).unsigned_abs());
        until
            .map_or(LOOK_EVERY, Duration::from_millis)
            .min(LOOK_EVERY)
    }

    fn handle_outcome(&mut self, digest: Digest, outcome: Outcome) {
        let now = (self.clock)();
        if !self.keys.staples().is_wanted(&digest) {
            self.forget(&digest);
            return;
        }
        telemetry::ocsp_fetch(outcome.label());
        match outcome {
            Outcome::NoResponder => {}
            Outcome::Good {
                good,
                response,
                demanded,
            } => {
                self.revoked.remove(&digest);
                self.staple(&digest, good, &response, demanded);
                self.plan(digest, schedule::refresh_at(good, jitter(), now));
            }
            Outcome::NotGood(reason @ OcspError::Revoked { .. }) => {
                self.unstaple(&digest);
                if self.revoked.insert(digest) {
                    tracing::error!(
                        cert.sha256 = %self.leaf(&digest),
                        reason = %reason,
                        "a certificate that is served was revoked by its authority"
                    );
                }
                self.plan(digest, schedule::ask_of_revoked_at(now));
            }
            Outcome::NotGood(reason) => self.try_again(digest, &reason, now),
            Outcome::FetchFailed(reason) => self.try_again(digest, &reason, now),
        }
    }

    /// Warns about the first failure in a row only.
    fn try_again(
        &mut self,
        digest: Digest,
        reason: &(dyn std::error::Error + 'static),
        now: Timestamp,
    ) {
        let leaf = self.leaf(&digest);
        let Some(job) = self.jobs.get_mut(&digest) else {
            return;
        };
        job.failures = job.failures.saturating_add(1);
        if job.failures == 1 {
            tracing::warn!(cert.sha256 = %leaf, error = reason, "no OCSP response; retrying");
        } else {
            tracing::debug!(cert.sha256 = %leaf, error = reason, "still no OCSP response");
        }
        let retry = schedule::retry_at(job.failures, jitter(), now);
        let ends = job.staple.map(|(ends, _)| ends).filter(|ends| *ends > now);
        self.plan(digest, ends.map_or(retry, |ends| ends.min(retry)));
    }

    fn staple(&mut self, digest: &Digest, good: GoodStatus, response: &Bytes, demanded: bool) {
        let Some(job) = self.jobs.get_mut(digest) else {
            return;
        };
        job.failures = 0;
        let held = self.held_bytes - job.staple.map_or(0, |(_, bytes)| bytes);
        if held + response.len() > ROOM_BYTES {
            tracing::error!("the memory limit for OCSP responses is reached: not stapled");
            self.unstaple(digest);
            return;
        }
        self.held_bytes = held + response.len();
        self.held += usize::from(job.staple.is_none());
        job.staple = Some((schedule::drop_at(good), response.len()));
        let staple = Staple {
            der: response.to_vec(),
            must_staple: demanded,
        };
        self.keys.staple(digest, Some(Arc::new(staple)));
    }

    fn unstaple(&mut self, digest: &Digest) {
        let staple = self.jobs.get_mut(digest).and_then(|job| job.staple.take());
        self.held -= usize::from(staple.is_some());
        self.held_bytes -= staple.map_or(0, |(_, bytes)| bytes);
        self.keys.staple(digest, None);
    }

    fn forget(&mut self, digest: &Digest) {
        self.unstaple(digest);
        self.jobs.remove(digest);
        self.revoked.remove(digest);
    }

    fn plan(&mut self, digest: Digest, at: Timestamp) {
        if let Some(job) = self.jobs.get_mut(&digest) {
            job.due = Some(at);
            self.due.push(Reverse((at, digest)));
        }
    }

    /// SHA-256 of the leaf.
    fn leaf(&self, digest: &Digest) -> Digest {
        let material = self.serving.material(digest);
        material.map_or(*digest, |material| Digest::of(material.leaf()))
    }
}

async fn ask(material: &Material, private: bool, clock: fn() -> Timestamp) -> Outcome {
    let responder = ocsp::responder_url(material.leaf());
    let issuer = material.issuers().next();
    let question = issuer.and_then(|issuer| OcspQuery::new(material.leaf(), issuer));
    let (Some(responder), Some(question)) = (responder, question) else {
        return Outcome::NoResponder;
    };
    let response = match fetch::ask(&responder, question.request().to_vec(), private).await {
        Ok(response) => response,
        Err(reason) => return Outcome::FetchFailed(reason),
    };
    match question.verify_response(&response, clock()) {
        Ok(good) => Outcome::Good {
            good,
            response,
            demanded: demands_staple(material),
        },
        Err(reason) => Outcome::NotGood(reason),
    }
}

impl Outcome {
    const fn label(&self) -> &'static str {
        match self {
            Self::NoResponder => "no_responder",
            Self::FetchFailed(_) => "no_response",
            Self::NotGood(OcspError::Revoked { .. }) => "revoked",
            Self::NotGood(_) => "invalid",
            Self::Good { .. } => "good",
        }
    }
}

/// From 0 to [`schedule::JITTER_MAX`].
fn jitter() -> i64 {
    let mut random = [0; 2];
    // Without randomness: the middle.
    if rand::fill(&mut random).is_err() {
        return schedule::JITTER_MAX / 2;
    }
    i64::from(u16::from_be_bytes(random)) % (schedule::JITTER_MAX + 1)
}
