//! What both spellings of an upload do: a chain and a key become a certificate of the centre.

use edgeseal_core::{
    certificate::{Certificate, CertificateId, InvalidCertificate, admit},
    quota::{Kind, OverQuota, Quota},
};
use edgeseal_store::{
    catalog::{ChangeError, Committed, Draft},
    record::{CertificateRecord, CertificateSource},
};
use zeroize::Zeroizing;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    key_material,
    operation::{Done, Failure, Trouble, refused_or},
    ops::{
        cdn::tags::{self, BadGroup, BadTags},
        issued::texts,
        quota, region,
    },
    request::Params,
    warning::Warning,
};

/// Longest name, in characters.
const NAME_MAX: usize = 64;

/// Codes of [`Error`].
pub(super) const CODES: &[Code] = &[
    Code::MissingName,
    Code::InvalidName,
    Code::MissingCert,
    Code::MissingKey,
    Code::InvalidCert,
    Code::InvalidKey,
    Code::CertKeyNotMatch,
    Code::InvalidTag,
    Code::TooManyTags,
    Code::InvalidResourceGroup,
    Code::NameRepeat,
    Code::TooManyCertificates,
];

/// A certificate to be. The key is wiped when it is dropped.
pub struct Upload {
    name: String,
    chain: String,
    key: Zeroizing<String>,
    tags: Vec<(String, String)>,
    resource_group: String,
}

/// A name that no certificate can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Too long, or with characters that do not print.
    #[error("Name must have 1 to {NAME_MAX} characters that print; it has {characters}")]
    Characters {
        /// How many it has.
        characters: usize,
    },
    /// The audit would show nothing of what it names.
    #[error("Name looks like a private key; give the certificate a name of its own")]
    LikeAKey,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name.
    #[error("give the certificate a name in Name")]
    NoName,
    /// Not a name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// No chain.
    #[error("Cert is absent or empty: give the certificate and its chain in PEM")]
    NoChain,
    /// No private key.
    #[error("Key is absent or empty: give the private key in PEM")]
    NoKey,
    /// SM2 pairs.
    #[error("SignCert and EncryptCert are of SM2; this edge cannot serve them. Use Cert and Key")]
    Sm2,
    /// What was uploaded is not let in.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// Not labels.
    #[error(transparent)]
    Tags(#[from] BadTags),
    /// Not a grouping label.
    #[error(transparent)]
    Group(#[from] BadGroup),
    /// The name is taken.
    #[error("your account has another certificate named {name:?} (CertId {id})")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: CertificateId,
    },
    /// The account has as many as it may.
    #[error("{}", quota::told(.0))]
    Quota(#[from] OverQuota),
    /// What every operation can meet.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Reads the parameters.
pub(super) fn parse(params: &Params) -> Result<Upload, Error> {
    let name = checked(params.given("Name").ok_or(Error::NoName)?)?;
    if params.given("Cert").is_none() && params.given("SignCert").is_some() {
        return Err(Error::Sm2);
    }
    let chain = params.given("Cert").ok_or(Error::NoChain)?;
    let key = params.given("Key").ok_or(Error::NoKey)?;
    Ok(Upload {
        tags: tags::wanted(params, "Tags")?,
        resource_group: tags::group(params)?.unwrap_or_default(),
        name,
        chain: chain.to_owned(),
        key: Zeroizing::new(key.to_owned()),
    })
}

/// A name that a certificate may have.
pub(super) fn checked(name: &str) -> Result<String, BadName> {
    let characters = name.chars().count();
    if characters > NAME_MAX || name.chars().any(char::is_control) || name.trim().is_empty() {
        return Err(BadName::Characters { characters });
    }
    if key_material::is_in(name) {
        return Err(BadName::LikeAKey);
    }
    Ok(name.to_owned())
}

/// Stores the certificate. The same content under the same name is the certificate that is there:
/// a call that is repeated because its answer was lost succeeds again.
pub(super) async fn store(
    context: &Context,
    call: &Authorized,
    upload: Upload,
) -> Result<Done<CertificateId>, Error> {
    let certificate = admit(&upload.chain, &upload.key, call.now())?;
    let (certificate, upload) = (&certificate, &upload);
    let warnings: Vec<Warning> = certificate.warnings.iter().map(Warning::from).collect();
    let (warnings, texts) = (&warnings, &texts(context, certificate));
    let quota = quota::of(context, call.account(), Kind::Certificates).await;
    let quota = quota.map_err(Trouble::from)?;
    let stored = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            let named = draft
                .certificate_named(call.account(), &upload.name)
                .await?;
            let id = match named {
                Some(named) if upload.is(&named, certificate) => {
                    draft.keep_texts(named.id, texts).await?;
                    named.id
                }
                Some(named) => {
                    let (name, id) = (named.name, named.id);
                    return Err(ChangeError::Refused(Error::NameTaken { name, id }));
                }
                None => {
                    let id = upload.add(&mut draft, call, quota, certificate).await?;
                    draft.keep_texts(id, texts).await?;
                    id
                }
            };
            for warning in warnings {
                draft.note(warning.detail.clone());
            }
            Ok((draft, id))
        });
    let Committed { value, revision } = stored.await.map_err(refused_or::<Error, Error>)?;
    Ok(Done::with(value, revision, None).warned(warnings.clone()))
}

