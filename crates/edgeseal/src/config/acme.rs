//! Issuers of certificates: the tables `[[acme]]`.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edgeseal_acme::{IssuedKeys, IssuerConfig, challenge::ChallengeMethod};
use edgeseal_core::Secret;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{ConfigError, acme_limits::AcmeLimits, read_roots};

/// One issuer. They are tried in this order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcmeIssuer {
    /// Its name here, unique.
    pub(crate) name: String,
    /// The URL of its directory (RFC 8555 §7.1.1).
    pub(crate) directory: String,
    /// `mailto:` URLs at which it may reach the operator.
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    /// Whether the operator accepts its terms of service.
    #[serde(default)]
    pub(crate) accept_terms: bool,
    /// PEM file of the CA of its directory's own certificate; `None`: the public ones.
    pub(crate) root_file: Option<PathBuf>,
    /// The profile to ask for.
    pub(crate) profile: Option<String>,
    /// The account of the operator with the issuer, where it demands one (RFC 8555 §7.3.4).
    pub(crate) external_account: Option<ExternalAccount>,
    /// The keys of its certificates.
    #[serde(default)]
    pub(crate) key: IssuedKeys,
    /// The kinds of challenges that are answered, in the order of preference; none: all.
    #[serde(default)]
    pub(crate) challenges: Vec<ChallengeMethod>,
    /// Whether a renewal keeps the key.
    #[serde(default)]
    pub(crate) keep_key: bool,
    /// How much it lets the account order, where that is not what is known of it.
    #[serde(default)]
    pub(crate) limits: AcmeLimits,
}

/// An account outside of ACME.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalAccount {
    /// Its key identifier.
    pub(crate) key_id: String,
    /// File with its HMAC key, in base64url.
    pub(crate) hmac_key_file: PathBuf,
}

/// Checks the tables, and that their files can be read.
///
/// # Errors
/// [`ConfigError::InvalidValue`] for the first invalid value.
pub(super) fn validate(issuers: &[AcmeIssuer]) -> Result<(), ConfigError> {
    for (n, issuer) in issuers.iter().enumerate() {
        issuer.to_issuer()?;
        if issuers[..n].iter().any(|other| other.name == issuer.name) {
            return Err(ConfigError::invalid("acme.name", &issuer.name, "unique"));
        }
    }
    Ok(())
}

impl AcmeIssuer {
    /// The issuer, with the content of its files.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] for the first invalid value.
    pub(crate) fn to_issuer(&self) -> Result<IssuerConfig, ConfigError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(good) {
            let expected = "a name of 1 to 64 letters, digits and . - _";
            return Err(ConfigError::invalid("acme.name", &self.name, expected));
        }
        if !self.directory.starts_with("https://") {
            let expected = "an address that begins with https:// (RFC 8555 §6.1)";
            return Err(ConfigError::invalid(
                "acme.directory",
                &self.directory,
                expected,
            ));
        }
        if let Some(contact) = self.contact.iter().find(|it| !it.starts_with("mailto:")) {
            let expected = "a list of addresses as mailto:ops@example.com";
            return Err(ConfigError::invalid("acme.contact", contact, expected));
        }
        if !self.accept_terms {
            let expected = "true, after the terms of service of the issuer were read";
            return Err(ConfigError::invalid("acme.accept_terms", "false", expected));
        }
        Ok(IssuerConfig {
            name: self.name.clone(),
            directory: self.directory.clone(),
            contact: self.contact.clone(),
            accept_terms: self.accept_terms,
            roots: self.roots()?,
            profile: self.profile.clone(),
            external_account: self.external_account()?,
            key: self.key,
            challenges: self.challenges.clone(),
            keep_key: self.keep_key,
            limits: self.limits.of_directory(&self.directory),
        })
    }

    /// The CA certificates of `root_file`; empty if there is no such file.
    ///
    /// # Errors
    /// As [`read_roots`].
    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let Some(file) = &self.root_file else {
            return Ok(Vec::new());
        };
        read_roots("acme.root_file", file)
    }

    /// The external account with its key, which the file holds in base64url.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] if the file cannot be read.
    fn external_account(&self) -> Result<Option<edgeseal_acme::ExternalAccount>, ConfigError> {
        let Some(account) = &self.external_account else {
            return Ok(None);
        };
        let file = &account.hmac_key_file;
        let text = std::fs::read_to_string(file).map(Zeroizing::new);
        let key = text.ok().and_then(|text| {
            let text = text.trim().trim_end_matches('=');
            URL_SAFE_NO_PAD.decode(text).ok()
        });
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
            let expected = "a readable file with the HMAC key in base64url";
            ConfigError::invalid_file("acme.external_account.hmac_key_file", file, expected)
        })?;
        Ok(Some(edgeseal_acme::ExternalAccount {
            key_id: account.key_id.clone(),
            hmac_key: Secret::new(key),
        }))
    }
}

