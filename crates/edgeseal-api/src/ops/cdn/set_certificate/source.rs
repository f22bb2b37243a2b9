//! The source of a certificate: already stored, or uploaded with the call.

use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::{Certificate, CertificateId, CertificateInfo},
    quota::Quota,
};
use edgeseal_store::{
    catalog::{ChangeError, Draft},
    record::{CertificateRecord, CertificateSource},
};

use super::error::Error;
use crate::{
    authorize::Authorized,
    context::{Context, DuplicateContentPolicy, NameMismatchPolicy},
    error::StoreError,
    ops::{certificate_view::retained_texts, region},
    warning::Warning,
};

/// The source of a certificate.
pub(in crate::ops::cdn) enum CertificateInput {
    /// A stored certificate.
    Stored(Reference),
    /// A certificate uploaded with the call, validated.
    Upload(Box<UploadedCertificate>),
}

/// A reference to a stored certificate.
pub(in crate::ops::cdn) enum Reference {
    /// By id.
    Id {
        /// The id.
        id: CertificateId,
        /// Its region.
        region: &'static str,
    },
    /// By name.
    Name {
        /// The name.
        name: String,
        /// Its region.
        region: &'static str,
    },
}

/// A certificate uploaded with the call.
pub(in crate::ops::cdn) struct UploadedCertificate {
    /// The certificate.
    pub(in crate::ops::cdn) certificate: Certificate,
    /// Its name, if the caller gave one.
    pub(in crate::ops::cdn) name: Option<String>,
    /// Whether it goes to CAS.
    pub(in crate::ops::cdn) source: CertificateSource,
    /// Its region.
    pub(in crate::ops::cdn) region: &'static str,
    /// Whether it may take its name from another certificate.
    pub(in crate::ops::cdn) force: bool,
}

type Resolved<T> = Result<T, ChangeError<Error>>;

/// The permission to see the names of any certificate of the account.
const READ: &str = "yundun-cert:GetUserCertificateDetail";
/// The permission to delete any certificate of the account.
const DELETE: &str = "yundun-cert:DeleteUserCertificate";

impl CertificateInput {
    /// The record of the certificate to bind to these domains; a new upload is stored.
    pub(super) async fn resolve(
        &self,
        draft: &mut Draft,
        context: &Context,
        call: &Authorized,
        domains: &[DomainPattern],
    ) -> Resolved<CertificateRecord> {
        match self {
            Self::Stored(reference) => {
                let certificate = reference.find(draft, call).await?;
                check_usable(&certificate, call).map_err(ChangeError::Refused)?;
                match check_covers(context, domains, &certificate.info) {
                    Ok(()) => Ok(certificate),
                    Err(error) => {
                        let may_read = call.is_allowed_on_certificate(context, READ, &certificate);
                        let may_read = may_read.await.map_err(refused)?;
                        Err(ChangeError::Refused(error.told_to(may_read)))
                    }
                }
            }
            Self::Upload(upload) => {
                check_covers(context, domains, &upload.certificate.info)
                    .map_err(ChangeError::Refused)?;
                upload.find_or_add(draft, context, call, domains).await
            }
        }
    }

    /// Warnings of the certificate itself, whose record is `resolved`.
    pub(super) fn warnings(&self, resolved: &CertificateRecord, now: Timestamp) -> Vec<Warning> {
        match self {
            Self::Stored(_) => resolved
                .info
                .warnings(now)
                .iter()
                .map(Warning::from)
                .collect(),
            Self::Upload(upload) => {
                let warnings = upload.certificate.warnings.iter();
                warnings.map(Warning::from).collect()
            }
        }
    }
}

impl Reference {
    async fn find(&self, draft: &mut Draft, call: &Authorized) -> Resolved<CertificateRecord> {
        let (found, region) = match self {
            Self::Id { id, region } => (draft.certificate(*id).await?, region),
            Self::Name { name, region } => (
                draft.certificate_by_name(call.account(), name).await?,
                region,
            ),
        };
        let own = found.filter(|found| {
            found.account == *call.account() && found.region == **region && !found.removed
        });
        own.ok_or_else(|| {
            ChangeError::Refused(Error::NoCertificate {
                which: self.shown(),
            })
        })
    }

    fn shown(&self) -> String {
        match self {
            Self::Id { id, region } => format!("with CertId {id} in region {region}"),
            Self::Name { name, region } => format!("named {name:?} in region {region}"),
        }
    }
}

impl UploadedCertificate {
    /// A certificate that the server names.
    pub(in crate::ops::cdn) const fn unnamed(certificate: Certificate) -> Self {
        Self {
            certificate,
            name: None,
            source: CertificateSource::Upload,
            region: region::DEFAULT,
            force: false,
        }
    }

