//! Mail. One mail tells of all notifications of a batch.

use std::fmt::Write as _;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::header::ContentType,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

use super::{AlarmChannel, Batch, DeliveryError, read_secret};
use crate::{
    alarms::notification::Notification,
    config::{MailAddresses, SmtpTls},
};

/// Sends mails by one server.
pub(super) struct Mailer {
    addresses: MailAddresses,
    tls: Tls,
}

/// Why a mailer cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailerError {
    /// The file of CAs cannot be read.
    #[error("ca_file cannot be read")]
    File(#[from] std::io::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] lettre::transport::smtp::Error),
}

impl Mailer {
    pub(super) fn new(
        config: &AlarmChannel,
        addresses: MailAddresses,
    ) -> Result<Self, MailerError> {
        let parameters = || {
            let mut parameters = TlsParameters::builder(addresses.host.clone())
                .certificate_store(CertificateStore::Default);
            if let Some(file) = &config.ca_file {
                let pem = std::fs::read(file)?;
                parameters = parameters.add_root_certificate(Certificate::from_pem(&pem)?);
            }
            Ok::<_, MailerError>(parameters.build_rustls()?)
        };
        let tls = match config.tls {
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::Tls => Tls::Wrapper(parameters()?),
            SmtpTls::None => Tls::None,
        };
        Ok(Self { addresses, tls })
    }

    pub(super) async fn send(
        &self,
        config: &AlarmChannel,
        batch: &Batch,
    ) -> Result<(), DeliveryError> {
        let MailAddresses { host, port, .. } = &self.addresses;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(*port)
            .timeout(Some(config.timeout()))
            .tls(self.tls.clone());
        if let (Some(user), Some(file)) = (&config.username, &config.password_file) {
            let password = read_secret(file)?.as_str().to_owned();
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        let mail = self
            .mail(batch)
            .map_err(|error| DeliveryError::of(&error))?;
        let sent = transport.build().send(mail).await;
        sent.map(drop).map_err(|error| DeliveryError::of(&error))
    }

    fn mail(&self, batch: &Batch) -> Result<Message, lettre::error::Error> {
        let from = &self.addresses.from;
        // The same in each attempt, so that readers show a repeated mail once.
        let id = format!("<{}@{}>", batch.id, from.email.domain());
        let mut mail = Message::builder()
            .from(from.clone())
            .message_id(Some(id))
            .date_now()
            .subject(format!("[edgeseal] {}", batch.title()))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.addresses.to {
            mail = mail.to(to.clone());
        }
        mail.body(text(&batch.notifications))
    }
}

fn text(notifications: &[Notification]) -> String {
    let mut text = String::new();
    for it in notifications {
        let Notification {
            event,
            severity,
            remedy,
            documentation,
            since,
            ..
        } = it;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{event} ({severity}): {}\n  {}, since {since}\n",
            it.text, it.code
        );
        let _ = match &it.resolved_at {
            Some(at) => writeln!(text, "  resolved at {at}\n"),
            None => writeln!(text, "  {remedy}\n  {documentation}\n"),
        };
    }
    text
}
