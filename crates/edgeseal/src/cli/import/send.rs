//! Sends what is planned: many calls at once, as fast as the server lets them, each until it is
//! answered.

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

use super::plan::Planned;
use crate::{
    certificate_files::{certificate_pem, key_pem},
    cli::{Connection, EDGESEAL, Failure, connection::retry_after, domain, output},
};

/// Domains of one call at most, as the API has it.
const NAMES_MAX: usize = 50;
/// Seconds that a call waits for the edges to prove that they serve it; the second time, longer.
const WAITS: [&str; 2] = ["wait=10", "wait=30"];
/// How long a server that cannot answer is tried again: one that restarts, once it has answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same, as long as it has never answered.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked of the server.
pub(super) struct Order<'a> {
    pub(super) connection: &'a Connection,
    pub(super) origins: &'a [String],
    pub(super) dry_run: bool,
    /// Calls at once.
    pub(super) parallel: usize,
}

/// What became of a certificate.
pub(super) enum Sent {
    /// What the server did with each domain, or would do, and what it warns of.
    Done(Vec<Row>, Vec<String>),
    /// It refused.
    Refused(String),
    /// It was not asked: a dry run without a server.
    NotAsked,
    /// It was interrupted (Ctrl-C) before it answered.
    Interrupted,
}

/// What the server did with a domain.
pub(super) struct Row {
    pub(super) domain: String,
    /// `Added`, `Bound`, `Replaced`, `Unchanged`, `Newer` or `Held`.
    pub(super) result: String,
    /// Whether every live edge has proved it, and the domain is online.
    pub(super) is_served: bool,
}

/// Sends all of it, or until it is interrupted (SIGINT); one result for each certificate, in order.
///
/// # Errors
/// The server cannot be called at all.
pub(super) async fn send(order: &Order<'_>, planned: &[Planned]) -> Result<Vec<Sent>, Failure> {
    let Some((first, rest)) = planned.split_first() else {
        return Ok(Vec::new());
    };
    let sender = &Sender {
        order,
        sources: domain::sources(order.origins),
        queue: Mutex::new(()),
        contact: std::sync::Mutex::default(),
    };
    let progress = progress(planned.len());
    let mut interrupted = pin!(interrupted());
    let mut sent: Vec<Sent> = planned.iter().map(|_| Sent::Interrupted).collect();
    // Alone: if nobody answers, that is told once.
    let first = tokio::select! {
        first = sender.certificate(first) => first,
        () = &mut interrupted => return Ok(sent),
    };
    sent[0] = match first {
        Err(failure) if order.dry_run => {
            output::failure(&failure);
            return Ok(planned.iter().map(|_| Sent::NotAsked).collect());
        }
        first => first?,
    };
    progress.inc(1);
    let calls = stream::iter(rest.iter().zip(1..))
        .map(|(certificate, at)| async move { (at, sender.certificate(certificate).await) });
    let mut calls = pin!(calls.buffer_unordered(order.parallel));
    loop {
        let (at, result): (usize, _) = tokio::select! {
            next = calls.next() => match next {
                Some(next) => next,
                None => break,
            },
            () = &mut interrupted => break,
        };
        sent[at] = result.unwrap_or_else(|failure| Sent::Refused(described(&failure)));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(sent)
}

/// Waits for Ctrl-C. If that cannot be waited for, it ends the process as ever.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

fn described(failure: &Failure) -> String {
    match failure {
        Failure::Call(CallError::Refused(refusal)) => match refusal.detail.as_str() {
            "" => format!("{}: {}", refusal.code, refusal.message),
            detail => format!("{}: {detail}", refusal.code),
        },
        other => other.to_string(),
    }
}

/// On a terminal, and nowhere else.
fn progress(length: usize) -> ProgressBar {
    const LINE: &str = "{bar:30} {pos}/{len} certificates, {per_sec}, {eta} left";
    let progress = ProgressBar::with_draw_target(
        Some(length as u64),
        // Draws nothing where standard error is no terminal.
        ProgressDrawTarget::stderr_with_hz(5),
    );
    match ProgressStyle::with_template(LINE) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}

struct Sender<'a> {
    order: &'a Order<'a>,
    sources: String,
    /// Whoever was refused for the rate waits here, one after the other, each as long as the server
    /// said: together they call at just the rate that is allowed.
    queue: Mutex<()>,
    contact: std::sync::Mutex<Contact>,
}

