//! Sends what is planned: many calls at once, as fast as the server lets them, each until it is
//! answered.

use std::time::Duration;

use edgeseal_api::client::{CallError, Reply};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{sync::Mutex, time::sleep};

use super::plan::Planned;
use crate::{
    certificate_files::{certificate_pem, key_pem},
    cli::{Connection, EDGESEAL, Failure, connection::retry_after, domain, output},
};

/// Domains of one call at most, as the API has it.
const NAMES_MAX: usize = 50;
/// Seconds that a call waits for the edges to prove that they serve it; the second time, longer.
const WAITS: [&str; 2] = ["wait=10", "wait=30"];
/// Tries of a call that the server cannot answer now.
const TRIES_MAX: u32 = 5;
/// Between two of them.
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
}

/// What the server did with a domain.
pub(super) struct Row {
    pub(super) domain: String,
    /// `Added`, `Bound`, `Replaced`, `Unchanged`, `Newer` or `Held`.
    pub(super) result: String,
    /// Whether every live edge has proved it, and the domain is online.
    pub(super) is_served: bool,
}

/// Sends all of it; one result for each certificate, in order.
///
/// # Errors
/// The server cannot be called at all.
pub(super) async fn send(order: &Order<'_>, planned: &[Planned]) -> Result<Vec<Sent>, Failure> {
    let Some((first, rest)) = planned.split_first() else {
        return Ok(Vec::new());
    };
    let sender = Sender {
        order,
        sources: domain::sources(order.origins),
        queue: Mutex::new(()),
    };
    let progress = progress(planned.len());
    // Alone: if nobody answers, that is told once.
    let first = match sender.certificate(first).await {
        Err(failure) if order.dry_run => {
            output::failure(&failure);
            return Ok(planned.iter().map(|_| Sent::NotAsked).collect());
        }
        sent => sent?,
    };
    progress.inc(1);
    let calls = stream::iter(rest).map(|certificate| async {
        let sent = sender.certificate(certificate).await;
        progress.inc(1);
        sent.unwrap_or_else(|failure| Sent::Refused(described(&failure)))
    });
    let mut sent = vec![first];
    sent.extend(calls.buffered(order.parallel).collect::<Vec<_>>().await);
    progress.finish_and_clear();
    Ok(sent)
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
}

impl Sender<'_> {
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
        let mut tries = 0;
        loop {
            let called =
                self.order
                    .connection
                    .call_once(EDGESEAL, "ImportCertificate", &params, &headers);
            let failure = match called.await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            match again(&failure) {
                Again::After(wait) => {
                    let _turn = self.queue.lock().await;
                    sleep(wait).await;
                }
                Again::Soon if tries < TRIES_MAX => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                _ => return Err(failure),
            }
        }
    }
}

/// Whether a call is worth another try.
enum Again {
    /// Once the rate allows it.
    After(Duration),
    /// A few times: the server is restarting, or has too much to do.
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