    async fn find_or_add(
        &self,
        draft: &mut Draft,
        context: &Context,
        call: &Authorized,
        domains: &[DomainPattern],
    ) -> Resolved<CertificateRecord> {
        let material = self.certificate.digest();
        if let Some(name) = &self.name
            && let Some(named) = draft.certificate_by_name(call.account(), name).await?
        {
            if named.material == material {
                let texts = retained_texts(context, &self.certificate);
                draft.put_original_pem(named.id, &texts).await?;
                return Ok(named);
            }
            if !self.force {
                return Err(ChangeError::Refused(self.name_conflict(name, &named)));
            }
            if !self
                .may_replace(draft, context, call, domains, &named)
                .await?
            {
                let (name, id) = (name.clone(), named.id);
                return Err(ChangeError::Refused(Error::NameInUse { name, id }));
            }
            // The previous certificate is deleted with its last binding.
            draft.note(format!("certificate {} makes way for its name", named.id));
            match draft.domain_using_certificate(named.id).await? {
                Some(_) => draft.hide_certificate(&named).await?,
                None => draft.delete_certificate(&named).await?,
            }
        }
        if context.settings.duplicate_content == DuplicateContentPolicy::Refuse
            && let Some(same) = draft
                .certificate_by_content(call.account(), &material)
                .await?
            && !same.removed
        {
            return Err(ChangeError::Refused(Error::ContentTaken {
                name: same.name,
                id: same.id,
            }));
        }
        let row = self.new_row(draft, call, domains).await?;
        // Checked against the quota once it is bound: a certificate that it replaces may free a
        // slot.
        draft
            .add_certificate(&row, &self.certificate, Quota::Unlimited)
            .await?;
        let texts = retained_texts(context, &self.certificate);
        draft.put_original_pem(row.id, &texts).await?;
        Ok(row)
    }

    /// Whether the call may take the name from this certificate, which is then deleted: either only
    /// these domains use it, or the caller may delete any certificate. The permission to set the
    /// certificates of some domains does not extend to those of others.
    async fn may_replace(
        &self,
        draft: &mut Draft,
        context: &Context,
        call: &Authorized,
        domains: &[DomainPattern],
        named: &CertificateRecord,
    ) -> Resolved<bool> {
        // A concurrent binding changes a record that was read here, so the transaction is retried.
        let is_used = draft.domain_using_certificate(named.id).await?.is_some();
        // A caller who may set the certificate of a domain could bind a certificate of CAS first.
        if is_used && named.source != CertificateSource::Cas {
            let most = domains.len() + 1;
            let users = context
                .catalog
                .domains_using_certificate(named.id, most)
                .await?;
            if users.iter().all(|user| domains.contains(&user.name)) {
                return Ok(true);
            }
        }
        let may_delete = call.is_allowed_on_certificate(context, DELETE, named);
        may_delete.await.map_err(refused)
    }

    fn name_conflict(&self, name: &str, named: &CertificateRecord) -> Error {
        let name = name.to_owned();
        match (self.source, named.source) {
            (CertificateSource::Upload, CertificateSource::Cas) => Error::NameInCas { name },
            _ => Error::NameTaken { name, id: named.id },
        }
    }

    async fn new_row(
        &self,
        draft: &mut Draft,
        call: &Authorized,
        domains: &[DomainPattern],
    ) -> Resolved<CertificateRecord> {
        let id = draft.new_certificate_id().await?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => draft.unique_certificate_name(call.account(), id).await?,
        };
        Ok(CertificateRecord {
            id,
            account: call.account().clone(),
            name,
            source: self.source,
            region: self.region.to_owned(),
            uploaded_for: match self.source {
                CertificateSource::Upload => domains.first().cloned(),
                CertificateSource::Cas | CertificateSource::Issued => None,
            },
            material: self.certificate.digest(),
            has_key: true,
            revoked: false,
            removed: false,
            resource_group: String::new(),
            tags: Vec::new(),
            info: self.certificate.info.clone(),
            created: call.now(),
        })
    }
}

fn refused(error: StoreError) -> ChangeError<Error> {
    ChangeError::Refused(error.into())
}

fn check_usable(certificate: &CertificateRecord, call: &Authorized) -> Result<(), Error> {
    let (id, facts) = (certificate.id, &certificate.info);
    if certificate.revoked {
        return Err(Error::Revoked { id });
    }
    if call.now() < facts.not_before {
        return Err(Error::NotYetValid {
            id,
            not_before: facts.not_before,
        });
    }
    if !certificate.has_key {
        return Err(Error::StoredWithoutKey { id });
    }
    if call.now() > facts.chain_not_after {
        return Err(Error::StoredExpired {
            id,
            not_after: facts.chain_not_after,
        });
    }
    Ok(())
}

/// Divergence: the cloud binds such a certificate and reports a mismatch.
///
/// # Errors
/// [`Error::NotCovered`], unless the operator accepts such certificates.
pub(in crate::ops::cdn) fn check_covers(
    context: &Context,
    domains: &[DomainPattern],
    facts: &CertificateInfo,
) -> Result<(), Error> {
    if context.settings.name_mismatch == NameMismatchPolicy::Accept {
        return Ok(());
    }
    match domains.iter().find(|domain| !facts.covers(domain)) {
        Some(domain) => Err(Error::NotCovered {
            domain: domain.clone(),
            names: Some(facts.names.clone()),
        }),
        None => Ok(()),
    }
}
