//! `CreateCertificateName` of version 2018-08-13: sets name, tags and resource group of a
//! certificate. Terraform uses it.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{
    catalog::{ChangeError, Draft},
    record::CertificateRecord,
};

use super::upload::{self, InvalidCertificateName};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::{
        cdn::tags::{self, InvalidResourceGroup, InvalidTags},
        certificate_lookup::{self, CertificateError, CertificateParam},
    },
};

/// `CreateCertificateName`.
pub struct CreateCertificateName;

/// The parameters.
pub struct Params {
    id: CertificateId,
    name: Option<String>,
    /// The complete new tags; absent and empty differ.
    tags: Option<Vec<(String, String)>>,
    resource_group: Option<String>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Nothing to change.
    #[error("nothing to change: give Name, Tags.1.Key or ResourceGroupId")]
    NoChange,
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidCertificateName),
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for CreateCertificateName {
    type Params = Params;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let id = certificate_lookup::parse_id(params, CertificateParam::CertificateId)?;
        let name = params
            .get_non_empty("Name")
            .map(upload::parse_name)
            .transpose()?;
        // `Tags.1.Key=` removes all tags; without any `Tags` they stay.
        let is_tag = |(name, _): (&str, &str)| name.starts_with("Tags.");
        let tags = params.iter().any(is_tag);
        let tags = tags.then(|| tags::parse_tags(params, "Tags")).transpose()?;
        let resource_group = tags::group(params)?;
        if name.is_none() && tags.is_none() && resource_group.is_none() {
            return Err(Error::NoChange);
        }
        Ok(Params {
            id,
            name,
            tags,
            resource_group,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        changes: Params,
    ) -> Result<Success<EmptyReply>, Error> {
        let changes = &changes;
        let changed = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                let (account, id) = (call.account(), changes.id);
                let before =
                    certificate_lookup::find_in_cas_for_change(&mut draft, account, id).await?;
                let after = changes.applied_to(&mut draft, &before).await?;
                draft.change_certificate(&before, &after).await?;
                Ok((draft, ()))
            });
        let committed = changed.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::changed(committed.revision))
    }
}

impl Params {
    async fn applied_to(
        &self,
        draft: &mut Draft,
        before: &CertificateRecord,
    ) -> Result<CertificateRecord, ChangeError<Error>> {
        let mut after = before.clone();
        if let Some(name) = self.name.as_ref().filter(|name| **name != before.name) {
            if let Some(named) = draft.certificate_by_name(&before.account, name).await? {
                let (name, id) = (name.clone(), named.id);
                return Err(ChangeError::Refused(Error::NameTaken { name, id }));
            }
            after.name.clone_from(name);
        }
        if let Some(tags) = &self.tags {
            after.tags.clone_from(tags);
        }
        if let Some(group) = &self.resource_group {
            after.resource_group.clone_from(group);
        }
        Ok(after)
    }
}

api_error!(Error {
    Certificate(CertificateError),
    NoChange => MissingName,
    Name(InvalidCertificateName),
    Tags(InvalidTags),
    Group => InvalidResourceGroup,
    NameTaken => NameRepeat,
    Store(StoreError),
});
