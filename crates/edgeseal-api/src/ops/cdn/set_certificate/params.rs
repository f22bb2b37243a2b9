//! The parameters, validated one by one in the documented order of errors.

use edgeseal_core::{
    Timestamp,
    certificate::{CertificateId, validate_upload},
    domain::Environment,
};
use edgeseal_store::record::CertificateSource;
use zeroize::Zeroizing;

use super::{
    error::Error,
    source::{CertificateInput, Reference, UploadedCertificate},
};
use crate::{
    dry_run::{self, InvalidDryRun},
    ops::{cdn::wire_names::WireName as _, region},
    request::ParamMap,
    sanitize::sanitize,
    warning::{self, Warning},
};

/// Longest name of a certificate, in characters.
const NAME_MAX: usize = 128;
/// Longest `Env`, in characters.
const WORD_MAX: usize = 64;

/// Names of the parameters that differ between families of operations.
#[derive(Clone, Copy, Debug)]
pub struct ParamNames {
    /// Enables or disables HTTPS.
    pub(super) enabled: &'static str,
    /// The chain.
    pub(super) chain: &'static str,
    /// The private key.
    pub(super) key: &'static str,
    /// The region of a stored certificate.
    pub(super) region: &'static str,
    /// Whether the family has `Env`; otherwise it has `ForceSet`.
    pub(super) has_env: bool,
}

/// The role of a certificate in a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::cdn) enum BindingRole {
    /// Replaces all bound certificates.
    Primary,
    /// Accompanies the bound certificate.
    Companion,
}

/// The raw parameters. The key is zeroized on drop.
pub struct Params {
    names: ParamNames,
    enabled: Option<String>,
    environment: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    id: Option<String>,
    region: Option<String>,
    chain: Option<String>,
    key: Option<Zeroizing<String>>,
    companion: Option<String>,
    dry_run: Result<bool, InvalidDryRun>,
    force: bool,
}

impl Params {
    pub(super) fn parse(params: &ParamMap, names: ParamNames) -> Self {
        let given = |name| params.get_non_empty(name).map(str::to_owned);
        Self {
            names,
            enabled: given(names.enabled),
            environment: given("Env").filter(|_| names.has_env),
            kind: given("CertType"),
            name: given("CertName"),
            id: given("CertId"),
            region: given(names.region),
            chain: given(names.chain),
            key: given(names.key).map(Zeroizing::new),
            companion: given("Companion"),
            dry_run: dry_run::parse(params),
            force: !names.has_env && params.get_non_empty("ForceSet") == Some("1"),
        }
    }

    /// Whether to enable HTTPS.
    pub(super) fn is_enabled(&self) -> Result<bool, Error> {
        let param = self.names.enabled;
        let given = self.enabled.as_deref();
        let given = given.ok_or(Error::MissingSwitch { param })?;
        bool::from_wire_name(given).ok_or_else(|| Error::Switch {
            param,
            given: sanitize(given),
        })
    }

    /// The environment. The Terraform provider's documentation of `env` says: "Not passing or
    /// passing any other value is a formal certificate". Only a value that is too long or
    /// unprintable is refused.
    pub(super) fn environment(&self) -> Result<(Environment, Option<Warning>), Error> {
        match self.environment.as_deref() {
            None | Some("production") => Ok((Environment::Production, None)),
            Some("staging") => Ok((Environment::Staging, None)),
            Some(word) if is_printable(word) => {
                let detail =
                    format!("Env is {word:?}, which is read as production; staging is another");
                let warning = Warning::new(warning::WarningKind::UnknownEnvironment, detail);
                Ok((Environment::Production, Some(warning)))
            }
            Some(other) => Err(Error::Environment {
                given: sanitize(other),
            }),
        }
    }

    /// Whether to check the call and change nothing.
    pub(super) fn dry_run(&mut self) -> Result<bool, Error> {
        Ok(std::mem::replace(&mut self.dry_run, Ok(false))?)
    }

