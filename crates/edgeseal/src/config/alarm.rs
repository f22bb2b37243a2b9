//! Channels of alarms: the tables `[[alarm]]`.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use edgeseal_core::alarm::Severity;
use hyper::Uri;
use lettre::message::Mailbox;
use serde::Deserialize;

use super::ConfigError;

/// One channel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlarmChannel {
    /// Its name, unique.
    pub(crate) name: String,
    /// The kind of channel.
    #[serde(rename = "type")]
    pub(crate) kind: ChannelKind,
    /// The least urgent alarms that it gets.
    #[serde(default = "default_severity")]
    pub(crate) min_severity: Severity,
    /// Time limit of one attempt, in seconds.
    #[serde(default = "default_timeout_s")]
    timeout_s: u16,
    /// `webhook`, `alertmanager`: where to send.
    url: Option<String>,
    /// `webhook`: file of the key that signs.
    pub(crate) secret_file: Option<PathBuf>,
    /// `webhook`, `alertmanager`: file of a token for `Authorization: Bearer`.
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of CAs to trust besides those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// `command`: the program and its arguments.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// `smtp`: host name or address of the mail server, with a port.
    server: Option<String>,
    /// `smtp`: how the connection is encrypted.
    #[serde(default)]
    pub(crate) tls: SmtpTls,
    /// `smtp`: the user, if the server needs one.
    pub(crate) username: Option<String>,
    /// `smtp`: file of its password.
    pub(crate) password_file: Option<PathBuf>,
    /// `smtp`: the sender.
    from: Option<String>,
    /// `smtp`: the recipients.
    #[serde(default)]
    to: Vec<String>,
}

/// The kind of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelKind {
    /// JSON by HTTP.
    Webhook,
    /// The API of Prometheus' Alertmanager.
    Alertmanager,
    /// A program.
    Command,
    /// Mail.
    Smtp,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SmtpTls {
    /// After `STARTTLS` (RFC 3207), which the server must offer.
    #[default]
    Starttls,
    /// From the start (RFC 8314).
    Tls,
    /// Not at all: on this machine only.
    None,
}

/// Sender and recipients of mails, and the server.
pub(crate) struct MailAddresses {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) from: Mailbox,
    pub(crate) to: Vec<Mailbox>,
}

const fn default_severity() -> Severity {
    Severity::Warning
}

const fn default_timeout_s() -> u16 {
    10
}

impl ChannelKind {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Command => "command",
            Self::Smtp => "smtp",
        }
    }
}

/// Checks the tables.
///
/// # Errors
/// [`ConfigError::InvalidValue`] for the first invalid value.
pub(super) fn validate(channels: &[AlarmChannel]) -> Result<(), ConfigError> {
    for (index, channel) in channels.iter().enumerate() {
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let name = &channel.name;
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name_byte) {
            let expected = "a name of 1 to 64 letters, digits and . - _";
            return Err(ConfigError::invalid("alarm.name", name, expected));
        }
        if channels[..index].iter().any(|other| other.name == *name) {
            return Err(ConfigError::invalid("alarm.name", name, "unique"));
        }
        channel.validate()?;
    }
    Ok(())
}

impl AlarmChannel {
    fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=300).contains(&self.timeout_s) {
            let given = self.timeout_s.to_string();
            return Err(ConfigError::invalid("alarm.timeout_s", &given, "1 to 300"));
        }
        let files = [&self.secret_file, &self.token_file, &self.password_file];
        let keys = [
            "alarm.secret_file",
            "alarm.token_file",
            "alarm.password_file",
        ];
        for (file, key) in files.into_iter().zip(keys) {
            if let Some(file) = file.as_ref().filter(|file| !is_readable(file)) {
                let expected = "a file that can be read";
                return Err(ConfigError::invalid_file(key, file, expected));
            }
        }
        match self.kind {
            ChannelKind::Webhook | ChannelKind::Alertmanager => self.uri().map(drop),
            ChannelKind::Command if self.command.first().is_none_or(String::is_empty) => {
                let expected = "a list: the program and its arguments";
                Err(ConfigError::invalid("alarm.command", "", expected))
            }
            ChannelKind::Command => Ok(()),
            ChannelKind::Smtp => self.mail_addresses().map(drop),
        }
    }

    /// Time limit of one attempt.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }

    /// Where to send.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn uri(&self) -> Result<Uri, ConfigError> {
        let given = self.url.as_deref().unwrap_or_default();
        // Not shown: it may contain a token.
        let wrong = || {
            ConfigError::invalid(
                "alarm.url",
                "(not shown)",
                "http://host/path or https://host/path",
            )
        };
        let uri: Uri = given.parse().map_err(|_| wrong())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_user = uri.authority().is_none_or(|it| it.as_str().contains('@'));
        if is_http && !has_user {
            Ok(uri)
        } else {
            Err(wrong())
        }
    }

    /// Server, sender and recipients of mails.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn mail_addresses(&self) -> Result<MailAddresses, ConfigError> {
        let server = self.server.as_deref().unwrap_or_default();
        let split = server.rsplit_once(':');
        let split = split.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let split = split.filter(|(host, _)| !host.is_empty());
        let Some((host, port)) = split else {
            return Err(ConfigError::invalid(
                "alarm.server",
                server,
                "host:port of a mail server",
            ));
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let address = host.parse::<IpAddr>();
        let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if self.tls == SmtpTls::None && !is_local {
            let expected = "starttls or tls, since the mail server is not on this machine";
            return Err(ConfigError::invalid("alarm.tls", "none", expected));
        }
        if self.username.is_some() != self.password_file.is_some() {
            let expected = "given together with username";
            return Err(ConfigError::invalid("alarm.password_file", "", expected));
        }
        let mailbox = |key, given: &str| {
            let parsed = given.parse::<Mailbox>();
            parsed.map_err(|_| ConfigError::invalid(key, given, "a mail address"))
        };
        let to = self.to.iter().map(|to| mailbox("alarm.to", to));
        let to = to.collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(ConfigError::invalid(
                "alarm.to",
                "",
                "a list of mail addresses",
            ));
        }
        let from = mailbox("alarm.from", self.from.as_deref().unwrap_or_default())?;
        Ok(MailAddresses {
            host,
            port,
            from,
            to,
        })
    }
}