/// What all calls together know of the server.
#[derive(Default)]
struct Contact {
    has_answered: bool,
    /// When a call first failed to reach it since it last answered.
    lost: Option<Instant>,
}

impl Contact {
    fn answered(&mut self) {
        *self = Self {
            has_answered: true,
            lost: None,
        };
    }

    /// Whether it is to be tried again. Once patience is over it is for all calls, those to come too.
    fn may_be_back(&mut self) -> bool {
        let patience = if self.has_answered {
            PATIENCE
        } else {
            FIRST_PATIENCE
        };
        self.lost.get_or_insert_with(Instant::now).elapsed() < patience
    }
}

impl Sender<'_> {
    fn contact(&self) -> MutexGuard<'_, Contact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn certificate(&self, planned: &Planned) -> Result<Sent, Failure> {
        let mut rows = Vec::with_capacity(planned.domains.len());
        let mut warnings = Vec::new();
        for names in planned.domains.chunks(NAMES_MAX) {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let names = names.join(",");
            for wait in WAITS {
                let sent = self.call(planned, &names, wait).await;
                let reply = match sent {
                    Err(failure @ Failure::Call(CallError::Refused(_))) => {
                        return Ok(Sent::Refused(described(&failure)));
                    }
                    sent => sent?,
                };
                let is_proved = self.order.dry_run || is_proved(&reply);
                let done = rows_of(&reply, is_proved);
                for warning in warnings_of(&reply) {
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
                if is_proved || wait == WAITS[1] {
                    rows.extend(done);
                    break;
                }
            }
        }
        Ok(Sent::Done(rows, warnings))
    }

    async fn call(&self, planned: &Planned, names: &str, wait: &str) -> Result<Reply, Failure> {
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
            let called =
                self.order
                    .connection
                    .call_once(EDGESEAL, "ImportCertificate", &params, &headers);
            let failure = match called.await {
                Ok(reply) => {
                    self.contact().answered();
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            match again(&failure) {
                Again::After(wait) => {
                    self.contact().answered();
                    let _turn = self.queue.lock().await;
                    sleep(wait).await;
                }
                Again::Soon if self.contact().may_be_back() => sleep(PAUSE).await,
                _ => return Err(failure),
            }
        }
    }
}

/// Whether a call is worth another try.
enum Again {
    /// Once the rate allows it.
    After(Duration),
    /// For a while: the server is restarting, or has too much to do.
    Soon,
    Never,
}

fn again(failure: &Failure) -> Again {
    match failure {
        Failure::Call(CallError::Refused(refusal)) => match retry_after(refusal) {
            Some(wait) => Again::After(wait),
            None if refusal.status == 503 || refusal.code == "ServiceBusy" => Again::Soon,
            None => Again::Never,
        },
        Failure::Call(CallError::Unreachable { .. }) => Again::Soon,
        _ => Again::Never,
    }
}

/// Whether every live edge has proved it, and there is one.
fn is_proved(reply: &Reply) -> bool {
    let served = reply.headers.get("x-edgeseal-served");
    let served = served.and_then(|value| value.to_str().ok()?.split_once('/'));
    served.is_some_and(|(proved, live)| proved == live && live != "0")
}

fn warnings_of(reply: &Reply) -> Vec<String> {
    let warnings = reply.body["Warnings"].as_array().into_iter().flatten();
    warnings.map(|it| output::text(&it["Detail"])).collect()
}

fn rows_of(reply: &Reply, is_proved: bool) -> Vec<Row> {
    let rows = reply.body["Domains"].as_array().into_iter().flatten();
    rows.map(|row| {
        let result = output::text(&row["Result"]);
        let name = output::text(&row["DomainName"]);
        Row {
            domain: match name.strip_prefix('.') {
                Some(base) => format!("*.{base}"),
                None => name,
            },
            is_served: is_proved && row["DomainStatus"] == "online" && result != "Held",
            result,
        }
    })
    .collect()
}