impl Upload {
    /// Whether it is that certificate, with the labels that are asked for.
    fn is(&self, named: &CertificateRecord, certificate: &Certificate) -> bool {
        named.source == CertificateSource::Centre
            && named.material == certificate.digest()
            && (self.tags.is_empty() || self.tags == named.tags)
            && (self.resource_group.is_empty() || self.resource_group == named.resource_group)
    }

    async fn add(
        &self,
        draft: &mut Draft,
        call: &Authorized,
        quota: Quota,
        certificate: &Certificate,
    ) -> Result<CertificateId, ChangeError<Error>> {
        let row = CertificateRecord {
            id: draft.new_certificate_id().await?,
            account: call.account().clone(),
            name: self.name.clone(),
            source: CertificateSource::Centre,
            region: region::of_call(call).to_owned(),
            uploaded_for: None,
            material: certificate.digest(),
            has_key: true,
            revoked: false,
            removed: false,
            resource_group: self.resource_group.clone(),
            tags: self.tags.clone(),
            facts: certificate.facts.clone(),
            created: call.now(),
        };
        draft.add_certificate(&row, certificate, quota).await?;
        Ok(row.id)
    }
}

impl Failure for BadName {
    fn code(&self) -> Code {
        Code::InvalidName
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoName => Code::MissingName,
            Self::Name(why) => why.code(),
            Self::NoChain => Code::MissingCert,
            Self::NoKey => Code::MissingKey,
            Self::Sm2 => Code::InvalidCert,
            Self::Certificate(why) => code_of(why),
            Self::Tags(why) => why.code(),
            Self::Group(_) => Code::InvalidResourceGroup,
            Self::NameTaken { .. } => Code::NameRepeat,
            Self::Quota(over) => quota::code(over.kind),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}

/// The centre has one code where the CDN has ten; the detail says which cause it is.
const fn code_of(why: &InvalidCertificate) -> Code {
    use edgeseal_core::certificate::{BlockName, TooLong, Undecodable};
    match why {
        InvalidCertificate::BlankKey => Code::MissingKey,
        InvalidCertificate::TooLong(TooLong::Key { .. })
        | InvalidCertificate::KeyText(_)
        | InvalidCertificate::Undecodable(Undecodable {
            block: BlockName::PrivateKey,
            ..
        })
        | InvalidCertificate::KeyBlock(_)
        | InvalidCertificate::Key(_) => Code::InvalidKey,
        InvalidCertificate::Mismatch { .. } => Code::CertKeyNotMatch,
        InvalidCertificate::TooLong(_)
        | InvalidCertificate::ChainText(_)
        | InvalidCertificate::Undecodable(_)
        | InvalidCertificate::Chain(_)
        | InvalidCertificate::Format(_)
        | InvalidCertificate::Untrusted(_)
        | InvalidCertificate::Expired { .. }
        | InvalidCertificate::NotYetValid { .. } => Code::InvalidCert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "ü".repeat(NAME_MAX);
        for name in ["shop 2026-11 (new)", &long] {
            assert_eq!(checked(name).as_deref(), Ok(name));
        }
        let longer = format!("{long}x");
        for name in ["", " ", "a\nb", &longer] {
            assert!(
                matches!(checked(name), Err(BadName::Characters { .. })),
                "{name:?}"
            );
        }
        assert_eq!(
            checked("-----BEGIN PRIVATE KEY-----"),
            Err(BadName::LikeAKey)
        );
    }
}
