//! Sends the planned certificates: concurrent calls, as fast as the server allows, each retried
//! until it has a response.

use std::{
    pin::pin,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use edgeseal_api::client::{CallError, Reply};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::plan::PlannedCertificate;
use crate::{
    certificate_files::{certificate_pem, key_pem},
    cli::{CliError, Connection, EDGESEAL_API_VERSION, connection::retry_after, domain, output},
};

/// Most domains of one call; the API's limit.
const DOMAINS_PER_CALL: usize = 50;
/// Seconds that a call waits for the proof of the edges; the second attempt waits longer.
const PREFER_WAITS: [&str; 2] = ["wait=10", "wait=30"];
/// How long calls are retried if a server that has responded before stops responding, as in a
/// restart.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long calls are retried if the server has never responded.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The options of the calls.
pub(super) struct ImportOptions<'a> {
    pub(super) connection: &'a Connection,
    pub(super) origins: &'a [String],
    pub(super) dry_run: bool,
    /// Concurrent calls.
    pub(super) parallel: usize,
}

/// The result for a certificate.
pub(super) enum ImportResult {
    /// What the server did with each domain, or would do, and its warnings.
    Done(Vec<DomainResult>, Vec<String>),
    /// The server refused the call.
    Refused(String),
    /// Not sent: a dry run without a server.
    NotAsked,
    /// Interrupted (Ctrl-C) before the response.
    Interrupted,
}

/// The result for a domain.
pub(super) struct DomainResult {
    pub(super) domain: String,
    /// `Added`, `Bound`, `Replaced`, `Unchanged`, `Newer` or `Held`.
    pub(super) result: String,
    /// Whether every live edge has proven it, and the domain is online.
    pub(super) is_served: bool,
}

/// Sends everything, or until SIGINT; returns one result per certificate, in order.
///
/// # Errors
/// If the server cannot be called at all.
pub(super) async fn send(
    order: &ImportOptions<'_>,
    planned: &[PlannedCertificate],
) -> Result<Vec<ImportResult>, CliError> {
    let Some((first, rest)) = planned.split_first() else {
        return Ok(Vec::new());
    };
    let sender = &Importer {
        order,
        sources: domain::sources(order.origins),
        throttle_queue: Mutex::new(()),
        contact: std::sync::Mutex::default(),
    };
    let progress = progress(planned.len());
    let mut interrupted = pin!(interrupted());
    let mut sent: Vec<ImportResult> = planned.iter().map(|_| ImportResult::Interrupted).collect();
    // The first call runs alone: an unreachable server is then reported once.
    let first = tokio::select! {
        first = sender.import_certificate(first) => first,
        () = &mut interrupted => return Ok(sent),
    };
    sent[0] = match first {
        Err(failure) if order.dry_run => {
            output::print_error(&failure);
            return Ok(planned.iter().map(|_| ImportResult::NotAsked).collect());
        }
        first => first?,
    };
    progress.inc(1);
    let calls = stream::iter(rest.iter().zip(1..))
        .map(|(certificate, at)| async move { (at, sender.import_certificate(certificate).await) });
    let mut calls = pin!(calls.buffer_unordered(order.parallel));
    loop {
        let (at, result): (usize, _) = tokio::select! {
            next = calls.next() => match next {
                Some(next) => next,
                None => break,
            },
            () = &mut interrupted => break,
        };
        sent[at] = result.unwrap_or_else(|failure| ImportResult::Refused(error_text(&failure)));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(sent)
}

/// Waits for Ctrl-C. If no handler can be installed, Ctrl-C terminates the process.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

fn error_text(failure: &CliError) -> String {
    match failure {
        CliError::Call(CallError::Api(refusal)) => match refusal.detail.as_str() {
            "" => format!("{}: {}", refusal.code, refusal.message),
            detail => format!("{}: {detail}", refusal.code),
        },
        other => other.to_string(),
    }
}

/// The progress bar.
fn progress(length: usize) -> ProgressBar {
    const LINE: &str = "{bar:30} {pos}/{len} certificates, {per_sec}, {eta} left";
    let progress = ProgressBar::with_draw_target(
        Some(length as u64),
        // Draws nothing if standard error is not a terminal.
        ProgressDrawTarget::stderr_with_hz(5),
    );
    match ProgressStyle::with_template(LINE) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}

struct Importer<'a> {
    order: &'a ImportOptions<'a>,
    sources: String,
    /// Throttled calls wait here one after the other, each as long as the server said: so together
    /// they keep to the allowed rate.
    throttle_queue: Mutex<()>,
    contact: std::sync::Mutex<Reachability>,
}

