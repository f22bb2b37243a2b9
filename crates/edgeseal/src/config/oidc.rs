//! OIDC providers whose tokens can assume roles: the tables `[[oidc_provider]]`.

use std::path::PathBuf;

use edgeseal_api::oidc_providers::{HttpsSource, KeySource, OidcProviders};
use edgeseal_core::{AccountId, oidc::Provider};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use super::{ConfigError, read_roots};

/// Largest age of a token in hours, as RAM limits it for its providers.
const ISSUED_WITHIN_HOURS: std::ops::RangeInclusive<u32> = 1..=168;

/// One OIDC provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcProvider {
    /// The number of the account whose roles its tokens can assume.
    account: String,
    /// Its name, unique in the account.
    name: String,
    /// The issuer, exactly as in its tokens.
    issuer: String,
    /// The accepted audiences.
    client_ids: Vec<String>,
    /// The URL (`https://…`) or file of its keys.
    jwks: String,
    /// PEM file of trusted CAs for the URL of the keys; `None`: the public ones.
    jwks_ca_file: Option<PathBuf>,
    /// Largest age of a token in hours.
    #[serde(default = "default_issued_within_hours")]
    issued_within_hours: u32,
}

const fn default_issued_within_hours() -> u32 {
    12
}

/// Parses the tables.
///
/// # Errors
/// [`ConfigError::InvalidValue`] for the first invalid value.
pub(super) fn providers(tables: &[OidcProvider]) -> Result<OidcProviders, ConfigError> {
    let mut providers: Vec<(Provider, KeySource)> = Vec::new();
    for table in tables {
        let provider = table.provider()?;
        let same =
            |other: &Provider| (&other.account, &other.name) == (&provider.account, &provider.name);
        if providers.iter().any(|(other, _)| same(other)) {
            return Err(ConfigError::invalid(
                "oidc_provider.name",
                &table.name,
                "unique in its account",
            ));
        }
        providers.push((provider, table.key_source()?));
    }
    Ok(OidcProviders::new(providers))
}

impl OidcProvider {
    fn provider(&self) -> Result<Provider, ConfigError> {
        let account = AccountId::parse(&self.account);
        let account = account.map_err(|_| {
            ConfigError::invalid(
                "oidc_provider.account",
                &self.account,
                "the number of an account",
            )
        })?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        if !(1..=128).contains(&self.name.len()) || !self.name.bytes().all(good) {
            let expected = "a name of 1 to 128 letters, digits and . - _";
            return Err(ConfigError::invalid(
                "oidc_provider.name",
                &self.name,
                expected,
            ));
        }
        if !self.issuer.starts_with("https://") {
            let expected = "an address that begins with https://, as OpenID Connect has it";
            return Err(ConfigError::invalid(
                "oidc_provider.issuer",
                &self.issuer,
                expected,
            ));
        }
        if self.client_ids.is_empty() || self.client_ids.iter().any(String::is_empty) {
            let given = self.client_ids.join(",");
            let expected = "a list of at least one audience, none of them empty";
            return Err(ConfigError::invalid(
                "oidc_provider.client_ids",
                &given,
                expected,
            ));
        }
        if !ISSUED_WITHIN_HOURS.contains(&self.issued_within_hours) {
            let given = self.issued_within_hours.to_string();
            let key = "oidc_provider.issued_within_hours";
            return Err(ConfigError::invalid(key, &given, "1 to 168"));
        }
        Ok(Provider {
            account,
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            client_ids: self.client_ids.clone(),
            max_token_age_ms: i64::from(self.issued_within_hours) * 3_600_000,
        })
    }

    fn key_source(&self) -> Result<KeySource, ConfigError> {
        let key = "oidc_provider.jwks";
        let expected = "https://host/path or the path of a file";
        if !self.jwks.contains("://") {
            if self.jwks.is_empty() || self.jwks_ca_file.is_some() {
                let expected = "an https:// address, since jwks_ca_file is given";
                return Err(ConfigError::invalid(key, &self.jwks, expected));
            }
            return Ok(KeySource::File(PathBuf::from(&self.jwks)));
        }
        let source = HttpsSource::new(&self.jwks, &self.jwks_roots()?);
        let source = source.map_err(|_| ConfigError::invalid(key, &self.jwks, expected))?;
        Ok(KeySource::Https(source))
    }

    fn jwks_roots(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let Some(file) = &self.jwks_ca_file else {
            return Ok(Vec::new());
        };
        read_roots("oidc_provider.jwks_ca_file", file)
    }
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
        oidc_provider: Vec<OidcProvider>,
    }

    const GOOD: &str = r#"
        account = "1234567890123456"
        name = "ci"
        issuer = "https://issuer.example"
        client_ids = ["edgeseal"]
        jwks = "https://issuer.example/keys"
    "#;

    fn read(table: &str, more: &str) -> Result<OidcProviders, String> {
        let text = format!("[[oidc_provider]]\n{table}\n{more}");
        let tables = Figment::from(Toml::string(&text)).extract::<Tables>();
        let tables = tables.map_err(|error| error.to_string())?;
        providers(&tables.oidc_provider).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_is_a_provider() {
        let providers = read(GOOD, "").unwrap();
        let account = AccountId::parse("1234567890123456").unwrap();
        let known = providers.find(&account, "ci").unwrap();
        assert_eq!(known.provider().max_token_age_ms, 12 * 3_600_000);
        assert!(providers.find(&account, "CI").is_none());
        assert!(providers.find(&AccountId::from_random(1), "ci").is_none());
    }

    #[test]
    fn what_cannot_be_names_its_key() {
        for (from, to, key) in [
            ("1234567890123456", "123", "oidc_provider.account"),
            ("\"ci\"", "\"c i\"", "oidc_provider.name"),
            ("\"ci\"", "\"\"", "oidc_provider.name"),
            (
                "= \"https://issuer.example\"",
                "= \"http://issuer.example\"",
                "oidc_provider.issuer",
            ),
            ("[\"edgeseal\"]", "[]", "oidc_provider.client_ids"),
            ("[\"edgeseal\"]", "[\"\"]", "oidc_provider.client_ids"),
            (
                "https://issuer.example/keys",
                "http://issuer.example/keys",
                "oidc_provider.jwks",
            ),
            ("https://issuer.example/keys", "", "oidc_provider.jwks"),
            ("name =", "nam =", "nam"),
        ] {
            let refused = read(&GOOD.replacen(from, to, 1), "").unwrap_err();
            assert!(refused.contains(key), "{to}: {refused}");
        }
        for (more, key) in [
            (
                "issued_within_hours = 0",
                "oidc_provider.issued_within_hours",
            ),
            (
                "issued_within_hours = 169",
                "oidc_provider.issued_within_hours",
            ),
            ("jwks_ca_file = \"/nowhere\"", "oidc_provider.jwks_ca_file"),
            (&format!("[[oidc_provider]]\n{GOOD}"), "oidc_provider.name"),
        ] {
            let refused = read(GOOD, more).unwrap_err();
            assert!(refused.contains(key), "{more}: {refused}");
        }
    }
}