    /// Whether the certificate replaces the bound ones or accompanies one.
    pub(super) fn binding_role(&self) -> Result<BindingRole, Error> {
        match self.companion.as_deref() {
            None => Ok(BindingRole::Primary),
            Some(yes) if yes.eq_ignore_ascii_case("true") => Ok(BindingRole::Companion),
            Some(no) if no.eq_ignore_ascii_case("false") => Ok(BindingRole::Primary),
            Some(other) => Err(Error::Companion {
                given: sanitize(other),
            }),
        }
    }

    /// Whether the call also uploads the certificate to CAS.
    pub(super) fn uploads_to_cas(&self) -> bool {
        self.kind.as_deref() == Some("cas") && self.has_new_material()
    }

    /// Whether the certificate is to be ordered.
    pub(super) fn is_order(&self) -> Result<bool, Error> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        Ok(self.kind.as_deref() == Some("free"))
    }

    /// The source of the certificate; an uploaded one is validated here.
    pub(super) fn source(self, now: Timestamp) -> Result<CertificateInput, Error> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        let implied = match () {
            () if self.chain.is_some() || self.key.is_some() => "upload",
            () if self.id.is_some() || self.name.is_some() => "cas",
            () => "upload",
        };
        match self.kind.as_deref().unwrap_or(implied) {
            "upload" => {
                let upload = self.upload(CertificateSource::Upload, region::DEFAULT, now)?;
                Ok(CertificateInput::Upload(Box::new(upload)))
            }
            "cas" if self.has_new_material() => {
                let region = self.region()?;
                if self.name.is_none() {
                    return Err(Error::NoReference);
                }
                let upload = self.upload(CertificateSource::Cas, region, now)?;
                Ok(CertificateInput::Upload(Box::new(upload)))
            }
            "cas" => self.reference().map(CertificateInput::Stored),
            other => Err(Error::Kind {
                given: sanitize(other),
            }),
        }
    }

    /// Whether chain and key come with the call: Terraform's acceptance tests send `cas` with a
    /// name, chain and key, and read it back as `cas` under that name.
    const fn has_new_material(&self) -> bool {
        self.id.is_none() && self.chain.is_some() && self.key.is_some()
    }

    fn region(&self) -> Result<&'static str, Error> {
        let given = self.region.as_deref().unwrap_or(region::DEFAULT);
        let known = region::REGIONS.into_iter().find(|known| *known == given);
        known.ok_or_else(|| Error::Region {
            param: self.names.region,
            given: sanitize(given),
        })
    }

    fn reference(self) -> Result<Reference, Error> {
        let region = self.region()?;
        match (self.id, self.name) {
            (Some(id), _) => Ok(Reference::Id {
                id: parse_id(&id)?,
                region,
            }),
            (None, Some(name)) => Ok(Reference::Name { name, region }),
            (None, None) => Err(Error::NoReference),
        }
    }

    fn upload(
        self,
        source: CertificateSource,
        region: &'static str,
        now: Timestamp,
    ) -> Result<UploadedCertificate, Error> {
        let ParamNames { chain, key, .. } = self.names;
        let key = self.key.ok_or(Error::NoKey { param: key })?;
        let chain = self.chain.ok_or(Error::NoChain { param: chain })?;
        let certificate = validate_upload(&chain, &key, now)?;
        Ok(UploadedCertificate {
            certificate,
            name: self.name,
            source,
            region,
            force: self.force,
        })
    }
}

/// Whether a string is short and printable.
fn is_printable(text: &str) -> bool {
    text.chars().count() <= WORD_MAX && !text.chars().any(char::is_control)
}

fn check_name(name: &str) -> Result<(), Error> {
    let characters = name.chars().count();
    if characters > NAME_MAX {
        return Err(Error::NameTooLong { characters });
    }
    if name.chars().any(char::is_control) {
        return Err(Error::NameControl);
    }
    Ok(())
}

fn parse_id(text: &str) -> Result<CertificateId, Error> {
    let id = text
        .trim()
        .parse()
        .ok()
        .filter(|id: &CertificateId| *id > 0);
    id.ok_or_else(|| Error::Id {
        given: sanitize(text),
    })
}
