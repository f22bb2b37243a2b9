//! Uploads to CAS, shared by both versions: a chain and a key become a certificate.

use edgeseal_core::{
    certificate::{
        BlockName, Certificate, CertificateId, InvalidBase64, InvalidCertificate, TooLong,
        validate_upload,
    },
    quota::{OverQuota, Quota, QuotaKind},
};
use edgeseal_store::{
    catalog::{ChangeError, Committed, Draft},
    record::{CertificateRecord, CertificateSource},
};
use zeroize::Zeroizing;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    key_material,
    operation::Success,
    ops::{
        cdn::tags::{self, InvalidResourceGroup, InvalidTags},
        certificate_view::retained_texts,
        quota, region,
    },
    request::ParamMap,
    warning::Warning,
};

/// Longest name, in characters.
const NAME_MAX: usize = 64;

/// A certificate to store. The key is zeroized on drop.
pub struct Upload {
    name: String,
    chain: String,
    key: Zeroizing<String>,
    tags: Vec<(String, String)>,
    resource_group: String,
}

/// Why a certificate name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificateName {
    /// Too long, or with unprintable characters.
    #[error("Name must have 1 to {NAME_MAX} printable characters; it has {characters}")]
    Characters {
        /// Its length.
        characters: usize,
    },
    /// It looks like a private key, so the audit log could not show it.
    #[error("Name looks like a private key; give the certificate a name of its own")]
    LooksLikeKey,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name.
    #[error("give the certificate a name in Name")]
    NoName,
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidCertificateName),
    /// No chain.
    #[error("Cert is absent or empty: give the certificate and its chain in PEM")]
    NoChain,
    /// No private key.
    #[error("Key is absent or empty: give the private key in PEM")]
    NoKey,
    /// An SM2 certificate pair.
    #[error("SignCert and EncryptCert are of SM2; this edge cannot serve them. Use Cert and Key")]
    Sm2,
    /// The certificate is rejected.
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// Invalid tags.
    #[error(transparent)]
    Tags(#[from] InvalidTags),
    /// An invalid resource group.
    #[error(transparent)]
    Group(#[from] InvalidResourceGroup),
    /// The name is taken.
    #[error("your account has another certificate named {name:?} (CertId {id})")]
    NameTaken {
        /// The name.
        name: String,
        /// The id of that certificate.
        id: CertificateId,
    },
    /// The account has reached the limit.
    #[error("{}", quota::over_quota_detail(.0))]
    Quota(#[from] OverQuota),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the parameters.
pub(super) fn parse(params: &ParamMap) -> Result<Upload, Error> {
    let name = parse_name(params.get_non_empty("Name").ok_or(Error::NoName)?)?;
    if params.get_non_empty("Cert").is_none() && params.get_non_empty("SignCert").is_some() {
        return Err(Error::Sm2);
    }
    let chain = params.get_non_empty("Cert").ok_or(Error::NoChain)?;
    let key = params.get_non_empty("Key").ok_or(Error::NoKey)?;
    Ok(Upload {
        tags: tags::parse_tags(params, "Tags")?,
        resource_group: tags::group(params)?.unwrap_or_default(),
        name,
        chain: chain.to_owned(),
        key: Zeroizing::new(key.to_owned()),
    })
}

/// A name that a certificate may have.
pub(super) fn parse_name(name: &str) -> Result<String, InvalidCertificateName> {
    let characters = name.chars().count();
    if characters > NAME_MAX || name.chars().any(char::is_control) || name.trim().is_empty() {
        return Err(InvalidCertificateName::Characters { characters });
    }
    if key_material::contains_private_key(name) {
        return Err(InvalidCertificateName::LooksLikeKey);
    }
    Ok(name.to_owned())
}

/// Stores the certificate. The same content under the same name returns the existing certificate: a
/// call that is retried because its response was lost succeeds again.
pub(super) async fn store(
    context: &Context,
    call: &Authorized,
    upload: Upload,
) -> Result<Success<CertificateId>, Error> {
    let certificate = validate_upload(&upload.chain, &upload.key, call.now())?;
    let (certificate, upload) = (&certificate, &upload);
    let warnings: Vec<Warning> = certificate.warnings.iter().map(Warning::from).collect();
    let (warnings, texts) = (&warnings, &retained_texts(context, certificate));
    let quota = quota::for_account(context, call.account(), QuotaKind::Certificates).await;
    let quota = quota.map_err(StoreError::from)?;
    let stored = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            let named = draft
                .certificate_by_name(call.account(), &upload.name)
                .await?;
            let id = match named {
                Some(named) if upload.is(&named, certificate) => {
                    draft.put_original_pem(named.id, texts).await?;
                    named.id
                }
                Some(named) => {
                    let (name, id) = (named.name, named.id);
                    return Err(ChangeError::Refused(Error::NameTaken { name, id }));
                }
                None => {
                    let id = upload.add(&mut draft, call, quota, certificate).await?;
                    draft.put_original_pem(id, texts).await?;
                    id
                }
            };
            for warning in warnings {
                draft.note(warning.detail.clone());
            }
            Ok((draft, id))
        });
    let Committed { value, revision } = stored.await.map_err(from_change_error::<Error, Error>)?;
    Ok(Success::changed_with(value, revision, None).with_warnings(warnings.clone()))
}

impl Upload {
    /// Whether `named` is this certificate, with the requested tags.
    fn is(&self, named: &CertificateRecord, certificate: &Certificate) -> bool {
        named.source == CertificateSource::Cas
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
            source: CertificateSource::Cas,
            region: region::from_call(call).to_owned(),
            uploaded_for: None,
            material: certificate.digest(),
            has_key: true,
            revoked: false,
            removed: false,
            resource_group: self.resource_group.clone(),
            tags: self.tags.clone(),
            info: certificate.info.clone(),
            created: call.now(),
        };
        draft.add_certificate(&row, certificate, quota).await?;
        Ok(row.id)
    }
}

api_error!(InvalidCertificateName => InvalidName);

api_error!(Error {
    NoName => MissingName,
    Name(InvalidCertificateName),
    NoChain => MissingCert,
    NoKey => MissingKey,
    Sm2 => InvalidCert,
    Certificate(InvalidCertificate::BlankKey) => MissingKey,
    Certificate(InvalidCertificate::TooLong(TooLong::Key { .. })) => InvalidKey,
    Certificate(InvalidCertificate::Base64(InvalidBase64 {
        block: BlockName::PrivateKey, ..
    })) => InvalidKey,
    Certificate(InvalidCertificate::KeyText(_)) => InvalidKey,
    Certificate(InvalidCertificate::KeyBlock(_)) => InvalidKey,
    Certificate(InvalidCertificate::Key(_)) => InvalidKey,
    Certificate(InvalidCertificate::Mismatch { .. }) => CertKeyNotMatch,
    Certificate => InvalidCert,
    Tags(InvalidTags),
    Group => InvalidResourceGroup,
    NameTaken => NameRepeat,
    Quota(OverQuota),
    Store(StoreError),
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "ü".repeat(NAME_MAX);
        for name in ["shop 2026-11 (new)", &long] {
            assert_eq!(parse_name(name).as_deref(), Ok(name));
        }
        let longer = format!("{long}x");
        for name in ["", " ", "a\nb", &longer] {
            assert!(
                matches!(
                    parse_name(name),
                    Err(InvalidCertificateName::Characters { .. })
                ),
                "{name:?}"
            );
        }
        assert_eq!(
            parse_name("-----BEGIN PRIVATE KEY-----"),
            Err(InvalidCertificateName::LooksLikeKey)
        );
    }
}