#[cfg(test)]
mod tests {
    use edgeseal_core::{acme::IssuerLimits, managed_certificate::KeyType};
    use figment::{
        Figment,
        providers::{Format as _, Toml},
    };

    use super::*;

    #[derive(Deserialize)]
    struct Tables {
        acme: Vec<AcmeIssuer>,
    }

    const GOOD: &str = r#"
        name = "pebble"
        directory = "https://127.0.0.1:14000/dir"
        contact = ["mailto:ops@example.com"]
        accept_terms = true
    "#;

    fn read(table: &str, more: &str) -> Result<Vec<AcmeIssuer>, String> {
        let text = format!("[[acme]]\n{table}\n{more}");
        let tables = Figment::from(Toml::string(&text)).extract::<Tables>();
        let tables = tables.map_err(|error| error.to_string())?;
        validate(&tables.acme).map_err(|error| error.to_string())?;
        Ok(tables.acme)
    }

    #[test]
    fn a_table_is_an_issuer() {
        let issuers = read(GOOD, "").unwrap();
        assert_eq!(issuers[0].key.types(), [KeyType::P256]);
        let issuers = read(GOOD, "key = \"both\"\nprofile = \"shortlived\"").unwrap();
        assert_eq!(issuers[0].key.types(), [KeyType::P256, KeyType::Rsa2048]);
        assert_eq!(issuers[0].profile.as_deref(), Some("shortlived"));
    }

    #[test]
    fn limits_differ_from_what_is_known() {
        let issuers = read(GOOD, "").unwrap();
        assert_eq!(
            issuers[0].to_issuer().unwrap().limits,
            IssuerLimits::UNKNOWN
        );
        let table = GOOD.replace("127.0.0.1:14000", "acme-v02.api.letsencrypt.org");
        let more = "limits = { orders = \"1500 in 3h\", per_registered_domain = \"unlimited\" }";
        let limits = read(&table, more).unwrap()[0].to_issuer().unwrap().limits;
        assert_eq!(limits.orders_per_day(), Some(12_000));
        let expected = IssuerLimits {
            orders: limits.orders,
            per_registered_domain: None,
            ..IssuerLimits::LETS_ENCRYPT
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn what_cannot_be_names_its_key() {
        for (from, to, key) in [
            ("\"pebble\"", "\"\"", "acme.name"),
            ("\"pebble\"", "\"a b\"", "acme.name"),
            ("https://127", "http://127", "acme.directory"),
            ("mailto:ops", "ops", "acme.contact"),
            ("accept_terms = true", "", "acme.accept_terms"),
            ("name =", "nam =", "nam"),
        ] {
            let refused = read(&GOOD.replacen(from, to, 1), "").unwrap_err();
            assert!(refused.contains(key), "{to}: {refused}");
        }
        for (more, key) in [
            ("root_file = \"/nowhere\"", "acme.root_file"),
            ("key = \"p521\"", "p521"),
            ("limits = { orders = \"300\" }", "300 in 3h"),
            ("limits = { order = \"300 in 3h\" }", "order"),
            (
                "external_account = { key_id = \"a\", hmac_key_file = \"/nowhere\" }",
                "acme.external_account.hmac_key_file",
            ),
            (&format!("[[acme]]\n{GOOD}"), "acme.name"),
        ] {
            let refused = read(GOOD, more).unwrap_err();
            assert!(refused.contains(key), "{more}: {refused}");
        }
    }
}