fn is_readable(file: &Path) -> bool {
    std::fs::File::open(file).is_ok()
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format as _, Toml},
    };

    use super::*;

    #[derive(Deserialize)]
    struct Tables {
        alarm: Vec<AlarmChannel>,
    }

    fn read(tables: &str) -> Result<Vec<AlarmChannel>, String> {
        let tables = Figment::from(Toml::string(tables)).extract::<Tables>();
        let channels = tables.map_err(|error| error.to_string())?.alarm;
        validate(&channels).map_err(|error| error.to_string())?;
        Ok(channels)
    }

    const MAIL: &str = "[[alarm]]\nname = \"mail\"\ntype = \"smtp\"\nserver = \"[::1]:25\"\ntls = \"none\"\n\
                        from = \"Edgeseal <edgeseal@a.example>\"\nto = [\"ops@a.example\"]\n";

    #[test]
    fn tables_are_channels() {
        let hook =
            "[[alarm]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"https://a.example/x\"\n";
        let run = "[[alarm]]\nname = \"run\"\ntype = \"command\"\ncommand = [\"/bin/true\"]\n\
                   min_severity = \"critical\"\ntimeout_s = 1\n";
        let channels = read(&format!("{hook}{run}{MAIL}")).unwrap();
        let kinds = channels.iter().map(|channel| channel.kind.as_str());
        assert_eq!(kinds.collect::<Vec<_>>(), ["webhook", "command", "smtp"]);
        assert_eq!(channels[0].min_severity, Severity::Warning);
        assert_eq!(channels[1].min_severity, Severity::Critical);
        assert_eq!(channels[1].timeout(), Duration::from_secs(1));
        let mail = channels[2].mail_addresses().unwrap();
        assert_eq!((mail.host.as_str(), mail.port), ("::1", 25));
    }

    #[test]
    fn what_cannot_be_names_its_key() {
        for (from, to, key) in [
            ("\"mail\"", "\"m ail\"", "alarm.name"),
            ("\"smtp\"", "\"pager\"", "pager"),
            ("\"[::1]:25\"", "\"mail.a.example:25\"", "alarm.tls"),
            ("\"[::1]:25\"", "\"mail.a.example\"", "alarm.server"),
            ("[\"ops@a.example\"]", "[]", "alarm.to"),
            ("[\"ops@a.example\"]", "[\"ops\"]", "alarm.to"),
            ("from =", "username = \"u\"\nfrom =", "alarm.password_file"),
            (
                "from =",
                "password_file = \"/nowhere\"\nfrom =",
                "alarm.password_file",
            ),
            ("from =", "timeout_s = 0\nfrom =", "alarm.timeout_s"),
            ("from =", "form =", "form"),
            ("\"smtp\"", "\"webhook\"", "alarm.url"),
            (
                "\"smtp\"",
                "\"webhook\"\nurl = \"ftp://a.example\"",
                "alarm.url",
            ),
            ("\"smtp\"", "\"command\"", "alarm.command"),
        ] {
            let refused = read(&MAIL.replacen(from, to, 1)).unwrap_err();
            assert!(refused.contains(key), "{to}: {refused}");
        }
        assert!(
            read(&format!("{MAIL}{MAIL}"))
                .unwrap_err()
                .contains("unique")
        );
    }
}