/// State of the server that all calls share.
#[derive(Default)]
struct Reachability {
    has_answered: bool,
    /// When a call first failed to reach the server since its last response.
    unreachable_since: Option<Instant>,
}

impl Reachability {
    fn answered(&mut self) {
        *self = Self {
            has_answered: true,
            unreachable_since: None,
        };
    }

    /// Whether to retry. After the timeout no call is retried, including later ones.
    fn should_retry(&mut self) -> bool {
        let patience = if self.has_answered {
            RECONNECT_TIMEOUT
        } else {
            CONNECT_TIMEOUT
        };
        self.unreachable_since
            .get_or_insert_with(Instant::now)
            .elapsed()
            < patience
    }
}

impl Importer<'_> {
    fn contact(&self) -> MutexGuard<'_, Reachability> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn import_certificate(
        &self,
        planned: &PlannedCertificate,
    ) -> Result<ImportResult, CliError> {
        let mut rows = Vec::with_capacity(planned.domains.len());
        let mut warnings = Vec::new();
        for names in planned.domains.chunks(DOMAINS_PER_CALL) {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let names = names.join(",");
            for wait in PREFER_WAITS {
                let sent = self.call(planned, &names, wait).await;
                let reply = match sent {
                    Err(failure @ CliError::Call(CallError::Api(_))) => {
                        return Ok(ImportResult::Refused(error_text(&failure)));
                    }
                    sent => sent?,
                };
                let is_proven = self.order.dry_run || is_proven(&reply);
                let done = rows_of(&reply, is_proven);
                for warning in warnings_of(&reply) {
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
                if is_proven || wait == PREFER_WAITS[1] {
                    rows.extend(done);
                    break;
                }
            }
        }
        Ok(ImportResult::Done(rows, warnings))
    }

    async fn call(
        &self,
        planned: &PlannedCertificate,
        names: &str,
        wait: &str,
    ) -> Result<Reply, CliError> {
        let chain: String = planned.chain.iter().map(certificate_pem).collect();
        let key = key_pem(&planned.key);
        let mut params = vec![
            ("DomainName", names),
            ("Sources", &self.sources),
            ("SSLPub", &chain),
            ("SSLPri", &key),
        ];
        if self.order.dry_run {
            params.push(("DryRun", "true"));
        }
        let headers = [("prefer", wait)];
        loop {
            let called = self.order.connection.call_once(
                EDGESEAL_API_VERSION,
                "ImportCertificate",
                &params,
                &headers,
            );
            let failure = match called.await {
                Ok(reply) => {
                    self.contact().answered();
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            match retry_decision(&failure) {
                Retry::After(wait) => {
                    self.contact().answered();
                    let _turn = self.throttle_queue.lock().await;
                    sleep(wait).await;
                }
                Retry::Soon if self.contact().should_retry() => sleep(RETRY_INTERVAL).await,
                _ => return Err(failure),
            }
        }
    }
}

/// When to retry a call.
enum Retry {
    /// When the rate limit allows it.
    After(Duration),
    /// Soon, for a while: the server restarts or is overloaded.
    Soon,
    Never,
}

fn retry_decision(failure: &CliError) -> Retry {
    match failure {
        CliError::Call(CallError::Api(refusal)) => match retry_after(refusal) {
            Some(wait) => Retry::After(wait),
            None if refusal.status == 503 || refusal.code == "ServiceBusy" => Retry::Soon,
            None => Retry::Never,
        },
        CliError::Call(CallError::Unreachable { .. }) => Retry::Soon,
        _ => Retry::Never,
    }
}

/// Whether there is a live edge, and every live edge has proven it.
fn is_proven(reply: &Reply) -> bool {
    let counts = reply.headers.get("x-edgeseal-proven");
    let counts = counts.and_then(|value| value.to_str().ok()?.split_once('/'));
    counts.is_some_and(|(proven, live)| proven == live && live != "0")
}

fn warnings_of(reply: &Reply) -> Vec<String> {
    let warnings = reply.body["Warnings"].as_array().into_iter().flatten();
    warnings
        .map(|it| output::json_text(&it["Detail"]))
        .collect()
}

fn rows_of(reply: &Reply, is_proven: bool) -> Vec<DomainResult> {
    let rows = reply.body["Domains"].as_array().into_iter().flatten();
    rows.map(|row| {
        let result = output::json_text(&row["Result"]);
        let name = output::json_text(&row["DomainName"]);
        DomainResult {
            domain: match name.strip_prefix('.') {
                Some(base) => format!("*.{base}"),
                None => name,
            },
            is_served: is_proven && row["DomainStatus"] == "online" && result != "Held",
            result,
        }
    })
    .collect()
}
