//! The channels: each sends a batch of notifications, and says whether it was accepted.

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use edgeseal_core::{Timestamp, alarm::Severity};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, header};
use zeroize::Zeroizing;

use super::notification::Batch;
use crate::{
    config::{AlarmChannel, ChannelKind, ConfigError},
    error_chain::error_chain,
    http_client::{self, HttpClient},
};

mod alertmanager;
mod command;
mod smtp;
mod webhook;

pub(crate) use alertmanager::RESEND_INTERVAL_MS;

/// A channel.
pub(crate) struct Channel {
    pub(crate) config: AlarmChannel,
    sender: Sender,
    /// Whether a test was accepted, and nobody has asked since.
    has_accepted_test: AtomicBool,
}

enum Sender {
    Webhook(HttpClient),
    Alertmanager(HttpClient),
    Command,
    Smtp(smtp::Mailer),
}

/// Why a channel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// Its table is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its TLS client cannot be set up, or a file cannot be read.
    #[error("alarm channel {name}: {why}")]
    Setup {
        /// The channel.
        name: String,
        /// Why.
        why: String,
    },
}

/// Why a batch was not accepted: one line without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DeliveryError(pub(crate) String);

/// Longest part of a response that is read.
const RESPONSE_MAX: usize = 64 << 10;
/// Longest text of an error.
const ERROR_CHARS_MAX: usize = 300;

impl Channel {
    /// Sets up the channel.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub(crate) fn new(config: &AlarmChannel) -> Result<Self, ChannelError> {
        let setup = |error: &dyn std::error::Error| ChannelError::Setup {
            name: config.name.clone(),
            why: error_chain(error),
        };
        let http = || http_client::new(config.ca_file.as_deref()).map_err(|error| setup(&error));
        let sender = match config.kind {
            ChannelKind::Webhook => Sender::Webhook(http()?),
            ChannelKind::Alertmanager => Sender::Alertmanager(http()?),
            ChannelKind::Command => Sender::Command,
            ChannelKind::Smtp => {
                let addresses = config.mail_addresses()?;
                let mailer = smtp::Mailer::new(config, addresses);
                Sender::Smtp(mailer.map_err(|error| setup(&error))?)
            }
        };
        Ok(Self {
            config: config.clone(),
            sender,
            has_accepted_test: AtomicBool::new(false),
        })
    }

    /// Whether it is told of alarms of this severity.
    pub(crate) fn wants(&self, severity: Severity) -> bool {
        severity >= self.config.min_severity
    }

    /// Whether it must be told of all active alarms again and again.
    pub(crate) const fn is_stateful(&self) -> bool {
        matches!(self.sender, Sender::Alertmanager(_))
    }

    /// Notes that a test was accepted.
    pub(crate) fn note_accepted_test(&self) {
        self.has_accepted_test.store(true, Ordering::Relaxed);
    }

    /// Whether a test was accepted since the last call.
    pub(crate) fn take_accepted_test(&self) -> bool {
        self.has_accepted_test.swap(false, Ordering::Relaxed)
    }

    /// Sends a batch.
    ///
    /// # Errors
    /// [`DeliveryError`] unless it was accepted in time; it may have been received anyway.
    pub(crate) async fn send(&self, batch: &Batch, now: Timestamp) -> Result<(), DeliveryError> {
        let sent = async {
            match &self.sender {
                Sender::Webhook(client) => webhook::send(client, &self.config, batch, now).await,
                Sender::Alertmanager(client) => {
                    alertmanager::send(client, &self.config, batch, now).await
                }
                Sender::Command => command::run(&self.config, batch).await,
                Sender::Smtp(mailer) => mailer.send(&self.config, batch).await,
            }
        };
        let timeout = self.config.timeout();
        let sent = tokio::time::timeout(timeout, sent).await;
        sent.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", timeout.as_secs());
            Err(DeliveryError(why))
        })
    }
}

impl DeliveryError {
    fn of(error: &dyn std::error::Error) -> Self {
        Self::text(&error_chain(error))
    }

    /// A text from elsewhere, made safe.
    fn text(text: &str) -> Self {
        let text = text.chars().filter(|c| !c.is_control());
        Self(text.take(ERROR_CHARS_MAX).collect())
    }
}

/// Posts JSON; accepted is any status of success.
async fn post(
    client: &HttpClient,
    config: &AlarmChannel,
    mut request: Request<Full<Bytes>>,
) -> Result<(), DeliveryError> {
    let headers = request.headers_mut();
    let json = header::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(file) = &config.token_file {
        let token = read_secret(file)?;
        let value = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let value = header::HeaderValue::from_str(&value);
        let mut value =
            value.map_err(|_| DeliveryError("the token has invalid characters".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let response = client.request(request).await;
    let response = response.map_err(|error| DeliveryError::of(&error))?;
    let status = response.status();
    // Read, so that the connection can be used again.
    let body = Limited::new(response.into_body(), RESPONSE_MAX);
    let body = body.collect().await.map(|body| body.to_bytes());
    if status.is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    Err(refused(status, &said))
}

fn refused(status: StatusCode, said: &str) -> DeliveryError {
    match said.trim() {
        "" => DeliveryError(format!("it answered {status}")),
        said => DeliveryError::text(&format!("it answered {status}: {said}")),
    }
}

/// A secret from a file, without the whitespace around it.
fn read_secret(file: &Path) -> Result<Zeroizing<String>, DeliveryError> {
    let unreadable =
        |error: io::Error| DeliveryError(format!("cannot read {}: {error}", file.display()));
    let text = Zeroizing::new(fs::read_to_string(file).map_err(unreadable)?);
    let secret = Zeroizing::new(text.trim().to_owned());
    if secret.is_empty() {
        // Anybody could sign with an empty key.
        return Err(DeliveryError(format!("{} is empty", file.display())));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
