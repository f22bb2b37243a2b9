//! How challenges in DNS are published: the table `[acme_dns]`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use edgeseal_acme::dns01::{
    CommandHook, DnsPublisher, DnsSettings, DynamicUpdate, HookStyle, TsigAlgorithm, TsigKey,
};
use edgeseal_core::DomainName;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::ConfigError;

/// A command, or a DNS server that takes updates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcmeDns {
    /// How the command is called.
    #[serde(default)]
    style: Style,
    /// The command that publishes a record.
    command: Option<String>,
    /// The command that removes it, if the style is certbot.
    cleanup_command: Option<String>,
    /// Time limit of a command.
    #[serde(default = "default_command_timeout_ms")]
    command_timeout_ms: u64,
    /// `HOST:PORT` of the primary server of the zones.
    server: Option<String>,
    /// The zone; `None`: the server is asked.
    zone: Option<String>,
    /// The name of the key that signs updates.
    tsig_name: Option<String>,
    /// The algorithm of the key.
    #[serde(default)]
    tsig_algorithm: Algorithm,
    /// File with the key in base64.
    tsig_key_file: Option<PathBuf>,
    /// How long a record may take to reach all servers of its zone.
    #[serde(default = "default_propagation_timeout_ms")]
    propagation_timeout_ms: u64,
    /// A DNS server that is asked instead of them.
    resolver: Option<SocketAddr>,
    /// Domains below which CNAME records may lead to any name.
    #[serde(default)]
    delegated_to: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Style {
    #[default]
    Lego,
    LegoRaw,
    Certbot,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Algorithm {
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

const fn default_command_timeout_ms() -> u64 {
    60_000
}

const fn default_propagation_timeout_ms() -> u64 {
    120_000
}

impl AcmeDns {
    /// What the table says. `dns` resolves names; `hidden_variables` hold secrets, which a command
    /// does not get.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] for the first invalid value.
    pub(super) fn settings(
        &self,
        dns: Option<SocketAddr>,
        hidden_variables: Vec<String>,
    ) -> Result<DnsSettings, ConfigError> {
        let publisher = match (&self.command, &self.server) {
            (Some(command), None) => self.command(command, hidden_variables)?,
            (None, Some(server)) => self.update(server)?,
            (command, _) => {
                let given = command.as_deref().unwrap_or_default();
                let expected = "given, or acme_dns.server, and not both";
                return Err(ConfigError::invalid("acme_dns.command", given, expected));
            }
        };
        Ok(DnsSettings {
            publisher,
            dns,
            resolver: self.resolver,
            propagation_timeout: Duration::from_millis(self.propagation_timeout_ms),
            delegated_to: self.delegated_to()?,
        })
    }

    fn delegated_to(&self) -> Result<Vec<DomainName>, ConfigError> {
        let domains = self.delegated_to.iter().map(|given| {
            let expected = "a list of domain names";
            DomainName::parse(given)
                .map_err(|_| ConfigError::invalid("acme_dns.delegated_to", given, expected))
        });
        domains.collect()
    }

    fn command(&self, command: &str, hidden: Vec<String>) -> Result<DnsPublisher, ConfigError> {
        let style = match self.style {
            Style::Lego => HookStyle::Lego,
            Style::LegoRaw => HookStyle::LegoRaw,
            Style::Certbot => HookStyle::Certbot,
        };
        if command.trim().is_empty() {
            let expected = "a program or, with the style certbot, a line for the shell";
            return Err(ConfigError::invalid("acme_dns.command", command, expected));
        }
        let cleanup = self.cleanup_command.clone();
        if let Some(cleanup) = cleanup.as_ref().filter(|_| style != HookStyle::Certbot) {
            let expected = "left out unless acme_dns.style is certbot";
            return Err(ConfigError::invalid(
                "acme_dns.cleanup_command",
                cleanup,
                expected,
            ));
        }
        let limit = Duration::from_millis(self.command_timeout_ms);
        let hook = CommandHook::new(style, command.to_owned(), cleanup, limit);
        Ok(DnsPublisher::Command(hook.without_variables(hidden)))
    }

    fn update(&self, server: &str) -> Result<DnsPublisher, ConfigError> {
        let has_port = server
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            let expected = "an address with its port, as in \"192.0.2.1:53\"";
            return Err(ConfigError::invalid("acme_dns.server", server, expected));
        }
        let key = match (&self.tsig_name, &self.tsig_key_file) {
            (None, None) => None,
            (Some(name), Some(file)) => Some(self.key(name, file)?),
            (name, _) => {
                let given = name.as_deref().unwrap_or_default();
                let expected = "given together with acme_dns.tsig_key_file, or neither";
                return Err(ConfigError::invalid("acme_dns.tsig_name", given, expected));
            }
        };
        let update = DynamicUpdate::new(server.to_owned(), self.zone.as_deref(), key);
        update.map(DnsPublisher::Update).map_err(|_| {
            let given = self.zone.as_deref().or(self.tsig_name.as_deref());
            let expected = "a domain name, as is acme_dns.tsig_name";
            ConfigError::invalid("acme_dns.zone", given.unwrap_or_default(), expected)
        })
    }

    fn key(&self, name: &str, file: &Path) -> Result<TsigKey, ConfigError> {
        let algorithm = match self.tsig_algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let text = std::fs::read_to_string(file).map(Zeroizing::new).ok();
        let key = text.and_then(|text| TsigKey::parse(name.to_owned(), algorithm, &text));
        key.ok_or_else(|| {
            let expected = "a readable file with the key in base64";
            ConfigError::invalid_file("acme_dns.tsig_key_file", file, expected)
        })
    }
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format as _, Toml},
    };

    use super::*;

    fn read(table: &str) -> Result<DnsSettings, String> {
        let table = Figment::from(Toml::string(table)).extract::<AcmeDns>();
        let table = table.map_err(|error| error.to_string())?;
        table
            .settings(None, Vec::new())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_is_a_command_or_a_server() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "MTIzNDU2Nzg5MDEyMzQ1Ng==\n").unwrap();
        let key = format!("tsig_name = \"a\"\ntsig_key_file = {:?}", file.path());
        for command in [
            "style = \"lego\"",
            "style = \"lego-raw\"",
            "resolver = \"127.0.0.1:53\"",
        ] {
            let settings = read(&format!("command = \"/bin/hook\"\n{command}")).unwrap();
            assert!(matches!(settings.publisher, DnsPublisher::Command(_)));
        }
        read("command = \"a b\"\nstyle = \"certbot\"\ncleanup_command = \"c d\"").unwrap();
        for server in [
            "",
            &key,
            &format!("{key}\ntsig_algorithm = \"hmac-sha512\""),
        ] {
            let settings = read(&format!("server = \"ns1.example.com:53\"\n{server}")).unwrap();
            assert!(matches!(settings.publisher, DnsPublisher::Update(_)));
        }
    }

    #[test]
    fn what_cannot_be_names_its_key() {
        for (table, key) in [
            ("", "acme_dns.command"),
            ("command = \" \"", "acme_dns.command"),
            (
                "command = \"a\"\nserver = \"192.0.2.1:53\"",
                "acme_dns.command",
            ),
            (
                "command = \"a\"\ncleanup_command = \"b\"",
                "acme_dns.cleanup_command",
            ),
            ("command = \"a\"\nstyle = \"acme.sh\"", "acme.sh"),
            ("server = \"192.0.2.1\"", "acme_dns.server"),
            (
                "server = \"192.0.2.1:53\"\ntsig_name = \"a\"",
                "acme_dns.tsig_name",
            ),
            (
                "server = \"192.0.2.1:53\"\ntsig_key_file = \"/nowhere\"",
                "acme_dns.tsig_name",
            ),
            (
                "server = \"192.0.2.1:53\"\ntsig_name = \"a\"\ntsig_key_file = \"/nowhere\"",
                "acme_dns.tsig_key_file",
            ),
            (
                "server = \"192.0.2.1:53\"\nzone = \"a..b\"",
                "acme_dns.zone",
            ),
            (
                "server = \"192.0.2.1:53\"\ntsig_algorithm = \"hmac-md5\"",
                "hmac-md5",
            ),
            ("serve = \"192.0.2.1:53\"", "serve"),
            (
                "command = \"a\"\ndelegated_to = [\"a..b\"]",
                "acme_dns.delegated_to",
            ),
        ] {
            let refused = read(table).unwrap_err();
            assert!(refused.contains(key), "{table}: {refused}");
        }
    }
}
